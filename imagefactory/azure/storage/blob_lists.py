"""The blobs of a container as a listing returns them, and their deletion if they have not changed since.

Does not decide which ones are deleted: `imagefactory.planning.factory.prune_plan` does.
"""

from __future__ import annotations

from azure.core import MatchConditions
from azure.core.exceptions import AzureError
from azure.storage.blob.aio import BlobClient

from imagefactory.azure.core.errors import CloudError, cloud_error, error_code, from_azure
from imagefactory.azure.core.refusals import ABSENT, CHANGED, HELD, PENDING
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.listings import ListedBlob, listed
from imagefactory.azure.storage.openers import account_name
from imagefactory.azure.storage.properties import read_properties
from imagefactory.observed.factory_blobs import StoredBlob

_KEPT = "it is not deleted"
_HELD = HELD | PENDING | {"LeaseIdMismatchWithBlobOperation"}


async def list_blobs(
    accounts: StorageAccounts, account_id: str, container: str, most: int | None = None
) -> list[StoredBlob]:
    """Return all blobs of a container; none if it does not exist.

    Raises `CloudError`, also if there are more than `most`; then it stops reading.
    """
    client = (await accounts.service(account_id)).get_container_client(container)
    name = account_name(account_id)
    subject = f"{name}: container '{container}'"
    found: list[StoredBlob] = []
    try:
        async for blob in listed(client, subject):
            if len(found) == most:
                remedy = "Delete the blobs that do not belong there"
                raise cloud_error(subject, f"contains more than {most} blobs", remedy=remedy)
            found.append(_stored(account_id, blob))
    except AzureError as error:
        if error_code(error) in ABSENT:
            return []
        raise from_azure(error, subject, account=name) from error
    return found


def metadata_of(blob: ListedBlob) -> dict[str, str]:
    """Return a listed blob's metadata; the SDK has None for an empty value."""
    return {name: value or "" for name, value in (blob.metadata or {}).items()}


async def is_unchanged(accounts: StorageAccounts, blob: StoredBlob) -> bool:
    """Return whether a blob has not changed since it was listed, or is deleted. Raises `CloudError`."""
    return await _etag(accounts, blob) in {None, blob.etag}


async def delete_blob(accounts: StorageAccounts, blob: StoredBlob) -> None:
    """Delete a blob with its snapshots, if it has not changed since it was listed; do nothing if it does not exist.

    Raises `CloudError`, also if it has changed or another client has a lease on it.
    """
    client = await _client(accounts, blob)
    try:
        await client.delete_blob(
            delete_snapshots="include", etag=f'"{blob.etag}"', match_condition=MatchConditions.IfNotModified
        )
    except AzureError as error:
        code = error_code(error)
        if code in ABSENT:
            return
        if code in CHANGED:
            if await _etag(accounts, blob) is None:  # a blob that does not exist meets no condition
                return
            raise changed(blob) from error
        if code in _HELD:
            fact, remedy = "another client has a lease on it, or copies into it", "Run again when that has finished"
            raise cloud_error(_subject(blob), fact, code=code, consequence=_KEPT, remedy=remedy) from error
        raise _refused(error, blob) from error


def changed(blob: StoredBlob) -> CloudError:
    """Return the error for a blob that is no longer the one that was to be deleted."""
    return cloud_error(
        _subject(blob), "another client wrote to it since it was listed", consequence=_KEPT, remedy="Run again"
    )


async def _etag(accounts: StorageAccounts, blob: StoredBlob) -> str | None:
    """Return the ETag that a blob has now; None if it does not exist."""
    client = await _client(accounts, blob)
    try:
        return (await read_properties(client)).etag.strip('"')
    except AzureError as error:
        if error_code(error) in ABSENT:
            return None
        raise _refused(error, blob) from error


async def _client(accounts: StorageAccounts, blob: StoredBlob) -> BlobClient:
    return (await accounts.service(blob.account_id)).get_blob_client(blob.container, blob.name)


def _subject(blob: StoredBlob) -> str:
    return f"{account_name(blob.account_id)}: {blob.name}"


def _refused(error: AzureError, blob: StoredBlob) -> CloudError:
    return from_azure(error, _subject(blob), _KEPT, account=account_name(blob.account_id))


def _stored(account_id: str, blob: ListedBlob) -> StoredBlob:
    return StoredBlob(
        account_id=account_id,
        container=blob.container,
        name=blob.name,
        length=blob.size,
        etag=blob.etag.strip('"'),
        last_modified=blob.last_modified,
        metadata=metadata_of(blob),
        held=blob.lease.state in {"leased", "breaking"} or blob.written_by.status == "pending",
    )
