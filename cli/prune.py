"""`imagefactory prune`: old factory images go, and what unfinished saves and copies left behind.

Owns options, the question, report and exit code. What goes is decided by `imagefactory.pruning`; `factory.prune` does
it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated

import typer

from cli.interruption import Interrupted, run
from cli.output import show_document, show_table, tell
from cli.stack import AsJson, Stack, stack_files, stack_name, stack_settings
from imagefactory.configuration import Configuration, load_configuration
from imagefactory.errors import ConfigurationError
from imagefactory.faults import error
from imagefactory.pruning import (
    Deletion,
    PrunePlan,
    PruneRules,
    keep_warnings,
    plan_prune,
)
from imagefactory.retention import largest_keep, with_keep
from imagefactory.settings import FactoryLab, Policy, Settings, factory_from_stack_file, settings_from_stack_file

if TYPE_CHECKING:
    from factory.prune import Outcome

GIB = 1024**3
MAX_DELETES = 20


@dataclass
class Report:
    """What is told, also where the command was interrupted."""

    keep: int
    warnings: list[str]
    plan: PrunePlan = field(default_factory=lambda: PrunePlan((), (), ()))
    failures: list[str] = field(default_factory=list)
    outcomes: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    """By the key of the deletion; one that was not begun has none."""
    otherwise: str = "not done"
    """The result of those."""
    stopped: Mapping[str, int] = field(default_factory=dict)
    """Storage accounts that exceed --max-deletes, as `PrunePlan.exceeding` gives them: nothing is deleted there."""

    @property
    def going(self) -> tuple[Deletion, ...]:
        """The deletions of the other accounts."""
        return tuple(one for one in self.plan.deletions if one.account_id not in self.stopped)

    def result(self, deletion: Deletion) -> str:
        """What became of a deletion."""
        if outcome := self.outcomes.get(deletion.key):
            return "failed" if outcome.error else "deleted"
        return "not deleted" if deletion.account_id in self.stopped else self.otherwise


def prune(
    stack: Stack,
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, help="Images of each image path that stay; default: the stacks' largest keep"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted; touch nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    max_deletes: Annotated[
        int,
        typer.Option("--max-deletes", min=0, help="Delete nothing in a storage account where more would be deleted"),
    ] = MAX_DELETES,
    as_json: AsJson = False,
) -> None:
    """Delete old images from the factory, unfinished saves, and staged VHDs that no image needs.

    Of each image path the newest stay, and the newest that is Succeeded in each lab. Never deleted: an image without a
    usable date or with a companion that cannot be read (reported), one that a stack in this folder pins, one whose VM
    still stands in the factory lab. Nothing goes within a day of the last write to it. What goes is shown, then asked
    for. --max-deletes counts for each storage account by itself; the other accounts are pruned.

    Exit codes: 0 all is done, or you declined; 1 something failed, or an account exceeds --max-deletes; 2 wrong usage
    or configuration.
    """
    _check_usage(dry_run=dry_run, yes=yes, as_json=as_json)
    stacks = _stacks(stack)
    policies = with_keep(stacks, keep)
    configured = [(settings, load_configuration(settings.configuration, settings.labs)) for settings in stacks.values()]
    kept = _keep(policies)
    report = Report(kept, [fault.message() for fault in keep_warnings(kept, stacks)])
    try:
        run(_plan(configured, policies, report), lambda: tell("Stopping.", err=True))
    except Interrupted as stopped:
        tell("Interrupted; nothing was deleted.", err=True)
        raise typer.Exit(stopped.exit_code) from None
    if dry_run:
        report.otherwise = "would be deleted"
    report.stopped = report.plan.exceeding(max_deletes)
    for account, count in report.stopped.items():
        subject = f"storage account {account.rpartition('/')[2]}"
        fact = f"{count} images, unfinished saves and staged VHDs exceed --max-deletes {max_deletes}"
        remedy = f"Review them; to delete them, pass --max-deletes {count}"
        report.failures.append(error(subject, fact, "nothing is deleted there", remedy).message())
    interrupted: Interrupted | None = None
    if not as_json:
        _show_plan(report)
    if report.going and not dry_run:
        if not yes and not typer.confirm(f"Delete these {len(report.going)}?"):
            tell("Nothing was deleted.")
            return
        interrupted = _carry_out(configured[0][0], report)
        if not as_json:
            _show_outcomes(report)
    if as_json:
        show_document(_document(report, dry_run=dry_run))
    if interrupted:
        tell("Interrupted; run the same command again to go on.", err=True)
        raise typer.Exit(interrupted.exit_code)
    raise typer.Exit(1 if report.failures else 0)


def now() -> datetime:
    """The time by which blobs are old."""
    return datetime.now(timezone.utc)


def _check_usage(*, dry_run: bool, yes: bool, as_json: bool) -> None:
    if dry_run or yes or (sys.stdin.isatty() and not as_json):
        return
    fact = "--json leaves no room for a question" if as_json else "there is no terminal to ask on"
    remedy = "Give --yes to delete without being asked, or --dry-run to look"
    raise ConfigurationError([error("prune", fact, "nothing is deleted", remedy)])


def _stacks(stack: str) -> dict[str, Settings]:
    """The stacks of this folder that have the factory of `stack`, itself first. Raises `ConfigurationError`."""
    found = {stack: stack_settings(stack)}
    for file in stack_files():
        name, factory = stack_name(file), factory_from_stack_file(file)
        if name != stack and factory and _is_same(factory, found[stack].factory):
            found[name] = settings_from_stack_file(file, os.environ)
    return found


def _is_same(one: FactoryLab, other: FactoryLab) -> bool:
    """Whether two stacks may mean one lab; without its resource group a stack means any lab of that name."""
    groups = {lab.resource_group.lower() for lab in (one, other) if lab.resource_group}
    ids = {(lab.subscription_id.lower(), lab.lab_name.lower()) for lab in (one, other)}
    return len(ids) == 1 and len(groups) <= 1


def _keep(policies: Mapping[str, Policy]) -> int:
    keep = largest_keep(policies)
    if keep is None:
        unlimited = ", ".join(f"'{name}'" for name, policy in sorted(policies.items()) if policy.keep is None)
        fact = f"is missing, and no setting keep limits what labs of stack {unlimited} hold"
        remedy = "Say how many images of each image path shall stay"
        raise ConfigurationError([error("option --keep", fact, "nothing is deleted", remedy)])
    return keep


async def _plan(
    stacks: Sequence[tuple[Settings, Configuration]], policies: Mapping[str, Policy], report: Report
) -> None:
    from factory.prune_facts import read_prune_facts
    from imagefactory_azure.facts import connect
    from imagefactory_azure.save_records import records_of

    async with connect(stacks[0][0]) as (arm, accounts):
        facts = await read_prune_facts(arm, accounts, stacks)
    report.warnings += (record.fault.message() for record in records_of(facts.blobs) if record.fault)
    rules = PruneRules(policies, facts.vms, facts.last_good)
    report.plan = plan_prune(facts.catalog, facts.blobs, rules, facts.staged, facts.needs, now())
    report.failures += (fault.message() for fault in facts.unread)


def _carry_out(settings: Settings, report: Report) -> Interrupted | None:
    """Returns how the user stopped it, if so."""

    def ended(outcome: Outcome) -> None:
        report.outcomes[outcome.deletion.key] = outcome
        tell(f"{outcome.deletion.name}: {report.result(outcome.deletion)}", err=True)

    async def carry_out() -> None:
        from factory.prune import Pruner
        from imagefactory_azure.disk_access import DiskAccess
        from imagefactory_azure.facts import connect

        async with connect(settings) as (arm, accounts):
            await Pruner(accounts, DiskAccess(arm, accounts), ended).prune(report.going)

    try:
        run(carry_out(), lambda: tell("Stopping: what is under way ends (Ctrl-C again: at once).", err=True))
    except Interrupted as interrupted:
        return interrupted
    finally:
        report.failures += (outcome.error for outcome in report.outcomes.values() if outcome.error)
    return None


def _show_plan(report: Report) -> None:
    plan = report.plan
    if plan.deletions:
        rows = ((one.kind, one.name, one.image_path, one.reason, _gib(one.size)) for one in plan.deletions)
        show_table("What goes", ("What", "Name", "Image path", "Why", "GiB"), rows, right={"GiB"})
    told = [f"{len(plan.deletions)} to delete, {_gib(plan.size)} GiB; {len(plan.kept)} stay."]
    told += [f"Stays: {one.name}: {one.reason}." for one in plan.kept if not one.is_newest]
    told += [f"Look at: {one.reason.message()}" for one in plan.reported]
    tell(*told, *report.warnings, *report.failures)


def _show_outcomes(report: Report) -> None:
    results = [report.result(one) for one in report.plan.deletions]
    tell(*(outcome.error for outcome in report.outcomes.values()))
    left = (one for one in report.plan.deletions if one.key not in report.outcomes)
    tell(*(f"{one.name}: {report.result(one)}" for one in left))
    size = sum(one.size for one in report.plan.deletions if report.result(one) == "deleted")
    tell(f"Deleted {results.count('deleted')} of {len(results)}, {_gib(size)} GiB.")


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"


def _document(report: Report, *, dry_run: bool) -> dict[str, object]:
    """The plan and what became of it as data: sizes in bytes."""
    outcomes = report.outcomes
    return {
        "dryRun": dry_run,
        "keep": report.keep,
        "deletions": [
            {
                "kind": one.kind,
                "name": one.name,
                "imagePath": one.image_path or None,
                "reason": one.reason,
                "size": one.size,
                "account": one.blobs[0].account_id.rpartition("/")[2],
                "container": one.blobs[0].container,
                "blobs": [blob.name for blob in one.blobs],
                "result": report.result(one),
                "message": (outcomes[one.key].error or None) if one.key in outcomes else None,
            }
            for one in report.plan.deletions
        ],
        "size": report.plan.size,
        "kept": [
            {"name": one.name, "imagePath": one.image_path or None, "vhd": one.vhd or None, "reason": one.reason}
            for one in report.plan.kept
        ],
        "reported": [{"name": one.name, "reason": one.reason.message()} for one in report.plan.reported],
        "warnings": report.warnings,
        "failures": report.failures,
    }
