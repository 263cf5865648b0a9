"""Read access to managed disks, for as long as a copy takes.

Owns the granting and the revoking (`beginGetAccess`, `endGetAccess`). The SAS that Azure gives goes to the storage
accounts of this run, which read by it, and to nobody else.
"""

from __future__ import annotations

from dataclasses import replace

from imagefactory.azure.core.errors import cloud_error
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.virtual_machines import DISK_VERSION, find_disk
from imagefactory.observed.blobs import BlobRef
from imagefactory.observed.factory_vms import ManagedDisk

ACCESS_SECONDS = 12 * 3600
"""How long the access lasts if nobody revokes it, because this machine was lost."""


class DiskAccess:
    """Opens and closes disks. Everything raises `CloudError` where Azure refuses."""

    def __init__(self, arm: ResourceManager, accounts: StorageAccounts) -> None:
        self._arm, self._accounts = arm, accounts

    async def grant(self, disk: ManagedDisk) -> BlobRef:
        """Let this run read a disk; returns it as a page blob, its footer included."""
        subject, consequence = f"disk '{disk.name}'", "it is not saved"
        body = {"access": "Read", "durationInSeconds": ACCESS_SECONDS}
        path = f"{disk.id}/beginGetAccess"
        answer = await self._arm.run("POST", path, DISK_VERSION, body=body, subject=subject, consequence=consequence)
        if answer is None:
            raise cloud_error(subject, consequence, 404, "ResourceNotFound", "it does not exist")
        output = (answer.get("properties") or {}).get("output") or {}
        sas_url = answer.get("accessSAS") or output.get("accessSAS")
        if not isinstance(sas_url, str):
            raise cloud_error(subject, consequence, 0, "", "Azure granted access and gave no address")
        return self._accounts.lend(disk.id, sas_url)

    async def state(self, disk: ManagedDisk) -> ManagedDisk:
        """The disk with its present state (`released`). Raises `CloudError` if there is another disk by now."""
        now = await find_disk(self._arm, disk.id)
        if now is None or now.unique_id != disk.unique_id:
            raise cloud_error(f"disk '{disk.name}'", "it is not saved", 404, "ResourceNotFound", "it was deleted")
        return replace(disk, released=now.released)

    async def revoke(self, disk_id: str) -> None:
        """End every access to a disk; nothing happens where there is none, or no such disk any more."""
        await self._accounts.give_back(disk_id)
        name = disk_id.rpartition("/")[2]
        await self._arm.run(
            "POST",
            f"{disk_id}/endGetAccess",
            DISK_VERSION,
            subject=f"disk '{name}'",
            consequence="it stays readable for who has its address, and its VM cannot be started or deleted",
        )
