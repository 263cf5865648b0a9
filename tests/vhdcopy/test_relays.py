"""Relays: nothing that the owner of one lab's storage writes reaches another lab's image, a manifest, or a digest."""

from __future__ import annotations

import base64
import gzip
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from imagefactory.azure.core.errors import CloudError
from imagefactory.copying import copier as copiers
from imagefactory.copying import transfer
from imagefactory.copying.copier import RelayLost, user_of
from imagefactory.copying.staging import Relay
from imagefactory.copying.totals import Totals
from imagefactory.images.ranges import Range
from imagefactory.images.ranges_manifest import UNPACKED_BYTES
from tests.azure.storage_world import crc64
from tests.e2e.world import FACTORY_CONTAINER, MIB, World
from tests.vhdcopy.copying import (
    Told,
    add_md5s,
    copier_of,
    copy_image,
    manifest_of,
    request_of,
    staged_equals_source,
    staged_ref,
)
from tests.vhdcopy.forgeries import WISH, blob_at, fill, forge, leave_record, stage_as_whole, with_same_crc64
from tests.vhdcopy.test_fault_matrix import a_run
from tests.vhdcopy.test_ranged_copy import source_blob, source_pieces, staged_blob

FALSE = base64.b64encode(b"nonsense").decode()


def true_digests(world: World) -> dict[Range, str]:
    """CRC64 of each range, computed here."""
    return {
        part: crc64(source_blob(world).download_blob(part.offset, part.length).readall())
        for part in source_pieces(world)
        if part.length <= MIB
    }


async def begin_and_fail(world: World) -> None:
    """Leave an unfinished VHD for the lab `web`, of which no range was moved."""
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
    """Beside `web`, a lab whose account is the region's relay."""
    world.add_lab("relay")
    return world


def relay_of(world: World) -> Relay:
    return Relay(staged_ref(world, "relay"), 1, user_of("relay"))


def test_the_forgery_keeps_the_crc64_of_all_that_is_around_it() -> None:
    """The forgery of these tests is a real one: other bytes, the same CRC64, whatever stands before and after."""
    content = bytes(range(256)) * 8
    forged = content[:512] + with_same_crc64(content[512:1024], WISH) + content[1024:]
    assert WISH in forged and forged != content and crc64(forged) == crc64(content)
    assert sum(a != b for a, b in zip(forged, content, strict=True)) <= len(WISH) + 8


async def test_forged_bytes_of_a_relay_reach_no_other_lab(relayed: World) -> None:
    """Each range was altered under its CRC64: the relay is given up with a warning that names it, the copy is right."""
    world = relayed
    async with a_run(world) as run:
        await run.staging.stage(request_of(world, "relay"), user_of("relay"), None, run.watcher)
        forge(blob_at(world, "relay", staged_ref(world).file_name), source_pieces(world), end_of(world))
        copied = await run.staging.stage(request_of(world, "web"), user_of("web"), relay_of(world), run.watcher)
    assert staged_equals_source(world)
    manifest = manifest_of(world)
    assert manifest and copied.digest == manifest.digest
    (warning,) = run.watcher.messages
    assert staged_ref(world, "relay").name in warning and "from the factory" in warning


async def test_a_range_with_foreign_bytes_is_not_written_at_all(relayed: World) -> None:
    """The service refuses it: nothing foreign stands in the other account at any time."""
    world = relayed
    async with copier_of(world) as copier:
        await copy_image(copier, world, "relay")
        relay = blob_at(world, "relay", staged_ref(world).file_name)
        forge(relay, source_pieces(world), end_of(world))
        with pytest.raises(RelayLost, match=staged_ref(world, "relay").name):
            await copy_image(copier, world, "web", via=staged_ref(world, "relay"))
    held = b"".join(
        bytes(staged_blob(world).download_blob(each.start, each.end - each.start + 1).readall())
        for each in staged_blob(world).list_page_ranges()
    )
    assert WISH not in held


@pytest.mark.parametrize("forged", [False, True])
async def test_a_vhd_that_was_staged_beforehand_and_marked_whole_is_no_source_of_trust(
    relayed: World, forged: bool
) -> None:
    """With other bytes, or other bytes under the same CRC64: other labs get the factory's, so does the manifest."""
    world = relayed
    digests = dict.fromkeys(source_pieces(world), FALSE)
    blob = stage_as_whole(world, "relay", source_blob(world), digests)
    if forged:
        forge(blob, source_pieces(world), end_of(world))
    else:
        blob.upload_page(WISH.ljust(512), source_pieces(world)[1].offset, 512)
    async with a_run(world) as run:
        copied = await run.staging.stage(request_of(world, "web"), user_of("web"), relay_of(world), run.watcher)
        assert staged_equals_source(world)
        theirs = await run.staging.stage(request_of(world, "relay"), user_of("relay"), None, run.watcher)
    manifest = manifest_of(world)
    assert manifest and manifest.digest == copied.digest != theirs.digest
    assert true_digests(world).items() <= manifest.ranges.items()


async def test_the_digest_of_a_vhd_that_was_there_counts_only_if_the_factory_says_the_same(relayed: World) -> None:
    """What its metadata claim is the owner's own word."""
    world = relayed
    async with copier_of(world) as copier:
        first = await copy_image(copier, world, "web")
        assert (await copy_image(copier, world, "web")).digest == first.digest
        stage_as_whole(world, "relay", source_blob(world), dict.fromkeys(source_pieces(world), FALSE))
        assert (await copy_image(copier, world, "relay")).digest == ""


async def test_a_relay_that_is_too_short_is_given_up(relayed: World) -> None:
    """Whatever its owner put there in place of the VHD: the other labs' copies do not fail for it."""
    world = relayed
    blob = stage_as_whole(world, "relay", source_blob(world), {})
    fill(blob, source_blob(world), dict.fromkeys(source_pieces(world)[:1]))
    blob.resize_blob(MIB)
    async with a_run(world) as run:
        await run.staging.stage(request_of(world), user_of("web"), relay_of(world), run.watcher)
    assert staged_equals_source(world) and "cannot be read" in run.watcher.messages[-1]


@pytest.mark.parametrize("status", [403, 500])
async def test_a_relay_whose_account_does_not_answer_is_given_up(
    relayed: World, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner closed it once the copy had begun."""
    world = relayed
    monkeypatch.setattr(transfer, "FIRST_WAIT", 0.02)
    async with a_run(world) as run:
        await run.staging.stage(request_of(world, "relay"), user_of("relay"), None, run.watcher)
        refusal = {"status": status, "code": "CannotVerifyCopySource"}
        where = f"/{world.labs['web'].account}/.*comp=page$"
        world.cloud.set_faults([{"service": "blob", "method": "PUT", "path": where, "action": refusal}])

        def warned(message: str) -> None:
            run.watcher.say(message)
            world.cloud.clear_faults()  # for the factory's account answers

        monkeypatch.setattr(run.watcher, "warn", warned)
        await run.staging.stage(request_of(world), user_of("web"), relay_of(world), run.watcher)
    assert staged_equals_source(world) and "copying from the factory" in run.watcher.messages[-1]


@pytest.mark.parametrize("claimed", ["true", "false"])
async def test_what_a_record_in_a_lab_claims_is_compared_with_the_factory(relayed: World, claimed: str) -> None:
    """Its ranges count where the factory's service has the same digest; no other lab and no manifest hears of it."""
    world = relayed
    await begin_and_fail(world)
    parts = source_pieces(world)[:3]
    fill(staged_blob(world), source_blob(world), dict.fromkeys(parts))
    truth = true_digests(world)
    digests = {part: truth[part] if claimed == "true" else FALSE for part in parts if part in truth}
    leave_record(world, "web", request_of(world), digests)
    totals, told = Totals(), Told()
    async with copier_of(world, totals=totals) as copier:
        first = await copy_image(copier, world, "web", told)
        second = await copy_image(copier, world, "relay")
    kept = sum(part.length for part in digests) if claimed == "true" else 0
    assert told.progress[0].kept == totals.kept == kept
    manifest = manifest_of(world)
    assert manifest and first.digest == second.digest == manifest.digest
    assert staged_equals_source(world, "web") and staged_equals_source(world, "relay")


@pytest.mark.parametrize("filling", [b" ", b"[],"])
async def test_a_record_that_unpacks_without_end_is_none(world: World, filling: bytes) -> None:
    """Of 128 MiB in 400 KB no more is read and unpacked than the record of that VHD can have; all is moved again."""
    await begin_and_fail(world)
    bomb = gzip.compress(b'{"ranges":[' + filling * (UNPACKED_BYTES // len(filling)))
    record = replace(request_of(world), destination=staged_ref(world)).record
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
    assert world.staged(world.labs["web"]) == [staged_ref(world).file_name], "the bomb is removed with the record"


async def test_a_copy_that_read_a_relay_writes_no_manifest(relayed: World) -> None:
    """The factory's own answers are its digest; the next direct copy leaves the manifest, and it is the same."""
    world = relayed
    stage_as_whole(world, "relay", source_blob(world), dict.fromkeys(source_pieces(world), FALSE))
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        copied = await copy_image(copier, world, "web", via=staged_ref(world, "relay"))
        assert manifest_of(world) is None and totals.moved == sum(part.length for part in source_pieces(world))
        world.add_lab("direct")
        direct = await copy_image(copier, world, "direct")
    manifest = manifest_of(world)
    assert manifest and manifest.digest == copied.digest == direct.digest and staged_equals_source(world)


async def test_with_the_md5s_of_the_manifest_the_factory_is_asked_nothing(relayed: World) -> None:
    """A relay is read and checked although the factory's VHD is gone; each range is one request."""
    world = relayed
    async with copier_of(world) as copier:
        await copy_image(copier, world, "relay")
    add_md5s(world)
    content = source_blob(world).download_blob().readall()
    async with copier_of(world) as copier:
        request, told = request_of(world), Told()
        await copy_image(copier, world, "relay")  # so that the factory's VHD is known
        source_blob(world).delete_blob()
        world.cloud.clear_calls()
        await copier.copy(request, staged_ref(world, "relay"), {"user"}, told.progress.append, told.messages.append)
    assert staged_blob(world).download_blob().readall() == content
    (vhd,) = world.images.values()
    assert [call for call in world.cloud.calls() if f"/{FACTORY_CONTAINER}/{vhd}" in call["path"]][:-1] == []


async def test_without_them_the_factory_is_asked_once_for_each_range_however_many_labs_read(relayed: World) -> None:
    """Its own service tells the MD5 of its own VHD; the digests are shared by all copies of the process."""
    world = relayed
    async with copier_of(world) as copier:
        await copy_image(copier, world, "relay")
        world.add_lab("other")
        world.cloud.clear_calls()
        for lab in ("web", "other"):
            await copy_image(copier, world, lab, via=staged_ref(world, "relay"))
    (vhd,) = world.images.values()
    asked = [call for call in world.cloud.calls() if call["path"].endswith(f"/{FACTORY_CONTAINER}/{vhd}")]
    assert len([call for call in asked if call["method"] == "GET"]) == len(source_pieces(world))
    assert staged_equals_source(world, "web") and staged_equals_source(world, "other")


async def test_a_relay_whose_etag_changes_again_and_again_is_given_up(relayed: World) -> None:
    """Its owner can hold up no other lab by writing to its metadata."""
    world = relayed
    async with copier_of(world) as copier:
        await copy_image(copier, world, "relay")
        where = f"/{world.labs['web'].account}/.*comp=page$"
        refusal = {"status": 412, "code": "SourceConditionNotMet"}
        world.cloud.set_faults([{"service": "blob", "method": "PUT", "path": where, "action": refusal}])
        relay = blob_at(world, "relay", staged_ref(world).file_name)
        facts = copiers.relay_etag

        async def touched(*given: Any) -> str:
            relay.set_blob_metadata(relay.get_blob_properties().metadata)
            return await facts(*given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(copiers, "relay_etag", touched)
            with pytest.raises(RelayLost, match="changes"):
                await copy_image(copier, world, "web", via=staged_ref(world, "relay"))
