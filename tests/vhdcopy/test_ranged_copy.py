"""The copier by ranges, in this process against the real blob emulator: what it moves, resumes and finds wrong."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from imagefactory.azure.storage.manifests import Found
from imagefactory.copying import copier as copiers
from imagefactory.copying.copier import Copied, CopyError, Progress
from imagefactory.copying.totals import Totals
from imagefactory.images.ranges import Range, pieces
from imagefactory.images.ranges_manifest import Manifest, manifest_name, parse_manifest
from imagefactory.observed.blobs import BlobRef
from imagefactory.observed.factory_blobs import UNFINISHED
from tests.e2e.world import FACTORY_CONTAINER, MIB, RANGES, STAGING_CONTAINER, World
from tests.vhdcopy.copying import (
    Told,
    copier_of,
    copy_image,
    manifest_of,
    request_of,
    staged_equals_source,
    staged_ref,
)


def source_blob(world: World) -> Any:
    (vhd,) = world.images.values()
    return world.service(world.factory).get_blob_client(FACTORY_CONTAINER, vhd)


def staged_blob(world: World, lab: str = "web") -> Any:
    (vhd,) = world.images.values()
    return world.service(world.labs[lab]).get_blob_client(STAGING_CONTAINER, vhd)


def slow_write(seconds: float) -> dict[str, Any]:
    """A fault rule: the range at 8 MiB is written late."""
    rule = {"service": "blob", "method": "PUT", "path": "comp=page(&|$)", "offset": 8 * MIB}
    return {**rule, "action": {"delaySeconds": seconds}}


def source_pieces(world: World) -> tuple[Range, ...]:
    """What a copy of the world's image has to move."""
    return pieces(Range(each.start, each.end - each.start + 1) for each in source_blob(world).list_page_ranges())


def source_bytes(world: World) -> int:
    return sum(part.length for part in source_pieces(world))


def blobs_of(world: World, lab: str = "web") -> list[str]:
    container = world.service(world.labs[lab]).get_container_client(STAGING_CONTAINER)
    return sorted(blob.name for blob in container.list_blobs())


async def stop_when(told: Told, world: World, reached: Callable[[Told], bool]) -> None:
    """Begin a copy, and cancel it as soon as `reached`."""
    async with copier_of(world) as copier:
        copying = asyncio.ensure_future(copy_image(copier, world, told=told))
        while not reached(told):
            await asyncio.sleep(0.01)
            assert not copying.done(), "the copy ended before it could be stopped"
        copying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await copying


async def test_what_is_empty_is_not_moved_and_the_copy_equals_its_source(world: World) -> None:
    """64 MiB of disk, 10 MiB of data: only the data move, and the staged VHD is the factory's, byte for byte."""
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        copied = await copy_image(copier, world)
    assert staged_equals_source(world)
    assert totals.moved == source_bytes(world) < 16 * MIB
    assert totals.empty == 64 * MIB + 512 - totals.moved and totals.retried == 0
    assert blobs_of(world) == [staged_ref(world).file_name], "no record is left"
    metadata = staged_blob(world).get_blob_properties().metadata
    assert metadata[copiers.STATE] == copiers.WHOLE and metadata[copiers.DIGEST] == copied.digest


async def test_the_first_copy_leaves_a_manifest_with_the_image_and_the_next_ones_agree(world: World) -> None:
    """Its ranges are what was moved; the second lab's copy has the same digest."""
    world.add_lab("data")
    async with copier_of(world) as copier:
        first = await copy_image(copier, world)
    (vhd,) = world.images.values()
    packed = world.bytes_of(world.factory, FACTORY_CONTAINER, manifest_name(vhd))
    manifest = parse_manifest(packed, RANGES)
    assert tuple(manifest.ranges) == source_pieces(world) and manifest.digest == first.digest
    async with copier_of(world) as copier:
        second = await copy_image(copier, world, "data")
    assert second.digest == first.digest and second.copy_id != first.copy_id
    assert staged_equals_source(world, "data")
    assert world.bytes_of(world.factory, FACTORY_CONTAINER, manifest_name(vhd)) == packed


async def test_a_whole_copy_is_taken_over(world: World) -> None:
    """A second run finds the mark, moves nothing, and tells the same copy."""
    async with copier_of(world) as copier:
        first = await copy_image(copier, world)
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        assert await copy_image(copier, world) == first
    assert totals.moved == 0


async def test_a_whole_copy_is_taken_over_although_the_metadata_of_the_factorys_vhd_changed(world: World) -> None:
    """Its ETag is another one, its length and creation time, which the plan knows, are not."""
    async with copier_of(world) as copier:
        first = await copy_image(copier, world)
    source_blob(world).set_blob_metadata({"note": "x"})
    async with copier_of(world) as copier:
        assert await copy_image(copier, world) == first


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_whole_copy_of_another_state_of_a_source_that_tells_its_states_is_copied_anew(
    world: World, version: str
) -> None:
    """Over what is there, with nothing of its metadata, and a warning; the same state is taken over."""

    async def copy_state(version: str) -> Copied:
        request = replace(request_of(world), source_version=version)
        async with copier_of(world) as copier:
            return await copier.copy(request, None, set(), told.progress.append, told.messages.append)

    told = Told()
    first = await copy_state("1")
    properties = staged_blob(world).get_blob_properties()
    staged_blob(world).set_blob_metadata({**properties.metadata, "imagename": "of state 1"})
    (vhd,) = world.images.values()
    world.service(world.factory).get_blob_client(FACTORY_CONTAINER, manifest_name(vhd)).delete_blob()
    source_blob(world).upload_page(b"state 2".ljust(512, b"\0"), 0, 512)
    second = await copy_state(version)
    assert staged_equals_source(world) is (version == "2")
    assert (second == first) is (version == "1")
    assert [("changed since its copy was finished" in text) for text in told.messages] == [True] * (version == "2")
    assert ("imagename" in staged_blob(world).get_blob_properties().metadata) is (version == "1")


@pytest.mark.parametrize("with_manifest", [True, False])
async def test_a_stopped_copy_goes_on_with_what_the_destination_lacks(world: World, with_manifest: bool) -> None:
    """Together both runs move what one would, and not a range more."""
    if with_manifest:
        world.add_lab("first")
        async with copier_of(world) as copier:
            await copy_image(copier, world, "first")
    world.cloud.set_faults([slow_write(60)])
    told = Told()
    await stop_when(told, world, lambda told: bool(told.progress) and told.progress[-1].done > 4 * MIB)
    world.cloud.clear_faults()
    totals, resumed = Totals(), Told()
    async with copier_of(world, totals=totals) as copier:
        await copy_image(copier, world, told=resumed)
    assert staged_equals_source(world)
    kept = told.progress[-1].done
    assert resumed.progress[0].done == resumed.progress[0].kept == kept == totals.kept
    assert totals.moved == source_bytes(world) - kept
    assert blobs_of(world) == [staged_ref(world).file_name]


async def test_a_source_that_changed_since_is_copied_anew_and_that_is_said(world: World) -> None:
    """Another ETag may be other content: what is there does not count."""
    told = Told()
    world.cloud.set_faults([slow_write(60)])
    await stop_when(told, world, lambda told: bool(told.progress) and told.progress[-1].done > 4 * MIB)
    world.cloud.clear_faults()
    source_blob(world).upload_page(b"x" * 512, 2 * MIB, 512)
    again = Told()
    async with copier_of(world) as copier:
        await copy_image(copier, world, told=again)
    assert staged_equals_source(world)
    assert again.progress[0].done == 0 and any("restarts" in message for message in again.messages)


async def test_a_source_that_changes_during_the_copy_is_copied_anew_and_that_is_said(world: World) -> None:
    """The service refuses to read another ETag than the one that the copy began with."""
    told = Told()
    world.cloud.set_faults([slow_write(2)])
    async with copier_of(world) as copier:
        copying = asyncio.ensure_future(copy_image(copier, world, told=told))
        while not told.progress or told.progress[-1].done == 0:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)
        source_blob(world).upload_page(b"x" * 512, 2 * MIB, 512)
        await copying
    assert staged_equals_source(world)
    assert any("changed during the copy" in message for message in told.messages)


async def test_a_range_that_differs_is_copied_again(world: World) -> None:
    """The service wrote something else than the manifest says: once more, and it is right."""
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
    """Blob, range, both digests; the next run moves that range again."""
    world.add_lab("first")
    async with copier_of(world) as copier:
        await copy_image(copier, world, "first")
    (vhd,) = world.images.values()
    manifest = parse_manifest(world.bytes_of(world.factory, FACTORY_CONTAINER, manifest_name(vhd)), RANGES)
    (first, digest) = next(iter(manifest.ranges.items()))
    where = {"service": "blob", "path": f"/{world.labs['web'].account}/", "offset": first.offset, "method": "PUT"}
    world.cloud.set_faults([{**where, "action": {"corrupt": True}}])
    async with copier_of(world) as copier:
        with pytest.raises(CopyError) as caught:
            await copy_image(copier, world)
        told = str(caught.value)
        assert vhd in told and f"{first.length} bytes at {first.offset}" in told and digest in told
        digests = [word for word in told.replace(",", " ").split() if word.endswith("=")]
        assert len(digests) == 2 and all(len(base64.b64decode(each)) == 8 for each in digests)
    world.cloud.clear_faults()
    async with copier_of(world) as copier:
        await copy_image(copier, world)
    assert staged_equals_source(world)


async def test_a_source_that_is_not_what_its_manifest_says_is_refused(world: World) -> None:
    """Content that changed in place is found by its digest; data beyond the manifest are found by the listing."""
    async with copier_of(world) as copier:
        await copy_image(copier, world)
    world.add_lab("data")
    source_blob(world).upload_page(b"x" * 512, source_pieces(world)[0].offset, 512)
    async with copier_of(world) as copier:
        with pytest.raises(CopyError, match="save the image again"):
            await copy_image(copier, world, "data")
    source_blob(world).upload_page(b"x" * 512, 40 * MIB, 512)
    async with copier_of(world) as copier:
        with pytest.raises(CopyError, match="does not list"):
            await copy_image(copier, world, "data")


async def test_a_blob_of_somebody_else_is_left_alone(world: World) -> None:
    """No mark, no touch."""
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
    """Whatever the record is called: the record of a saved disk has a name of its own."""
    request = replace(request_of(world), record_suffix=UNFINISHED)
    world.cloud.set_faults([slow_write(60)])
    told, reached = Told(), asyncio.Event()

    def report(progress: Progress) -> None:
        if progress.done > 4 * MIB:
            reached.set()

    async with copier_of(world) as copier:
        copy = asyncio.ensure_future(copier.copy(request, None, {"user"}, report, told.messages.append))
        await reached.wait()
        copy.cancel()
        await asyncio.wait([copy])
    world.cloud.clear_faults()
    assert any(name.endswith(UNFINISHED) for name in world.staged(world.labs["web"]))

    async def differs(*_: object) -> bool:
        return False

    monkeypatch.setattr(copiers, "ends_alike", differs)
    async with copier_of(world) as copier:
        with pytest.raises(CopyError, match="differs from it in length or footer"):
            await copier.copy(request, None, {"user"}, told.progress.append, told.messages.append)
    assert world.staged(world.labs["web"]) == []


async def test_one_copier_keeps_the_manifests_of_each_copy_where_the_copy_says(world: World) -> None:
    """So all copies of a run share one copier, and with it the bound on what their records cost."""

    class Kept:
        def __init__(self) -> None:
            self.written: list[Manifest] = []

        async def read(self, vhd: BlobRef, length: int, created: datetime) -> Found:
            return Found()

        async def write(self, vhd: BlobRef, manifest: Manifest) -> str:
            self.written.append(manifest)
            return ""

    own = Kept()
    told = Told()
    async with copier_of(world) as copier:
        first = replace(request_of(world), manifests=own)
        copied = await copier.copy(first, None, set(), told.progress.append, told.messages.append)
        assert manifest_of(world) is None
        world.add_lab("second")
        await copy_image(copier, world, "second")
    assert [manifest.digest for manifest in own.written] == [copied.digest]
    assert manifest_of(world) is not None
