"""Storage accounts whose endpoint is in a DNS zone: the resource manager says so, never a URL alone."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from imagefactory.azure.core.clouds import CLOUDS
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.observed.blobs import BlobRef
from tests.azure.storage_world import Token
from tests.federation import serving

ACCOUNT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/store"
ZONE, USUAL = "https://store.z12.blob.storage.azure.net", "https://store.blob.core.windows.net"
PATH = "imagefactory-staging/a.vhd"


async def url_of(blob: BlobRef, shown: str, asked: list[str], learnt: str = "") -> str:
    """The URL that requests for a blob go to, where ARM shows that endpoint of its account."""

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.path)
        properties: dict[str, Any] = {"primaryEndpoints": {"blob": f"{shown}/"}}
        return web.json_response({"properties": properties})

    async with serving(answer) as arm_url:
        public = CLOUDS["public"]
        cloud = type(public)(None, arm_url, public.blob_endpoint)
        async with ResourceManager(cloud, Token()) as arm, StorageAccounts(arm) as accounts:
            if learnt:
                accounts.learn(ACCOUNT, learnt)
            access = await accounts.access(blob)
            client = await accounts.client(blob)
            assert client.url == access.url == f"{accounts.endpoint(blob.account_id)}/{PATH}"
            return access.url


@pytest.mark.parametrize(
    ("given", "shown", "requests"),
    [
        (ZONE, ZONE, 1),
        (ZONE, USUAL, 1),
        (USUAL, ZONE, 0),
        ("https://attacker.example", ZONE, 0),
    ],
)
async def test_a_url_in_a_dns_zone_counts_if_the_resource_manager_shows_it(
    given: str, shown: str, requests: int
) -> None:
    """One request for each account; a URL of the usual form costs none, and goes where it always went."""
    asked: list[str] = []
    url = await url_of(BlobRef(ACCOUNT, f"{given}/{PATH}"), shown, asked)
    assert url == f"{shown if requests else USUAL}/{PATH}" and len(asked) == requests


async def test_what_the_plan_read_is_not_asked_again() -> None:
    """The endpoint of each lab's account is known after the labs were read."""
    asked: list[str] = []
    assert await url_of(BlobRef(ACCOUNT, f"{ZONE}/{PATH}"), USUAL, asked, f"{ZONE}/") == f"{ZONE}/{PATH}"
    assert (
        await url_of(BlobRef(ACCOUNT.upper()[:-5] + "store", f"{ZONE}/{PATH}"), USUAL, asked, ZONE) == f"{ZONE}/{PATH}"
    )
    assert asked == []
