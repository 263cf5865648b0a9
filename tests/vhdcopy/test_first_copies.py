"""The first copy of a VHD, whose content no manifest states: compared with the digests that the service computes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from imagefactory.copying.copier import CopyError
from imagefactory.copying.totals import Totals
from imagefactory.errors import ImageFactoryError
from tests.e2e.world import MIB, World
from tests.vhdcopy.copying import (
    Shown,
    copier_of,
    copy_image,
    manifest_of,
    source_blob,
    source_pieces,
    staged_blob,
    staged_equals_source,
)

CORRUPT = {"corrupt": True}


def write_at(offset: int, action: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A fault rule for the writes of the range that contains a byte."""
    return {"service": "blob", "method": "PUT", "path": "comp=page(&|$)", "offset": offset, "action": action, **more}


def reading(world: World, action: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A fault rule for the requests for a digest of the factory VHD; the first read of it is that of its footer."""
    (vhd,) = world.images.values()
    return {"service": "blob", "method": "GET", "path": rf"/{vhd}(\?(?!comp)|$)", "action": action, **more}


def reads(world: World) -> int:
    """How often content or a digest of the factory VHD was requested."""
    path = f"/{world.factory.account}/"
    (vhd,) = world.images.values()
    calls = [call for call in world.cloud.calls() if call["service"] == "blob" and call["method"] == "GET"]
    return sum(path in call["path"] and vhd in call["path"] and "comp=" not in call["path"] for call in calls)


async def test_every_range_that_changed_on_its_way_is_found_and_copied_again(world: World) -> None:
    """Each range of the first copy arrives with one byte changed, once: all are found, and the manifest is right."""
    parts = source_pieces(world)
    world.cloud.set_faults([write_at(part.offset, CORRUPT, times=1) for part in parts])
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        first = await copy_image(copier, world)
    assert [rule["hits"] for rule in world.cloud.faults()] == [1] * len(parts)
    assert totals.retried == len(parts) and staged_equals_source(world)
    world.cloud.clear_faults()
    staged_blob(world).delete_blob()
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        assert (await copy_image(copier, world)).digest == first.digest and totals.retried == 0


async def test_a_range_that_always_arrives_changed_is_an_error_and_is_no_manifest(world: World) -> None:
    """The error names range and digests; the next run copies that range again."""
    part = source_pieces(world)[1]
    world.cloud.set_faults([write_at(part.offset, CORRUPT)])
    async with copier_of(world) as copier:
        with pytest.raises(CopyError, match=f"range of {part.length} bytes at {part.offset} has CRC64 .* has .*="):
            await copy_image(copier, world)
    assert manifest_of(world) is None
    world.cloud.clear_faults()
    async with copier_of(world) as copier:
        await copy_image(copier, world)
    assert staged_equals_source(world)


async def test_all_first_copies_ask_once_for_each_digest_and_those_with_a_manifest_for_none(world: World) -> None:
    """Nor does a copy without verification; every run reads the footer."""
    for lab in ("data", "more", "unverified"):
        world.add_lab(lab)
    world.cloud.clear_calls()
    async with copier_of(world) as copier:
        await asyncio.gather(copy_image(copier, world), copy_image(copier, world, "data"))
    assert reads(world) == len(source_pieces(world)) + 1
    world.cloud.clear_calls()
    async with copier_of(world) as copier:
        await copy_image(copier, world, "more")
    assert reads(world) == 1


async def test_without_verification_no_digest_is_requested_and_a_changed_range_stays(world: World) -> None:
    """That is what the setting `copy.verifyFirst: false` saves, and what it costs."""
    world.cloud.set_faults([write_at(source_pieces(world)[1].offset, CORRUPT)])
    async with copier_of(world, verify_first=False) as copier:
        await copy_image(copier, world)
    assert reads(world) == 1 and not staged_equals_source(world)


@pytest.mark.parametrize(
    "action",
    [{"status": 503, "code": "ServerBusy"}, {"status": 500}, {"drop": True}, {"status": 401, "code": "InvalidToken"}],
)
async def test_a_digest_is_requested_again_after_a_passing_error(world: World, action: dict[str, Any]) -> None:
    """The range is not copied without it."""
    world.cloud.set_faults([reading(world, action, nth=3)])
    async with copier_of(world) as copier:
        await copy_image(copier, world)
    (rule,) = world.cloud.faults()
    assert rule["hits"] == 1 and staged_equals_source(world)


async def test_a_service_that_computes_no_digest_stops_no_copy_and_is_named(world: World) -> None:
    """As may be the case for the SAS of a disk: the copy is not verified, and a warning says so."""
    world.cloud.set_faults([reading(world, {"status": 400, "code": "UnsupportedHeader"}, nth=2)])
    shown = Shown()
    async with copier_of(world, in_flight=1) as copier:
        await copy_image(copier, world, shown=shown)
    assert [told for told in shown.messages if "its first copy is not verified" in told]
    assert reads(world) == 2 and staged_equals_source(world)


async def test_a_factory_vhd_that_was_deleted_is_named_when_its_digest_is_requested(world: World) -> None:
    """As if the write had found it missing: the copy reads the source again, and ends."""
    world.cloud.set_faults([write_at(8 * MIB, {"delaySeconds": 2})])
    shown = Shown()
    async with copier_of(world, in_flight=1) as copier:
        copying = asyncio.ensure_future(copy_image(copier, world, shown=shown))
        while not shown.progress or shown.progress[-1].done == 0:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)
        source_blob(world).delete_blob()
        with pytest.raises(ImageFactoryError, match="no longer exists"):
            await copying
