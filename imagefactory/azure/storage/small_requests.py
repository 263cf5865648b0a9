"""The small requests about a blob: its properties and footer, its creation, metadata and deletion.

Sends each as often as azure-core's retry policy would: again after 408, 429, 500, 502, 503, 504 and broken connections,
after Retry-After or a growing wait, and once more with a new token or SAS if the service rejects the present one. Does
not know what the requests mean: `page_blobs` does.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import NamedTuple, Protocol
from uuid import uuid4

import aiohttp
from yarl import URL

from imagefactory.azure.core.errors import CloudError, cloud_error
from imagefactory.azure.storage.access import Access
from imagefactory.azure.storage.openers import RETRIES
from imagefactory.azure.storage.plain_http import (
    RENEWABLE,
    Proxies,
    content,
    elements,
    open_session,
    seconds,
    with_query,
)
from imagefactory.observed.blobs import BlobRef
from imagefactory.roles.actions import blob_action

IN_FLIGHT = 256
"""Connections that are kept; more requests wait for a free one."""
FIRST_WAIT = 0.8
"""Seconds before the first of `RETRIES`, doubled each time, as azure-core waits."""
_PASSING = frozenset({408, 429, 500, 502, 503, 504})


class NoResponse(CloudError):
    """The service did not respond: its host may not exist."""


class Reply(NamedTuple):
    """A successful response: its headers, and its content as far as it was requested."""

    headers: Mapping[str, str]
    """Their names have any letter case."""
    content: bytes


class Accounts(Protocol):
    """Grants access to blobs; see `accounts`."""

    async def access(self, blob: BlobRef) -> Access:
        """Return what a request needs."""
        ...

    def refuse(self, access: Access) -> None:
        """Renew what is in it."""


class SmallRequests:
    """Sends them over connections that are kept. Close it at the end."""

    def __init__(self, accounts: Accounts, api_version: str) -> None:
        self._accounts, self._version = accounts, api_version
        self._proxies = Proxies()
        self._opened: aiohttp.ClientSession | None = None

    async def send(
        self, method: str, blob: BlobRef, headers: Mapping[str, str], *, query: str = "", most: int = 0
    ) -> Reply:
        """Send a request and return the response, with up to `most` bytes of its content.

        Raises `CloudError` without a consequence if the service returns an error; `NoResponse` if it does not respond.
        """
        renewed, failed = False, 0
        while True:
            access = await self._accounts.access(blob)
            sent = await self._once(method, blob, access, headers, query, most)
            if isinstance(sent, Reply):
                return sent
            error, rest = sent
            if access.secret and not renewed and (error.status == 401 or error.code in RENEWABLE):
                self._accounts.refuse(access)
                renewed = True
                continue
            if failed == RETRIES or not (isinstance(error, NoResponse) or error.status in _PASSING):
                raise error
            wait = FIRST_WAIT * 2**failed
            await asyncio.sleep(random.uniform(wait, 1.5 * wait) if rest is None else rest)  # noqa: S311 - no secret
            failed += 1

    async def close(self) -> None:
        """Close the connections."""
        if self._opened:
            await self._opened.close()

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = open_session(aiohttp.TCPConnector(limit=IN_FLIGHT), self._version)
        return self._opened

    async def _once(
        self, method: str, blob: BlobRef, access: Access, headers: Mapping[str, str], query: str, most: int
    ) -> Reply | tuple[CloudError, float | None]:
        """Return the response; if it is an error, that, with the seconds that the service asks to wait."""
        url, about = with_query(access.url, query), {"x-ms-client-request-id": str(uuid4())}
        sent = {**access.headers, **headers, **about}
        try:
            async with self._session.request(
                method, URL(url, encoded=True), headers=sent, proxy=self._proxies.of(url), allow_redirects=False
            ) as answer:
                if answer.status < 300:
                    return Reply(answer.headers, await content(answer, most))
                told = await elements(answer)
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            fact = f"no response from Azure ({str(error) or type(error).__name__})"
            return NoResponse(cloud_error(blob.name, fact, account=blob.account_id).diagnostic), None
        code = answer.headers.get("x-ms-error-code") or told.get("Code") or answer.reason or ""
        text, action = told.get("Message") or answer.reason or "", blob_action(method, url)
        refused = cloud_error(blob.name, text, answer.status, code, account=blob.account_id, action=action)
        return refused, seconds(answer.headers.get("Retry-After"))
