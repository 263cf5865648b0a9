"""`imagefactory prune`: deletes old factory images, unfinished saves and staged VHDs that no image needs.

Parses the options, prompts, and renders plan and report. Does not plan or delete, which
`imagefactory.factory_lab.prune` does.
"""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated

import typer

from imagefactory.cli.stack import AsJson, Stack, stacks_with_factory_of
from imagefactory.cli.terminal.interruption import Ended, run
from imagefactory.cli.terminal.output import count, say, to_stderr
from imagefactory.cli.terminal.report import Lines, Part, Report, Table, completed, finish, interrupt, show
from imagefactory.diagnostics import error
from imagefactory.errors import ConfigurationError

if TYPE_CHECKING:
    from imagefactory.factory_lab.prune import DeletionOutcome, PruneReport

GIB = 1024**3
MAX_DELETES = 20
_NOTHING_DELETED = "Interrupted; nothing was deleted."


def prune(
    stack: Stack,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep", metavar="N", min=1, help="Images to keep of each image path [default: the stacks' largest keep]"
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without a prompt")] = False,
    max_deletes: Annotated[
        int,
        typer.Option(
            "--max-deletes",
            metavar="N",
            min=0,
            help="Delete nothing in a storage account if the plan exceeds this number there",
        ),
    ] = MAX_DELETES,
    as_json: AsJson = False,
) -> None:
    """Delete old images, unfinished saves, and staged VHDs that no image needs.

    Keeps the newest images of each image path, and the newest that is Succeeded in each lab. Keeps images that a stack
    in this folder pins, images whose VM is still in the factory lab, what a gallery of these stacks still needs, and
    everything written less than 1 day ago. Keeps and reports images without a usable date or with a companion that
    cannot be read. Shows the plan, then prompts. If a storage account exceeds --max-deletes, the other accounts are
    still pruned.

    Exit codes: 0 everything in the plan is deleted or you declined, 1 a deletion failed or an account exceeds
    --max-deletes, 2 wrong usage or configuration.
    """
    _check_usage(dry_run=dry_run, yes=yes, as_json=as_json)
    stacks = stacks_with_factory_of(stack)
    from imagefactory.factory_lab.prune import carry_out, plan

    planning = plan(stacks, now(), keep=keep, max_deletes=max_deletes, dry_run=dry_run)
    planned = completed(run(planning), _NOTHING_DELETED)
    if not as_json:
        show(*_plan(planned))
    ended = Ended(planned)
    if planned.going:
        if not yes and not _confirmed(count(len(planned.going), "item")):
            say("Nothing was deleted.")
            return
        ended = run(carry_out(stacks[stack], planned, _ended), "finishing the deletions in progress")
    finish(ended, _report, as_json=as_json)


def _ended(outcome: DeletionOutcome) -> None:
    to_stderr(f"{outcome.deletion.name}: {outcome.result}")


def _confirmed(items: str) -> bool:
    try:
        return typer.confirm(f"Delete {items}?")
    except typer.Abort:  # Ctrl-C, or the end of the input
        interrupt(_NOTHING_DELETED)


def now() -> datetime:
    """Return the time from which the age of blobs counts."""
    return datetime.now(timezone.utc)


def _check_usage(*, dry_run: bool, yes: bool, as_json: bool) -> None:
    if dry_run or yes or (sys.stdin.isatty() and not as_json):
        return
    fact = "--json cannot prompt" if as_json else "cannot prompt without a terminal"
    remedy = "Pass --yes to delete without a prompt, or --dry-run to preview"
    raise ConfigurationError([error("prune", fact, "nothing is deleted", remedy)])


def _plan(report: PruneReport) -> list[Part]:
    plan = report.plan
    rows = [(one.kind, one.name, one.image_path, one.reason, _gib(one.size)) for one in plan.deletions]
    lines = [f"{len(rows)} to delete, {_gib(plan.size)} GiB; {len(plan.kept)} kept."]
    lines += [f"Kept: {one.name}: {one.reason}." for one in plan.kept if not one.is_newest]
    lines += [f"Reported: {one.reason.message()}" for one in plan.reported]
    table = Table("To delete", ("Kind", "Name", "Image path", "Reason", "GiB"), rows, right={"GiB"})
    return [*([table] if rows else []), Lines([*lines, *report.warnings, *report.failures])]


def _report(report: PruneReport) -> Report:
    """Return plan and results as data, sizes in bytes; as text only the results, because the plan was shown before."""
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
    started = {outcome.deletion.key for outcome in report.outcomes}
    lines = [outcome.error for outcome in report.outcomes]
    lines += (f"{one.name}: {result}" for one, result, _ in report.results if one.key not in started)
    return [*lines, f"Deleted {len(deleted)} of {len(report.plan.deletions)}, {_gib(sum(deleted))} GiB."]


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"
