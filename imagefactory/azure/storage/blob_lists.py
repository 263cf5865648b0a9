"""The blobs of a container as one listing tells them, and their deletion if they are still what it told.

Owns these two calls. Refuses to judge: `imagefactory.planning.prune_plan` does.
"""

from __future__ import annotations

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobProperties

from imagefactory.azure.core.errors import CloudError, cloud_error, error_code, from_azure
from imagefactory.azure.storage.accounts import StorageAccounts, account_name
from imagefactory.observed.factory_blobs import StoredBlob

_STAYS = "it is not deleted"
_HELD = {"LeaseIdMissing", "LeaseIdMismatchWithBlobOperation", "PendingCopyOperation"}
_CHANGED = {"ConditionNotMet", "TargetConditionNotMet"}


async def list_blobs(
    accounts: StorageAccounts, account_id: str, container: str, consequence: str, most: int | None = None
) -> list[StoredBlob]:
    """All blobs of a container; none where there is no such container.

    Raises `CloudError`, also where there are more than `most`, of which no more are read.
    """
    client = (await accounts.service(account_id)).get_container_client(container)
    name = account_name(account_id)
    subject = f"{name}: container '{container}'"
    found: list[StoredBlob] = []
    try:
        async for blob in client.list_blobs(include=["metadata", "copy"], results_per_page=5000):
            if len(found) == most:
                remedy = "Delete what does not belong there"
                raise cloud_error(subject, consequence, 0, "", f"contains more than {most} blobs", remedy=remedy)
            found.append(_stored(account_id, blob))
    except ResourceNotFoundError:
        return []
    except AzureError as error:
        raise from_azure(error, subject, consequence, account=name) from error
    return found


def metadata_of(blob: BlobProperties) -> dict[str, str]:
    """A listed blob's metadata; the SDK gives None for a value that is empty."""
    return {name: value or "" for name, value in (blob.metadata or {}).items()}


async def is_unchanged(accounts: StorageAccounts, blob: StoredBlob) -> bool:
    """Whether a blob is what its listing told, or is gone. Raises `CloudError`."""
    return await _etag(accounts, blob) in {None, blob.etag}


async def delete_blob(accounts: StorageAccounts, blob: StoredBlob) -> None:
    """Delete a blob with its snapshots, if it is what its listing told; one that is gone is no error.

    Raises `CloudError`, also where it has changed or somebody holds it.
    """
    client = (await accounts.service(blob.account_id)).get_blob_client(blob.container, blob.name)
    try:
        await client.delete_blob(
            delete_snapshots="include", etag=f'"{blob.etag}"', match_condition=MatchConditions.IfNotModified
        )
    except ResourceNotFoundError:
        return
    except AzureError as error:
        name = account_name(blob.account_id)
        subject = f"{name}: {blob.name}"
        code = error_code(error) if isinstance(error, HttpResponseError) else ""
        if code in _CHANGED:
            if await _etag(accounts, blob) is None:  # what is not there meets no condition
                return
            raise changed(blob) from error
        if code in _HELD:
            fact, remedy = "somebody holds it by a lease, or copies into it", "Run again when that has ended"
            raise cloud_error(subject, _STAYS, 0, code, fact, remedy=remedy) from error
        raise from_azure(error, subject, _STAYS, account=name) from error


def changed(blob: StoredBlob) -> CloudError:
    """The refusal to delete what is not what was planned to be deleted."""
    subject = f"{account_name(blob.account_id)}: {blob.name}"
    return cloud_error(subject, _STAYS, 0, "", "somebody wrote to it since it was listed", remedy="Run again")


async def _etag(accounts: StorageAccounts, blob: StoredBlob) -> str | None:
    """The ETag that a blob has now; None where it is gone."""
    client = (await accounts.service(blob.account_id)).get_blob_client(blob.container, blob.name)
    try:
        return (await client.get_blob_properties()).etag.strip('"')
    except ResourceNotFoundError:
        return None
    except AzureError as error:
        name = account_name(blob.account_id)
        raise from_azure(error, f"{name}: {blob.name}", _STAYS, account=name) from error


def _stored(account_id: str, blob: BlobProperties) -> StoredBlob:
    return StoredBlob(
        account_id=account_id,
        container=blob.container,
        name=blob.name,
        length=blob.size,
        etag=blob.etag.strip('"'),
        last_modified=blob.last_modified,
        metadata=metadata_of(blob),
        held=blob.lease.state in {"leased", "breaking"} or blob.copy.status == "pending",
    )
