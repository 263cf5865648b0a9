"""The front of Azurite: a streaming reverse proxy that adds fault rules, limits, slow copies and the journal.

Cuts, delays, rejects or forwards each call. Method, path, Host and headers reach Azurite as the client sent them,
because signatures cover them and copy sources name them; only a call that authorization.py accepts is changed. A header
tells Azurite (azurite_host.cjs) how long a copy takes and how it ends. Does not interpret blobs.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import aiohttp
from aiohttp import web
from yarl import URL

from localcloud.blobs.access import LOOPBACK, VERSION_HEADER
from localcloud.blobs.authorization import Authorization, BlobError, Forwarding
from localcloud.blobs.limits import Turnstile
from localcloud.fault_rules import Action, Faults, Journal, Latencies, Span

_RECORDED = "recorded"
"""Key of a request that the journal has already."""

COPY_LIFE, CORRUPT = "x-localcloud-copy", "x-localcloud-corrupt"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", COPY_LIFE, CORRUPT}
_NOTHING = Action.model_construct()


class BlobFront:
    """The blob service on the public port."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        azurite_port: int,
        authorization: Authorization,
        faults: Faults,
        latencies: Callable[[], Latencies],
        pause: Callable[[float], Awaitable[None]],
        turnstile: Turnstile,
        journal: Journal,
    ) -> None:
        self._session = session
        self._azurite = f"http://{LOOPBACK}:{azurite_port}"
        self._authorization, self._turnstile = authorization, turnstile
        self._faults, self._latencies, self._pause, self._journal = faults, latencies, pause, journal
        self._deleted: dict[str, float] = {}
        """When a deleted container can be created again, on the event loop's clock, by its path."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Respond to one call and record it in the journal."""
        method, target, span = request.method, request.raw_path, _page_write(request)
        action = self._faults.match("blob", method, target, "request", span, _page_list(request))
        if action and action.delay_seconds:
            await asyncio.sleep(action.delay_seconds)
        if action and action.drop is True:
            self._journal.record("blob", method, target, 0, span, _source(request))
            return _cut(request)
        if action and action.status is not None:
            error = _error(action.status, action.code, action.message, action.retry_after, _of_source(action))
            response: web.StreamResponse = await _send(request, error)
        elif not target.startswith("/"):
            response = await _send(request, _error(400, "InvalidUri", "The request line must name a path."))
        elif span and not await self._has_turn(request, span):
            response = await _send(request, _error(503, "ServerBusy", "The server is busy.", None))
        else:
            response = await self._authorize(request, action or _NOTHING)
            self._note_deletion(request, response.status)
        if _RECORDED not in request:
            status = 0 if action and action.drop else response.status
            self._journal.record("blob", method, target, status, span, _source(request))
        return response

    async def _has_turn(self, request: web.BaseRequest, span: Span) -> bool:
        """Wait as limits and latencies require; return False if the limits reject the write.

        Azure has no such queue: it rejects a write that exceeds the limits, and the client sends it again. So a write
        whose client has left before its turn is rejected too; one whose turn has come is applied, as in Azure.
        """
        now = asyncio.get_running_loop().time()
        wait = self._turnstile.wait(now, request.raw_path.partition("?")[0], span[1])
        if wait is None:
            return False
        if wait > 0:
            await asyncio.sleep(wait)
            if request.transport is None or request.transport.is_closing():
                return False
        if (seconds := self._latencies().page_seconds) > 0:
            await self._pause(seconds)
        return True

    async def _authorize(self, request: web.BaseRequest, action: Action) -> web.StreamResponse:
        try:
            forwarding = await self._authorization.authorize(request)
        except BlobError as error:
            return await _send(request, _error(error.status, error.code, error.message, None, error.headers))
        if isinstance(forwarding, web.Response):
            return await _send(request, forwarding)
        if request.method == "PUT" and self._is_being_deleted(request):
            return await _send(
                request, _error(409, "ContainerBeingDeleted", "The specified container is being deleted.")
            )
        return await self._forward(request, forwarding, action)

    def _note_deletion(self, request: web.BaseRequest, status: int) -> None:
        if request.method == "DELETE" and status == 202 and (path := _container(request)):
            until = asyncio.get_running_loop().time() + self._latencies().container_delete_seconds
            self._deleted[path] = until

    def _is_being_deleted(self, request: web.BaseRequest) -> bool:
        now = asyncio.get_running_loop().time()
        return now < self._deleted.get(_container(request), 0.0)

    async def _forward(self, request: web.BaseRequest, forwarding: Forwarding, action: Action) -> web.StreamResponse:
        headers = [
            (name, value)
            for name, value in request.headers.items()
            if (lower := name.lower()) not in _HOP_BY_HOP and lower not in forwarding.without
        ]
        headers += forwarding.added
        if action.corrupt:
            headers.append((CORRUPT, "yes"))
        if _starts_copy(request) and (life := self._copy_life(request)):
            headers.append((COPY_LIFE, life))
        response: web.StreamResponse | None = None
        try:
            async with self._session.request(
                request.method,
                URL(self._azurite + forwarding.target, encoded=True),
                headers=headers,
                data=request.content if request.body_exists else None,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            ) as received:
                if action.drop:
                    await received.read()
                    return _cut(request)
                response = web.StreamResponse(status=received.status, reason=received.reason)
                for name, value in received.headers.items():
                    if name.lower() not in _HOP_BY_HOP:
                        response.headers.add(name, value)
                # Before its headers: a client that reads only these may look at the journal before its body ends.
                span, source = _page_write(request), _source(request)
                self._journal.record("blob", request.method, request.raw_path, received.status, span, source)
                request[_RECORDED] = True
                await response.prepare(request)
                async for chunk in received.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except aiohttp.ClientError as error:
            if response is not None:
                return _cut(request)
            return await _send(request, _error(503, "ServerBusy", f"The blob emulator does not answer: {error}"))

    def _copy_life(self, request: web.BaseRequest) -> str | None:
        latencies = self._latencies()
        rule = self._faults.match("blob", request.method, request.raw_path, "copy") or _NOTHING
        given = rule.copy_seconds is not None
        life = {
            "seconds": rule.copy_seconds if given else latencies.copy_seconds,
            "bytesPerSecond": None if given else latencies.copy_bytes_per_second,
            "fails": rule.copy_fails,
            "stalls": rule.copy_stalls,
        }
        return json.dumps(life) if any(life.values()) else None


def _starts_copy(request: web.BaseRequest) -> bool:
    """Return whether this is Copy Blob; ranges, blocks and synchronous copies from a URL are other operations."""
    return (
        request.method == "PUT"
        and "x-ms-copy-source" in request.headers
        and "x-ms-blob-type" not in request.headers
        and "comp" not in request.query
        and request.headers.get("x-ms-requires-sync", "").lower() != "true"
    )


def _container(request: web.BaseRequest) -> str:
    """Return the path of the container that a request creates or deletes; empty for other operations."""
    of_container = request.query.get("restype") == "container" and "comp" not in request.query
    return request.path if of_container else ""


def _of_source(action: Action) -> dict[str, str]:
    given = {"status": action.copy_source_status, "error": action.copy_source_code}
    return {f"x-ms-copy-source-{name}-code": str(value) for name, value in given.items() if value is not None}


def _source(request: web.BaseRequest) -> str:
    """Return the path of what a copy or a page write reads; empty for other operations."""
    return urlsplit(request.headers.get("x-ms-copy-source", "")).path


def _page_write(request: web.BaseRequest) -> Span | None:
    """Return the range of a page write, as offset and length in bytes; None for other operations."""
    return _range(request) if request.method == "PUT" and "comp=page" in request.raw_path else None


def _page_list(request: web.BaseRequest) -> Span | None:
    """Return the range of Get Page Ranges, from 0 and longer than any blob if it has none; None for others."""
    return (_range(request) or (0, 1 << 63)) if "comp=pagelist" in request.raw_path else None


def _range(request: web.BaseRequest) -> Span | None:
    given = request.headers.get("x-ms-range") or request.headers.get("Range") or ""
    first, _, last = given.removeprefix("bytes=").partition("-")
    return (int(first), int(last) - int(first) + 1) if first.isdigit() and last.isdigit() else None


def _error(
    status: int, code: str, message: str, retry_after: int | None = None, extra: Mapping[str, str] | None = None
) -> web.Response:
    """Return an error in the form of the blob service."""
    headers = {"x-ms-error-code": code, "x-ms-request-id": str(uuid.uuid4()), **VERSION_HEADER, **(extra or {})}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{escape(code)}</Code>'
        f"<Message>{escape(message)}</Message></Error>"
    )
    return web.Response(status=status, text=text, content_type="application/xml", headers=headers)


async def _send(request: web.BaseRequest, response: web.Response) -> web.Response:
    with suppress(ConnectionError):  # the client has left
        await response.prepare(request)
        await response.write_eof()
    return response


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
