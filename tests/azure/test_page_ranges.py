"""Get Page Ranges of large fragmented page blobs, which the service may fail to list in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import patch

import pytest
from aiohttp import web
from azure.core.pipeline.policies import AsyncRetryPolicy
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage import page_blobs
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.page_blobs import LEAST_WINDOW, UNLISTED_WINDOWS, PageBlobs
from imagefactory.images.ranges import PAGE_BYTES, Range, covered, pieces
from tests.azure.storage_world import GENERATION, StorageWorld, Token
from tests.e2e.world import MIB
from tests.federation import serving

GIB = 1024 * MIB
LENGTH = 4 * GIB + PAGE_BYTES
PAGES = [Range(0, 512), Range(GIB - 4096, 8192), Range(3 * GIB, 1024), Range(4 * GIB, 512)]
"""One lies across the border of two windows."""
TIMED_OUT = {"status": 500, "code": "OperationTimedOut", "message": "Operation could not be completed in time."}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are sent again without a wait."""
    monkeypatch.setattr(AsyncRetryPolicy, "get_backoff_time", lambda *_: 0.0)


@asynccontextmanager
async def fragmented(storage: StorageWorld) -> AsyncIterator[PageBlobs]:
    """A page blob of 4 GiB with `PAGES`."""
    async with storage.connect() as connected:
        assert await connected.blobs.create(storage.staged, LENGTH, {}, GENERATION) is None
        for page in PAGES:
            storage.client(storage.staged).upload_page(b"\x01" * page.length, page.offset, page.length)
        storage.cloud.clear_calls()
        yield connected.blobs


async def test_a_blob_that_can_be_listed_at_once_is_listed_with_one_request(storage: StorageWorld) -> None:
    """However long it is."""
    async with fragmented(storage) as blobs:
        assert await blobs.page_ranges(storage.staged) == PAGES
    assert len(storage.calls()) == 1


@pytest.mark.parametrize("action", [TIMED_OUT, {"status": 503, "code": "ServerBusy"}, {"drop": True}])
async def test_a_blob_that_takes_too_long_is_listed_in_windows(
    storage: StorageWorld, action: dict[str, object]
) -> None:
    """The result is the same; no window that failed is requested a second time."""
    async with fragmented(storage) as blobs:
        storage.refuse(action, path="comp=pagelist", longerThan=GIB)
        assert await blobs.page_ranges(storage.staged) == PAGES
        assert await blobs.page_ranges(storage.staged, 3) == PAGES[:3]
    statuses = [call["status"] for call in storage.calls("GET", "comp=pagelist")]
    assert statuses.count(200) == 5 + 4
    # The HTTP client sends a request again once if the connection breaks.
    assert len(statuses) - statuses.count(200) == 2 * 2 * (2 if "drop" in action else 1)


async def test_a_failure_of_a_moment_costs_one_more_request(storage: StorageWorld) -> None:
    """A blob shorter than the shortest window is requested again."""
    async with storage.connect() as connected:
        seen = await connected.blobs.page_ranges(storage.source)
        storage.refuse(TIMED_OUT, path="comp=pagelist", times=2)
        storage.cloud.clear_calls()
        assert await connected.blobs.page_ranges(storage.source) == seen
    assert [call["status"] for call in storage.calls("GET", "comp=pagelist")] == [500, 500, 200]


async def test_a_window_that_cannot_be_listed_is_returned_apart(storage: StorageWorld) -> None:
    """The windows around it are listed. If the caller does not expect it, it is an error."""
    async with fragmented(storage) as blobs:
        storage.refuse(TIMED_OUT, path="comp=pagelist", longerThan=0, offset=3 * GIB)
        unlisted: list[Range] = []
        assert await blobs.page_ranges(storage.staged, unlisted=unlisted) == [*PAGES[:2], PAGES[3]]
        assert unlisted == [Range(3 * GIB, LEAST_WINDOW)]
        with pytest.raises(CloudError, match=r"500 OperationTimedOut: .*its allocated ranges are unknown"):
            await blobs.page_ranges(storage.staged)


async def test_a_blob_that_can_never_be_listed_is_given_up_after_few_requests(storage: StorageWorld) -> None:
    """It is not requested window by window."""
    async with fragmented(storage) as blobs:
        storage.refuse(TIMED_OUT, path="comp=pagelist")
        unlisted: list[Range] = []
        assert await blobs.page_ranges(storage.staged, unlisted=unlisted) == []
        assert unlisted == [Range(0, LENGTH)]
        assert len(storage.calls("GET", "comp=pagelist")) == 5 + UNLISTED_WINDOWS * 6


async def test_other_errors_are_not_taken_for_slowness(storage: StorageWorld) -> None:
    """A missing blob, a missing role; also while a blob is listed in windows."""
    denied = {"service": "blob", "path": "comp=pagelist", "action": {"status": 403, "code": "AuthorizationFailure"}}
    slow = {"service": "blob", "path": "comp=pagelist", "longerThan": GIB, "action": TIMED_OUT}
    async with fragmented(storage) as blobs:
        with pytest.raises(CloudError, match="404 BlobNotFound"):
            await blobs.page_ranges(storage.beside(storage.staged, "gone.vhd"))
        storage.cloud.set_faults([slow, denied])
        with pytest.raises(CloudError, match="403 AuthorizationFailure"):
            await blobs.page_ranges(storage.staged)


RANGES = st.sets(st.integers(0, 255)).map(
    lambda pages: [Range(page * PAGE_BYTES, PAGE_BYTES) for page in sorted(pages)]
)


@given(
    ranges=RANGES,
    longest=st.sampled_from([1, 3, 8, 40, 256]),
    least=st.sampled_from([1, 4]),
    per_page=st.integers(1, 9),
    fails_at=st.integers(0, 5),
)
def test_a_blob_is_listed_alike_however_it_is_cut_into_windows_and_pages(
    ranges: list[Range], longest: int, least: int, per_page: int, fails_at: int
) -> None:
    """Each page of a response has a few ranges; windows above a size fail, at once or after some pages;
    where even the shortest fail, what is listed and what is not have all ranges."""

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.method == "HEAD":
            headers = {"Content-Length": str(256 * PAGE_BYTES), "x-ms-blob-type": "PageBlob"}
            return web.Response(headers={**headers, "Last-Modified": "Fri, 27 Nov 2026 00:00:00 GMT", "ETag": '"1"'})
        first, _, last = request.headers.get("x-ms-range", f"bytes=0-{256 * PAGE_BYTES - 1}")[6:].partition("-")
        page = int(request.query.get("marker") or 0)
        if int(last) + 1 - int(first) > longest * PAGE_BYTES and page >= fails_at:
            return web.Response(status=500, headers={"x-ms-error-code": "OperationTimedOut"})
        inside = [each for each in ranges if int(first) <= each.offset <= int(last)]
        shown, rest = inside[page * per_page :][:per_page], inside[(page + 1) * per_page :]
        listed = "".join(
            f"<PageRange><Start>{each.offset}</Start><End>{each.end - 1}</End></PageRange>" for each in shown
        )
        marker = f"<NextMarker>{page + 1}</NextMarker>" if rest else "<NextMarker/>"
        body = f'<?xml version="1.0" encoding="utf-8"?><PageList>{listed}{marker}</PageList>'
        return web.Response(text=body, content_type="application/xml")

    unlisted: list[Range] = []

    async def listed() -> list[Range]:
        async with (
            serving(answer) as url,
            ResourceManager(Cloud(None, url, ""), Token()) as arm,
            StorageAccounts(arm) as accounts,
        ):
            disk = accounts.lent.add("/disks/os", f"{url}/account/disk/abcd?sig=x")
            return await PageBlobs(accounts).page_ranges(disk, unlisted=unlisted)

    with patch.object(page_blobs, "LEAST_WINDOW", least * PAGE_BYTES):
        found = asyncio.run(listed())
    assert all(covered(each, sorted([*found, *unlisted])) for each in ranges)
    assert all(covered(each, ranges) for each in found)
    if longest >= least:
        assert pieces(found) == pieces(ranges) and unlisted == []
