"""`imagefactory clean-vms`: deletes the factory lab's VMs whose images are saved.

Parses the options and renders the report. Does not choose or delete VMs: `imagefactory.factory_lab.clean` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from imagefactory.cli.stack import AsJson, Stack, stack_settings
from imagefactory.cli.terminal.interruption import run
from imagefactory.cli.terminal.output import to_stderr
from imagefactory.cli.terminal.report import Lines, Report, Table, finish
from imagefactory.configuration.image_paths import fold
from imagefactory.diagnostics import Diagnostic

if TYPE_CHECKING:
    from imagefactory.factory_lab.clean import CleanReport
    from imagefactory.planning.factory.clean_plan import Deletion

_FAILED = {"failed", "interrupted"}
_BELOW = {*_FAILED, "reported"}
"""Results whose reasons are printed below the table."""


class _Line(NamedTuple):
    vm: str
    result: str
    image: str = ""
    message: str = ""


def clean_vms(
    stack: Stack,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the factory lab's VMs whose images are saved.

    Deletes a VM if a factory image was saved from its disk, the VM was not used since, and it is deallocated. Keeps VMs
    with the tag FactoryIgnore. Reports VMs that have neither this tag nor the tag ImagePath.

    Exit codes: 0 all these VMs are deleted, 1 a deletion failed, 2 wrong usage or configuration.
    """
    settings = stack_settings(stack)
    from imagefactory.factory_lab import clean

    cleaning = clean.run(settings, _ended, dry_run=dry_run)
    finish(run(cleaning, "Azure finishes the deletions that it has started"), _report, as_json=as_json)


def _ended(deletion: Deletion, problem: str) -> None:
    to_stderr(f"{deletion.vm.name}: {'failed' if problem else 'deleted'}")


def _report(report: CleanReport) -> Report:
    lines = [_planned(report, deletion) for deletion in report.plan.deletions]
    for kept in report.plan.kept:
        if isinstance(kept.reason, Diagnostic):
            lines.append(_Line(kept.vm, "reported", message=kept.reason.message()))
        else:
            lines.append(_Line(kept.vm, "kept", message=kept.reason))
    lines.sort(key=lambda line: fold(line.vm))
    shown = [(line.vm, line.result, line.image, "" if line.result in _BELOW else line.message) for line in lines]
    vms = [
        {"vm": line.vm, "result": line.result, "image": line.image or None, "message": line.message or None}
        for line in lines
    ]
    return Report(
        {"dryRun": report.dry_run, "vms": vms},
        [
            Table("VMs of the factory lab", ("VM", "Result", "Saved as", "Reason"), shown),
            Lines([line.message for line in lines if line.result in _BELOW]),
        ],
        failed=any(line.result in _FAILED for line in lines),
    )


def _planned(report: CleanReport, deletion: Deletion) -> _Line:
    vm, image = deletion.vm.name, deletion.image.name
    if vm in report.problems:
        problem = report.problems[vm]
        return _Line(vm, "failed" if problem else "deleted", image, problem)
    return _Line(vm, "would be deleted" if report.dry_run else "interrupted", image)
