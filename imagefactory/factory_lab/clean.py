"""Deletion of factory VMs whose images are saved: in parallel, and each VM on its own if others fail.

Keeps a VM whose disks were used after planning. Does not choose VMs: `imagefactory.planning.factory.clean_plan` does.
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
from imagefactory.planning.factory.clean_plan import CleanPlan, Deletion, plan_clean
from imagefactory.telemetry.phases import phase

MAX_CONCURRENT = 20


@dataclass(frozen=True)
class CleanReport:
    """The plan and its results."""

    plan: CleanPlan
    dry_run: bool
    problems: Mapping[str, str]
    """The error of each VM by name, empty if it was deleted. VMs without a result were not started."""


async def run(settings: Settings, ended: Callable[[Deletion, str], None], *, dry_run: bool) -> CleanReport:
    """Delete the factory lab's VMs whose images are saved, unless `dry_run`; for `ended` see `delete_all`.

    If canceled after planning, return the results so far. Raises `ImageFactoryError` if the factory lab or its storage
    cannot be read.
    """
    plan: CleanPlan | None = None
    problems: dict[str, str] = {}

    def note(deletion: Deletion, problem: str) -> None:
        problems[deletion.vm.name] = problem
        ended(deletion, problem)

    try:
        async with connect(settings) as (arm, accounts):
            with consequence("no VM is deleted"):
                plan = await _plan(arm, accounts, settings)
            if not dry_run:
                with phase("delete"):
                    await delete_all(arm, plan.deletions, note)
    except asyncio.CancelledError:
        if plan is None:
            raise
    return CleanReport(plan, dry_run, problems)


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
    """Delete the VMs; call `ended` for each, with the error if it failed, else an empty string.

    Azure finishes the deletions that it has started, even if this is canceled.
    """
    gate = asyncio.Semaphore(MAX_CONCURRENT)

    async def one(deletion: Deletion) -> None:
        async with gate:
            try:
                with consequence("it is kept in the factory lab"):
                    await _check_unused(arm, deletion.vm)
                    await delete_vm(arm, deletion.vm)
            except ImageFactoryError as problem:
                ended(deletion, str(problem))
            else:
                ended(deletion, "")

    await asyncio.gather(*(one(deletion) for deletion in deletions))


async def _check_unused(arm: ResourceManager, vm: FactoryVm) -> None:
    """Raise `CloudError` if a disk changed after planning. A missing disk is ignored."""
    for disk in vm.disks:
        now = await find_disk(arm, disk.id)
        if now and (now.unique_id, now.state, now.released) != (disk.unique_id, disk.state, disk.released):
            fact, remedy = f"disk {disk.name} was used after planning", "Run again to create a new plan"
            raise CloudError(error(f"VM '{vm.name}'", fact, "", remedy))
