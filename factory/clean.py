"""Deleting VMs whose images are saved.

Owns the deleting side by side; a refusal stops no other. A VM whose disks changed hands since the plan is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from imagefactory.cleaning import Deletion
from imagefactory.errors import ImageFactoryError
from imagefactory.factory_vms import FactoryVm
from imagefactory.faults import error
from imagefactory_azure.errors import CloudError
from imagefactory_azure.resource_manager import ResourceManager
from imagefactory_azure.virtual_machines import delete_vm, find_disk

AT_ONCE = 20


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
            raise CloudError(error(f"VM '{vm.name}'", fact, "it stays in the factory lab", remedy))
