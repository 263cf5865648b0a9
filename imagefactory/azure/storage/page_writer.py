"""The calls that a copy makes thousands of times: Put Page From URL, and Get Blob for the digest of a range.

Sends each request once and classifies its error; `imagefactory.copying` decides whether to try again. Uses aiohttp,
because the SDK's pipeline costs several times the CPU for the same request (docs/adr/0010). Does not transfer the
content of a blob.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from uuid import uuid4

import aiohttp
from yarl import URL

from imagefactory.azure.core.errors import CloudError, cloud_error, source_error
from imagefactory.azure.core.refusals import ABSENT, SOURCE_REFUSED, is_final, source_refusal
from imagefactory.azure.storage.access import Access
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.lean_tls import LeanConnector, lean_context
from imagefactory.azure.storage.plain_http import RENEWABLE, Proxies, elements, open_session, seconds, with_query
from imagefactory.images.ranges import Range
from imagefactory.observed.blobs import BlobRef
from imagefactory.roles.actions import blob_action

DIGEST_WINDOW_BYTES = 16 * 1024
"""The receive buffer of a connection for digests. It bounds how much arrives of a range's content, which nobody reads.

Get Blob returns the digest in its headers, before the content; the connection is then closed. Linux doubles the value
(socket(7)); a response's headers and a TLS handshake fit without waiting.
"""


class Digest(Enum):
    """A digest that Get Blob returns for a range of up to 4 MiB: the headers of request and response."""

    CRC64 = "x-ms-range-get-content-crc64", "x-ms-content-crc64"
    MD5 = "x-ms-range-get-content-md5", "Content-MD5"


class Refusal(Enum):
    """The kind of an error, by what the sender of the range must do."""

    BUSY = auto()
    """Slow down: the account of the destination or source is at its limits (503 ServerBusy, 429)."""
    PASSING = auto()
    """Try again: the service failed, or did not respond."""
    UNAUTHORIZED = auto()
    """The token or SAS for the destination is no longer valid; the next attempt uses another."""
    SOURCE_UNAUTHORIZED = auto()
    """The service has no access to the source, or no longer; the next attempt uses another token or SAS."""
    SOURCE_CHANGED = auto()
    """The source has another ETag."""
    SOURCE_GONE = auto()
    """The source does not exist."""
    OTHER_CONTENT = auto()
    """The range was written, or would have been, with a digest other than the required one."""
    DESTINATION_CHANGED = auto()
    """The destination does not exist, or has another generation."""
    REFUSED = auto()
    """Do not try again: it cannot succeed."""


class RangeRefused(Exception):
    """A range was not written, or not with the right content.

    `error` is the reason for users, `retry_after` the wait that the service requests, in seconds, `found` the CRC64 of
    the content if it is wrong (empty: unknown), `at_source` whether the source's account returned the error.
    """

    def __init__(
        self,
        kind: Refusal,
        error: CloudError,
        retry_after: float | None = None,
        found: str = "",
        *,
        at_source: bool = False,
    ) -> None:
        super().__init__(str(error))
        self.kind = kind
        self.error = error
        self.retry_after = retry_after
        self.found = found
        self.at_source = at_source

    @property
    def may_pass(self) -> bool:
        """Whether another attempt may succeed."""
        return self.kind in {Refusal.BUSY, Refusal.PASSING, Refusal.UNAUTHORIZED}


class PageWriter:
    """Writes ranges over up to `in_flight` connections, which are kept; more calls wait. Use as `async with`."""

    def __init__(self, accounts: StorageAccounts, in_flight: int) -> None:
        self.accounts = accounts
        self._in_flight = in_flight
        self._proxies = Proxies()
        self._session: aiohttp.ClientSession
        self._digests: aiohttp.ClientSession

    async def __aenter__(self) -> PageWriter:
        limit, tls = self._in_flight, lean_context()
        self._session = open_session(LeanConnector(limit, tls), self.accounts.api_version)
        self._digests = open_session(LeanConnector(limit, tls, self._narrow_socket), self.accounts.api_version)
        return self

    def _narrow_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        made = socket.socket(*address[:3])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DIGEST_WINDOW_BYTES)
        return made

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        await self._digests.close()

    async def copy_range(
        self,
        source: BlobRef,
        source_etag: str | None,
        destination: BlobRef,
        generation: int,
        part: Range,
        digest: str | None,
        md5: str | None = None,
    ) -> str:
        """Ask the service to write a range of `source`, in its version `source_etag`, into `destination`.

        `generation` is the sequence number that the destination must have; `digest` the CRC64 (base64) that the range
        must have; `md5` the MD5 that the service checks before it writes, passed together with `digest`. Returns the
        CRC64 of what the service wrote. Raises `RangeRefused`, `CloudError`.
        """
        # `digest` is not sent as x-ms-source-content-crc64, which Azure accepts and does not check for pages (the C++
        # and Go SDKs disable their tests of it for that); the digest in the response is compared instead.
        read = await self.accounts.source_access(source)
        headers = {
            **read.headers,
            "x-ms-copy-source": read.url,
            "x-ms-source-range": _bytes(part),
            "x-ms-if-sequence-number-eq": str(generation),
            "x-ms-page-write": "update",
            "Content-Length": "0",
        }
        if source_etag is not None:
            headers["x-ms-source-if-match"] = source_etag
        if md5 is not None:
            headers["x-ms-source-content-md5"] = md5
        call = _Call(destination, part, source, read)
        async with self._send("PUT", call, "comp=page", headers) as answer:
            written, checked = (answer.headers.get(name) for name in ("x-ms-content-crc64", "Content-MD5"))
        if digest is not None and md5 is not None:
            if checked == md5:  # recorded: Azure returns this MD5, and no CRC64, if the request has one
                return digest
            fact = f"was written with MD5 {checked}, expected {md5}"
            raise RangeRefused(Refusal.OTHER_CONTENT, call.error(fact), found=written or "")
        if written is None:
            written = await self.digest(destination, None, part, Digest.CRC64)
            if digest is None and source_etag:  # another client may have written to the destination since
                digest = await self.digest(source, source_etag, part, Digest.CRC64)
        if digest not in {None, written}:
            fact = f"was written with CRC64 {written}, expected {digest}"
            raise RangeRefused(Refusal.OTHER_CONTENT, call.error(fact), found=written)
        return written

    async def digest(self, blob: BlobRef, etag: str | None, part: Range, kind: Digest) -> str:
        """Return the digest that the service computes of a range of a blob, in its version `etag`, without reading it.

        Raises `RangeRefused`, `CloudError`.
        """
        request_header, response_header = kind.value
        call = _Call(blob, part)
        headers = {request_header: "true", **({"If-Match": etag} if etag else {})}
        async with self._send("GET", call, "", headers) as answer:
            if found := answer.headers.get(response_header):
                return found
        remedy = "Set imagefactory:copy to {verifyFirst: false} or {method: service}, which verify less"
        raise RangeRefused(Refusal.REFUSED, call.error(f"Azure returned no {kind.name}", remedy=remedy))

    @asynccontextmanager
    async def _send(
        self, method: str, call: _Call, query: str, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        access = await self.accounts.access(call.blob)
        url = with_query(access.url, query)
        sent = {
            **access.headers,
            **headers,
            "x-ms-range": _bytes(call.part),
            "x-ms-client-request-id": str(uuid4()),
        }
        session = self._session if call.source else self._digests
        try:
            async with session.request(
                method, URL(url, encoded=True), headers=sent, proxy=self._proxies.of(url), allow_redirects=False
            ) as answer:
                if answer.status in {200, 201, 206}:
                    yield answer
                    return
                told = await elements(answer)
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            fact = f"no response from Azure ({str(error) or type(error).__name__})"
            raise RangeRefused(Refusal.PASSING, call.error(fact)) from None
        raise self._refused(call, access, answer, told)

    def _refused(
        self, call: _Call, access: Access, answer: aiohttp.ClientResponse, told: Mapping[str, str]
    ) -> RangeRefused:
        code = answer.headers.get("x-ms-error-code") or told.get("Code", "")
        found, rest = told.get("ServerCalculatedCrc", ""), seconds(answer.headers.get("Retry-After"))
        if code == SOURCE_REFUSED and call.source and call.read:
            texts = {**told, **{name.lower(): value for name, value in answer.headers.items()}}
            said = told.get("Message", ""), answer.reason or ""
            kind, remedy = _source_kind(*source_refusal(answer.status, texts, *said)), ""
            if kind is Refusal.SOURCE_UNAUTHORIZED:
                self.accounts.refuse(call.read)
                remedy = self.accounts.source_remedy(call.source)
            error = call.at_source(answer.status, texts, *said, remedy=remedy)
            return RangeRefused(kind, error, rest, found, at_source=True)
        kind = _kind(answer.status, code)
        if kind is Refusal.UNAUTHORIZED:
            self.accounts.refuse(access)
        return RangeRefused(kind, call.error(told.get("Message", ""), answer.status, code), rest, found)


@dataclass(frozen=True, slots=True)
class _Call:
    """One request about a range of a blob; for a copy also the source, and the access that the service gets to it."""

    blob: BlobRef
    part: Range
    source: BlobRef | None = None
    read: Access | None = None

    def error(self, message: str, status: int = 0, code: str = "", *, remedy: str = "") -> CloudError:
        consequence = "its digests cannot be read"
        if self.source:
            consequence = f"{self.source.name} is not copied there; what was copied is kept"
        action = blob_action("PUT" if self.source else "GET", self.blob.url)
        known = {"consequence": consequence, "account": self.blob.account_id, "remedy": remedy, "action": action}
        return cloud_error(self.blob.name, message, status, code, **known)

    def at_source(self, status: int, texts: Mapping[str, str], *said: str, remedy: str) -> CloudError:
        """Return the error of the source of a copy."""
        source = self.source or self.blob
        kept = f"it is not copied to {self.blob.name}; what was copied is kept"
        owner = source.account_id
        return source_error(source.name, status, texts, *said, consequence=kept, source=owner, remedy=remedy)


def _bytes(part: Range) -> str:
    return f"bytes={part.offset}-{part.end - 1}"


def _kind(status: int, code: str) -> Refusal:
    """Return the kind of an error of the destination's account."""
    if status == 429 or (status == 503 and code in {"ServerBusy", ""}):
        return Refusal.BUSY
    if status == 408 or status >= 500:
        return Refusal.PASSING
    if status == 401 or code in RENEWABLE:
        return Refusal.UNAUTHORIZED
    if code in {"SourceConditionNotMet", "ConditionNotMet"}:
        return Refusal.SOURCE_CHANGED
    if code in {"Crc64Mismatch", "Md5Mismatch"}:
        return Refusal.OTHER_CONTENT
    if code in ABSENT | {"SequenceNumberConditionNotMet"}:
        return Refusal.DESTINATION_CHANGED
    return Refusal.REFUSED


def _source_kind(status: int, code: str) -> Refusal:
    """Return the kind of an error that the source's account returned to the service; `code` is empty if unknown."""
    if is_final(code) and code not in ABSENT:
        return Refusal.REFUSED
    if status in {401, 403}:
        return Refusal.SOURCE_UNAUTHORIZED
    if code in ABSENT or (status == 404 and not code):
        return Refusal.SOURCE_GONE
    if code in {"ConditionNotMet", "SourceConditionNotMet"} or (status in {304, 412} and not code):
        return Refusal.SOURCE_CHANGED
    if status in {429, 503}:
        return Refusal.BUSY
    return Refusal.PASSING if status == 408 or status >= 500 else Refusal.REFUSED
