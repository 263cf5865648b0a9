"""`imagefactory promote`: writes the pins of one stack's file from what the labs of another stack hold.

Parses the options and renders the result. Does not decide or write: `imagefactory.factory_lab.promote` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagefactory.cli.stack import AsJson, complete_stack, stack_settings
from imagefactory.cli.terminal.interruption import run
from imagefactory.cli.terminal.output import count
from imagefactory.cli.terminal.report import Lines, Report, Table, finish
from imagefactory.configuration.image_paths import Selector
from imagefactory.diagnostics import error
from imagefactory.errors import ConfigurationError

if TYPE_CHECKING:
    from imagefactory.factory_lab.promote import PromoteReport

_HELP = "Only image paths that this entry matches, as in labs.json (repeatable)"


def promote(
    source: Annotated[
        str,
        typer.Option("--from", metavar="STACK", help="Stack whose labs hold the images", autocompletion=complete_stack),
    ],
    target: Annotated[
        str,
        typer.Option("--to", metavar="STACK", help="Stack whose file gets the pins", autocompletion=complete_stack),
    ],
    path: Annotated[list[str] | None, typer.Option("--path", metavar="PATH", help=_HELP)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be pinned")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the pins of a stack from what the labs of another stack hold.

    Pins each image path to the newest image that all labs of the stack --from which take that path hold: as a custom
    image in state Succeeded, or by the gallery. A path without such an image, or of a lab that cannot be read, keeps
    its pin and is shown with the reason; likewise one whose image is not in the factory of the stack --to.

    Writes nothing to Azure. Changes only the pins in Pulumi.STACK.yaml of --to, in one step, and keeps comments, order
    and format of the file. Commit the change and open a pull request.

    Exit codes: 0 the pins are written or there is nothing to change, 1 a lab or the factory cannot be read, 2 wrong
    usage or configuration.
    """
    if source == target:
        raise ConfigurationError([error("--to", f"is {source}, as --from", "nothing is promoted", "Pass two stacks")])
    only = [_selector(each) for each in path or ()]
    settings, file = (stack_settings(source), stack_settings(target)), Path(f"Pulumi.{target}.yaml")
    from imagefactory.factory_lab import promote as promoting

    ended = run(promoting.run(promoting.PromoteRequest(source, target, *settings, file, only, dry_run)))
    interrupted = f"{file} is as before" if ended.result is None else "the command is complete"
    finish(ended, _report, as_json=as_json, interrupted=f"Interrupted; {interrupted}.")


def _selector(written: str) -> Selector:
    try:
        return Selector.parse(written)
    except ValueError as reason:
        remedy = "Pass a path relative to the image root, such as Win2016/Datacenter.json or Win2016"
        raise ConfigurationError([error(f"--path {written}", str(reason), "nothing is promoted", remedy)]) from None


def _report(report: PromoteReport) -> Report:
    found, request = report.promotion, report.request
    document = {
        "from": request.source,
        "to": request.target,
        "file": request.file.as_posix(),
        "dryRun": request.dry_run,
        "changed": report.changed,
        "paths": [one.to_dict() for one in found.paths],
        "failures": [failure.message() for failure in found.failures],
    }
    columns = ("Image path", "Pinned before", "Pinned now", "Held by", "Action", "Reason")
    rows = [
        (str(one.path), one.before or "", one.now or "", ", ".join(one.labs), one.action, one.reason)
        for one in found.paths
    ]
    table = Table(f"Pins of stack {request.target} from the labs of stack {request.source}", columns, rows)
    return Report(
        document, [table, Lines([*(each.text() for each in found.failures), _next(report)])], bool(found.failures)
    )


def _next(report: PromoteReport) -> str:
    file, pins = report.request.file, count(len(report.promotion.pins), "pin")
    if report.changed:
        return f"Wrote {pins} to {file}. Commit it and open a pull request."
    if report.promotion.pins:
        return f"Would write {pins} to {file}. Run the command without --dry-run, then commit it."
    return f"Nothing to promote: {file} is as before. There is nothing to commit."
