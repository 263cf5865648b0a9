"""kill -9 of the provider at random moments: the next one copies the rest; nothing is lost or orphaned.

A seed determines the moments, counted in finished page writes.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from azure.storage.blob import BlobClient

from imagefactory.images.ranges import PIECE_BYTES
from tests.e2e.world import MIB, STAGING_CONTAINER, World
from tests.vhdcopy.copying import inputs_of, release_of, source_blob, staged_blob
from tests.vhdcopy.plugin import COPY, RELEASE, Plugin, running

PIECES_PER_SECOND = 10
"""The emulator's limit: a copy takes some seconds, its ranges finish one by one, and a record is written."""


@pytest.mark.timeout(400)
@pytest.mark.randomized(seeds=(7,), steps=10)
async def test_a_killed_provider_is_followed_by_one_that_moves_the_rest(
    world: World, shell: dict[str, str], python: Path, seed: int, steps: int
) -> None:
    """Whatever the moment, the staged VHD is the factory's byte for byte, and what was recorded is not moved again."""
    draw = random.Random(seed)
    ((old, _),) = world.images.items()
    world.retire(old)
    (name,) = world.add_images(("Win2016/Datacenter.json", 6), size=192 * MIB, allocated=100 * MIB)
    world.cloud.set_limits({"blobBytesPerSecond": PIECES_PER_SECOND * PIECE_BYTES, "queueSeconds": 60})
    source = content_of(source_blob(world))
    fresh, again, recorded_at = 0, [], []
    for kill in range(steps):
        lab = f"lab{kill}"
        world.add_lab(lab)
        world.cloud.clear_calls()
        inputs = inputs_of(world, lab)
        total = 26 if not fresh else fresh // PIECE_BYTES
        moment = draw.randrange(total)
        async with running(shell, python) as first:
            creating = asyncio.ensure_future(unanswered(first, inputs))
            while len(writes(world, lab)) < moment and not creating.done():  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.05)
            await asyncio.sleep(draw.random() / PIECES_PER_SECOND)
            await first.kill()
            await creating
        before = sum(writes(world, lab))
        recorded = any(blob.endswith(".gz") for blob in world.staged(world.labs[lab]))
        async with running(shell, python) as second:
            answer = await second.create(COPY, inputs)
            staged = await asyncio.to_thread(content_of, staged_blob(world, lab))
            assert staged == source, f"seed {seed}, kill {kill} at {moment}"
            world.seed_standing(world.labs[lab], name, {"ImagePath": "Win2016/Datacenter.json"})
            await second.create(RELEASE, release_of(inputs, dict(answer.properties)))
        moved = sum(writes(world, lab)) - before
        fresh = fresh or before + moved
        again.append(moved)
        recorded_at.append(recorded)
        assert world.staged(world.labs[lab]) == [], "no orphan is left"
    whole = max(again)
    assert all(moved < whole for moved, recorded in zip(again, recorded_at, strict=True) if recorded), (seed, again)
    assert any(recorded_at) and sum(again) < 0.9 * steps * whole, (seed, again)


async def unanswered(plugin: Plugin, inputs: dict[str, Any]) -> None:
    """A create whose provider is killed, unless it finished before."""
    try:
        await plugin.create(COPY, inputs)
    except grpc.aio.AioRpcError:
        return


def content_of(blob: BlobClient) -> bytes:
    """The bytes of a blob."""
    return bytes(blob.download_blob().readall())


def writes(world: World, lab: str) -> list[int]:
    """The bytes of each range that was written into a lab's account."""
    place = f"/{world.labs[lab].account}/{STAGING_CONTAINER}/"
    return [
        call["length"]
        for call in world.cloud.calls()
        if call["length"] and call["status"] == 201 and call["path"].startswith(place)
    ]
