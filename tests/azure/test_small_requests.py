"""The small requests about blobs are sent again as often as the SDK's were, with a new token after a rejected one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from time import time

import pytest
from aiohttp import web
from azure.core.credentials import AccessToken

from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.openers import RETRIES
from imagefactory.azure.storage.page_blobs import PageBlobs
from tests.azure.in_flight import STAGED
from tests.azure.storage_world import Auth, Token
from tests.federation import serving


async def created(blobs: PageBlobs) -> bool:
    """Create a page blob; return whether no other existed."""
    return await blobs.create(STAGED, 512, {}, 1) is None


WRITTEN = {"ETag": '"0x2"', "Content-Length": "0"}
CALLS: dict[str, Callable[[PageBlobs], Awaitable[object]]] = {
    "HEAD": lambda blobs: blobs.facts(STAGED),
    "GET": lambda blobs: blobs.read(STAGED, 0, 512),
    "PUT": created,
    "PUT comp=metadata": lambda blobs: blobs.set_metadata(STAGED, {"a": "b"}, etag='"0x1"'),
    "DELETE": lambda blobs: blobs.delete(STAGED, etag='"0x1"'),
}
"""Each call, by method and query of its request."""

Fail = Callable[[int], "web.Response | None"]


class _Tokens(Token):
    """Another token each time."""

    def __init__(self) -> None:
        self._numbers = count(1)

    async def get_token(self, *_: str, **__: object) -> AccessToken:
        """A token for an hour."""
        return AccessToken(f"token{next(self._numbers)}", int(time()) + 3600)


class Service:
    """A server that responds with what `fail` returns for the number of the request (None: success, 0: dropped)."""

    def __init__(self, call: str, fail: Fail) -> None:
        self.method, _, self.query = call.partition(" ")
        self._fail = fail
        self.sent: list[web.BaseRequest] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Respond; the requests of other calls succeed."""
        if "listKeys" in request.raw_path:
            return web.json_response({"keys": [{"value": "c2VjcmV0"}]})
        if request.method != self.method or "restype=container" in request.raw_path:
            return web.Response(status=201, headers=WRITTEN)
        self.sent.append(request)
        failure = self._fail(len(self.sent))
        if failure is None:
            return web.Response(status=201 if self.method == "PUT" else 200, headers=WRITTEN)
        if not failure.status:
            assert request.transport
            request.transport.close()
        return failure

    @asynccontextmanager
    async def blobs(self, auth: Auth = "aad") -> AsyncIterator[PageBlobs]:
        """Open blobs of it."""
        async with (
            serving(self.answer) as url,
            ResourceManager(Cloud(None, url, f"{url}/{{account}}"), _Tokens()) as arm,
            StorageAccounts(arm, auth) as accounts,
        ):
            yield PageBlobs(accounts)


def refused(status: int, code: str = "", **headers: str) -> web.Response:
    return web.Response(status=status, headers={"x-ms-error-code": code, **headers})


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which take no time here."""
    waited: list[float] = []
    sleep = asyncio.sleep

    async def at_once(seconds: float, result: object = None) -> object:
        if seconds:
            waited.append(seconds)
        return await sleep(0, result)

    monkeypatch.setattr(asyncio, "sleep", at_once)
    return waited


@pytest.mark.parametrize("status", [0, 408, 429, 500, 502, 503, 504])
async def test_a_request_that_fails_in_passing_is_sent_five_times_more(status: int, waits: list[float]) -> None:
    """As the SDK's: throttled, failed or dropped. Each wait is at least azure-core's: 0.8 s, doubled each time."""
    for call, send in CALLS.items():
        waits.clear()
        service = Service(call, lambda number: refused(status) if number <= RETRIES else None)
        async with service.blobs() as blobs:
            assert await send(blobs) not in (None, False)
        assert len(service.sent) == RETRIES + 1
        assert all(wait >= least for wait, least in zip(waits, (0.8, 1.6, 3.2, 6.4, 12.8), strict=True))


@pytest.mark.parametrize(("status", "told"), [(0, "no response from Azure"), (503, "Azure returned 503")])
async def test_the_sixth_failure_is_an_error(status: int, told: str) -> None:
    """It says what the last response was; an account that exists is not taken for a deleted one."""
    service = Service("HEAD", lambda _: refused(status))
    async with service.blobs() as blobs:
        with pytest.raises(CloudError, match=told):
            await blobs.facts(STAGED)
    assert len(service.sent) == RETRIES + 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_throttled_request_waits_as_long_as_the_service_asks(status: int, waits: list[float]) -> None:
    """Instead of the wait that would grow by itself."""
    busy = {"Retry-After": "17"}
    service = Service("HEAD", lambda number: refused(status, "ServerBusy", **busy) if number == 1 else None)
    async with service.blobs() as blobs:
        assert await blobs.facts(STAGED)
    assert waits == [17]


@pytest.mark.parametrize("call", CALLS)
async def test_a_rejected_token_is_renewed_once(call: str) -> None:
    """The request is sent again with another token at once; a second 401 is an error, not a loop."""
    service = Service(call, lambda number: refused(401, "InvalidAuthenticationInfo") if number == 1 else None)
    async with service.blobs() as blobs:
        assert await CALLS[call](blobs) not in (None, False)
    first, second = (request.headers["Authorization"] for request in service.sent)
    assert first != second and second.startswith("Bearer token")
    service = Service(call, lambda _: refused(401, "InvalidAuthenticationInfo"))
    async with service.blobs() as blobs:
        with pytest.raises(CloudError, match="Azure returned 401"):
            await CALLS[call](blobs)
    assert len(service.sent) == 2


async def test_a_sas_that_has_expired_is_renewed() -> None:
    """Azure returns 403 AuthenticationFailed for it. The account's key is in no request."""
    service = Service("HEAD", lambda number: refused(403, "AuthenticationFailed") if number == 1 else None)
    async with service.blobs("key") as blobs:
        assert await blobs.facts(STAGED)
    assert len(service.sent) == 2
    assert all("sig=" in each.raw_path and "Authorization" not in each.headers for each in service.sent)


@pytest.mark.parametrize(("call", "status"), list(zip(CALLS, [400, 403, 404, 409, 412], strict=True)))
async def test_a_final_refusal_is_not_sent_again(call: str, status: int) -> None:
    """The error has status, code and the service's text, and never the query of a URL."""
    service = Service(call, lambda _: refused(status, "SomethingNew"))
    async with service.blobs("key") as blobs:
        with pytest.raises(CloudError) as caught:
            await CALLS[call](blobs)
    assert (caught.value.status, caught.value.code, len(service.sent)) == (status, "SomethingNew", 1)
    assert "sig=" not in str(caught.value) and caught.value.diagnostic.consequence


async def test_no_request_has_more_than_the_service_needs() -> None:
    """The headers that the REST API documents for each call, and an id for Azure's support."""
    for call, send in CALLS.items():
        service = Service(call, lambda _: None)
        async with service.blobs() as blobs:
            await send(blobs)
        (request,) = service.sent
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert len(headers.pop("x-ms-client-request-id")) == 36
        common = {"authorization", "host", "user-agent", "x-ms-version"}
        own: dict[str, dict[str, str]] = {
            "HEAD": {},
            "GET": {"x-ms-range": "bytes=0-511"},
            "PUT": {
                "content-length": "0",
                "x-ms-blob-type": "PageBlob",
                "x-ms-blob-content-length": "512",
                "x-ms-blob-sequence-number": "1",
                "if-none-match": "*",
            },
            "PUT comp=metadata": {"content-length": "0", "x-ms-meta-a": "b", "if-match": '"0x1"'},
            "DELETE": {"content-length": "0", "x-ms-delete-snapshots": "include", "if-match": '"0x1"'},
        }
        assert {name: value for name, value in headers.items() if name not in common} == own[call]
        assert common <= headers.keys() and request.raw_path.partition("?")[2] == call.partition(" ")[2]
