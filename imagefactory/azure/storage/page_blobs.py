"""Page blobs by ARM id of their account and URL: the calls that a copier needs, and their errors.

Does not decide when to copy, wait, adopt or abandon: `imagefactory.copying` does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.storage.blob.aio import BlobClient

from imagefactory.aio.once import Once
from imagefactory.azure.core.errors import EXISTENCE, CloudError, consequence, error_code, from_azure, source_error
from imagefactory.azure.core.refusals import ABSENT, CHANGED, EXISTS, HELD, NOT_PENDING, PENDING, SOURCE_REFUSED
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.containers import Notice, ignore, once_it_exists
from imagefactory.azure.storage.openers import container_and_blob
from imagefactory.azure.storage.properties import head_of
from imagefactory.azure.storage.small_requests import NoResponse, Reply
from imagefactory.images.ranges import PAGE_BYTES, Range
from imagefactory.images.ranges_manifest import LARGEST_BYTES
from imagefactory.observed.blobs import BlobFacts, BlobRef, CopyState

_UNKNOWN = datetime.fromtimestamp(0, timezone.utc)
"""The creation time of a blob without one, such as a disk."""


_RANGES_PER_PAGE = 10_000
"""Ranges in one response of Get Page Ranges; a fragmented disk has more."""
LEAST_WINDOW = 128 * 1024 * 1024
"""The shortest window of a Get Page Ranges that the service fails to list, in bytes. Microsoft advises to list a large
fragmented blob in segments of this order ("Getting the Page Ranges of a Large Page Blob in Segments")."""
UNLISTED_WINDOWS = 3
"""After so many of the shortest windows in a row that the service fails to list, the rest is not requested."""


class PageBlobs:
    """The calls. Each raises `CloudError` if the service returns an error."""

    def __init__(self, accounts: StorageAccounts) -> None:
        self._accounts = accounts
        self._containers: Once[tuple[str, str], None] = Once()

    async def facts(self, blob: BlobRef) -> BlobFacts | None:
        """Return the blob's facts; None if blob, container or storage account is missing."""
        with consequence(EXISTENCE):
            answer = await self._if_there(blob, self._accounts.requests.send("HEAD", blob, {}))
            return _facts(answer.headers, blob) if answer else None

    async def read_with_facts(self, blob: BlobRef, offset: int, length: int) -> tuple[BlobFacts, bytes] | None:
        """Return the blob's facts and `length` bytes from `offset`, fewer at its end; None if it is missing.

        One request, so both are of the same version.
        """
        with consequence("it cannot be checked"):
            answer = await self._if_there(blob, self._part(blob, offset, length))
            if answer is None:
                return None
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            return _facts({**answer.headers, "content-length": total}, blob), answer.content

    async def read(self, blob: BlobRef, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer at the end of the blob.

        One request; the SDK requests all page ranges of a page blob with each read.
        """
        with consequence("it cannot be checked"):
            return (await self._part(blob, offset, length)).content

    async def _part(self, blob: BlobRef, offset: int, length: int) -> Reply:
        headers = {"x-ms-range": f"bytes={offset}-{offset + length - 1}"}
        return await self._accounts.requests.send("GET", blob, headers, most=length)

    async def page_ranges(
        self, blob: BlobRef, most: int | None = None, *, unlisted: list[Range] | None = None
    ) -> list[Range]:
        """Return the allocated ranges of a page blob in order; only the first `most`, if that is given.

        The service may fail to list a large fragmented blob in time (500 `OperationTimedOut`). It is then listed in
        windows, which are halved until the service can list them. A window that it never lists is appended to
        `unlisted`; nothing is returned of the rest of it. Without that list, it is an error.
        """
        client = await self._client(blob)
        found: list[Range] = []
        at, end, window, failed = 0, 0, 0, 0  # the first window is the complete blob, whose length is unknown
        while True:
            span: dict[str, Any] = {"offset": at, "length": min(window, end - at)} if window else {}
            try:
                await _list_ranges(client, found, most, may_split=window != LEAST_WINDOW, **span)
            except AzureError as error:
                if not window and _is_slow(error) and (facts := await self.facts(blob)):
                    end, window = facts.length, _half(facts.length)
                elif window > LEAST_WINDOW and _is_slow(error):
                    window = _half(window)
                    at = max(at, found[-1].end if found else 0)  # earlier pages of the response are kept
                elif window and unlisted is not None and _is_slow(error) and not isinstance(error, ServiceRequestError):
                    failed += 1
                    at = max(at, found[-1].end if found else 0)
                    stop = end if failed == UNLISTED_WINDOWS else min(at + window, end)
                    _append(unlisted, Range(at, stop - at))
                    at = stop
                else:
                    raise _refused(error, blob, "its allocated ranges are unknown, so it is not copied") from error
            else:
                failed, at = 0, at + window
            if at >= end or (most is not None and len(found) >= most):
                return found

    async def create(
        self,
        blob: BlobRef,
        length: int,
        metadata: Mapping[str, str],
        generation: int,
        *,
        overwrite_etag: str | None = None,
        notice: Notice = ignore,
    ) -> BlobFacts | None:
        """Create an empty page blob of `length` bytes, with `generation` as its sequence number.

        It replaces the blob with `overwrite_etag`, if that is given. If another blob exists there, returns its facts.
        Creates the container if it is missing, also while it is being deleted; shows the wait by `notice`.
        """
        create = partial(self._create, blob, length, metadata, generation, overwrite_etag)
        return await once_it_exists(create, _container_of(blob), notice)

    async def _create(
        self, blob: BlobRef, length: int, metadata: Mapping[str, str], generation: int, overwrite_etag: str | None
    ) -> BlobFacts | None:
        headers = {
            "Content-Length": "0",
            "x-ms-blob-type": "PageBlob",
            "x-ms-blob-content-length": str(length),
            "x-ms-blob-sequence-number": str(generation),
            **_metadata_headers(metadata),
            **({"If-Match": overwrite_etag} if overwrite_etag else {"If-None-Match": "*"}),
        }
        container = self._container(blob)
        try:
            await self._ensure_container(blob, *container)
            await self._accounts.requests.send("PUT", blob, headers)
        except (AzureError, CloudError) as error:
            code = error.code if isinstance(error, CloudError) else error_code(error)
            occupied = EXISTS | PENDING | {"BlobNotFound"} | (frozenset() if overwrite_etag else HELD)
            if code == "ContainerNotFound":
                self._containers.forget(container)
            elif code in occupied and (found := await self.facts(blob)):
                # It is this blob if the response to the first attempt was lost.
                return None if (found.generation, found.metadata) == (generation, metadata) else found
            raise _refused(error, blob, "no VHD can be staged there") from error
        return None

    async def set_metadata(self, blob: BlobRef, metadata: Mapping[str, str], *, etag: str) -> str:
        """Replace the blob's metadata; return its new ETag, empty if it does not exist or had another one."""
        headers = {"Content-Length": "0", "If-Match": etag, **_metadata_headers(metadata)}
        try:
            answer = await self._accounts.requests.send("PUT", blob, headers, query="comp=metadata")
        except CloudError as error:
            if error.code in CHANGED | ABSENT:
                return ""
            raise _refused(error, blob, "its metadata cannot be written") from error
        return answer.headers.get("ETag") or etag

    async def get_document(self, blob: BlobRef, most: int = LARGEST_BYTES) -> bytes | None:
        """Return a small blob's content, up to its first `most` bytes; None if there is no such blob."""
        try:
            client = await self._client(blob)
            stream = await client.download_blob(offset=0, length=most)
            return await stream.readall()
        except (AzureError, CloudError) as error:
            if error_code(error) == "InvalidRange":  # it is empty
                return b""
            if await self._is_absent(error, blob):
                return None
            raise _refused(error, blob, "it cannot be read") from error

    async def put_document(
        self, blob: BlobRef, content: bytes, metadata: Mapping[str, str], *, overwrite: bool
    ) -> bool:
        """Write a small blob; return False if one exists and is not to be overwritten."""
        client = await self._client(blob)
        try:
            await client.upload_blob(content, metadata=dict(metadata), overwrite=overwrite)
        except AzureError as error:
            if not overwrite and error_code(error) in EXISTS:
                return False
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
        notice: Notice = ignore,
    ) -> CopyState | None:
        """Ask the service to copy `source`, in its version `source_etag`, with `metadata` on the destination.

        It replaces the blob with `overwrite_etag`, if that is given. Returns None if another blob exists there, or if a
        copy into it is pending. Creates the container if it is missing, as `create` does.
        """
        start = partial(self._start_copy, source, source_etag, destination, metadata, overwrite_etag)
        return await once_it_exists(start, _container_of(destination), notice)

    async def _start_copy(
        self,
        source: BlobRef,
        source_etag: str,
        destination: BlobRef,
        metadata: Mapping[str, str],
        overwrite_etag: str | None,
    ) -> CopyState | None:
        client = await self._client(destination)
        url = await self._accounts.readable_url(source)
        from_version: dict[str, Any] = {
            "source_etag": source_etag,
            "source_match_condition": MatchConditions.IfNotModified,
        }
        try:
            # Before the first copy, not after it fails: all copies that start concurrently would fail.
            await self._ensure_container(destination, *self._container(destination))
            answer = await client.start_copy_from_url(
                url, metadata=dict(metadata), **from_version, **_condition(overwrite_etag)
            )
        except AzureError as error:
            code = error_code(error)
            if code in PENDING | EXISTS:
                return None
            if code == "ContainerNotFound":
                self._containers.forget(self._container(destination))
            if code == SOURCE_REFUSED and isinstance(error, HttpResponseError):
                raise self._source_refused(error, source, destination) from error
            raise _refused(error, destination, f"{source.name} is not copied there") from error
        return CopyState(str(answer["copy_id"]), str(answer["copy_status"]))

    async def abort_copy(self, blob: BlobRef, copy_id: str) -> None:
        """Stop a pending copy; do nothing if it is not pending."""
        client = await self._client(blob)
        try:
            await client.abort_copy(copy_id)
        except AzureError as error:
            if error_code(error) not in NOT_PENDING | ABSENT:
                raise _refused(error, blob, "its copy may continue") from error

    async def delete(self, blob: BlobRef, *, etag: str) -> bool:
        """Delete the blob with its snapshots if it still has that ETag.

        Returns False if it has another ETag, True if it, or its storage account, does not exist.
        """
        headers = {"x-ms-delete-snapshots": "include", "If-Match": etag}
        with consequence("it is kept and takes up space"):
            try:
                await self._accounts.requests.send("DELETE", blob, headers)
            except CloudError as error:
                if error.code in CHANGED:
                    return await self.facts(blob) is None  # a blob that does not exist meets no condition
                if not await self._is_absent(error, blob):
                    raise
        return True

    async def _client(self, blob: BlobRef) -> BlobClient:
        return await self._accounts.client(blob)

    async def _if_there(self, blob: BlobRef, sent: Awaitable[Reply]) -> Reply | None:
        """Return the response to a request; None if it says that blob, container or storage account does not exist."""
        try:
            return await sent
        except CloudError as error:
            if await self._is_absent(error, blob):
                return None
            raise

    async def _is_absent(self, error: Exception, blob: BlobRef) -> bool:
        """Return whether an error means that blob, container or storage account does not exist."""
        if isinstance(error, CloudError) and not isinstance(error, NoResponse):
            return error.code in ABSENT
        if getattr(error, "status_code", None):
            return error_code(error) in ABSENT
        return not await self._accounts.exists(blob.account_id)  # a deleted account has no host name, so none responds

    def _source_refused(self, error: HttpResponseError, source: BlobRef, destination: BlobRef) -> CloudError:
        answer: Any = error.response
        headers = {name.lower(): str(value) for name, value in answer.headers.items()}
        said = (error.error.message if error.error else None) or str(error.message)
        return source_error(
            source.name,
            error.status_code or 0,
            headers,
            said,
            error.reason or "",
            consequence=f"it is not copied to {destination.name}",
            source=source.account_id,
            remedy=self._accounts.source_remedy(source) if error.status_code in {401, 403} else "",
        )

    def _container(self, blob: BlobRef) -> tuple[str, str]:
        """Return the account's id and the name of a blob's container."""
        return blob.account_id, container_and_blob(self._accounts.endpoint(blob.account_id), blob.url)[0]

    async def _ensure_container(self, blob: BlobRef, account_id: str, name: str) -> None:
        """Create the blob's container if it is missing, once for all blobs in it."""
        await self._containers.get((account_id, name), lambda: self._create_container(blob, name))

    async def _create_container(self, blob: BlobRef, name: str) -> None:
        await self._accounts.access(blob)  # learns the account's endpoint
        service = await self._accounts.service(blob.account_id)
        try:
            await service.create_container(name)
        except AzureError as error:
            if error_code(error) != "ContainerAlreadyExists":
                raise


def _container_of(blob: BlobRef) -> str:
    account, *_, container, _ = (blob.account_id.rpartition("/")[2], *blob.url.split("/"))
    return f"container '{container}' of {account}"


async def _list_ranges(
    client: BlobClient, found: list[Range], most: int | None, *, may_split: bool, **span: Any
) -> None:
    """Append the allocated ranges of a span of a page blob; do not repeat a request that can be split instead."""
    options: dict[str, Any] = {"retry_on_methods": frozenset()} if may_split else {}
    async for each in client.list_page_ranges(results_per_page=_RANGES_PER_PAGE, **span, **options):
        first, last = each.start or 0, each.end or 0
        if not each.cleared:
            _append(found, Range(first, last - first + 1))
        if most is not None and len(found) >= most:
            return


def _append(found: list[Range], part: Range) -> None:
    """Append a range; if it starts in or at the end of the last one, which a window has cut, extend that one."""
    if found and part.offset <= found[-1].end:
        part = Range(found[-1].offset, max(part.end, found[-1].end) - found.pop().offset)
    found.append(part)


def _half(window: int) -> int:
    return max(window // 2 // PAGE_BYTES * PAGE_BYTES, LEAST_WINDOW)


def _is_slow(error: AzureError) -> bool:
    """Return whether another request may succeed: the service took too long, failed, or did not respond."""
    if isinstance(error, HttpResponseError):
        return error.status_code is not None and (error.status_code == 408 or error.status_code >= 500)
    return isinstance(error, (ServiceRequestError, ServiceResponseError))


def _facts(headers: Mapping[str, str], blob: BlobRef) -> BlobFacts:
    found = head_of(headers, blob)
    done, _, total = (found.copy_progress or "0/0").partition("/")
    told = found.copy_status or "", int(done), int(total), found.copy_status_description or ""
    return BlobFacts(
        length=found.content_length,
        is_page_blob=found.blob_type == "PageBlob",
        created=found.creation_time or _UNKNOWN,
        etag=found.etag,
        metadata=found.metadata,
        copy=CopyState(found.copy_id, *told) if found.copy_id else None,
        generation=found.sequence_number,
    )


def _metadata_headers(metadata: Mapping[str, str]) -> dict[str, str]:
    return {f"x-ms-meta-{name}": value for name, value in metadata.items()}


def _condition(overwrite_etag: str | None) -> dict[str, Any]:
    """Return the condition that no blob exists, or that it still has the ETag."""
    if overwrite_etag:
        return {"match_condition": MatchConditions.IfNotModified, "etag": overwrite_etag}
    return {"match_condition": MatchConditions.IfMissing}


def _refused(error: AzureError | CloudError, blob: BlobRef, consequence: str) -> CloudError:
    if isinstance(error, CloudError):
        return error if error.diagnostic.consequence else error.so(consequence)
    return from_azure(error, blob.name, consequence, account=blob.account_id)
