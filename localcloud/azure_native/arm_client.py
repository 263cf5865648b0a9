"""Calls of the resource manager: tokens, retries, long-running operations.

Owns the genuine plugin's way of calling: 408, 429, 5xx and `AnotherOperationInProgress` are tried three times more,
Retry-After is honoured, an operation is polled to its end. One departure: without Retry-After the genuine plugin waits
20, 60 and 120 seconds before it tries again; here it is 0.5, 1 and 2, since the cloud is on this machine.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

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


class AzureError(Exception):
    """A refused or failed call. `status` 0: no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class UnfinishedError(AzureError):
    """A PUT was accepted, and its operation failed or was given up: the resource may be there."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object in it, empty where there is none."""
        try:
            body = json.loads(self.text) if self.text else {}
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    @property
    def code(self) -> str:
        """The ARM error code, empty where there is none."""
        error = self.body.get("error")
        return str(error.get("code", "")) if isinstance(error, dict) else ""

    def error(self) -> AzureError:
        """What it refuses, in the genuine plugin's words."""
        error = self.body.get("error")
        message = error.get("message", self.text) if isinstance(error, dict) else self.text
        code = f' Code="{self.code}"' if self.code else ""
        return AzureError(f'Status={self.status}{code} Message="{message}"', self.status)

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait as the service asks, or None."""
        for header, unit in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1.0)):
            value = self.headers.get(header, "")
            if value.isdigit():
                return int(value) * unit
        return None


class ArmClient:
    """Calls to the resource manager at `endpoint`, with tokens of a managed identity (App Service protocol)."""

    def __init__(self, endpoint: str, identity_endpoint: str, identity_header: str) -> None:
        self._endpoint, self._identity_endpoint = endpoint.rstrip("/"), identity_endpoint
        self._identity_header = identity_header
        self._opened: ClientSession | None = None
        self._token, self._token_until = "", 0.0
        self._token_lock = asyncio.Lock()
        self._cancelled = asyncio.Event()

    def cancel(self) -> None:
        """End all waiting, now and later."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    async def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            await self._opened.close()

    async def get(self, path: str, api_version: str) -> Answer:
        """The answer to a GET, whatever its status."""
        return await self._send("GET", self._url(path, api_version))

    async def put(self, path: str, api_version: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Create or update and wait for the end. Returns the resource.

        Raises AzureError where the PUT is refused, UnfinishedError where it was accepted and came to no good end.
        """
        answer = await self._send("PUT", self._url(path, api_version), body)
        if answer.status not in (200, 201, 202):
            raise answer.error()
        try:
            if await self._poll(answer, self._url(path, api_version), UPDATE_POLL_SECONDS, timeout):
                answer = await self.get(path, api_version)
                if answer.status != 200:
                    raise answer.error()
        except AzureError as error:
            raise UnfinishedError(str(error), error.status) from error
        return answer.body

    async def delete(self, path: str, api_version: str, timeout: float) -> None:
        """Delete and wait for the end; what is not there is deleted. Raises AzureError."""
        answer = await self._send("DELETE", self._url(path, api_version))
        if answer.status == 404:
            return
        if answer.status not in (200, 202, 204):
            raise answer.error()
        await self._poll(answer, None, DELETE_POLL_SECONDS, timeout)

    async def _poll(self, answer: Answer, resource: str | None, interval: float, timeout: float) -> bool:
        """Wait until the operation that `answer` began has ended; False where it began none. Raises AzureError."""
        operation = answer.headers.get("azure-asyncoperation") or answer.headers.get("location")
        state = str(answer.body.get("properties", {}).get("provisioningState", "Succeeded"))
        if operation is None and (resource is None or state.lower() == "succeeded"):
            return False
        url = urljoin(f"{self._endpoint}/", operation) if operation else str(resource)
        if not url.startswith(f"{self._endpoint}/"):
            raise AzureError("the poll link of an operation leads away from the resource manager")
        deadline = time.monotonic() + timeout
        wait = answer.retry_after or 0.0
        while True:
            if time.monotonic() + wait > deadline:
                raise AzureError(f"context deadline exceeded: the operation did not end within {timeout:.0f} s")
            await self._sleep(wait)
            answer = await self._send("GET", url)
            if answer.status not in (200, 201, 202, 204):
                raise answer.error()
            body = answer.body
            state = body.get("status") or body.get("properties", {}).get("provisioningState") or "Succeeded"
            if state.lower() in _ENDED_BADLY:
                raise answer.error()
            if state.lower() == "succeeded" and answer.status != 202:
                return True
            asked = answer.retry_after
            wait = interval if asked is None else asked

    async def _send(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> Answer:
        from aiohttp import ClientError

        for attempt in range(RETRIES + 1):
            last = attempt == RETRIES
            try:
                answer = await self._exchange(method, url, body)
            except (ClientError, asyncio.TimeoutError) as error:
                if last:
                    raise AzureError(f"{method} {url}: no answer ({type(error).__name__}: {error})") from error
                await self._sleep(RETRY_SECONDS * 2**attempt)
                continue
            again = answer.status in _RETRIED or (answer.status == 409 and answer.code == "AnotherOperationInProgress")
            if last or not again:
                return answer
            asked = answer.retry_after
            await self._sleep(RETRY_SECONDS * 2**attempt if asked is None else asked)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _exchange(self, method: str, url: str, body: Mapping[str, Any] | None) -> Answer:
        headers = {"Authorization": f"Bearer {await self._bearer()}", "Accept": "application/json"}
        async with self._session().request(method, url, headers=headers, json=body) as response:
            text = await response.text()
            return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, text)

    async def _bearer(self) -> str:
        async with self._token_lock:
            if time.time() < self._token_until:
                return self._token
            headers = {"X-IDENTITY-HEADER": self._identity_header}
            query = {"resource": "https://management.azure.com/", "api-version": "2019-08-01"}
            async with self._session().get(self._identity_endpoint, headers=headers, params=query) as response:
                answer = Answer(response.status, {}, await response.text())
            if answer.status != 200:
                raise answer.error()
            token = answer.body
            self._token, self._token_until = token["access_token"], float(token["expires_on"]) - _TOKEN_MARGIN_SECONDS
            return self._token

    def _session(self) -> ClientSession:
        if self._opened is None:
            # Half of the plugin's start would be this import, and many runs need no request at all.
            from aiohttp import ClientSession, ClientTimeout

            self._opened = ClientSession(timeout=ClientTimeout(total=100.0))
        return self._opened

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0 and not self.cancelled:
            try:
                await asyncio.wait_for(self._cancelled.wait(), seconds)
            except asyncio.TimeoutError:
                return
        if self.cancelled:
            raise AzureError("context canceled")

    def _url(self, path: str, api_version: str) -> str:
        return f"{self._endpoint}{path}?api-version={api_version}"
