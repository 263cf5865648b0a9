"""How many requests storage accounts get around the ranges of a copy; each costs tens of milliseconds on Azure."""

from __future__ import annotations

from collections import Counter

from imagefactory.copying.copier import user_of
from tests.e2e.world import STAGING_CONTAINER, World
from tests.vhdcopy.copying import a_run, request_of

LEARN = Counter({"HEAD vhd": 1, "GET vhd": 1, "GET manifest": 1, "GET pagelist": 1})
"""What the copies of one VHD in a process need once: its properties and footer, its manifest and its ranges."""

COPY = Counter({"HEAD staged": 2, "PUT staged": 1, "GET staged": 1, "PUT metadata": 1})
"""Whether it exists, its creation, its end, its present metadata and the mark."""

RELEASE = Counter({"HEAD staged": 1, "HEAD record": 1, "DELETE staged": 1})

CONTAINER = Counter({"PUT container": 1})
"""Only for the first copy into a storage account."""


def requests(world: World) -> Counter[str]:
    """The requests to storage accounts since the last call, without those that write a range or return a digest."""
    found: Counter[str] = Counter()
    for call in world.cloud.calls():
        path, _, query = call["path"].partition("?")
        if call["service"] != "blob" or call["length"]:
            continue
        staged = STAGING_CONTAINER in path
        what = "record" if staged and path.endswith(".json.gz") else "staged" if staged else "vhd"
        what = "manifest" if not staged and path.endswith(".json.gz") else what
        operation = query.partition("comp=")[2].partition("&")[0]
        found[f"{call['method']} {'container' if 'restype' in query else operation or what}"] += 1
    world.cloud.clear_calls()
    return found


async def test_a_copy_and_its_release_make_eight_requests_around_its_ranges(world: World) -> None:
    """Beside those once for each image and each storage account."""
    world.add_lab("first")
    world.add_lab("data")
    async with a_run(world) as run:
        await run.stage(world, "first")
    web, data = request_of(world, "web"), request_of(world, "data")
    requests(world)
    async with a_run(world) as run:
        await run.staging.stage(web, user_of("web"), None, run.shown)
        assert requests(world) == LEARN + CONTAINER + COPY
        await run.release(world, "web")
        assert requests(world) == RELEASE
        await run.staging.stage(data, user_of("data"), None, run.shown)
        assert requests(world) == CONTAINER + COPY
        await run.release(world, "data")
    assert COPY.total() + RELEASE.total() == 8
