"""Deleting VMs whose images are saved.

Owns the deleting side by side; a refusal stops no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from imagefactory.cleaning import Deletion
from imagefactory.errors import ImageFactoryError
from imagefactory_azure.resource_manager import ResourceManager
from imagefactory_azure.virtual_machines import delete_vm

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
                await delete_vm(arm, deletion.vm)
            except ImageFactoryError as problem:
                ended(deletion, str(problem))
            else:
                ended(deletion, "")

    await asyncio.gather(*(one(deletion) for deletion in deletions))
