"""Which complete VHD each copy reads: few read one at a time, those of the region first, and nobody waits forever."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.copying.fan_out import READERS, FanOut
from imagefactory.observed.blobs import BlobRef


def blob(name: str) -> BlobRef:
    return BlobRef(f"/accounts/{name}", f"https://{name}/x.vhd")


SOURCE = blob("factory")


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 3)), max_size=30))
async def test_every_copy_gets_a_source_and_none_is_read_by_too_many(copies: list[tuple[int, bool, int]]) -> None:
    """Whatever fails, is removed or takes long: each copy ends, and reads a VHD that is complete."""
    fan_out, reading, complete = FanOut(), Counter[BlobRef](), {SOURCE}
    regions = [SOURCE, *(blob(f"relay{n}") for n in range(1, 4))]

    async def copy(number: int, region: BlobRef, fails: bool, steps: int) -> None:
        async with fan_out.reading(SOURCE, region) as source:
            reading[source] += 1
            assert source in complete and reading[source] <= READERS
            for _ in range(steps):
                await asyncio.sleep(0)
            reading[source] -= 1
            if fails:
                if source != SOURCE and reading[source] == 0:
                    complete.discard(source)
                fan_out.drop(source)
        if not fails:
            complete.add(blob(f"lab{number}"))
            fan_out.complete(SOURCE, blob(f"lab{number}"), region)

    await asyncio.wait_for(
        asyncio.gather(*(copy(n, regions[r], fails, steps) for n, (r, fails, steps) in enumerate(copies))), 10
    )


async def test_a_copy_reads_in_its_own_region_once_a_vhd_is_complete_there() -> None:
    """Before, it reads the least read VHD of any region."""
    fan_out, home, east = FanOut(), SOURCE, blob("east")
    fan_out.complete(SOURCE, blob("near"), home)
    async with fan_out.reading(SOURCE, home) as first, fan_out.reading(SOURCE, east) as second:
        assert {first, second} == {SOURCE, blob("near")}
    fan_out.complete(SOURCE, east, east)
    async with fan_out.reading(SOURCE, east) as there:
        assert there == east and fan_out.is_read(east)
    assert not fan_out.is_read(east)


async def test_a_vhd_that_is_released_is_not_read_again_and_the_factorys_always_may_be() -> None:
    """Also by a copy that already waits."""
    fan_out, east = FanOut(), blob("east")
    fan_out.complete(SOURCE, east, east)
    async with fan_out.reading(SOURCE, east):
        waiting = asyncio.ensure_future(fan_out.reading(SOURCE, east).__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
        fan_out.drop(east)
        fan_out.drop(SOURCE)
        assert await asyncio.wait_for(waiting, 10) == SOURCE


async def test_a_canceled_copy_makes_room() -> None:
    """Whether it reads or waits."""
    fan_out = FanOut()

    async def read(seconds: float) -> None:
        async with fan_out.reading(SOURCE, SOURCE):
            await asyncio.sleep(seconds)

    running = [asyncio.ensure_future(read(3600)) for _ in range(READERS + 1)]
    last = asyncio.ensure_future(read(0))
    await asyncio.sleep(0)
    for task in running:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.wait_for(last, 10)
