"""Records of saves in progress: small blobs in the factory's container, for other runs and the next one.

`<guid>.save`, one per disk: a run holds a lease on it while it saves that disk, so that no other run does; it names the
disks whose access may be active, so that a later run can revoke it. `<image name>.name`: which save has that name, for
two runs that choose one at the same time. Both are deleted when the save is finished. An entry of a record that is not
the id of a disk is reported, and removed when the record is next written.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, unquote

from azure.core import MatchConditions
from azure.core.exceptions import AzureError
from azure.storage.blob.aio import BlobClient, BlobLeaseClient, ContainerClient

from imagefactory.azure.core.errors import CloudError, error_code, from_azure
from imagefactory.azure.core.refusals import ABSENT, CHANGED, EXISTS, HELD
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.blob_lists import list_blobs
from imagefactory.azure.storage.containers import Notice, ignore, once_it_exists
from imagefactory.azure.storage.factory_container import CONTAINER
from imagefactory.azure.storage.properties import read_properties
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.observed.arm_ids import DISK, STORAGE_ACCOUNT
from imagefactory.observed.factory_blobs import NAME, RECORD, StoredBlob

LEASE_SECONDS = 30
"""How long the lease on a record lasts after its run was killed; Azure allows 15 to 60."""

RENEW_SECONDS = 8.0

_NOT_STARTED = "the save does not start"
_NOT_RESERVED = "no name can be reserved, so the save does not start"

PATIENCE_SECONDS = LEASE_SECONDS + 5.0
"""How long to wait for a leased record: the lease of a killed run has expired by then."""


class SaveHeld(Exception):
    """Another run is saving that disk."""


class SaveLost(CloudError):
    """The lease expired during the save."""


@dataclass(frozen=True)
class SaveRecord:
    """The content of a record: the guid of the save, and the ids of disks whose access may be active."""

    guid: str
    disks: tuple[str, ...]
    strays: tuple[str, ...] = ()
    """Entries that are not ids of disks in the factory's subscription; no request is sent to them."""

    @property
    def diagnostic(self) -> Diagnostic | None:
        """Why access to its disks cannot be revoked entirely; None if all its entries are disks."""
        if not self.strays:
            return None
        more = f" (and {len(self.strays) - 1} more)" if len(self.strays) > 1 else ""
        return error(
            f"record {self.guid}{RECORD}",
            f"{DISK.fact('its disk', self.strays[0])} in the factory's subscription{more}",
            "no request is sent to it, and the intended disk may still be readable",
            "Check who can write to the factory's storage account, and revoke access to disks in state ActiveSAS",
        )


def records_of(blobs: Iterable[StoredBlob]) -> list[SaveRecord]:
    """Return the records among the blobs of the factory's container."""
    return [
        SaveRecord(blob.name.removesuffix(RECORD), *_disks(blob.metadata, blob.account_id))
        for blob in blobs
        if blob.name.endswith(RECORD)
    ]


class Hold:
    """A record on which this run holds the lease."""

    def __init__(
        self, guid: str, client: BlobClient, lease: BlobLeaseClient, record: Mapping[str, str], account_id: str
    ) -> None:
        """`record` is the metadata of the record, `account_id` the ARM id of the factory's storage account."""
        self.guid = guid
        self._client, self._lease = client, lease
        self.name = unquote(record.get("name", ""))
        self.disks, self.strays = _disks(record, account_id)
        self.removed = False

    async def note(self, *, name: str | None = None, disks: tuple[str, ...] | None = None) -> None:
        """Write the image's name, or the disks whose access may be active from now on. Raises `CloudError`."""
        self.name = self.name if name is None else name
        self.disks = self.disks if disks is None else disks
        try:
            await self._client.set_blob_metadata(_metadata(self.name, self.disks), lease=self._lease)
            self.strays = ()
        except AzureError as error:
            raise _refused(
                error, self._client, "the save does not start, because it could not be cleaned up"
            ) from error

    async def remove(self) -> None:
        """Delete the record, because the save is finished. Raises `CloudError`."""
        try:
            await self._client.delete_blob(lease=self._lease)
        except AzureError as error:
            if error_code(error) not in ABSENT:
                raise _refused(error, self._client, "it is kept, and the next save checks it again") from error
        self.removed = True


class SaveRecords:
    """The records in the factory's container."""

    def __init__(self, accounts: StorageAccounts, account_id: str) -> None:
        self._accounts, self._account_id = accounts, account_id

    async def all(self) -> list[SaveRecord]:
        """Return all records; none if the container does not exist. Raises `CloudError`."""
        return records_of(await list_blobs(self._accounts, self._account_id, CONTAINER))

    @asynccontextmanager
    async def hold(
        self, guid: str, *, patience: float = PATIENCE_SECONDS, notice: Notice = ignore
    ) -> AsyncIterator[Hold]:
        """Hold the lease on the record of a save; wait up to `patience` seconds for another run's lease.

        Creates the container if it is missing, also while it is being deleted; shows the wait by `notice`.

        Raises `SaveHeld` if another run still holds it then, and `CloudError`. Within the block `SaveLost` is raised if
        the lease could not be renewed in time.
        """
        container = await self._container()
        client = container.get_blob_client(guid + RECORD)
        acquire = partial(self._acquire, container, client, patience)
        lease = await once_it_exists(acquire, f"container '{CONTAINER}' of {container.account_name}", notice)
        owner = asyncio.current_task()
        lost = asyncio.Event()

        async def renew() -> None:
            last = asyncio.get_running_loop().time()
            while True:
                await asyncio.sleep(RENEW_SECONDS)
                now = asyncio.get_running_loop().time()
                try:
                    await lease.renew()
                    last = now
                except AzureError:
                    if now - last > LEASE_SECONDS - RENEW_SECONDS:
                        lost.set()
                        if owner:
                            owner.cancel()
                        return

        renewing = asyncio.ensure_future(renew())
        held: Hold | None = None
        try:
            about = await read_properties(client, lease=lease)
            held = Hold(guid, client, lease, about.metadata or {}, self._account_id)
            yield held
        except AzureError as error:
            raise _refused(error, client, _NOT_STARTED) from error
        except asyncio.CancelledError:
            if not lost.is_set():
                raise
            if owner and sys.version_info >= (3, 11):
                owner.uncancel()
            consequence = "the save stops, and the next run resumes it"
            refusal = _refused(AzureError("its lease could not be renewed"), client, consequence)
            raise SaveLost(refusal.diagnostic) from None
        finally:
            renewing.cancel()
            if held is None or not held.removed:
                with suppress(AzureError):
                    await lease.release()

    async def reserve(self, name: str, guid: str) -> bool:
        """Reserve an image's name for a save; return False if another save has it. Raises `CloudError`."""
        client = (await self._container()).get_blob_client(name + NAME)
        try:
            await client.upload_blob(b"", metadata={"guid": guid}, overwrite=False)
            return True
        except AzureError as error:
            if error_code(error) not in EXISTS:
                raise _refused(error, client, _NOT_RESERVED) from error
        try:
            about = await read_properties(client)
        except AzureError as error:
            if error_code(error) == "BlobNotFound":
                return await self.reserve(name, guid)
            raise _refused(error, client, _NOT_RESERVED) from error
        return bool((about.metadata or {}).get("guid") == guid)

    async def free(self, name: str, guid: str) -> None:
        """End the reservation of a name by a save; that of another save is kept. Raises `CloudError`."""
        client = (await self._container()).get_blob_client(name + NAME)
        try:
            about = await read_properties(client)
            if (about.metadata or {}).get("guid") == guid:
                await client.delete_blob(etag=about.etag, match_condition=MatchConditions.IfNotModified)
        except AzureError as error:
            if error_code(error) in ABSENT | CHANGED:
                return
            raise _refused(error, client, "it is kept, and the name is not used again") from error

    async def _container(self) -> ContainerClient:
        return (await self._accounts.service(self._account_id)).get_container_client(CONTAINER)

    @staticmethod
    async def _acquire(container: ContainerClient, client: BlobClient, patience: float) -> BlobLeaseClient:
        """Acquire the lease on the record, created if it is missing; an active run may delete it at any moment."""
        lease, waited, created = BlobLeaseClient(client), 0.0, False
        while True:
            try:
                await _create_record(client)
                await lease.acquire(LEASE_SECONDS)
                return lease
            except AzureError as error:
                code = error_code(error)
                if code == "ContainerNotFound" and not created:
                    created = await _create_container(container, client)
                elif code not in HELD | {"BlobNotFound"}:
                    raise _refused(error, client, _NOT_STARTED) from error
                elif code in HELD and waited >= patience:
                    raise SaveHeld from None
            await asyncio.sleep(1.0)
            waited += 1.0


async def _create_record(client: BlobClient) -> None:
    """Create an empty record unless it exists, with a lease or without. Raises `AzureError`."""
    try:
        await client.upload_blob(b"", overwrite=False)
    except AzureError as error:
        if error_code(error) not in EXISTS | HELD:
            raise


async def _create_container(container: ContainerClient, client: BlobClient) -> bool:
    """Create the factory's container unless it exists. Raises `CloudError`."""
    try:
        await container.create_container()
    except AzureError as error:
        if error_code(error) != "ContainerAlreadyExists":
            raise _refused(error, client, _NOT_STARTED) from error
    return True


def _metadata(name: str, disks: tuple[str, ...]) -> dict[str, str]:
    metadata = {"name": quote(name), "disks": quote(",".join(disks))}
    return {key: value for key, value in metadata.items() if value}


def _disks(metadata: Mapping[str, str], account_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the ids of disks in the factory's subscription, and the other entries of a record.

    Any client that can write to the factory's storage can write records. A lab's VMs are in the lab's subscription, as
    its storage account is.
    """
    account = STORAGE_ACCOUNT.parse(account_id)
    named = [disk for disk in unquote(metadata.get("disks", "")).split(",") if disk]
    ids = {disk: DISK.parse(disk) for disk in named}
    own = {
        disk
        for disk, parsed in ids.items()
        if parsed and account and parsed.subscription_id.lower() == account.subscription_id.lower()
    }
    return tuple(disk for disk in named if disk in own), tuple(disk for disk in named if disk not in own)


def _refused(error: AzureError, client: BlobClient, consequence: str) -> CloudError:
    account = client.account_name or ""
    return from_azure(error, f"{account}: {client.blob_name}", consequence, account=account)
