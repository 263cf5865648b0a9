"""kill -9 of the engine with everything at random moments: the next up goes on, and nothing is lost or left over.

Two labs share an account, two lie in another region and get each image by way of a relay. Moments are drawn from a
seed, in page writes that were done; more can be tried by hand:
KILL_SEEDS='1 2 3' python3 dev.py test tests/e2e/test_kills.py
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from imagefactory.ranges import PIECE_BYTES
from tests.e2e.world import FACTORY_CONTAINER, MIB, STAGING_CONTAINER, UP, Lab, World

pytestmark = pytest.mark.engine

SEEDS = [int(seed) for seed in os.environ.get("KILL_SEEDS", "7").split()]
IMAGES, KILLS_EACH = 5, 2
PIECES_PER_SECOND = 8


@pytest.mark.timeout(500)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_engine_is_followed_by_an_up_that_moves_the_rest(world: World, seed: int) -> None:
    """Ten kills: every staged VHD ends as the factory's byte for byte, every lab gets its images, nothing is left."""
    draw = random.Random(seed)
    web = world.add_lab("web", "Win2016")
    world.add_lab("near", "Win2016", account=web.account)
    world.add_lab("far", "Win2016", region="eastus")
    world.add_lab("further", "Win2016", region="eastus")
    world.cloud.set_limits({"blobBytesPerSecond": PIECES_PER_SECOND * PIECE_BYTES, "queueSeconds": 60})
    accounts = {lab.account: lab for lab in world.labs.values()}
    kept = "the released VHDs stay until they are compared"
    keep = [
        {"service": "blob", "method": "DELETE", "path": f"/{account}/", "action": {"status": 403, "message": kept}}
        for account in accounts
    ]
    for day in range(1, IMAGES + 1):
        (name,) = world.add_images(("Win2016/Datacenter.json", day), size=96 * MIB, allocated=40 * MIB)
        world.cloud.clear_calls()
        world.cloud.set_faults(keep)
        for _ in range(KILLS_EACH):
            kill_an_up(world, draw.randrange(1, 24), draw.random() / PIECES_PER_SECOND)
        world.up()
        vhd = world.images[name]
        content = world.bytes_of(world.factory, FACTORY_CONTAINER, vhd)
        for lab in accounts.values():
            assert world.bytes_of(lab, STAGING_CONTAINER, vhd) == content, f"seed {seed}, image {day}, {lab.name}"
        fresh = len(accounts) * sum(part for part in first_copies(world, web, vhd))
        assert moved(world) < 2 * fresh, f"seed {seed}, image {day}: what was recorded was moved again"
        world.cloud.clear_faults()
        world.serve()
        for lab in world.labs.values():
            assert set(world.held(lab)) == set(world.images) and world.staged(lab) == [], f"seed {seed}, {lab.name}"
    assert world.up().only_unchanged


def kill_an_up(world: World, after: int, then: float) -> None:
    """Begin an up, and kill engine, provider and program so many page writes later."""
    before = len(writes(world))
    process = world.start(*UP)
    while len(writes(world)) < before + after and process.poll() is None:
        time.sleep(0.05)
    time.sleep(then)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    world.pulumi("cancel", "--yes")


def writes(world: World) -> list[tuple[str, int, int]]:
    """Path, offset and length of every range that was written into the labs' accounts."""
    accounts = {lab.account for lab in world.labs.values()}
    return [
        (call["path"].partition("?")[0], call["offset"], call["length"])
        for call in world.cloud.calls()
        if call["length"] and call["status"] == 201 and call["path"].split("/")[1] in accounts
    ]


def moved(world: World) -> int:
    """Bytes of all of them."""
    return sum(length for _, _, length in writes(world))


def first_copies(world: World, lab: Lab, vhd: str) -> list[int]:
    """The length of each different range of a VHD that was written into a lab's account."""
    return [
        length
        for _, _, length in {
            each for each in writes(world) if each[0].endswith(f"{lab.account}/{STAGING_CONTAINER}/{vhd}")
        }
    ]
