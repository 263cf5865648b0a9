"""Properties of a blob out of shape: an error that names the request, or the same facts."""

from __future__ import annotations

import pytest
from aiohttp import web

from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.observed.blobs import BlobFacts, BlobRef
from tests.azure.storage_world import Token
from tests.azure.test_labs import ACCOUNT
from tests.federation import serving

HEADERS = {
    "Content-Length": "1024",
    "ETag": '"0x8D"',
    "Last-Modified": "Fri, 27 Nov 2026 10:00:00 GMT",
    "x-ms-creation-time": "Fri, 27 Nov 2026 10:00:00 GMT",
    "x-ms-blob-type": "PageBlob",
    "x-ms-blob-sequence-number": "7",
    "x-ms-copy-id": "a-copy",
    "x-ms-copy-status": "pending",
    "x-ms-copy-progress": "512/1024",
}
"""As "Get Blob Properties" of the Blob service's REST API documents them."""


async def facts_of(headers: dict[str, str]) -> BlobFacts | None:
    """The facts that are read from a response with these headers."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(headers=headers)

    async with (
        serving(answer) as url,
        ResourceManager(Cloud(None, url, f"{url}/{{account}}"), Token()) as arm,
        StorageAccounts(arm) as accounts,
    ):
        return await PageBlobs(accounts).facts(BlobRef(ACCOUNT, f"{url}/{ACCOUNT.rpartition('/')[2]}/c/a.vhd"))


async def test_a_response_as_documented_is_read() -> None:
    """Length, sequence number and the copy that writes the blob."""
    found = await facts_of(HEADERS)
    assert found and found.copy
    assert (found.length, found.generation, found.copy.done, found.copy.total) == (1024, 7, 512, 1024)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        *(("x-ms-copy-progress", value) for value in ("half", "512", "-1/1024", "512/1024/1")),
        ("x-ms-creation-time", "yesterday"),
        ("x-ms-blob-sequence-number", "seven"),
        ("ETag", None),
    ],
)
async def test_a_header_that_does_not_fit_is_an_error_that_names_the_request(header: str, value: str | None) -> None:
    """Never a traceback, and never a blob that is taken for missing."""
    headers = {name: text for name, text in {**HEADERS, header: value}.items() if text is not None}
    with pytest.raises(CloudError) as raised:
        await facts_of(headers)
    assert "HEAD c/a.vhd" in str(raised.value) and "cannot determine whether it exists" in str(raised.value)
