"""Relays: nothing that the owner of one lab's storage writes reaches another lab's image, a manifest or a digest."""

from __future__ import annotations

import asyncio
import base64
import gzip
import tracemalloc
from typing import Any

import pytest

from imagefactory.azure.core.errors import CloudError
from imagefactory.copying import copier as copiers
from imagefactory.copying import transfer
from imagefactory.copying.copier import Copied, CopyRequest, RelayLost, user_of
from imagefactory.copying.staging import Relay
from imagefactory.copying.totals import Totals
from imagefactory.images.ranges import SHARED_READERS, Range
from imagefactory.images.ranges_manifest import UNPACKED_BYTES
from imagefactory.observed.blobs import BlobRef
from tests.azure.storage_world import crc64
from tests.e2e.world import FACTORY_CONTAINER, MIB, World
from tests.vhdcopy.copying import (
    Shown,
    a_run,
    add_md5s,
    allocated,
    content_of,
    copier_of,
    copy_image,
    copy_of,
    manifest_of,
    relay_of,
    request_of,
    source_blob,
    source_pieces,
    staged_blob,
    staged_equals_source,
)
from tests.vhdcopy.forgeries import WISH, blob_at, fill, forge, leave_record, stage_as_whole, with_same_crc64

FALSE = base64.b64encode(b"nonsense").decode()


def true_digests(world: World) -> dict[Range, str]:
    """The CRC64 of each range, computed by this test."""
    return {
        part: crc64(source_blob(world).download_blob(part.offset, part.length).readall())
        for part in source_pieces(world)
        if part.length <= MIB
    }


async def begin_and_fail(world: World) -> None:
    """Leave an unfinished VHD without any range for the lab `web`."""
    refusal = {"status": 400, "code": "NoSuchLuck"}
    world.cloud.set_faults([{"service": "blob", "method": "PUT", "path": "comp=page$", "action": refusal}])
    async with copier_of(world) as copier:
        with pytest.raises(CloudError, match="NoSuchLuck"):
            await copy_image(copier, world)
    world.cloud.clear_faults()


def end_of(world: World) -> int:
    return request_of(world).source_length - 512


@pytest.fixture
def relayed(world: World) -> World:
    """The world with another lab, whose account has the region's relay."""
    world.add_lab("relay")
    return world


def test_the_forgery_keeps_the_crc64_of_all_that_is_around_it() -> None:
    """The forgery of these tests is real: other bytes with the same CRC64, for any bytes before and after."""
    content = bytes(range(256)) * 8
    forged = content[:512] + with_same_crc64(content[512:1024], WISH) + content[1024:]
    assert WISH in forged and forged != content and crc64(forged) == crc64(content)
    assert sum(a != b for a, b in zip(forged, content, strict=True)) <= len(WISH) + 8


async def test_forged_bytes_of_a_relay_reach_no_other_lab(relayed: World) -> None:
    """Each range was altered under its CRC64: a warning names the relay, and the copy is made from the factory."""
    world = relayed
    async with a_run(world) as run:
        await run.stage(world, "relay")
        forge(staged_blob(world, "relay"), source_pieces(world), end_of(world))
        copied = await run.stage(world, "web", relay_of(world))
    assert staged_equals_source(world)
    manifest = manifest_of(world)
    assert manifest and copied.digest == manifest.digest
    (warning,) = run.shown.messages
    assert relay_of(world).blob.name in warning and "from the factory" in warning


async def test_a_range_with_foreign_bytes_is_not_written_at_all(relayed: World) -> None:
    """The service rejects it: the other account never contains foreign bytes."""
    world = relayed
    async with copier_of(world) as copier:
        await copy_image(copier, world, "relay")
        relay = staged_blob(world, "relay")
        forge(relay, source_pieces(world), end_of(world))
        with pytest.raises(RelayLost, match=relay_of(world).blob.name):
            await copy_image(copier, world, "web", via=relay_of(world).blob)
    held = b"".join(
        bytes(staged_blob(world).download_blob(part.offset, part.length).readall())
        for part in allocated(staged_blob(world))
    )
    assert WISH not in held


@pytest.mark.parametrize("forged", [False, True])
async def test_a_vhd_that_was_staged_beforehand_and_marked_whole_is_no_source_of_trust(
    relayed: World, forged: bool
) -> None:
    """With other bytes, or other bytes under the same CRC64: other labs and the manifest get those of the factory."""
    world = relayed
    digests = dict.fromkeys(source_pieces(world), FALSE)
    blob = stage_as_whole(world, "relay", source_blob(world), digests)
    if forged:
        forge(blob, source_pieces(world), end_of(world))
    else:
        blob.upload_page(WISH.ljust(512), source_pieces(world)[1].offset, 512)
    async with a_run(world) as run:
        copied = await run.stage(world, "web", relay_of(world))
        assert staged_equals_source(world)
        theirs = await run.stage(world, "relay")
    manifest = manifest_of(world)
    assert manifest and manifest.digest == copied.digest != theirs.digest
    assert true_digests(world).items() <= manifest.ranges.items()


async def test_the_digest_of_an_existing_vhd_counts_only_if_the_factory_has_the_same(relayed: World) -> None:
    """The metadata of a staged VHD is written by the owner of its account."""
    world = relayed
    async with copier_of(world) as copier:
        first = await copy_image(copier, world, "web")
        assert (await copy_image(copier, world, "web")).digest == first.digest
        stage_as_whole(world, "relay", source_blob(world), dict.fromkeys(source_pieces(world), FALSE))
        assert (await copy_image(copier, world, "relay")).digest == ""


async def test_a_relay_that_is_too_short_is_not_used(relayed: World) -> None:
    """Its owner replaced the VHD: the other labs' copies do not fail."""
    world = relayed
    blob = stage_as_whole(world, "relay", source_blob(world), {})
    fill(blob, source_blob(world), dict.fromkeys(source_pieces(world)[:1]))
    blob.resize_blob(MIB)
    async with a_run(world) as run:
        await run.stage(world, "web", relay_of(world))
    assert staged_equals_source(world) and "cannot be read" in run.shown.messages[-1]


@pytest.mark.parametrize("status", [403, 500])
async def test_a_relay_whose_account_denies_access_is_not_used(
    relayed: World, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner revoked access after the copy started."""
    world = relayed
    monkeypatch.setattr(transfer, "FIRST_WAIT", 0.02)
    async with a_run(world) as run:
        await run.stage(world, "relay")
        refusal = {"status": status, "code": "CannotVerifyCopySource"}
        where = f"/{world.labs['web'].account}/.*comp=page$"
        world.cloud.set_faults([{"service": "blob", "method": "PUT", "path": where, "action": refusal}])

        def warned(message: str) -> None:
            run.shown.say(message)
            world.cloud.clear_faults()  # because the factory's account grants access

        monkeypatch.setattr(run.shown, "warn", warned)
        await run.stage(world, "web", relay_of(world))
    assert staged_equals_source(world) and "copying from the factory" in run.shown.messages[-1]


@pytest.mark.parametrize("claimed", ["true", "false"])
async def test_what_a_record_in_a_lab_claims_is_compared_with_the_factory(relayed: World, claimed: str) -> None:
    """Its ranges count if the factory's service returns the same digest; other labs and the manifest ignore it.

    Where it claims something else, the service's digests decide: what is wrong is moved again.
    """
    world = relayed
    await begin_and_fail(world)
    parts = source_pieces(world)[:3]
    fill(staged_blob(world), source_blob(world), dict.fromkeys(parts))
    truth = true_digests(world)
    digests = {part: truth[part] if claimed == "true" else FALSE for part in parts if part in truth}
    leave_record(world, "web", request_of(world), digests)
    wrong = () if claimed == "true" else parts[:1]
    for part in wrong:
        staged_blob(world).upload_page(WISH.ljust(512), part.offset, 512)
    totals, shown = Totals(), Shown()
    async with copier_of(world, totals=totals) as copier:
        first = await copy_image(copier, world, "web", shown)
        second = await copy_image(copier, world, "relay")
    kept = sum(part.length for part in parts if part not in wrong)
    assert shown.progress[0].kept == totals.kept == kept
    manifest = manifest_of(world)
    assert manifest and first.digest == second.digest == manifest.digest
    assert staged_equals_source(world, "web") and staged_equals_source(world, "relay")


@pytest.mark.parametrize("filling", [b" ", b"[],"])
async def test_a_record_that_unpacks_to_too_much_is_ignored(world: World, filling: bytes) -> None:
    """Of 128 MiB in 400 KB, no more is read and unpacked than a record of that VHD can have; all ranges are copied."""
    await begin_and_fail(world)
    bomb = gzip.compress(b'{"ranges":[' + filling * (UNPACKED_BYTES // len(filling)))
    record = request_of(world).record
    blob_at(world, "web", record.file_name).upload_blob(bomb, overwrite=True)
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        tracemalloc.start()
        try:
            await copy_image(copier, world)
            assert tracemalloc.get_traced_memory()[1] < 8 * MIB
        finally:
            tracemalloc.stop()
    assert staged_equals_source(world) and totals.kept == 0
    assert totals.moved == sum(part.length for part in source_pieces(world))
    assert world.staged(world.labs["web"]) == [request_of(world).destination.file_name], (
        "the bomb is removed with the record"
    )


async def test_a_copy_that_read_a_relay_writes_no_manifest(relayed: World) -> None:
    """Its digest is built from the factory's responses; the next direct copy writes a manifest with the same one."""
    world = relayed
    stage_as_whole(world, "relay", source_blob(world), dict.fromkeys(source_pieces(world), FALSE))
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        copied = await copy_image(copier, world, "web", via=relay_of(world).blob)
        assert manifest_of(world) is None and totals.moved == sum(part.length for part in source_pieces(world))
        world.add_lab("direct")
        direct = await copy_image(copier, world, "direct")
    manifest = manifest_of(world)
    assert manifest and manifest.digest == copied.digest == direct.digest and staged_equals_source(world)


async def test_with_the_md5s_of_the_manifest_the_factory_gets_no_request(relayed: World) -> None:
    """A relay is read and verified although the factory VHD was deleted; each range is one request."""
    world = relayed
    async with copier_of(world) as copier:
        await copy_image(copier, world, "relay")
    add_md5s(world)
    content = content_of(source_blob(world))
    async with copier_of(world) as copier:
        request = request_of(world)
        await copy_image(copier, world, "relay")  # so that the copier knows the source
        source_blob(world).delete_blob()
        world.cloud.clear_calls()
        await copy_of(copier, request, via=relay_of(world).blob)
    assert content_of(staged_blob(world)) == content
    (vhd,) = world.images.values()
    assert [call for call in world.cloud.calls() if f"/{FACTORY_CONTAINER}/{vhd}" in call["path"]][:-1] == []


async def test_without_md5s_the_factory_gets_one_request_per_range_for_any_number_of_labs(relayed: World) -> None:
    """Its service returns the MD5 of its own VHD; all copies of the process share the digests."""
    world = relayed
    async with copier_of(world) as copier:
        await copy_image(copier, world, "relay")
        world.add_lab("other")
        world.cloud.clear_calls()
        for lab in ("web", "other"):
            await copy_image(copier, world, lab, via=relay_of(world).blob)
    (vhd,) = world.images.values()
    asked = [call for call in world.cloud.calls() if call["path"].endswith(f"/{FACTORY_CONTAINER}/{vhd}")]
    assert len([call for call in asked if call["method"] == "GET"]) == len(source_pieces(world))
    assert staged_equals_source(world, "web") and staged_equals_source(world, "other")


async def test_a_relay_whose_etag_keeps_changing_is_not_used(relayed: World) -> None:
    """Its owner cannot delay other labs by writing to its metadata."""
    world = relayed
    async with copier_of(world) as copier:
        await copy_image(copier, world, "relay")
        where = f"/{world.labs['web'].account}/.*comp=page$"
        refusal = {"status": 412, "code": "SourceConditionNotMet"}
        world.cloud.set_faults([{"service": "blob", "method": "PUT", "path": where, "action": refusal}])
        relay = staged_blob(world, "relay")
        facts = copiers.relay_etag

        async def touched(*given: Any) -> str:
            relay.set_blob_metadata(relay.get_blob_properties().metadata)
            return await facts(*given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(copiers, "relay_etag", touched)
            with pytest.raises(RelayLost, match="changes"):
                await copy_image(copier, world, "web", via=relay_of(world).blob)


async def test_many_copies_of_a_region_read_each_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each lab gets what the factory has, and some copies read a lab's staged VHD; nothing is copied twice."""
    labs = ["web", *(f"more{n}" for n in range(SHARED_READERS))]
    for lab in labs[1:]:
        world.add_lab(lab)
    read: list[BlobRef | None] = []
    async with a_run(world) as run:
        copier = run.staging._copier
        copy = copier.copy

        async def recorded(request: CopyRequest, via: BlobRef | None, *others: Any) -> Copied:
            read.append(via)
            return await copy(request, via, *others)

        monkeypatch.setattr(copier, "copy", recorded)
        everywhere = Relay(request_of(world).source, len(labs), user_of("web"))
        world.cloud.clear_calls()
        await asyncio.gather(*(run.stage(world, lab, everywhere) for lab in labs))
        writes = [call for call in world.cloud.calls() if call["method"] == "PUT" and "comp=page" in call["path"]]
        assert all(staged_equals_source(world, lab) for lab in labs)
        await asyncio.gather(*(run.release(world, lab) for lab in labs))
    assert run.shown.messages == []
    assert not any(staged_blob(world, lab).exists() for lab in labs)
    assert len(read) == len(labs) and None in read and len(set(read)) > 1
    assert len(writes) == len(labs) * len(source_pieces(world))
