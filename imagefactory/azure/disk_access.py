"""Read access to managed disks, for as long as a copy takes.

Grants and revokes it (`beginGetAccess`, `endGetAccess`). The SAS that Azure returns is used by this run's storage
accounts only.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from imagefactory.azure.core.answers import Answer
from imagefactory.azure.core.errors import cloud_error, not_found
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.virtual_machines import DISK_VERSION, find_disk
from imagefactory.observed.blobs import BlobRef
from imagefactory.observed.factory_vms import ManagedDisk

ACCESS_SECONDS = 12 * 3600
"""How long access lasts if no run revokes it, because this machine was lost."""


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
        answer = await self._arm.run("POST", path, DISK_VERSION, _Grant, subject=subject, body=body)
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
        """Revoke all access to a disk; do nothing if there is none, or if the disk does not exist."""
        await self._accounts.lent.remove(disk_id)
        subject = f"disk '{disk_id.rpartition('/')[2]}'"
        await self._arm.run("POST", f"{disk_id}/endGetAccess", DISK_VERSION, Answer, subject=subject)
