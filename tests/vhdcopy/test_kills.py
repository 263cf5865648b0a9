"""kill -9 of the provider at random moments: the next one copies the rest; nothing is lost or orphaned.

A seed determines the moments, counted in finished page writes.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from pulumi.runtime.proto import provider_pb2_grpc

from imagefactory.images.ranges import PIECE_BYTES
from tests.e2e.world import MIB, STAGING_CONTAINER, World
from tests.vhdcopy.copying import content_of, inputs_of, release_of, source_blob, source_pieces, staged_blob
from tests.vhdcopy.plugin import COPY, RELEASE, Plugin, running

PIECES_PER_SECOND = 5
"""The emulator's limit: a copy takes some seconds, and its ranges finish one by one."""


@pytest.mark.timeout(400)
@pytest.mark.randomized(seeds=(7,), steps=5)
async def test_a_killed_provider_is_followed_by_one_that_moves_the_rest(
    world: World, shell: dict[str, str], python: Path, seed: int, steps: int
) -> None:
    """The VHD is the factory's byte for byte, and no range whose write had ended is moved again."""
    draw = random.Random(seed)
    ((old, _),) = world.images.items()
    world.retire(old)
    (name,) = world.add_images(("Win2016/Datacenter.json", 6), size=64 * MIB, allocated=40 * MIB)
    world.cloud.set_limits({"blobBytesPerSecond": PIECES_PER_SECOND * PIECE_BYTES, "queueSeconds": 60})
    source = content_of(source_blob(world))
    ranges, kept = len(source_pieces(world)), 0
    async with AsyncExitStack() as processes:
        first = await processes.enter_async_context(running(shell, python))
        for kill in range(steps):
            lab = f"lab{kill}"
            world.add_lab(lab)
            world.cloud.clear_calls()
            inputs = inputs_of(world, lab)
            moment = draw.randrange(ranges)
            creating = asyncio.ensure_future(unanswered(first, inputs))
            while len(writes(world, lab)) < moment and not creating.done():  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.05)
            await asyncio.sleep(draw.random() / PIECES_PER_SECOND)
            await first.kill()
            await creating
            before = len(writes(world, lab))
            kept += before
            second = await processes.enter_async_context(running(shell, python))
            answer = await second.create(COPY, inputs)
            staged = await asyncio.to_thread(content_of, staged_blob(world, lab))
            assert staged == source, f"seed {seed}, kill {kill} at {moment}"
            world.seed_standing(world.labs[lab], name, {"ImagePath": "Win2016/Datacenter.json"})
            await second.create(RELEASE, release_of(inputs, dict(answer.properties)))
            written = writes(world, lab)
            assert not set(written[:before]) & set(written[before:]), f"seed {seed}, kill {kill} at {moment}"
            assert world.staged(world.labs[lab]) == [], "no orphan is left"
            first = second
    assert kept > 0, f"seed {seed}: no kill met a copy that had moved something"


async def test_a_plugin_whose_engine_is_gone_stops_copying(world: World, plugin: Plugin) -> None:
    """The connection ends with the engine, which cancels what it requested, although the plugin's parent still runs."""
    world.cloud.set_limits({"blobBytesPerSecond": MIB, "queueSeconds": 60})
    channel = grpc.aio.insecure_channel(plugin.address)
    engine = replace(plugin, stub=provider_pb2_grpc.ResourceProviderStub(channel))
    creating = asyncio.ensure_future(unanswered(engine, inputs_of(world)))
    while not writes(world, "web"):  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.05)
    await channel.close()
    await creating
    ranges = len(source_pieces(world))
    while not writes(world, "web", status=503):
        assert len(writes(world, "web")) < ranges, "it copied to the end"
        await asyncio.sleep(0.05)
    assert plugin.process.returncode is None


async def unanswered(plugin: Plugin, inputs: dict[str, Any]) -> None:
    """A create whose provider or engine is killed, unless it finished before."""
    with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        await plugin.create(COPY, inputs)


def writes(world: World, lab: str, status: int = 201) -> list[tuple[int, int]]:
    """Offset and length of each range that was written into a lab's account."""
    place = f"/{world.labs[lab].account}/{STAGING_CONTAINER}/"
    return [
        (call["offset"], call["length"])
        for call in world.cloud.calls()
        if call["length"] and call["status"] == status and call["path"].startswith(place)
    ]
