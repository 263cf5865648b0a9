"""How many requests storage accounts get around the ranges of a copy; each costs tens of milliseconds on Azure."""

from __future__ import annotations

from collections import Counter

from imagefactory.copying.copier import user_of
from tests.e2e.cloud_calls import taken_kinds
from tests.e2e.world import World
from tests.vhdcopy.copying import a_run, request_of

LEARN = Counter({"HEAD vhd": 1, "GET vhd": 1, "GET manifest": 1, "GET pagelist": 1})
"""What the copies of one VHD in a process need once: its properties and footer, its manifest and its ranges."""

COPY = Counter({"PUT staged": 1, "GET staged": 1, "PUT metadata": 1})
"""Its creation, its end with its present metadata, and the mark."""

RELEASE = Counter({"DELETE staged": 1})
"""If the same process copied it, for this image alone, and wrote no record of it."""

CONTAINER = Counter({"PUT container": 1})
"""Only for the first copy into a storage account."""


async def test_a_copy_and_its_release_make_four_requests_around_its_ranges(world: World) -> None:
    """Beside those once for each image and each storage account."""
    world.add_lab("first")
    world.add_lab("data")
    async with a_run(world) as run:
        await run.stage(world, "first")
    web, data = request_of(world, "web"), request_of(world, "data")
    taken_kinds(world.cloud)
    async with a_run(world) as run:
        await run.staging.stage(web, user_of("web"), None, run.shown)
        assert taken_kinds(world.cloud) == LEARN + CONTAINER + COPY
        await run.release(world, "web")
        assert taken_kinds(world.cloud) == RELEASE
        await run.staging.stage(data, user_of("data"), None, run.shown)
        assert taken_kinds(world.cloud) == CONTAINER + COPY
        await run.release(world, "data")
    assert COPY.total() + RELEASE.total() == 4
