"""Page blobs by ARM id of their account and URL: what a copier needs of the storage service, and no more.

Owns the calls and their refusals in words. When to copy, wait, take over or give up is decided by
`imagefactory.copying`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.core.rest import HttpRequest
from azure.storage.blob.aio import BlobClient

from imagefactory.aio.once import Once
from imagefactory.azure.core.errors import CloudError, cloud_error, error_code, from_azure
from imagefactory.azure.storage.accounts import REST_VERSION, StorageAccounts, account_name
from imagefactory.images.ranges import Range
from imagefactory.images.ranges_manifest import LARGEST_BYTES
from imagefactory.observed.blobs import BlobFacts, BlobRef, CopyState

_PENDING = {"PendingCopyOperation"}
_CHANGED = {"ConditionNotMet", "TargetConditionNotMet"}
"""Azure's codes for a blob that has another ETag."""
_STANDS_THERE = {"BlobAlreadyExists", *_CHANGED}
"""Azure's codes for a destination that is not free."""

_UNTOLD = datetime.fromtimestamp(0, timezone.utc)
"""The creation time of a blob that tells none, as a disk may."""

PAGE_RANGES_AT_ONCE = 10_000
"""Ranges in one answer of Get Page Ranges; a fragmented disk has more."""


class PageBlobs:
    """The calls. Every one raises `CloudError` where the service refuses."""

    def __init__(self, accounts: StorageAccounts) -> None:
        self._accounts = accounts
        self._containers: Once[tuple[str, str], None] = Once()

    async def facts(self, blob: BlobRef) -> BlobFacts | None:
        """What stands there; None when there is no such blob, container or storage account."""
        try:
            client = await self._client(blob)
            found = await client.get_blob_properties()
        except (AzureError, CloudError) as error:
            if await self._is_absent(error, blob):
                return None
            raise _refused(error, blob, "what stands there cannot be told") from error
        copy = found.copy
        done, _, total = (copy.progress or "0/0").partition("/")
        return BlobFacts(
            length=found.size,
            is_page_blob=getattr(found.blob_type, "value", found.blob_type) == "PageBlob",
            created=found.creation_time or _UNTOLD,
            etag=found.etag,
            metadata=dict(found.metadata or {}),
            copy=CopyState(copy.id, copy.status or "", int(done), int(total), copy.status_description or "")
            if copy.id
            else None,
            generation=found.page_blob_sequence_number,
        )

    async def read(self, blob: BlobRef, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer where the blob ends before.

        A request of our own: the SDK asks for all page ranges of a page blob whenever it reads of it.
        """
        consequence = "it cannot be checked"
        url = (await self._accounts.access(blob)).url
        headers = {"x-ms-version": REST_VERSION, "x-ms-range": f"bytes={offset}-{offset + length - 1}"}
        try:
            answer = await self._accounts.send(HttpRequest("GET", url, headers=headers), blob)
        except AzureError as error:
            raise _refused(error, blob, consequence) from error
        if answer.status_code >= 300:
            code = answer.headers.get("x-ms-error-code", "")
            account = account_name(blob.account_id)
            raise cloud_error(blob.name, consequence, answer.status_code, code, answer.reason, account=account)
        return answer.content

    async def page_ranges(self, blob: BlobRef, most: int | None = None) -> list[Range]:
        """What a page blob has allocated, in order; only the first `most` ranges, if that is given."""
        client = await self._client(blob)
        found: list[Range] = []
        try:
            async for each in client.list_page_ranges(results_per_page=PAGE_RANGES_AT_ONCE):
                first, last = each.start or 0, each.end or 0
                if not each.cleared:
                    found.append(Range(first, last - first + 1))
                if most is not None and len(found) >= most:
                    break
        except AzureError as error:
            raise _refused(error, blob, "what it holds cannot be told, so it is not copied") from error
        return found

    async def create(
        self,
        blob: BlobRef,
        length: int,
        metadata: Mapping[str, str],
        generation: int,
        *,
        overwrite_etag: str | None = None,
    ) -> bool:
        """Make an empty page blob of `length` bytes, with `generation` as its sequence number.

        It takes the place of the blob with `overwrite_etag`, where that is given. False where another blob stands
        there. The container is made where it is missing.
        """
        client = await self._client(blob)
        conditions: dict[str, Any] = {"match_condition": MatchConditions.IfMissing}
        if overwrite_etag:
            conditions = {"match_condition": MatchConditions.IfNotModified, "etag": overwrite_etag}
        try:
            container = (blob.account_id, client.container_name)
            await self._containers.get(container, lambda: self._make_container(*container))
            await client.create_page_blob(length, metadata=dict(metadata), sequence_number=generation, **conditions)
        except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError) as error:
            if error_code(error) == "ContainerNotFound":
                self._containers.forget(container)
            elif error_code(error) in _STANDS_THERE | _PENDING | {"BlobNotFound"}:
                # It is this one where the answer to the first attempt was lost.
                there = await self.facts(blob)
                return there is not None and (there.generation, there.metadata) == (generation, metadata)
            raise _refused(error, blob, "no VHD can be staged there") from error
        except AzureError as error:
            raise _refused(error, blob, "no VHD can be staged there") from error
        return True

    async def set_metadata(self, blob: BlobRef, metadata: Mapping[str, str], *, etag: str) -> bool:
        """Put `metadata` in the place of the blob's own; False where it is gone or has another ETag by now."""
        client = await self._client(blob)
        try:
            await client.set_blob_metadata(dict(metadata), etag=etag, match_condition=MatchConditions.IfNotModified)
        except (ResourceModifiedError, ResourceNotFoundError):
            return False
        except AzureError as error:
            raise _refused(error, blob, "it cannot be marked") from error
        return True

    async def get_document(self, blob: BlobRef, most: int = LARGEST_BYTES) -> bytes | None:
        """Return a small blob's content, up to its first `most` bytes; None if there is no such blob."""
        try:
            client = await self._client(blob)
            stream = await client.download_blob(offset=0, length=most)
            return await stream.readall()
        except (AzureError, CloudError) as error:
            if isinstance(error, HttpResponseError) and error.status_code == 416:  # it is empty
                return b""
            if await self._is_absent(error, blob):
                return None
            raise _refused(error, blob, "it cannot be read") from error

    async def put_document(
        self, blob: BlobRef, content: bytes, metadata: Mapping[str, str], *, overwrite: bool
    ) -> bool:
        """Write a small blob; False where one is there that is not to be overwritten."""
        client = await self._client(blob)
        try:
            await client.upload_blob(content, metadata=dict(metadata), overwrite=overwrite)
        except ResourceExistsError:
            return False
        except AzureError as error:
            raise _refused(error, blob, "it cannot be written") from error
        return True

    async def start_copy(
        self,
        source: BlobRef,
        source_etag: str,
        destination: BlobRef,
        metadata: Mapping[str, str],
        *,
        overwrite_etag: str | None = None,
    ) -> CopyState | None:
        """Have the service copy `source`, as it is at `source_etag`, with `metadata` on the destination.

        It replaces the blob with `overwrite_etag`, if that is given. Returns None if another blob exists there, or if a
        copy into it is pending. Creates the container if it is missing.
        """
        client = await self._client(destination)
        url = await self._accounts.readable_url(source.account_id, source.url)
        conditions: dict[str, Any] = {
            "source_etag": source_etag,
            "source_match_condition": MatchConditions.IfNotModified,
        }
        conditions["match_condition"] = MatchConditions.IfMissing
        if overwrite_etag:
            conditions |= {"match_condition": MatchConditions.IfNotModified, "etag": overwrite_etag}
        try:
            # Before the first copy, not after its failure: that would be the failure of all that start at once.
            container = (destination.account_id, client.container_name)
            await self._containers.get(container, lambda: self._make_container(*container))
            answer = await client.start_copy_from_url(url, metadata=dict(metadata), **conditions)
        except (ResourceExistsError, ResourceModifiedError) as error:
            if error_code(error) in _PENDING | _STANDS_THERE:
                return None
            raise _refused(error, destination, f"{source.name} is not copied there") from error
        except AzureError as error:
            raise _refused(error, destination, f"{source.name} is not copied there") from error
        return CopyState(str(answer["copy_id"]), str(answer["copy_status"]))

    async def abort_copy(self, blob: BlobRef, copy_id: str) -> None:
        """Stop a pending copy; nothing happens when it has ended already."""
        client = await self._client(blob)
        try:
            await client.abort_copy(copy_id)
        except HttpResponseError as error:
            if error.status_code not in {404, 409}:
                raise _refused(error, blob, "its copy may go on") from error
        except AzureError as error:
            raise _refused(error, blob, "its copy may go on") from error

    async def delete(self, blob: BlobRef, *, etag: str) -> bool:
        """Delete the blob with its snapshots if it still has that ETag.

        Returns False if it has another one by now, True if it, or its storage account, is gone.
        """
        try:
            client = await self._client(blob)
            await client.delete_blob(
                delete_snapshots="include", etag=etag, match_condition=MatchConditions.IfNotModified
            )
        except (AzureError, CloudError) as error:
            if isinstance(error, HttpResponseError) and error_code(error) in _CHANGED:
                return await self.facts(blob) is None  # what does not exist meets no condition
            if not await self._is_absent(error, blob):
                raise _refused(error, blob, "it stays and takes up room") from error
        return True

    async def _client(self, blob: BlobRef) -> BlobClient:
        return await self._accounts.client(blob)

    async def _is_absent(self, error: Exception, blob: BlobRef) -> bool:
        """Whether a refusal means that there is no such blob, container or storage account."""
        status = error.status if isinstance(error, CloudError) else getattr(error, "status_code", None)
        # An account that is gone has no address, so nobody answers.
        return status == 404 or (not status and not await self._accounts.exists(blob.account_id))

    async def _make_container(self, account_id: str, name: str) -> None:
        service = await self._accounts.service(account_id)
        try:
            await service.create_container(name)
        except ResourceExistsError:
            return


def _refused(error: AzureError | CloudError, blob: BlobRef, consequence: str) -> CloudError:
    if isinstance(error, CloudError):
        return error
    return from_azure(error, blob.name, consequence, account=account_name(blob.account_id))
