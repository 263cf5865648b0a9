"""`imagefactory save`: the factory lab's tagged VMs become factory images.

Owns options, report and exit code. Which VMs, and as what, is decided by `imagefactory.saving`; `factory.save` does it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from cli.interruption import Interrupted, run
from cli.output import show_document, show_table, tell
from cli.progress import CopyProgress
from cli.stack import AsJson, Stack, stack_settings
from imagefactory.configuration import load_golden_images
from imagefactory.errors import ConfigurationError, ImageFactoryError
from imagefactory.faults import Fault, error
from imagefactory.image_path import fold
from imagefactory.image_tags import IMAGE_PATH_TAG
from imagefactory.lineage import of_pipeline
from imagefactory.saving import Save, SavePlan, Skipped, plan_saves
from imagefactory.settings import Settings

if TYPE_CHECKING:
    from factory.save import Outcome, Saver
    from imagefactory_azure.save_records import SaveRecord
    from providers.vhdcopy.copier import Progress
    from providers.vhdcopy.totals import Totals


@dataclass(frozen=True)
class Line:
    """One VM of the report; `failed` is whether somebody must look."""

    vm: str
    result: str
    image: str = ""
    message: str = ""
    failed: bool = False
    about: dict[str, object] = field(default_factory=dict)


@dataclass
class Report:
    """What is told at the end, also where the command was interrupted."""

    lines: list[Line] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    """Ids of disks that a dead run had left open."""
    left_open: list[str] = field(default_factory=list)
    """Ids of those that --dry-run did not touch."""
    failures: list[str] = field(default_factory=list)
    totals: str = ""


def save(
    stack: Stack,
    vm: Annotated[list[str] | None, typer.Option("--vm", help="Only this VM; may be given again")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be saved; touch nothing")] = False,
    max_concurrent: Annotated[int, typer.Option("--max-concurrent", min=1, help="How many VMs at once")] = 20,
    with_data_disks: Annotated[
        bool, typer.Option("--with-data-disks", help="Save data disks too; DevTest Labs makes no images of them")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Save the factory lab's VMs that carry the tag ImagePath as factory images.

    A VM is ready when the lab has made it and it is deallocated. Its OS disk is copied into the factory's storage, with
    a manifest of its ranges, and the companion last. A disk that was saved is not saved again, and a warning says if
    its VM was used since; an interrupted save goes on. Read access to a disk lasts for the copy only, also after
    Ctrl-C.

    Exit codes: 0 all is saved, 1 something failed or a VM is not ready, 2 wrong usage or configuration.
    """
    settings = stack_settings(stack)
    report = Report()
    try:
        with CopyProgress() as progress:
            run(
                _save(settings, frozenset(vm or ()), dry_run, max_concurrent, with_data_disks, report, progress),
                lambda: progress.say("Stopping: access to the disks is revoked first (Ctrl-C again: at once)."),
            )
    except Interrupted as stopped:
        _show(report, dry_run=dry_run, as_json=as_json)
        tell("Interrupted; run the same command again to go on.", err=True)
        raise typer.Exit(stopped.exit_code) from None
    _show(report, dry_run=dry_run, as_json=as_json)
    raise typer.Exit(1 if report.failures or any(line.failed for line in report.lines) else 0)


async def _save(
    settings: Settings,
    wanted: frozenset[str],
    dry_run: bool,
    max_concurrent: int,
    with_data_disks: bool,
    report: Report,
    progress: CopyProgress,
) -> None:
    from imagefactory_azure.facts import connect, read_facts
    from imagefactory_azure.save_records import SaveRecords
    from imagefactory_azure.virtual_machines import factory_vms

    golden_images = load_golden_images(settings.configuration, settings.labs)
    async with connect(settings) as (arm, accounts):
        facts = await read_facts(arm, accounts, settings, None)
        account_id = facts.factory.storage_account_id or ""
        names = {fold(name) for name in wanted}
        records, vms = await asyncio.gather(
            SaveRecords(accounts, account_id).all(),
            factory_vms(
                arm, facts.factory, lambda vm: IMAGE_PATH_TAG in vm.tags and (not names or fold(vm.name) in names)
            ),
        )
        _check_names(wanted, (vm.name for vm in vms))
        ours = frozenset(disk for record in records for disk in record.disks)
        plan = plan_saves(
            vms,
            facts.catalog,
            golden_images,
            of_pipeline(os.environ),
            wanted=wanted,
            ours=ours,
            with_data_disks=with_data_disks,
        )
        report.warnings += (fault.message() for fault in plan.warnings)
        report.failures += (record.fault.message() for record in records if record.fault)
        report.lines += (_skipped(one) for one in plan.skipped)
        planned = {save.guid for save in plan.saves}
        left = [record for record in records if record.guid not in planned]
        if dry_run:
            report.lines += (Line(save.vm.name, "would be saved", about=_about(save)) for save in plan.saves)
            report.left_open += (disk for record in left for disk in record.disks)
            return
        from factory.save import Factory, Saver
        from imagefactory_azure.disk_access import DiskAccess
        from imagefactory_azure.page_writer import PageWriter
        from providers.vhdcopy.pacing import Pacer
        from providers.vhdcopy.totals import Totals

        factory = Factory(accounts, DiskAccess(arm, accounts), account_id, facts.container_url)
        pacer, totals = Pacer(settings.copying.max_in_flight, settings.copying.max_mbps), Totals()
        watcher = _Watcher(progress, report, plan)
        async with PageWriter(accounts, pacer.in_flight) as writer:
            taken = (image.name for image in facts.catalog.images)
            saver = Saver(factory, writer, pacer, totals, watcher, taken)
            await _carry_out(saver, plan, max_concurrent, left, watcher, totals)


async def _carry_out(
    saver: Saver,
    plan: SavePlan,
    max_concurrent: int,
    left: Iterable[SaveRecord],
    watcher: _Watcher,
    totals: Totals,
) -> None:
    from imagefactory_azure.save_records import SaveHeld

    async def close(record: SaveRecord) -> None:
        try:
            watcher.report.revoked += await saver.close_left(record)
        except SaveHeld:
            return
        except ImageFactoryError as problem:
            watcher.report.failures.append(str(problem))

    try:
        await asyncio.gather(saver.save_all(plan.saves, max_concurrent), *(close(record) for record in left))
    finally:
        watcher.interrupt()
        if totals.copies:
            watcher.report.totals = totals.text()


class _Watcher:
    """Tells how saves go on, and writes their ends into the report."""

    def __init__(self, progress: CopyProgress, report: Report, plan: SavePlan) -> None:
        self._progress, self.report = progress, report
        self._under_way = {save.vm.name: save for save in plan.saves}

    def progress(self, vm: str, progress: Progress) -> None:
        """See `factory.save.Watcher`."""
        self._progress.show(vm, progress)

    def warn(self, vm: str, message: str) -> None:
        """See `factory.save.Watcher`."""
        self.report.warnings.append(f"VM {vm}: {message}")

    def ended(self, outcome: Outcome) -> None:
        """See `factory.save.Watcher`."""
        save = self._under_way.pop(outcome.vm)
        line = _ended(outcome, save)
        self.report.lines.append(line)
        self._progress.say(f"{line.vm}: {line.result}{' as ' + line.image if line.image else ''}")

    def interrupt(self) -> None:
        """Whatever has not ended by now was stopped."""
        self.report.lines += (
            Line(vm, "interrupted", failed=True, about=_about(save)) for vm, save in self._under_way.items()
        )


def _check_names(wanted: Iterable[str], known: Iterable[str]) -> None:
    there = {fold(name): name for name in known}
    consequence, remedy = "nothing is saved", f"VMs of the factory lab: {', '.join(there.values()) or 'none'}"
    if faults := [
        error(f"VM '{name}'", "is not in the factory lab", consequence, remedy)
        for name in sorted(wanted)
        if fold(name) not in there
    ]:
        raise ConfigurationError(faults)


def _about(save: Save) -> dict[str, object]:
    return {
        "imagePath": str(save.image_path),
        "vhd": save.vhd_name,
        "osType": save.os_type,
        "osState": "Generalized" if save.generalized else "Specialized",
        "hyperVGeneration": save.disk.generation,
        "dataDisks": [disk.vhd_name for disk in save.saved_data_disks],
    }


def _ended(outcome: Outcome, save: Save) -> Line:
    about = _about(save)
    if outcome.image:
        about |= {"digest": outcome.image.digest, "savedAt": outcome.image.saved_at.isoformat()}
        result = "already saved" if outcome.found else "saved"
        return Line(outcome.vm, result, outcome.image.name, about=about)
    if outcome.held:
        return Line(outcome.vm, "saved by another run", message="another run saves it now", about=about)
    return Line(outcome.vm, "failed", message=outcome.error, failed=True, about=about)


def _skipped(one: Skipped) -> Line:
    if isinstance(one.reason, Fault):
        return Line(one.vm, one.result, message=one.reason.message(), failed=True)
    if one.result == "already saved":
        return Line(one.vm, one.result, one.reason)
    return Line(one.vm, one.result, message=one.reason)


def _show(report: Report, *, dry_run: bool, as_json: bool) -> None:
    lines = sorted(report.lines, key=lambda line: fold(line.vm))
    if as_json:
        document = {
            "dryRun": dry_run,
            "vms": [
                {"vm": line.vm, "result": line.result, "image": line.image or None, "message": line.message or None}
                | line.about
                for line in lines
            ],
            "accessRevoked": report.revoked,
            "accessLeftOpen": report.left_open,
            "warnings": report.warnings,
            "failures": report.failures,
        }
        show_document(document)
        return
    rows = [
        {
            "VM": line.vm,
            "Result": line.result,
            "Image": line.image,
            "Image path": str(line.about.get("imagePath", "")),
            "OS": f"{line.about['osType']}, {line.about['osState']}" if line.about else "",
            "VHD": str(line.about.get("vhd", "")),
        }
        for line in lines
    ]
    shown = [
        column for column in ("VM", "Result", "Image", "Image path", "OS", "VHD") if any(row[column] for row in rows)
    ]
    title = "VMs of the factory lab" if rows else "The factory lab has no VM"
    show_table(title, shown, ([row[column] for column in shown] for row in rows))
    told = [line.message for line in lines if line.failed and line.message]
    told += [f"Disk {disk}: a run that ended had left it open; access is revoked." for disk in report.revoked]
    told += [
        f"Disk {disk}: a run that ended left it open; without --dry-run this is mended." for disk in report.left_open
    ]
    tell(*report.warnings, *told, *report.failures, report.totals)
