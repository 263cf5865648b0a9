"""Read access to managed disks, for as long as a copy takes.

Grants and revokes it (`beginGetAccess`, `endGetAccess`), and repeats both after an error that may pass: azure-core
repeats no POST whose connection broke, and no operation that was accepted and failed. The SAS that Azure returns is
used by this run's storage accounts only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from pydantic import Field

from imagefactory.azure.core.answers import Answer
from imagefactory.azure.core.errors import CloudError, cloud_error, not_found
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.virtual_machines import DISK_VERSION, find_disk
from imagefactory.errors import ImageFactoryError
from imagefactory.observed.blobs import BlobRef
from imagefactory.observed.factory_vms import ManagedDisk

ACCESS_SECONDS = 12 * 3600
"""How long access lasts if no run revokes it, because this machine was lost."""


WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each further attempt; azure-core's own attempts for 5xx, up to 11 s, are in addition."""

Result = TypeVar("Result")


class _Output(Answer):
    access_sas: str | None = Field(None, alias="accessSAS")


class _Properties(Answer):
    output: _Output | None = None


class _Grant(_Output):
    properties: _Properties | None = None


class DiskAccess:
    """Grants and revokes access to disks. Raises `CloudError`."""

    def __init__(self, arm: ResourceManager, accounts: StorageAccounts) -> None:
        self._arm, self._accounts = arm, accounts

    async def grant(self, disk: ManagedDisk) -> BlobRef:
        """Grant this run read access to a disk; return the disk as a page blob, including its footer."""
        subject, body = f"disk '{disk.name}'", {"access": "Read", "durationInSeconds": ACCESS_SECONDS}
        path = f"{disk.id}/beginGetAccess"
        answer = await _repeated(
            lambda: self._arm.run("POST", path, DISK_VERSION, _Grant, subject=subject, body=body),
            lambda status: status == 0 or status >= 500,
        )
        if answer is None:
            raise not_found(subject)
        output = answer.properties and answer.properties.output
        sas_url = answer.access_sas or (output and output.access_sas)
        if not sas_url:
            raise cloud_error(subject, f"Azure granted access and returned no SAS URL in the response to POST {path}")
        return self._accounts.lent.add(disk.id, sas_url)

    async def state(self, disk: ManagedDisk) -> ManagedDisk:
        """Return the disk with its present state (`released`). Raises `CloudError` if the disk was replaced."""
        now = await find_disk(self._arm, disk.id)
        if now is None or now.unique_id != disk.unique_id:
            raise not_found(f"disk '{disk.name}'", "it was deleted")
        return replace(disk, released=now.released)

    async def revoke(self, disk_id: str) -> None:
        """Revoke all access to a disk; do nothing if there is none, or if the disk does not exist.

        Only a missing role or an invalid request is not tried again. The error contains the command that revokes it.
        """
        await self._accounts.lent.remove(disk_id)
        subject = f"disk '{disk_id.rpartition('/')[2]}'"
        try:
            await _repeated(
                lambda: self._arm.run("POST", f"{disk_id}/endGetAccess", DISK_VERSION, Answer, subject=subject),
                lambda status: status not in {400, 403},
            )
        except ImageFactoryError as problem:
            refusal = problem if isinstance(problem, CloudError) else cloud_error(subject, str(problem))
            remedy = f"Revoke it: az disk revoke-access --ids {disk_id}"
            raise CloudError(replace(refusal.diagnostic, remedy=remedy), refusal.status, refusal.code) from problem


async def _repeated(attempt: Callable[[], Awaitable[Result]], may_pass: Callable[[int], bool]) -> Result:
    """Repeat an attempt while it fails with an HTTP status that may pass; 0 is no response, or no token."""
    for seconds in WAITS:
        try:
            return await attempt()
        except ImageFactoryError as problem:
            if not may_pass(problem.status if isinstance(problem, CloudError) else 0):
                raise
        await asyncio.sleep(seconds)
    return await attempt()
