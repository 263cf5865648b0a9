"""The copier by ranges, in this process against the real blob emulator: what it copies, resumes and rejects."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from azure.core.pipeline.policies import AsyncRetryPolicy

from imagefactory.azure.storage.manifests import Found
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.copying import copier as copiers
from imagefactory.copying import ranged_copy
from imagefactory.copying.copier import Copied, CopyError, Progress
from imagefactory.copying.totals import Totals
from imagefactory.images.ranges import PIECE_BYTES
from imagefactory.images.ranges_manifest import Manifest
from imagefactory.observed.blobs import BlobFacts, BlobRef
from imagefactory.observed.factory_blobs import UNFINISHED
from tests.e2e.world import MIB, STAGING_CONTAINER, World
from tests.vhdcopy.copying import (
    DISK_BYTES,
    Shown,
    content_of,
    copier_of,
    copy_image,
    copy_of,
    manifest_blob,
    manifest_of,
    request_of,
    slow_write,
    source_blob,
    source_bytes,
    source_pieces,
    staged_blob,
    staged_equals_source,
    staged_ref,
    stop_when,
)


def blobs_of(world: World, lab: str = "web") -> list[str]:
    container = world.service(world.labs[lab]).get_container_client(STAGING_CONTAINER)
    return sorted(blob.name for blob in container.list_blobs())


async def test_only_data_is_copied_and_the_copy_equals_its_source(world: World) -> None:
    """64 MiB of disk, 10 MiB of data: only the data is copied, and the staged VHD equals the factory VHD."""
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        copied = await copy_image(copier, world)
    assert staged_equals_source(world)
    assert totals.moved == source_bytes(world) < 16 * MIB
    assert totals.empty == DISK_BYTES + 512 - totals.moved and totals.retried == 0
    assert blobs_of(world) == [staged_ref(world).file_name], "no record is left"
    metadata = staged_blob(world).get_blob_properties().metadata
    assert metadata[copiers.STATE] == copiers.WHOLE and metadata[copiers.DIGEST] == copied.digest


async def test_a_record_that_is_being_written_when_the_copy_ends_is_removed_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes: the service applies a request that it has received, also if its client has left."""
    put_document, received = PageBlobs.put_document, list[asyncio.Future[bool]]()

    async def slowly(*request: Any, **options: Any) -> bool:
        async def applied() -> bool:
            await asyncio.sleep(0.6)
            return await put_document(*request, **options)

        received.append(asyncio.ensure_future(applied()))
        return await asyncio.shield(received[-1])

    monkeypatch.setattr(ranged_copy, "RECORD_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(ranged_copy, "LAST_RECORD_SECONDS", 0.1)
    world.add_lab("data")
    async with copier_of(world) as copier:
        await copy_image(copier, world, "data")  # writes the manifest
        monkeypatch.setattr(PageBlobs, "put_document", slowly)
        world.cloud.set_faults([slow_write(0.2)])
        await copy_image(copier, world)
        assert received and all(await asyncio.gather(*received))
    assert blobs_of(world) == [staged_ref(world).file_name]


async def test_the_first_copy_writes_the_manifest_of_the_image_and_later_copies_agree(world: World) -> None:
    """It lists the copied ranges; the second lab's copy has the same digest."""
    world.add_lab("data")
    async with copier_of(world) as copier:
        first = await copy_image(copier, world)
    packed, manifest = manifest_blob(world).download_blob().readall(), manifest_of(world)
    assert manifest
    assert tuple(manifest.ranges) == source_pieces(world) and manifest.digest == first.digest
    async with copier_of(world) as copier:
        second = await copy_image(copier, world, "data")
    assert second.digest == first.digest and second.copy_id != first.copy_id
    assert staged_equals_source(world, "data")
    assert manifest_blob(world).download_blob().readall() == packed


async def test_a_finished_copy_is_adopted(world: World) -> None:
    """A second run finds the mark, copies nothing, and returns the same copy."""
    async with copier_of(world) as copier:
        first = await copy_image(copier, world)
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        assert await copy_image(copier, world) == first
    assert totals.moved == 0


async def test_a_finished_copy_is_adopted_although_the_metadata_of_the_factory_vhd_changed(world: World) -> None:
    """The ETag changed, but not the length and creation time, which the plan knows."""
    async with copier_of(world) as copier:
        first = await copy_image(copier, world)
    source_blob(world).set_blob_metadata({"note": "x"})
    async with copier_of(world) as copier:
        assert await copy_image(copier, world) == first


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_finished_copy_of_another_version_of_a_versioned_source_is_replaced(world: World, version: str) -> None:
    """With a warning, and without the metadata of the replaced VHD; a copy of the same version is adopted."""

    async def copy_state(version: str) -> Copied:
        request = replace(request_of(world), source_version=version)
        async with copier_of(world) as copier:
            return await copy_of(copier, request, shown)

    shown = Shown()
    first = await copy_state("1")
    properties = staged_blob(world).get_blob_properties()
    staged_blob(world).set_blob_metadata({**properties.metadata, "imagename": "of state 1"})
    manifest_blob(world).delete_blob()
    source_blob(world).upload_page(b"state 2".ljust(512, b"\0"), 0, 512)
    second = await copy_state(version)
    assert staged_equals_source(world) is (version == "2")
    assert (second == first) is (version == "1")
    assert [("changed since its copy was finished" in text) for text in shown.messages] == [True] * (version == "2")
    assert ("imagename" in staged_blob(world).get_blob_properties().metadata) is (version == "1")


@pytest.mark.parametrize("with_manifest", [True, False])
async def test_a_canceled_copy_is_resumed_with_the_missing_ranges(world: World, with_manifest: bool) -> None:
    """Together both runs copy the same ranges as one would."""
    if with_manifest:
        world.add_lab("first")
        async with copier_of(world) as copier:
            await copy_image(copier, world, "first")
    world.cloud.set_faults([slow_write(60)])
    shown = Shown()
    await stop_when(shown, world, lambda shown: bool(shown.progress) and shown.progress[-1].done > 4 * MIB)
    world.cloud.clear_faults()
    totals, resumed = Totals(), Shown()
    async with copier_of(world, totals=totals) as copier:
        await copy_image(copier, world, shown=resumed)
    assert staged_equals_source(world)
    kept = totals.kept
    assert resumed.progress[0].done == resumed.progress[0].kept == kept >= shown.progress[-1].done
    assert totals.moved == source_bytes(world) - kept
    assert blobs_of(world) == [staged_ref(world).file_name]


async def test_a_source_that_changed_between_runs_is_copied_again_with_a_warning(world: World) -> None:
    """Another ETag may be other content: the ranges of the earlier run do not count."""
    shown = Shown()
    world.cloud.set_faults([slow_write(60)])
    await stop_when(shown, world, lambda shown: bool(shown.progress) and shown.progress[-1].done > 4 * MIB)
    world.cloud.clear_faults()
    source_blob(world).upload_page(b"x" * 512, 2 * MIB, 512)
    again = Shown()
    async with copier_of(world) as copier:
        await copy_image(copier, world, shown=again)
    assert staged_equals_source(world)
    assert again.progress[0].done == 0 and any("restarts" in message for message in again.messages)


async def test_a_source_that_changes_during_the_copy_is_copied_again_with_a_warning(world: World) -> None:
    """The service rejects reads with the ETag that the copy started with."""
    shown = Shown()
    world.cloud.set_faults([slow_write(2)])
    async with copier_of(world) as copier:
        copying = asyncio.ensure_future(copy_image(copier, world, shown=shown))
        while not shown.progress or shown.progress[-1].done == 0:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)
        source_blob(world).upload_page(b"x" * 512, 2 * MIB, 512)
        await copying
    assert staged_equals_source(world)
    assert any("changed during the copy" in message for message in shown.messages)


async def test_a_range_that_differs_is_copied_again(world: World) -> None:
    """The service wrote other bytes than the manifest says; the second attempt succeeds."""
    world.add_lab("first")
    async with copier_of(world) as copier:
        await copy_image(copier, world, "first")
    where = f"/{world.labs['web'].account}/.*comp=page(&|$)"
    world.cloud.set_faults([{"service": "blob", "path": where, "nth": 2, "action": {"corrupt": True}}])
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        await copy_image(copier, world)
    assert staged_equals_source(world) and totals.retried == 1


async def test_a_range_that_differs_twice_is_an_error_that_names_both_digests_and_is_not_kept(world: World) -> None:
    """The error names blob, range and both digests; the next run copies that range again."""
    world.add_lab("first")
    async with copier_of(world) as copier:
        await copy_image(copier, world, "first")
    (vhd,), manifest = world.images.values(), manifest_of(world)
    assert manifest
    (first, digest) = next(iter(manifest.ranges.items()))
    where = {"service": "blob", "path": f"/{world.labs['web'].account}/", "offset": first.offset, "method": "PUT"}
    world.cloud.set_faults([{**where, "action": {"corrupt": True}}])
    async with copier_of(world) as copier:
        with pytest.raises(CopyError) as caught:
            await copy_image(copier, world)
        shown = str(caught.value)
        assert vhd in shown and f"{first.length} bytes at {first.offset}" in shown and digest in shown
        digests = [word for word in shown.replace(";", " ").split() if word.endswith("=")]
        assert len(digests) == 2 and all(len(base64.b64decode(each)) == 8 for each in digests)
    world.cloud.clear_faults()
    async with copier_of(world) as copier:
        await copy_image(copier, world)
    assert staged_equals_source(world)


async def test_a_source_that_does_not_match_its_manifest_is_rejected(world: World) -> None:
    """Content that changed in place is detected by its digest, data beyond the manifest by the list of ranges."""
    async with copier_of(world) as copier:
        await copy_image(copier, world)
    world.add_lab("data")
    source_blob(world).upload_page(b"x" * 512, source_pieces(world)[0].offset, 512)
    async with copier_of(world) as copier:
        with pytest.raises(CopyError, match="save the image again"):
            await copy_image(copier, world, "data")
    source_blob(world).upload_page(b"x" * 512, 20 * MIB, 512)
    async with copier_of(world) as copier:
        with pytest.raises(CopyError, match="does not list"):
            await copy_image(copier, world, "data")


async def test_a_foreign_blob_is_kept(world: World) -> None:
    """A blob without the mark is not changed."""
    container = world.service(world.labs["web"]).create_container(STAGING_CONTAINER)
    (vhd,) = world.images.values()
    container.upload_blob(vhd, b"mine")
    async with copier_of(world) as copier:
        with pytest.raises(CopyError, match="it is kept"):
            await copy_image(copier, world)
    assert world.bytes_of(world.labs["web"], STAGING_CONTAINER, vhd) == b"mine"


async def test_a_copy_whose_end_differs_leaves_neither_vhd_nor_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any name of the record: that of a saved disk has its own suffix."""
    request = replace(request_of(world), record_suffix=UNFINISHED)
    world.cloud.set_faults([slow_write(60)])
    shown, reached = Shown(), asyncio.Event()

    def report(progress: Progress) -> None:
        if progress.done > 4 * MIB:
            reached.set()

    async with copier_of(world) as copier:
        copy = asyncio.ensure_future(copier.copy(request, None, {"user"}, report, shown.messages.append))
        await reached.wait()
        copy.cancel()
        await asyncio.wait([copy])
    world.cloud.clear_faults()
    assert any(name.endswith(UNFINISHED) for name in world.staged(world.labs["web"]))

    end_of = copiers.end_of

    async def differs(*asked: Any) -> tuple[BlobFacts, bool]:
        found = await end_of(*asked)
        assert found
        return found[0], False

    monkeypatch.setattr(copiers, "end_of", differs)
    async with copier_of(world) as copier:
        with pytest.raises(CopyError, match="differs from it in length or footer"):
            await copy_of(copier, request)
    assert world.staged(world.labs["web"]) == []


async def test_one_copier_writes_the_manifest_of_each_copy_where_the_copy_says(world: World) -> None:
    """So all copies of a run share one copier, and with it the limit for the cost of their records."""

    class Kept:
        def __init__(self) -> None:
            self.written: list[Manifest] = []

        async def read(self, vhd: BlobRef, length: int, created: datetime) -> Found:
            return Found()

        async def write(self, vhd: BlobRef, manifest: Manifest) -> str:
            self.written.append(manifest)
            return ""

    own = Kept()
    async with copier_of(world) as copier:
        first = replace(request_of(world), manifests=own)
        copied = await copy_of(copier, first)
        assert manifest_of(world) is None
        world.add_lab("second")
        await copy_image(copier, world, "second")
    assert [manifest.digest for manifest in own.written] == [copied.digest]
    assert manifest_of(world) is not None


@pytest.mark.parametrize("with_manifest", [False, True])
async def test_a_vhd_whose_ranges_cannot_be_listed_is_copied_but_for_its_empty_pieces(
    world: World, with_manifest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service's digests tell which are empty. With a manifest only its ranges are copied, without any question."""
    monkeypatch.setattr(AsyncRetryPolicy, "get_backoff_time", lambda *_: 0.0)
    content = content_of(source_blob(world))
    filled = [content[at : at + PIECE_BYTES] for at in range(0, len(content), PIECE_BYTES)]
    moved = sum(len(piece) for piece in filled if any(piece))
    if with_manifest:
        moved = source_bytes(world)
        async with copier_of(world) as copier:
            await copy_image(copier, world)
        staged_blob(world).delete_blob()
    world.cloud.set_faults([{"service": "blob", "path": "comp=pagelist", "action": {"status": 500}}])
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        await copy_image(copier, world)
    world.cloud.clear_faults()
    assert staged_equals_source(world) and totals.moved == moved < len(content)
