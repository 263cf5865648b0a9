"""Redirects: a service that gets a credential may redirect the request, and no client follows it.

A stand-in server redirects each call to another one, which records the requests that reach it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from imagefactory.azure.core.answers import Answer
from imagefactory.azure.core.clouds import CLOUDS, Cloud
from imagefactory.azure.core.credentials import CredentialError, credential
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.blob_lists import list_blobs
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.azure.storage.page_writer import Refusal
from imagefactory.observed.blobs import BlobRef
from tests.azure.in_flight import writing
from tests.azure.storage_world import Auth, Token
from tests.azure.test_page_writer_answers import refusal
from tests.federation import serving

REDIRECTS = [301, 302, 303, 307, 308]
ACCOUNT = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/labs"
    "/providers/Microsoft.Storage/storageAccounts/store"
)
STORED = BlobRef(ACCOUNT, "http://127.0.0.1/store/imagefactoryvhds/a.vhd")


@dataclass
class Places:
    """The redirecting server, the calls that it got, and what reached the other one."""

    home: str
    asked: list[str] = field(default_factory=list)
    strayed: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


@asynccontextmanager
async def redirecting(status: int) -> AsyncIterator[Places]:
    """Start a server that redirects each call to another one."""
    places = Places("")

    async def away(request: web.BaseRequest) -> web.Response:
        places.strayed.append((request.method, request.raw_path, dict(request.headers)))
        return web.json_response({"value": "token"})

    async with serving(away) as elsewhere:

        async def home(request: web.BaseRequest) -> web.Response:
            places.asked.append(request.method)
            return web.Response(status=status, headers={"Location": f"{elsewhere}/elsewhere"}, text="<a>elsewhere</a>")

        async with serving(home) as places.home:
            yield places


async def no_redirect_is_followed(places: Places, act: Callable[[], Awaitable[object]]) -> None:
    """Check that the call fails with one line, and that nothing reaches the other server."""
    with pytest.raises(CloudError) as caught:
        await act()
    assert places.asked and places.strayed == []
    assert "redirect" in caught.value.diagnostic.fact and "\n" not in str(caught.value)


BLOB_CALLS: dict[str, Callable[[PageBlobs], Awaitable[object]]] = {
    "facts": lambda blobs: blobs.facts(STORED),
    "read": lambda blobs: blobs.read(STORED, 0, 512),
    "page_ranges": lambda blobs: blobs.page_ranges(STORED),
    "create": lambda blobs: blobs.create(STORED, 1024, {}, 1),
    "set_metadata": lambda blobs: blobs.set_metadata(STORED, {"a": "b"}, etag='"0x1"'),
    "get_document": lambda blobs: blobs.get_document(STORED),
    "put_document": lambda blobs: blobs.put_document(STORED, b"{}", {}, overwrite=True),
    "abort_copy": lambda blobs: blobs.abort_copy(STORED, "id"),
    "delete": lambda blobs: blobs.delete(STORED, etag='"0x1"'),
}


@asynccontextmanager
async def opened(blob_service: str, auth: Auth) -> AsyncIterator[StorageAccounts]:
    """Open storage accounts at a blob service, with a resource manager that returns a key for each."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.json_response({"keys": [{"value": "c2VjcmV0"}]})

    async with (
        serving(answer) as url,
        ResourceManager(Cloud(None, url, f"{blob_service}/{{account}}"), Token()) as arm,
        StorageAccounts(arm, auth) as accounts,
    ):
        yield accounts


@pytest.mark.parametrize("call", BLOB_CALLS)
async def test_no_call_of_the_blob_service_follows_a_redirect(call: str, auth: Auth) -> None:
    """Neither by the SDK's client nor by this project's."""
    async with redirecting(307) as places, opened(places.home, auth) as accounts:
        await no_redirect_is_followed(places, lambda: BLOB_CALLS[call](PageBlobs(accounts)))


@pytest.mark.parametrize("status", REDIRECTS)
async def test_no_kind_of_redirect_is_followed_by_a_listing(status: int) -> None:
    """With each status of a redirect."""
    async with redirecting(status) as places, opened(places.home, "aad") as accounts:
        await no_redirect_is_followed(places, lambda: list_blobs(accounts, ACCOUNT, "imagefactoryvhds"))


@pytest.mark.parametrize("call", ["facts", "page_ranges", "read"])
async def test_no_read_of_a_disk_follows_a_redirect(call: str) -> None:
    """Its SAS URL contains no token, but nothing is read from a host that Azure did not name."""
    async with redirecting(307) as places, opened(places.home, "aad") as accounts:
        blobs = PageBlobs(accounts)
        disk = accounts.lent.add("/disks/os", f"{places.home}/md/abcd?sig=secret")
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "facts": lambda: blobs.facts(disk),
            "page_ranges": lambda: blobs.page_ranges(disk),
            "read": lambda: blobs.read(disk, 0, 512),
        }
        await no_redirect_is_followed(places, calls[call])


@pytest.mark.parametrize("status", REDIRECTS)
async def test_no_write_of_a_range_follows_a_redirect(status: int) -> None:
    """Neither token is forwarded, and the range is not sent again."""
    async with redirecting(status) as places, writing(places.home) as writer:
        refused = await refusal(writer)
    assert refused.kind is Refusal.REFUSED and "redirect" in str(refused)
    assert places.strayed == []


ARM_CALLS: dict[str, Callable[[ResourceManager], Awaitable[object]]] = {
    "get": lambda arm: arm.get("/a", "1", Answer, subject="it"),
    "post": lambda arm: arm.post("/a/listKeys", "1", Answer, subject="it"),
    "list": lambda arm: arm.list("/a", "1", subject="it"),
    "run": lambda arm: arm.run("POST", "/a/endGetAccess", "1", Answer, subject="it"),
}


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("call", ARM_CALLS)
async def test_no_call_of_the_resource_manager_follows_a_redirect(call: str, status: int) -> None:
    """And a redirect does not count as an empty response."""
    async with redirecting(status) as places, ResourceManager(Cloud(None, places.home, ""), Token()) as arm:
        await no_redirect_is_followed(places, lambda: ARM_CALLS[call](arm))


@pytest.mark.parametrize("status", REDIRECTS)
async def test_the_pipelines_token_is_sent_only_to_the_endpoint_that_the_pipeline_named(status: int) -> None:
    """A redirect by the identity provider is an authentication error."""
    variables = {"ARM_USE_OIDC": "true", "ARM_TENANT_ID": "t", "ARM_CLIENT_ID": "c"}
    async with redirecting(status) as places:
        asked = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{places.home}/token",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "s3cret",
        }

        async def sign_in() -> None:
            async with credential(CLOUDS["public"], {**variables, **asked}) as chosen:
                await chosen.get_token("scope/.default")

        with pytest.raises(CredentialError, match=rf"^authentication: .*returned {status}, a redirect.*") as caught:
            await asyncio.to_thread(asyncio.run, sign_in())
    assert places.asked == ["GET"] and places.strayed == []
    assert "s3cret" not in str(caught.value) and "\n" not in str(caught.value)


async def test_a_managed_identitys_secret_is_sent_to_its_endpoint_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library does that; this test notices if it changes."""
    async with redirecting(307) as places:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{places.home}/token")
        monkeypatch.setenv("IDENTITY_HEADER", "s3cret")
        async with ResourceManager(
            Cloud(None, places.home, ""), credential(CLOUDS["public"], {"ARM_USE_MSI": "true"})
        ) as arm:
            with pytest.raises(CloudError):
                await arm.get("/a", "1", Answer, subject="it")
    assert places.asked and places.strayed == []


async def test_no_call_of_a_copy_by_the_service_follows_a_redirect(auth: Auth) -> None:
    """Nor the request for the key that signs its SAS."""
    async with redirecting(307) as places, opened(places.home, auth) as accounts:
        blobs = PageBlobs(accounts)
        away = BlobRef(ACCOUNT, STORED.url.replace("a.vhd", "b.vhd"))
        await no_redirect_is_followed(places, lambda: blobs.start_copy(STORED, '"0x1"', away, {}))
