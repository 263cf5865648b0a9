"""A save of the factory lab: reads its VMs, plans, revokes access that terminated runs left active, and saves the VMs.

Connects and builds the report. Does not save a VM itself: `imagefactory.factory_lab.save` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from imagefactory.azure.connect import connect
from imagefactory.azure.core.errors import consequence
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.disk_access import DiskAccess
from imagefactory.azure.observe import CloudFacts, read_facts
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.page_writer import PageWriter
from imagefactory.azure.storage.save_records import SaveHeld, SaveRecord, SaveRecords
from imagefactory.azure.virtual_machines import factory_vms
from imagefactory.configuration.golden_images import GoldenImage
from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.loading import load_golden_images
from imagefactory.configuration.stack_settings import Settings
from imagefactory.copying.copier import Progress
from imagefactory.copying.pacing import Pacer
from imagefactory.copying.totals import Totals
from imagefactory.diagnostics import error
from imagefactory.errors import ConfigurationError, ImageFactoryError
from imagefactory.factory_lab.save import FactoryStorage, SaveOutcome, Saver, Watcher
from imagefactory.images.lineage import Lineage
from imagefactory.images.tags import IMAGE_PATH_TAG
from imagefactory.planning.factory.save_plan import SavePlan, plan_saves
from imagefactory.telemetry.copy_events import CopyObserver
from imagefactory.telemetry.phases import phase

READINGS = 2
"""How often VMs and records are read if a disk has active access that no record explains: a run that had it may have
ended in between."""


@dataclass(frozen=True)
class SaveRequest:
    """The options of a save."""

    vms: Set[str] = frozenset()
    """Names; empty: all VMs of the factory lab."""
    dry_run: bool = False
    max_concurrent: int = 20
    """VMs to save at a time."""
    with_data_disks: bool = False
    pipeline: Lineage = field(default_factory=Lineage)
    """Commit and pipeline run of this save."""
    observers: tuple[CopyObserver, ...] = ()
    """What receives the events of copies."""


@dataclass(frozen=True)
class SaveReport:
    """The plan and its results."""

    plan: SavePlan
    dry_run: bool
    outcomes: tuple[SaveOutcome, ...]
    """VMs of the plan without an outcome were not started or were interrupted."""
    warnings: tuple[str, ...]
    failures: tuple[str, ...]
    """Errors that concern no VM of the plan."""
    revoked: tuple[str, ...]
    """Ids of disks whose access, left active by a terminated run, was revoked."""
    left_open: tuple[str, ...]
    """Ids of such disks in a dry run, which does not revoke access."""
    totals: str
    """Summary of all copies; empty if there was none."""


async def run(settings: Settings, request: SaveRequest, watcher: Watcher) -> SaveReport:
    """Save the VMs of the factory lab that are ready, and revoke access that terminated runs left active.

    If it is canceled after planning, it revokes access to all disks and returns the results so far. Raises
    `ImageFactoryError` if the factory lab, its storage or the golden images cannot be read, and `ConfigurationError` if
    the lab has no VM with a requested name.
    """
    golden_images = load_golden_images(settings.configuration, settings.labs)
    saving: _Run | None = None
    try:
        async with connect(settings) as (arm, accounts):
            with consequence("nothing is saved"):
                facts = await read_facts(arm, accounts, settings, None)
                with phase("plan"):
                    records, plan = await _plan(arm, accounts, facts, golden_images, request)
            saving = _Run(watcher, plan, records)
            if not request.dry_run:
                with phase("save"):
                    await _carry_out(arm, accounts, settings, facts, saving, request)
    except asyncio.CancelledError:
        if saving is None:
            raise
    return saving.report(dry_run=request.dry_run)


class _Run:
    """The results of a save in progress; passes them on to the watcher."""

    def __init__(self, watcher: Watcher, plan: SavePlan, records: Sequence[SaveRecord]) -> None:
        self._watcher, self.plan = watcher, plan
        self.totals = Totals()
        planned = {save.guid for save in plan.saves}
        self.left_over = [record for record in records if record.guid not in planned]
        self._outcomes: list[SaveOutcome] = []
        self._warnings = [diagnostic.message() for diagnostic in plan.warnings]
        self.failures = [record.diagnostic.message() for record in records if record.diagnostic]
        self.revoked: list[str] = []

    def progress(self, vm: str, progress: Progress) -> None:
        """Pass on the progress of a VM."""
        self._watcher.progress(vm, progress)

    def warn(self, vm: str, message: str) -> None:
        """Add a warning about a VM."""
        self._warnings.append(f"VM {vm}: {message}")

    def fail(self, message: str) -> None:
        """Add an error that is not the outcome of a VM."""
        self.failures.append(message)

    def ended(self, outcome: SaveOutcome) -> None:
        """Add an outcome and pass it on."""
        self._outcomes.append(outcome)
        self._watcher.ended(outcome)

    def report(self, *, dry_run: bool) -> SaveReport:
        """Return the results so far."""
        return SaveReport(
            plan=self.plan,
            dry_run=dry_run,
            outcomes=tuple(self._outcomes),
            warnings=tuple(self._warnings),
            failures=tuple(self.failures),
            revoked=tuple(self.revoked),
            left_open=tuple(disk for record in self.left_over for disk in record.disks if dry_run),
            totals=self.totals.text() if self.totals.copies else "",
        )


async def _plan(
    arm: ResourceManager,
    accounts: StorageAccounts,
    facts: CloudFacts,
    golden_images: Iterable[GoldenImage],
    request: SaveRequest,
) -> tuple[list[SaveRecord], SavePlan]:
    names = {fold(name) for name in request.vms}
    account_id = facts.factory.storage_account_id or ""
    for _ in range(READINGS):
        vms = await factory_vms(
            arm, facts.factory, lambda vm: IMAGE_PATH_TAG in vm.tags and (not names or fold(vm.name) in names)
        )
        # Afterwards: a run records a disk before it has access to it.
        records = await SaveRecords(accounts, account_id).all()
        ours = frozenset(disk.lower() for record in records for disk in record.disks)
        if not any(disk.is_open and disk.id.lower() not in ours for vm in vms for disk in vm.disks):
            break
    _check_names(request.vms, (vm.name for vm in vms))
    plan = plan_saves(
        vms,
        facts.catalog,
        golden_images,
        request.pipeline,
        wanted=request.vms,
        ours=ours,
        with_data_disks=request.with_data_disks,
    )
    return records, plan


def _check_names(wanted: Iterable[str], known: Iterable[str]) -> None:
    found = {fold(name): name for name in known}
    remedy = f"VMs in the factory lab: {', '.join(found.values()) or 'none'}"
    if diagnostics := [
        error(f"VM '{name}'", "is not in the factory lab", "nothing is saved", remedy)
        for name in sorted(wanted)
        if fold(name) not in found
    ]:
        raise ConfigurationError(diagnostics)


async def _carry_out(
    arm: ResourceManager,
    accounts: StorageAccounts,
    settings: Settings,
    facts: CloudFacts,
    saving: _Run,
    request: SaveRequest,
) -> None:
    factory = FactoryStorage(
        accounts, DiskAccess(arm, accounts), facts.factory.storage_account_id or "", facts.container_url
    )
    pacer = Pacer(settings.copying.max_in_flight, settings.copying.max_mbps)
    async with PageWriter(accounts, pacer.in_flight) as writer:
        taken = (image.name for image in facts.catalog.images)
        verify = settings.copying.verify_first
        saver = Saver(factory, writer, pacer, saving.totals, saving, taken, request.observers, verify_first=verify)

        async def revoke(record: SaveRecord) -> None:
            try:
                saving.revoked += await saver.revoke_left_over(record)
            except SaveHeld:
                return
            except ImageFactoryError as problem:
                saving.failures.append(str(problem))

        revoking = (revoke(record) for record in saving.left_over)
        await asyncio.gather(saver.save_all(saving.plan.saves, request.max_concurrent), *revoking)
