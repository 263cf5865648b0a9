"""What a killed copy moved and did not record: kept if the service computes the same digest for source and copy."""

from __future__ import annotations

from typing import Any

import pytest

from imagefactory.copying.totals import Totals
from imagefactory.images.ranges import Range
from tests.e2e.world import MIB, World
from tests.vhdcopy.copying import (
    Shown,
    copier_of,
    copy_image,
    slow_write,
    source_bytes,
    source_pieces,
    staged_blob,
    staged_equals_source,
    staged_ref,
    stop_when,
)

NOTHING = {"delaySeconds": 0}
"""The action of a rule that only counts."""


async def killed(world: World, *, with_manifest: bool = False) -> list[Range]:
    """Leave a copy without its record, as a kill before the first record does; return the ranges that it moved."""
    if with_manifest:
        world.add_lab("first")
        async with copier_of(world) as copier:
            await copy_image(copier, world, "first")
    world.cloud.set_faults([slow_write(60)])
    parts = source_pieces(world)
    moved = [part for part in parts if not part.offset <= 8 * MIB < part.end]
    wanted = sum(part.length for part in moved)
    await stop_when(Shown(), world, lambda shown: bool(shown.progress) and shown.progress[-1].done == wanted)
    world.cloud.clear_faults()
    container = world.service(world.labs["web"]).get_container_client(staged_ref(world).url.split("/")[-2])
    container.delete_blob(next(blob for blob in world.staged(world.labs["web"]) if blob.endswith(".gz")))
    assert len(moved) == len(parts) - 1 > 1
    return moved


async def resumed(world: World, *rules: dict[str, Any]) -> tuple[Totals, list[int]]:
    """Copy what is missing under fault rules, which returns their hits; the copy equals its source."""
    totals = Totals()
    world.cloud.set_faults(list(rules))
    async with copier_of(world, totals=totals) as copier:
        await copy_image(copier, world)
    hits = [rule["hits"] for rule in world.cloud.faults()]
    world.cloud.clear_faults()
    assert staged_equals_source(world)
    return totals, hits


def length(*parts: Range) -> int:
    return sum(part.length for part in parts)


def digests(world: World, account: str, action: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A fault rule for the digests of the VHD in an account."""
    (vhd,) = world.images.values()
    return {"service": "blob", "method": "GET", "path": rf"/{account}/.*{vhd}$", "action": action, **more}


@pytest.mark.parametrize("with_manifest", [True, False])
async def test_a_range_that_is_right_and_not_recorded_is_not_moved_again(world: World, with_manifest: bool) -> None:
    """With a manifest no digest of the source is requested; the first copy still writes the manifest of the image."""
    moved = await killed(world, with_manifest=with_manifest)
    totals, hits = await resumed(world, digests(world, world.factory.account, NOTHING))
    assert totals.kept == length(*moved) and totals.moved == source_bytes(world) - length(*moved)
    footers = 1
    assert hits == [footers + (0 if with_manifest else len(source_pieces(world)))]
    staged_blob(world).delete_blob()
    totals, _ = await resumed(world)
    assert totals.retried == 0


async def test_a_range_that_is_wrong_or_torn_is_moved_again(world: World) -> None:
    """One byte differs in one; a page of another is missing, as when its write did not end."""
    first, *_, last = await killed(world)
    blob = staged_blob(world)
    page = bytearray(blob.download_blob(first.offset, 512).readall())
    page[100] ^= 1
    blob.upload_page(bytes(page), first.offset, 512)
    blob.clear_page(last.end - 512, 512)
    totals, _ = await resumed(world)
    missing = [part for part in source_pieces(world) if part.offset <= 8 * MIB < part.end]
    assert totals.moved == length(first, last, *missing) and totals.retried == 0


@pytest.mark.parametrize("of", ["source", "copy"])
async def test_where_the_service_computes_no_digest_the_ranges_are_moved_again(world: World, of: str) -> None:
    """Of source or copy; the copy does not fail."""
    moved = await killed(world)
    refusal = {"status": 400, "code": "UnsupportedHeader"}
    if of == "source":
        account = world.factory.account
        totals, hits = await resumed(world, digests(world, account, NOTHING, times=1), digests(world, account, refusal))
    else:
        totals, hits = await resumed(world, digests(world, world.labs["web"].account, refusal, times=len(moved)))
    assert totals.kept == 0 and totals.moved == source_bytes(world) and hits[-1] >= len(moved)


async def test_a_digest_is_requested_again_after_a_passing_error(world: World) -> None:
    """A busy service does not make a copy move what is there."""
    moved = await killed(world)
    busy = {"status": 503, "code": "ServerBusy"}
    totals, hits = await resumed(world, digests(world, world.labs["web"].account, busy, times=2))
    assert totals.kept == length(*moved) and hits == [2]
