"""`imagefactory save`: saves the factory lab's tagged VMs as factory images.

Parses the options and renders progress and report. Does not save: `imagefactory.factory_lab.save_run` does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from imagefactory.cli.stack import AsJson, Stack, stack_settings
from imagefactory.cli.terminal.interruption import run
from imagefactory.cli.terminal.progress import CopyProgress, copy_progress
from imagefactory.cli.terminal.report import Lines, Report, Table, finish
from imagefactory.cli.terminal.telemetry import copy_observers
from imagefactory.configuration.image_paths import fold
from imagefactory.diagnostics import Diagnostic
from imagefactory.images.lineage import of_pipeline
from imagefactory.planning.factory.save_plan import Save, Skipped
from imagefactory.telemetry.event_log import VARIABLE

if TYPE_CHECKING:
    from imagefactory.copying.copier import Progress
    from imagefactory.factory_lab.save import SaveOutcome
    from imagefactory.factory_lab.save_run import SaveReport


@dataclass(frozen=True)
class _Line:
    """One VM of the report; `failed` is whether you need to act."""

    vm: str
    result: str
    image: str = ""
    message: str = ""
    failed: bool = False
    about: dict[str, object] = field(default_factory=dict)


def save(
    stack: Stack,
    vm: Annotated[list[str] | None, typer.Option("--vm", metavar="NAME", help="Save only this VM (repeatable)")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be saved")] = False,
    max_concurrent: Annotated[
        int, typer.Option("--max-concurrent", metavar="N", min=1, help="VMs to save at a time")
    ] = 20,
    with_data_disks: Annotated[
        bool,
        typer.Option("--with-data-disks", help="Also save data disks; DevTest Labs cannot create images from them"),
    ] = False,
    events: Annotated[
        str | None,
        typer.Option(
            "--events",
            metavar="FILE",
            envvar=VARIABLE,
            show_envvar=False,
            help="Append events of copies, as JSON lines",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Save tagged VMs of the factory lab as factory images.

    The tag ImagePath names the golden image. A VM is ready if it is provisioned and deallocated. Copies its OS disk to
    the factory's storage account, then writes the ranges manifest and, last, the companion. Skips disks that are
    already saved, with a warning if the VM was used since, and resumes interrupted saves. Grants read access to a disk
    only for the copy and revokes it, even after Ctrl-C.

    Exit codes: 0 all VMs are saved, 1 a save failed or a VM is not ready, 2 wrong usage or configuration.
    """
    if as_json and events == "-":
        raise typer.BadParameter(
            "standard output is for one of --json and --events; nothing is saved. Name a file", param_hint="--events"
        )
    settings = stack_settings(stack)
    from imagefactory.factory_lab import save_run

    with copy_progress() as progress, copy_observers(events, progress.say) as observers:
        request = save_run.SaveRequest(
            frozenset(vm or ()), dry_run, max_concurrent, with_data_disks, of_pipeline(os.environ), observers
        )
        ended = run(save_run.run(settings, request, _Watcher(progress)), "revoking disk access", progress.say)
    finish(ended, _report, as_json=as_json)


class _Watcher:
    """Shows the progress of saves; implements `imagefactory.factory_lab.save.Watcher`."""

    def __init__(self, progress: CopyProgress) -> None:
        self._progress = progress

    def progress(self, vm: str, progress: Progress) -> None:
        """Show the progress of a VM."""
        self._progress.show(vm, progress)

    def ended(self, outcome: SaveOutcome) -> None:
        """Print the result of a VM."""
        line = _ended(outcome, {})
        self._progress.say(f"{line.vm}: {line.result}{' as ' + line.image if line.image else ''}")


def _report(report: SaveReport) -> Report:
    outcomes = {outcome.vm: outcome for outcome in report.outcomes}
    lines = [_skipped(one) for one in report.plan.skipped]
    for save in report.plan.saves:
        if outcome := outcomes.get(save.vm.name):
            lines.append(_ended(outcome, _about(save)))
        elif report.dry_run:
            lines.append(_Line(save.vm.name, "would be saved", about=_about(save)))
        else:
            lines.append(_Line(save.vm.name, "interrupted", failed=True, about=_about(save)))
    lines.sort(key=lambda line: fold(line.vm))
    vms = [
        {"vm": line.vm, "result": line.result, "image": line.image or None, "message": line.message or None}
        | line.about
        for line in lines
    ]
    document = {
        "dryRun": report.dry_run,
        "vms": vms,
        "accessRevoked": report.revoked,
        "accessLeftOpen": report.left_open,
        "warnings": report.warnings,
        "failures": report.failures,
    }
    messages = [line.message for line in lines if line.failed]
    messages += (f"Disk {disk}: revoked access left active by an earlier run." for disk in report.revoked)
    messages += (f"Disk {disk}: would revoke access left active by an earlier run." for disk in report.left_open)
    texts = Lines([*report.warnings, *messages, *report.failures, report.totals])
    failed = bool(report.failures) or any(line.failed for line in lines)
    about_vms = _table(lines) if lines else Lines(["The factory lab has no VM"])
    return Report(document, [about_vms, texts], failed)


def _skipped(one: Skipped) -> _Line:
    if isinstance(one.reason, Diagnostic):
        return _Line(one.vm, one.result, message=one.reason.message(), failed=True)
    if one.result == "already saved":
        return _Line(one.vm, one.result, one.reason)
    return _Line(one.vm, one.result, message=one.reason)


def _ended(outcome: SaveOutcome, about: dict[str, object]) -> _Line:
    if outcome.image:
        about = about | {"digest": outcome.image.digest, "savedAt": outcome.image.saved_at.isoformat()}
        result = "already saved" if outcome.found else "saved"
        return _Line(outcome.vm, result, outcome.image.name, about=about)
    if outcome.held:
        return _Line(outcome.vm, "saved by another run", message="another run is saving it", about=about)
    return _Line(outcome.vm, "failed", message=outcome.error, failed=True, about=about)


def _about(save: Save) -> dict[str, object]:
    return {
        "imagePath": str(save.image_path),
        "vhd": save.vhd_name,
        "osType": save.os_type,
        "osState": "Generalized" if save.generalized else "Specialized",
        "osStateSource": save.os_state_source,
        "hyperVGeneration": save.disk.generation,
        "dataDisks": [disk.vhd_name for disk in save.saved_data_disks],
    }


def _table(lines: list[_Line]) -> Table:
    """Return the table without its empty columns."""
    cells: dict[str, Callable[[_Line], str]] = {
        "VM": lambda line: line.vm,
        "Result": lambda line: line.result,
        "Image": lambda line: line.image,
        "Image path": lambda line: str(line.about.get("imagePath", "")),
        "OS": lambda line: "{osType}, {osState} ({osStateSource})".format(**line.about) if line.about else "",
        "VHD": lambda line: str(line.about.get("vhd", "")),
    }
    shown = [column for column, cell in cells.items() if any(map(cell, lines))]
    return Table("VMs of the factory lab", shown, [[cells[column](line) for column in shown] for line in lines])
