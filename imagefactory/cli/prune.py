"""`imagefactory prune`: old factory images go, and what unfinished saves and copies left behind.

Owns options, the question and the look of the report. `imagefactory.factory_lab.prune` says what goes, and deletes it.
"""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated

import typer

from imagefactory.cli.interruption import Ended, run, to_stderr
from imagefactory.cli.output import tell
from imagefactory.cli.report import Lines, Part, Report, Table, completed, finish, show
from imagefactory.cli.stack import AsJson, Stack, stacks_with_factory_of
from imagefactory.diagnostics import error
from imagefactory.errors import ConfigurationError

if TYPE_CHECKING:
    from imagefactory.factory_lab.prune import Outcome, PruneReport

GIB = 1024**3
MAX_DELETES = 20


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
    stacks = stacks_with_factory_of(stack)
    from imagefactory.factory_lab.prune import carry_out, plan

    planning = plan(stacks, now(), keep=keep, max_deletes=max_deletes, dry_run=dry_run)
    planned = completed(run(planning, "Stopping."), "Interrupted; nothing was deleted.")
    if not as_json:
        show(*_plan(planned))
    ended = Ended(planned)
    if planned.going:
        if not yes and not typer.confirm(f"Delete these {len(planned.going)}?"):
            tell("Nothing was deleted.")
            return
        pruning = carry_out(stacks[stack], planned, _ended)
        ended = run(pruning, "Stopping: what is under way ends (Ctrl-C again: at once).")
    finish(ended, _report, as_json=as_json)


def _ended(outcome: Outcome) -> None:
    to_stderr(f"{outcome.deletion.name}: {outcome.result}")


def now() -> datetime:
    """The time by which blobs are old."""
    return datetime.now(timezone.utc)


def _check_usage(*, dry_run: bool, yes: bool, as_json: bool) -> None:
    if dry_run or yes or (sys.stdin.isatty() and not as_json):
        return
    fact = "--json leaves no room for a question" if as_json else "there is no terminal to ask on"
    remedy = "Give --yes to delete without being asked, or --dry-run to look"
    raise ConfigurationError([error("prune", fact, "nothing is deleted", remedy)])


def _plan(report: PruneReport) -> list[Part]:
    plan = report.plan
    rows = [(one.kind, one.name, one.image_path, one.reason, _gib(one.size)) for one in plan.deletions]
    told = [f"{len(rows)} to delete, {_gib(plan.size)} GiB; {len(plan.kept)} stay."]
    told += [f"Stays: {one.name}: {one.reason}." for one in plan.kept if not one.is_newest]
    told += [f"Look at: {one.reason.message()}" for one in plan.reported]
    table = Table("What goes", ("What", "Name", "Image path", "Why", "GiB"), rows, right={"GiB"})
    return [*([table] if rows else []), Lines([*told, *report.warnings, *report.failures])]


def _report(report: PruneReport) -> Report:
    """The plan and what became of it as data, sizes in bytes; as text, for the plan was shown, what became of it."""
    results = report.results
    deletions = [
        {
            "kind": one.kind,
            "name": one.name,
            "imagePath": one.image_path or None,
            "reason": one.reason,
            "size": one.size,
            "account": one.blobs[0].account_id.rpartition("/")[2],
            "container": one.blobs[0].container,
            "blobs": [blob.name for blob in one.blobs],
            "result": result,
            "message": message or None,
        }
        for one, result, message in results
    ]
    document = {
        "dryRun": report.dry_run,
        "keep": report.keep,
        "deletions": deletions,
        "size": report.plan.size,
        "kept": [
            {"name": one.name, "imagePath": one.image_path or None, "vhd": one.vhd or None, "reason": one.reason}
            for one in report.plan.kept
        ],
        "reported": [{"name": one.name, "reason": one.reason.message()} for one in report.plan.reported],
        "warnings": report.warnings,
        "failures": report.failures,
    }
    return Report(document, [Lines(_outcomes(report))] if report.going else [], failed=bool(report.failures))


def _outcomes(report: PruneReport) -> list[str]:
    deleted = [one.size for one, result, _ in report.results if result == "deleted"]
    begun = {outcome.deletion.key for outcome in report.outcomes}
    told = [outcome.error for outcome in report.outcomes]
    told += (f"{one.name}: {result}" for one, result, _ in report.results if one.key not in begun)
    return [*told, f"Deleted {len(deleted)} of {len(report.plan.deletions)}, {_gib(sum(deleted))} GiB."]


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"
