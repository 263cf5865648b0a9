"""How requests to the blob service are sent without the SDK's pipeline, which costs several times the CPU (ADR 10, 33).

Sessions that send each request once and follow no redirect, the environment's proxy, and how an error is read. Does not
decide what is sent, or sent again: `page_writer` and `small_requests` do.
"""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

CONNECT_SECONDS, ANSWER_SECONDS = 15.0, 60.0
"""Timeouts of a request: to connect, and to get the response; waiting for a free connection is not counted. What an
overloaded service has not finished after a minute is better sent again."""

READ_BYTES = 4096
"""How much of an error's body is read, and the size of read buffers."""

RENEWABLE = frozenset({"AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation"})
"""Codes, also of a 403, that mean: the token or SAS is no longer valid."""

_ELEMENT = re.compile(r"<(\w+)>([^<]*)</\1>")


def open_session(connector: aiohttp.TCPConnector, api_version: str) -> aiohttp.ClientSession:
    """Return a session for the blob service. Its callers pass the proxy and `allow_redirects=False`."""
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "imagefactory", "x-ms-version": api_version},
        skip_auto_headers=("Content-Type", "Accept", "Accept-Encoding"),
        read_bufsize=READ_BYTES,
        middlewares=(_once,),
    )


class Proxies:
    """The environment's proxy of each host; aiohttp itself would start a thread for it with each request."""

    def __init__(self) -> None:
        self._of: dict[str, str | None] = {}

    def of(self, url: str) -> str | None:
        """Return the proxy for a URL; None: connect directly."""
        parts = urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc}"
        if host not in self._of:
            bypassed = proxy_bypass(parts.hostname or "")
            self._of[host] = None if bypassed else getproxies().get(parts.scheme)
        return self._of[host]


def with_query(url: str, query: str) -> str:
    """Return a URL, which may have a SAS as its query, with one more part of a query; empty: none."""
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


async def elements(answer: aiohttp.ClientResponse) -> dict[str, str]:
    """Return the elements of an error's body, such as Code and Message."""
    return dict(_ELEMENT.findall((await content(answer, READ_BYTES)).decode("utf-8", errors="replace")))


async def content(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """Return at most the first `most` bytes of a response's body."""
    if not most:
        return b""
    try:
        return await answer.content.readexactly(most)
    except asyncio.IncompleteReadError as short:
        return short.partial


def seconds(given: str | None) -> float | None:
    """Parse Retry-After, which is a number of seconds or a time; None if it is neither."""
    if not given:
        return None
    if given.isdecimal():
        return float(given)
    try:
        return max(0.0, (parsedate_to_datetime(given) - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError):
        return None


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request once; without this, aiohttp silently sends it again if the connection breaks."""
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error
