"""One version of the storage service's API in all requests, those of the SDK's clients included."""

from __future__ import annotations

from contextlib import suppress

import pytest
from aiohttp import web

from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import REST_VERSION, StorageAccounts
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.azure.storage.page_writer import PageWriter, RangeRefused
from tests.azure.in_flight import SOURCE, STAGED
from tests.azure.storage_world import FIRST, GENERATION, Token
from tests.federation import serving


@pytest.mark.parametrize("version", [None, "2020-10-02"])
async def test_every_request_names_the_pinned_version_or_that_of_the_settings(version: str | None) -> None:
    """The SDK's own would be newer than what some clouds support."""
    asked: list[tuple[str, str | None]] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append((request.method, request.headers.get("x-ms-version")))
        return web.Response(status=400, headers={"x-ms-error-code": "InvalidInput"})

    async with serving(answer) as url:
        cloud = Cloud(None, url, f"{url}/{{account}}")
        async with (
            ResourceManager(cloud, Token()) as arm,
            StorageAccounts(arm, api_version=version) as accounts,
            PageWriter(accounts, 4) as writer,
        ):
            blobs = PageBlobs(accounts)
            disk = accounts.lent.add("/disks/os", f"{url}/disk/abcd?sig=1")
            for call in (
                blobs.facts(STAGED),
                blobs.facts(disk),
                blobs.read(STAGED, 0, 512),
                blobs.page_ranges(STAGED),
                blobs.create(STAGED, 512, {}, 1),
                writer.copy_range(SOURCE, None, STAGED, GENERATION, FIRST, None),
            ):
                with suppress(CloudError, RangeRefused):
                    await call
    assert len(asked) >= 6 and {named for _, named in asked} == {version or REST_VERSION}


async def test_a_version_that_the_sdk_does_not_know_is_named_with_its_setting() -> None:
    """Not a traceback."""
    cloud = Cloud(None, "http://127.0.0.1:9", "http://127.0.0.1:9/{account}")
    async with ResourceManager(cloud, Token()) as arm, StorageAccounts(arm, api_version="2019-01-01") as accounts:
        with pytest.raises(CloudError, match="setting imagefactory:storageApiVersion: 2019-01-01 is not"):
            await PageBlobs(accounts).facts(STAGED)
