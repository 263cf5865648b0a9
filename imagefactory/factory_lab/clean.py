"""Deleting VMs whose images are saved.

Owns the deleting side by side; a refusal stops no other. A VM whose disks changed hands since the plan is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from imagefactory.azure.connect import connect
from imagefactory.azure.core.errors import CloudError, consequence
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.observe import read_facts
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.save_records import SaveRecords
from imagefactory.azure.virtual_machines import delete_vm, factory_vms, find_disk
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import error
from imagefactory.errors import ImageFactoryError
from imagefactory.images.tags import IMAGE_PATH_TAG
from imagefactory.observed.factory_vms import FactoryVm
from imagefactory.planning.clean_plan import CleanPlan, Deletion, plan_clean

AT_ONCE = 20


@dataclass(frozen=True)
class CleanReport:
    """What was to be done, and what became of it."""

    plan: CleanPlan
    dry_run: bool
    refusals: Mapping[str, str]
    """By the name of the VM, why it was not deleted, empty if it was; a VM that was not reached has none."""


async def run(settings: Settings, ended: Callable[[Deletion, str], None], *, dry_run: bool) -> CleanReport:
    """Delete the VMs of the factory lab whose images are saved, unless `dry_run`; for `ended` see `delete_all`.

    A cancellation ends it early: the report tells what was done until then. Raises `ImageFactoryError` where the
    factory lab or its storage cannot be read.
    """
    plan: CleanPlan | None = None
    refusals: dict[str, str] = {}

    def note(deletion: Deletion, refusal: str) -> None:
        refusals[deletion.vm.name] = refusal
        ended(deletion, refusal)

    try:
        async with connect(settings) as (arm, accounts):
            with consequence("no VM is deleted"):
                plan = await _plan(arm, accounts, settings)
            if not dry_run:
                await delete_all(arm, plan.deletions, note)
    except asyncio.CancelledError:
        if plan is None:
            raise
    return CleanReport(plan, dry_run, refusals)


async def _plan(arm: ResourceManager, accounts: StorageAccounts, settings: Settings) -> CleanPlan:
    facts = await read_facts(arm, accounts, settings, None)
    records, vms = await asyncio.gather(
        SaveRecords(accounts, facts.factory.storage_account_id or "").all(),
        factory_vms(arm, facts.factory, lambda vm: IMAGE_PATH_TAG in vm.tags),
    )
    return plan_clean(vms, facts.catalog, frozenset(record.guid for record in records))


async def delete_all(
    arm: ResourceManager, deletions: Iterable[Deletion], ended: Callable[[Deletion, str], None]
) -> None:
    """Delete the VMs; `ended` is called for each, with the error where it stays (else empty).

    Azure finishes a deletion that it has begun, also where this is cancelled.
    """
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(deletion: Deletion) -> None:
        async with gate:
            try:
                with consequence("it stays in the factory lab"):
                    await _check_unused(arm, deletion.vm)
                    await delete_vm(arm, deletion.vm)
            except ImageFactoryError as problem:
                ended(deletion, str(problem))
            else:
                ended(deletion, "")

    await asyncio.gather(*(one(deletion) for deletion in deletions))


async def _check_unused(arm: ResourceManager, vm: FactoryVm) -> None:
    """Raise `CloudError` if a disk is not as the plan knew it; one that is gone loses nothing."""
    for disk in vm.disks:
        now = await find_disk(arm, disk.id)
        if now and (now.unique_id, now.state, now.released) != (disk.unique_id, disk.state, disk.released):
            fact, remedy = f"its disk {disk.name} was used since the plan was made", "Run again to create a new plan"
            raise CloudError(error(f"VM '{vm.name}'", fact, "", remedy))
