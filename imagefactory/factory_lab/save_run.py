"""A whole save: the VMs of the factory lab are read, the plan is made, what dead runs left is closed, the rest saved.

Owns what is connected and composed for that, and the report; one VM is saved by `imagefactory.factory_lab.save`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import Protocol

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
from imagefactory.factory_lab.save import Factory, Outcome, Saver
from imagefactory.images.lineage import Lineage
from imagefactory.images.tags import IMAGE_PATH_TAG
from imagefactory.planning.save_plan import SavePlan, plan_saves


@dataclass(frozen=True)
class SaveRequest:
    """What is asked of a save."""

    vms: Set[str] = frozenset()
    """Names; none: all VMs of the factory lab."""
    dry_run: bool = False
    max_concurrent: int = 20
    """How many VMs at once."""
    with_data_disks: bool = False
    pipeline: Lineage = field(default_factory=Lineage)
    """Commit and run that this save belongs to."""


class Watcher(Protocol):
    """Who is told how the saves go on."""

    def progress(self, vm: str, progress: Progress) -> None:
        """Bytes of all its disks."""

    def ended(self, outcome: Outcome) -> None:
        """One VM is done with."""


@dataclass(frozen=True)
class SaveReport:
    """What was to be done, and what became of it."""

    plan: SavePlan
    dry_run: bool
    outcomes: tuple[Outcome, ...]
    """A VM of the plan that was not reached, or was interrupted, has none."""
    warnings: tuple[str, ...]
    failures: tuple[str, ...]
    """What is wrong with no VM of the plan."""
    revoked: tuple[str, ...]
    """Ids of disks that a dead run had left open."""
    left_open: tuple[str, ...]
    """Ids of those that a dry run did not touch."""
    totals: str
    """What all copies came to; empty if there was none."""


async def run(settings: Settings, request: SaveRequest, watcher: Watcher) -> SaveReport:
    """Save the VMs of the factory lab that are ready, and close what runs that died left open.

    A cancellation ends it early, when access to all disks is revoked: the report tells what was done until then.
    Raises `ImageFactoryError` where the factory lab, its storage or the golden images cannot be read, and
    `ConfigurationError` where the lab has no VM of a name.
    """
    golden_images = load_golden_images(settings.configuration, settings.labs)
    course: _Course | None = None
    try:
        async with connect(settings) as (arm, accounts):
            with consequence("nothing is saved"):
                facts = await read_facts(arm, accounts, settings, None)
                records, plan = await _plan(arm, accounts, facts, golden_images, request)
            course = _Course(watcher, plan, records)
            if not request.dry_run:
                await _carry_out(arm, accounts, settings, facts, course, request.max_concurrent)
    except asyncio.CancelledError:
        if course is None:
            raise
    return course.report(dry_run=request.dry_run)


class _Course:
    """How a save goes on; tells the watcher."""

    def __init__(self, watcher: Watcher, plan: SavePlan, records: Sequence[SaveRecord]) -> None:
        self._watcher, self.plan = watcher, plan
        self.totals = Totals()
        planned = {save.guid for save in plan.saves}
        self.left = [record for record in records if record.guid not in planned]
        self._outcomes: list[Outcome] = []
        self._warnings = [diagnostic.message() for diagnostic in plan.warnings]
        self.failures = [record.diagnostic.message() for record in records if record.diagnostic]
        self.revoked: list[str] = []

    def progress(self, vm: str, progress: Progress) -> None:
        """See `imagefactory.factory_lab.save.Watcher`."""
        self._watcher.progress(vm, progress)

    def warn(self, vm: str, message: str) -> None:
        """See `imagefactory.factory_lab.save.Watcher`."""
        self._warnings.append(f"VM {vm}: {message}")

    def ended(self, outcome: Outcome) -> None:
        """See `imagefactory.factory_lab.save.Watcher`."""
        self._outcomes.append(outcome)
        self._watcher.ended(outcome)

    def report(self, *, dry_run: bool) -> SaveReport:
        """Up to now."""
        return SaveReport(
            plan=self.plan,
            dry_run=dry_run,
            outcomes=tuple(self._outcomes),
            warnings=tuple(self._warnings),
            failures=tuple(self.failures),
            revoked=tuple(self.revoked),
            left_open=tuple(disk for record in self.left for disk in record.disks if dry_run),
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
    records, vms = await asyncio.gather(
        SaveRecords(accounts, facts.factory.storage_account_id or "").all(),
        factory_vms(arm, facts.factory, lambda vm: IMAGE_PATH_TAG in vm.tags and (not names or fold(vm.name) in names)),
    )
    _check_names(request.vms, (vm.name for vm in vms))
    plan = plan_saves(
        vms,
        facts.catalog,
        golden_images,
        request.pipeline,
        wanted=request.vms,
        ours=frozenset(disk for record in records for disk in record.disks),
        with_data_disks=request.with_data_disks,
    )
    return records, plan


def _check_names(wanted: Iterable[str], known: Iterable[str]) -> None:
    there = {fold(name): name for name in known}
    remedy = f"VMs of the factory lab: {', '.join(there.values()) or 'none'}"
    if diagnostics := [
        error(f"VM '{name}'", "is not in the factory lab", "nothing is saved", remedy)
        for name in sorted(wanted)
        if fold(name) not in there
    ]:
        raise ConfigurationError(diagnostics)


async def _carry_out(
    arm: ResourceManager,
    accounts: StorageAccounts,
    settings: Settings,
    facts: CloudFacts,
    course: _Course,
    max_concurrent: int,
) -> None:
    factory = Factory(accounts, DiskAccess(arm, accounts), facts.factory.storage_account_id or "", facts.container_url)
    pacer = Pacer(settings.copying.max_in_flight, settings.copying.max_mbps)
    async with PageWriter(accounts, pacer.in_flight) as writer:
        taken = (image.name for image in facts.catalog.images)
        saver = Saver(factory, writer, pacer, course.totals, course, taken)

        async def close(record: SaveRecord) -> None:
            try:
                course.revoked += await saver.close_left(record)
            except SaveHeld:
                return
            except ImageFactoryError as problem:
                course.failures.append(str(problem))

        closing = (close(record) for record in course.left)
        await asyncio.gather(saver.save_all(course.plan.saves, max_concurrent), *closing)
