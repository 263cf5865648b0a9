"""A client of the resource manager: tokens, retries, long-running operations.

Behaves like the genuine plugin, in its words: retries 408, 429, 5xx and `AnotherOperationInProgress` 3 times, honors
Retry-After, and polls operations until they finish. One difference: without Retry-After the genuine plugin waits 20 s,
60 s and 120 s before a retry; this client waits 0.5 s, 1 s and 2 s, because the cloud is on this machine.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from localcloud.azure_native.errors import AzureError, UnfinishedError
from localcloud.azure_native.sign_in import SignIn

if TYPE_CHECKING:
    from aiohttp import ClientSession

RETRIES = 3
RETRY_SECONDS = 0.5
UPDATE_POLL_SECONDS = 10.0
DELETE_POLL_SECONDS = 30.0
DEFAULT_TIMEOUT_SECONDS = 7200.0
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_TOKEN_MARGIN_SECONDS = 300.0
_ENDED_BADLY = frozenset({"failed", "canceled", "cancelled"})


@dataclass(frozen=True)
class Response:
    """An HTTP response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object in the response; empty if it has none."""
        try:
            body = json.loads(self.text) if self.text else {}
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    @property
    def code(self) -> str:
        """The ARM error code; empty if it has none."""
        error = self.body.get("error")
        return str(error.get("code", "")) if isinstance(error, dict) else ""

    def error(self) -> AzureError:
        """Return the error in the genuine plugin's words."""
        error = self.body.get("error")
        message = error.get("message", self.text) if isinstance(error, dict) else self.text
        code = f' Code="{self.code}"' if self.code else ""
        return AzureError(f'Status={self.status}{code} Message="{message}"', self.status)

    @property
    def retry_after(self) -> float | None:
        """The seconds to wait that the service requests, or None."""
        for header, unit in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1.0)):
            value = self.headers.get(header, "")
            if value.isdigit():
                return int(value) * unit
        return None


class ArmClient:
    """Calls the resource manager at `endpoint`, with tokens from `sign_in`."""

    def __init__(self, endpoint: str, sign_in: SignIn) -> None:
        self._endpoint, self._sign_in = endpoint.rstrip("/"), sign_in
        self._opened: ClientSession | None = None
        self._token, self._token_until = "", 0.0
        self._token_lock = asyncio.Lock()
        self._cancelled = asyncio.Event()

    def cancel(self) -> None:
        """Cancel all waits, including future ones."""
        self._cancelled.set()

    async def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            await self._opened.close()

    async def get(self, path: str, api_version: str) -> Response:
        """Return the response to a GET, with any status."""
        return await self._send("GET", self._url(path, api_version))

    async def put(self, path: str, api_version: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Create or update the resource and wait until the operation finishes. Returns the resource.

        Raises AzureError if the PUT is rejected, UnfinishedError if it was accepted but did not succeed.
        """
        response = await self._send("PUT", self._url(path, api_version), body)
        if response.status not in (200, 201, 202):
            raise response.error()
        try:
            if await self._poll(response, self._url(path, api_version), UPDATE_POLL_SECONDS, timeout):
                response = await self.get(path, api_version)
                if response.status != 200:
                    raise response.error()
        except AzureError as error:
            raise UnfinishedError(str(error), error.status) from error
        return response.body

    async def delete(self, path: str, api_version: str, timeout: float) -> None:
        """Delete the resource, if it exists, and wait until the operation finishes. Raises AzureError."""
        response = await self._send("DELETE", self._url(path, api_version))
        if response.status == 404:
            return
        if response.status not in (200, 202, 204):
            raise response.error()
        try:
            await self._poll(response, None, DELETE_POLL_SECONDS, timeout)
        except AzureError as error:
            if error.status != 404:
                raise

    async def _poll(self, response: Response, resource: str | None, interval: float, timeout: float) -> bool:
        """Wait until the operation of `response` finishes; return False if it has none. Raises AzureError."""
        operation = response.headers.get("azure-asyncoperation") or response.headers.get("location")
        state = str(response.body.get("properties", {}).get("provisioningState", "Succeeded"))
        if operation is None and (resource is None or state.lower() == "succeeded"):
            return False
        url = urljoin(f"{self._endpoint}/", operation) if operation else str(resource)
        if not url.startswith(f"{self._endpoint}/"):
            raise AzureError("the poll URL of an operation is not one of the resource manager")
        deadline = time.monotonic() + timeout
        wait = response.retry_after or 0.0
        while True:
            if time.monotonic() + wait > deadline:
                raise AzureError(f"context deadline exceeded: the operation did not finish within {timeout:.0f} s")
            await self._sleep(wait)
            response = await self._send("GET", url)
            if response.status not in (200, 201, 202, 204):
                raise response.error()
            body = response.body
            state = body.get("status") or body.get("properties", {}).get("provisioningState") or "Succeeded"
            if state.lower() in _ENDED_BADLY:
                raise response.error()
            if state.lower() == "succeeded" and response.status != 202:
                return True
            requested = response.retry_after
            wait = interval if requested is None else requested

    async def _send(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> Response:
        from aiohttp import ClientError

        for attempt in range(RETRIES + 1):
            last = attempt == RETRIES
            try:
                response = await self._exchange(method, url, body)
            except (ClientError, asyncio.TimeoutError) as error:
                if last:
                    place = url.partition("?")[0]  # the query of an operation's URL is signed
                    raise AzureError(f"{method} {place}: no response ({type(error).__name__}: {error})") from error
                await self._sleep(RETRY_SECONDS * 2**attempt)
                continue
            retry = response.status in _RETRIED or (
                response.status == 409 and response.code == "AnotherOperationInProgress"
            )
            if last or not retry:
                return response
            requested = response.retry_after
            await self._sleep(RETRY_SECONDS * 2**attempt if requested is None else requested)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _exchange(self, method: str, url: str, body: Mapping[str, Any] | None) -> Response:
        headers = {"Authorization": f"Bearer {await self._bearer()}", "Accept": "application/json"}
        async with self._session().request(method, url, headers=headers, json=body) as raw:
            headers = {name.lower(): value for name, value in raw.headers.items()}
            return Response(raw.status, headers, await raw.text())

    async def _bearer(self) -> str:
        async with self._token_lock:
            if time.time() < self._token_until:
                return self._token
            self._token, expires = await self._sign_in.token(self._session())
            self._token_until = expires - _TOKEN_MARGIN_SECONDS
            return self._token

    def _session(self) -> ClientSession:
        if self._opened is None:
            # Imported here: it would double the plugin's start time, and many runs send no request.
            from aiohttp import ClientSession, ClientTimeout

            self._opened = ClientSession(timeout=ClientTimeout(total=100.0))
        return self._opened

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0 and not self._cancelled.is_set():
            try:
                await asyncio.wait_for(self._cancelled.wait(), seconds)
            except asyncio.TimeoutError:
                return
        if self._cancelled.is_set():
            raise AzureError("context canceled")

    def _url(self, path: str, api_version: str) -> str:
        return f"{self._endpoint}{path}?api-version={api_version}"
