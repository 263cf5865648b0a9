"""The front before Azurite: a streaming reverse proxy that adds fault rules, slow copies and the journal.

Owns what happens to a call on its way: cut, delayed, answered with an error, or passed on unchanged. Method, path, Host
and headers reach Azurite as the client sent them, or signatures would fail and copy sources be foreign. How a slow copy
lives is told to Azurite (azurite_host.cjs) in a header. Refuses: understanding blobs.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from xml.sax.saxutils import escape

import aiohttp
from aiohttp import web
from yarl import URL

from localcloud.blobs.access import LOOPBACK
from localcloud.faults import Action, Faults, Journal, Latencies

COPY_LIFE = "x-localcloud-copy"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", COPY_LIFE}


class BlobFront:
    """Answers for the blob service on the public port."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        azurite_port: int,
        faults: Faults,
        latencies: Callable[[], Latencies],
        journal: Journal,
    ) -> None:
        self._session = session
        self._azurite = f"http://{LOOPBACK}:{azurite_port}"
        self._faults, self._latencies, self._journal = faults, latencies, journal

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one call and note it."""
        method, target = request.method, request.raw_path
        action = self._faults.match("blob", method, target, "request")
        if action and action.delay_seconds:
            await asyncio.sleep(action.delay_seconds)
        if action and action.drop:
            self._journal.record("blob", method, target, 0)
            return _cut(request)
        if action and action.status is not None:
            response: web.StreamResponse = await _send(
                request, _error(action.status, action.code, action.message, action.retry_after)
            )
        elif not target.startswith("/"):
            response = await _send(request, _error(400, "InvalidUri", "The request line must name a path."))
        else:
            response = await self._forward(request)
        self._journal.record("blob", method, target, response.status)
        return response

    async def _forward(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        if _starts_copy(request) and (life := self._copy_life(request)):
            headers.append((COPY_LIFE, life))
        response: web.StreamResponse | None = None
        try:
            async with self._session.request(
                request.method,
                URL(self._azurite + request.raw_path, encoded=True),
                headers=headers,
                data=request.content if request.body_exists else None,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            ) as answer:
                response = web.StreamResponse(status=answer.status, reason=answer.reason)
                for name, value in answer.headers.items():
                    if name.lower() not in _HOP_BY_HOP:
                        response.headers.add(name, value)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except aiohttp.ClientError as error:
            if response is not None:
                return _cut(request)
            return await _send(request, _error(503, "ServerBusy", f"The blob emulator does not answer: {error}"))

    def _copy_life(self, request: web.BaseRequest) -> str | None:
        latencies = self._latencies()
        rule = self._faults.match("blob", request.method, request.raw_path, "copy") or Action.model_construct()
        given = rule.copy_seconds is not None
        life = {
            "seconds": rule.copy_seconds if given else latencies.copy_seconds,
            "bytesPerSecond": None if given else latencies.copy_bytes_per_second,
            "fails": rule.copy_fails,
            "stalls": rule.copy_stalls,
        }
        return json.dumps(life) if any(life.values()) else None


def _starts_copy(request: web.BaseRequest) -> bool:
    """Whether this is Copy Blob; ranges, blocks and synchronous copies from a URL are other operations."""
    return (
        request.method == "PUT"
        and "x-ms-copy-source" in request.headers
        and "x-ms-blob-type" not in request.headers
        and "comp" not in request.query
        and request.headers.get("x-ms-requires-sync", "").lower() != "true"
    )


def _error(status: int, code: str, message: str, retry_after: int | None = None) -> web.Response:
    """An error as the blob service words it."""
    headers = {"x-ms-error-code": code, "x-ms-request-id": str(uuid.uuid4()), "x-ms-version": "2021-12-02"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{escape(code)}</Code>'
        f"<Message>{escape(message)}</Message></Error>"
    )
    return web.Response(status=status, text=text, content_type="application/xml", headers=headers)


async def _send(request: web.BaseRequest, response: web.Response) -> web.Response:
    await response.prepare(request)
    await response.write_eof()
    return response


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
