"""The one call that a copy makes thousands of times: Put Page From URL.

Owns that request and the kinds of its refusals; one attempt each, for when and whether to try again is decided by
`providers.vhdcopy`. It is plain aiohttp, because the SDK's pipeline costs five times the CPU for the same request;
access, errors and words are those of the other modules. A request in flight holds its headers and no byte of the blob.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from types import TracebackType
from uuid import uuid4

import aiohttp
from yarl import URL

from imagefactory.ranges import Range
from imagefactory_azure.blobs import BlobRef
from imagefactory_azure.errors import CloudError, cloud_error
from imagefactory_azure.storage import StorageAccounts

VERSION = "2021-12-02"
"""The storage API; CRC64 of ranges is there since 2019-02-02, bearer towards the source since 2020-10-02."""

CALL_SECONDS = 90.0
"""A call that has no answer by then is given up; the service itself gives up a page write of 4 MiB after 60 s."""

READ_BYTES = 4096
"""Of an answer's body no more than this is buffered; it is empty, or a short error."""

_CODE, _MESSAGE = re.compile(r"<Code>([^<]*)</Code>"), re.compile(r"<Message>([^<]*)</Message>")
_SIGN_IN_AGAIN = {"AuthenticationFailed", "InvalidAuthenticationInfo", "ExpiredAuthenticationToken"}
_SOURCE = "CannotVerifyCopySource"


class Refusal(Enum):
    """What a refused range asks of who sent it."""

    BUSY = auto()
    """Slow down (503, 429)."""
    PASSING = auto()
    """Try again: the service failed, or no answer came."""
    UNAUTHORIZED = auto()
    """What opened the destination is no longer good; the next attempt makes it anew."""
    SOURCE_UNAUTHORIZED = auto()
    """What opened the source is no longer good; the next attempt makes it anew."""
    SOURCE_CHANGED = auto()
    """The source has another ETag."""
    SOURCE_GONE = auto()
    """There is no source."""
    OTHER_CONTENT = auto()
    """The source's range does not have the digest that was given."""
    DESTINATION_CHANGED = auto()
    """The destination is gone, or of another generation."""
    REFUSED = auto()
    """Another attempt is of no use."""


class RangeRefused(Exception):
    """A range was not written; `error` says why in words, `retry_after` how many seconds the service wants to rest."""

    def __init__(self, kind: Refusal, error: CloudError, retry_after: float | None = None) -> None:
        super().__init__(str(error))
        self.kind = kind
        self.error = error
        self.retry_after = retry_after


class PageWriter:
    """Writes ranges, at most `in_flight` at once. Use as `async with`."""

    def __init__(self, accounts: StorageAccounts, in_flight: int) -> None:
        self._accounts = accounts
        self._in_flight = in_flight
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> PageWriter:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._in_flight),
            timeout=aiohttp.ClientTimeout(total=CALL_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "imagefactory", "x-ms-version": VERSION, "x-ms-page-write": "update"},
            skip_auto_headers=("Content-Type", "Accept", "Accept-Encoding"),
            read_bufsize=READ_BYTES,
            trust_env=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def copy_range(
        self, source: BlobRef, source_etag: str, destination: BlobRef, generation: int, part: Range, digest: str | None
    ) -> str:
        """Have the service write a range of `source`, as it is at `source_etag`, into `destination`.

        `generation` is the sequence number that the destination must have; `digest` the CRC64 (base64) that the
        source's range must have. Returns the CRC64 of what the service wrote. Raises `RangeRefused`, `CloudError`.
        """
        access, source_access = await self._accounts.access(destination), await self._accounts.source_access(source)
        where = f"bytes={part.offset}-{part.end - 1}"
        headers = {
            **access.headers,
            **source_access.headers,
            "Content-Length": "0",
            "x-ms-client-request-id": str(uuid4()),
            "x-ms-copy-source": f"{source.url}?{source_access.query}" if source_access.query else source.url,
            "x-ms-source-range": where,
            "x-ms-range": where,
            "x-ms-source-if-match": source_etag,
            "x-ms-if-sequence-number-eq": str(generation),
        }
        if digest is not None:
            headers["x-ms-source-content-crc64"] = digest
        query = f"?comp=page&{access.query}" if access.query else "?comp=page"
        try:
            async with self._session.put(
                URL(await self._accounts.blob_url(destination) + query, encoded=True), headers=headers
            ) as answer:
                if answer.status == 201:
                    return answer.headers["x-ms-content-crc64"]
                body = await answer.content.read(READ_BYTES)
                raise self._refused(
                    source, destination, answer.status, answer.headers, body.decode("utf-8", errors="replace")
                )
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            fact = f"no answer from Azure ({type(error).__name__})"
            raise RangeRefused(Refusal.PASSING, _error(source, destination, 0, "", fact)) from None

    def _refused(
        self, source: BlobRef, destination: BlobRef, status: int, headers: Mapping[str, str], body: str
    ) -> RangeRefused:
        named = _CODE.search(body)
        code = headers.get("x-ms-error-code") or (named.group(1) if named else "")
        message = _MESSAGE.search(body)
        kind = _kind(status, code, headers)
        if kind is Refusal.UNAUTHORIZED:
            self._accounts.renew(destination)
        if kind is Refusal.SOURCE_UNAUTHORIZED:
            self._accounts.renew(source)
        error = _error(source, destination, status, code, message.group(1) if message else "")
        return RangeRefused(kind, error, _seconds(headers.get("Retry-After")))


def _kind(status: int, code: str, headers: Mapping[str, str]) -> Refusal:
    if code == _SOURCE or "x-ms-copy-source-status-code" in headers:
        return _source_kind(int(headers.get("x-ms-copy-source-status-code") or status))
    if status == 429 or (status == 503 and code in {"ServerBusy", ""}):
        return Refusal.BUSY
    if status in {408, 500, 502, 503, 504}:
        return Refusal.PASSING
    if status == 401 or (status == 403 and code in _SIGN_IN_AGAIN):
        return Refusal.UNAUTHORIZED
    if code in {"SourceConditionNotMet", "ConditionNotMet"}:
        return Refusal.SOURCE_CHANGED
    if code in {"Crc64Mismatch", "Md5Mismatch"}:
        return Refusal.OTHER_CONTENT
    if status == 412 or code in {"BlobNotFound", "ContainerNotFound"}:
        return Refusal.DESTINATION_CHANGED
    return Refusal.REFUSED


def _source_kind(status: int) -> Refusal:
    if status in {401, 403}:
        return Refusal.SOURCE_UNAUTHORIZED
    if status in {404, 412}:
        return Refusal.SOURCE_GONE if status == 404 else Refusal.SOURCE_CHANGED
    if status == 429:
        return Refusal.BUSY
    return Refusal.PASSING if status >= 500 or status == 408 else Refusal.REFUSED


def _error(source: BlobRef, destination: BlobRef, status: int, code: str, message: str) -> CloudError:
    return cloud_error(
        destination.name, f"{source.name} is not copied there; what is there is kept", status, code, message
    )


def _seconds(given: str | None) -> float | None:
    """Retry-After, as a number of seconds or a time."""
    if not given:
        return None
    if given.isdigit():
        return float(given)
    try:
        return max(0.0, (parsedate_to_datetime(given) - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError):
        return None
