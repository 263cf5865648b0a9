"""`imagefactory clean-vms`: factory VMs whose images are saved are deleted.

Owns options, report and exit code. Which VMs go is decided by `imagefactory.planning.clean_plan`;
`imagefactory.factory_lab.clean` deletes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from imagefactory.cli.interruption import run, to_stderr
from imagefactory.cli.report import Lines, Report, Table, finish
from imagefactory.cli.stack import AsJson, Stack, stack_settings
from imagefactory.configuration.image_paths import fold
from imagefactory.diagnostics import Diagnostic

if TYPE_CHECKING:
    from imagefactory.factory_lab.clean import CleanReport
    from imagefactory.planning.clean_plan import Deletion

_FAILED = {"failed", "interrupted"}
_TOLD = {*_FAILED, "reported"}
"""Results whose reasons stand below the table."""


class _Line(NamedTuple):
    vm: str
    result: str
    image: str = ""
    message: str = ""


def clean_vms(
    stack: Stack,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted; touch nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the factory lab's VMs whose images are saved.

    A VM goes when a factory image was saved of its very disk, it was not used since, and it is deallocated. VMs with
    the tag FactoryIgnore stay; those that nobody tagged are reported.

    Exit codes: 0 all that was to go is gone, 1 something failed, 2 wrong usage or configuration.
    """
    settings = stack_settings(stack)
    from imagefactory.factory_lab import clean

    cleaning = clean.run(settings, _ended, dry_run=dry_run)
    finish(run(cleaning, "Stopping: what Azure has begun to delete is deleted."), _report, as_json=as_json)


def _ended(deletion: Deletion, refusal: str) -> None:
    to_stderr(f"{deletion.vm.name}: {'failed' if refusal else 'deleted'}")


def _report(report: CleanReport) -> Report:
    lines = [_planned(report, deletion) for deletion in report.plan.deletions]
    for vm, reason in ((kept.vm, kept.reason) for kept in report.plan.kept):
        if isinstance(reason, Diagnostic):
            lines.append(_Line(vm, "reported", message=reason.message()))
        else:
            lines.append(_Line(vm, "kept", message=reason))
    lines.sort(key=lambda line: fold(line.vm))
    shown = [(line.vm, line.result, line.image, "" if line.result in _TOLD else line.message) for line in lines]
    vms = [
        {"vm": line.vm, "result": line.result, "image": line.image or None, "message": line.message or None}
        for line in lines
    ]
    return Report(
        {"dryRun": report.dry_run, "vms": vms},
        [
            Table("VMs of the factory lab", ("VM", "Result", "Saved as", "Why"), shown),
            Lines([line.message for line in lines if line.result in _TOLD]),
        ],
        failed=any(line.result in _FAILED for line in lines),
    )


def _planned(report: CleanReport, deletion: Deletion) -> _Line:
    vm, image = deletion.vm.name, deletion.image.name
    if vm in report.refusals:
        refusal = report.refusals[vm]
        return _Line(vm, "failed" if refusal else "deleted", image, refusal)
    return _Line(vm, "would be deleted" if report.dry_run else "interrupted", image)
