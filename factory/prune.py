"""Pruning: each deletion of a plan is carried out, or told why not.

Owns the order of the steps. Nothing goes that is not what the plan saw: the VHDs are looked at first, and every blob is
deleted on the condition that it is unchanged. A save's record is held meanwhile, so that no save takes up what goes;
disks that a dead save left open are closed before the record of them goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from factory.save import surely
from imagefactory.faults import error
from imagefactory.pruning import Deletion
from imagefactory.stored_blobs import RECORD
from imagefactory_azure.disk_access import DiskAccess
from imagefactory_azure.errors import CloudError
from imagefactory_azure.save_records import Hold, SaveHeld, SaveRecords
from imagefactory_azure.storage import StorageAccounts
from imagefactory_azure.stored_blobs import changed, delete_blob, is_unchanged

AT_ONCE = 16


@dataclass(frozen=True)
class Outcome:
    """What became of a deletion; no error: all of it is gone."""

    deletion: Deletion
    error: str = ""


class Pruner:
    """Carries deletions out, side by side."""

    def __init__(self, accounts: StorageAccounts, access: DiskAccess, ended: Callable[[Outcome], None]) -> None:
        """`ended` is told of each deletion that was begun."""
        self._accounts, self._access, self._ended = accounts, access, ended

    async def prune(self, deletions: Iterable[Deletion]) -> None:
        """Carry them out. A cancellation lets those end that are under way, and begins no other."""
        gate, stopping = asyncio.Semaphore(AT_ONCE), asyncio.Event()

        async def one(deletion: Deletion) -> None:
            async with gate:
                if not stopping.is_set():
                    self._ended(await self._outcome(deletion))

        tasks = [asyncio.ensure_future(one(deletion)) for deletion in deletions]
        if not tasks:
            return
        try:
            await asyncio.wait(tasks)
        finally:
            stopping.set()
            await surely(asyncio.gather(*tasks))

    async def _outcome(self, deletion: Deletion) -> Outcome:
        try:
            await self._delete(deletion)
        except SaveHeld:
            fact, remedy = "a save holds it", "Run again when that has ended"
            return Outcome(deletion, error(deletion.name, fact, "it is not deleted", remedy).message())
        except CloudError as refusal:
            consequence = f"{deletion.name} is not deleted, or not whole"
            return Outcome(deletion, replace(refusal.fault, consequence=consequence).message())
        return Outcome(deletion)

    async def _delete(self, deletion: Deletion) -> None:
        async with AsyncExitStack() as stack:
            held: Hold | None = None
            record = next((blob for blob in deletion.blobs if blob.name.endswith(RECORD)), None)
            if record:
                records = SaveRecords(self._accounts, record.account_id)
                held = await stack.enter_async_context(records.hold(record.name.removesuffix(RECORD), patience=0))
                for disk in held.disks:
                    await self._access.revoke(disk)
            for vhd in deletion.vhds:
                if not await is_unchanged(self._accounts, vhd):
                    raise changed(vhd)
            for blob in deletion.blobs:
                if blob is not record:
                    await delete_blob(self._accounts, blob)
            if held:
                await held.remove()
