"""kill -9 of the engine at random moments, and what labs share: nothing is lost, moved twice or left over.

Moments are drawn from a seed, in page writes that were done.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from imagefactory.copying import copier
from imagefactory.images.ranges import PIECE_BYTES
from tests.e2e.page_writes import page_writes, total
from tests.e2e.world import FACTORY_CONTAINER, MIB, STAGING_CONTAINER, UP, World
from tests.vhdcopy.copying import add_md5s

pytestmark = pytest.mark.engine

PIECES_PER_SECOND = 4
"""The emulator's limit for one blob, so that kills meet copies that have begun."""


@pytest.mark.timeout(500)
@pytest.mark.randomized(seeds=(7,), steps=2)
def test_a_killed_engine_is_followed_by_an_up_that_moves_the_rest(world: World, seed: int, steps: int) -> None:
    """Two kills for each image: VHDs end byte for byte equal, and no range whose write had ended is moved again.

    One kill of the two takes every process. With every other image, the engine writes its state at the end only.
    Two labs share an account, two lie in another region. Afterwards every lab has its images, and neither a staged VHD,
    nor a record, nor a process is left.
    """
    draw = random.Random(seed)
    web = world.add_lab("web", "Win2016")
    world.add_lab("near", "Win2016", account=web.account)
    world.add_lab("far", "Win2016", region="eastus")
    world.add_lab("further", "Win2016", region="eastus")
    world.cloud.set_limits({"blobBytesPerSecond": PIECES_PER_SECOND * PIECE_BYTES, "queueSeconds": 60})
    accounts = {lab.account: lab for lab in world.labs.values()}
    kept = {"status": 403, "message": "the released VHDs stay until they are compared"}
    keep = [{"service": "blob", "method": "DELETE", "path": f"/{account}/", "action": kept} for account in accounts]
    begun = 0
    for day in range(1, steps + 1):
        (name,) = world.add_images(("Win2016/Datacenter.json", day), size=96 * MIB, allocated=40 * MIB)
        world.cloud.clear_calls()
        world.cloud.set_faults(keep)
        kills, world.checkpoints = [], day % 2 == 1
        for everything in draw.sample((True, False), 2):
            kill_an_up(world, draw.randrange(1, 24), draw.random() / PIECES_PER_SECOND, everything)
            kills.append(len(page_writes(world)))
        assert world.adopt().code == 0
        world.up()
        where, vhd = f"seed {seed}, image {day}", world.images[name]
        content = world.bytes_of(world.factory, FACTORY_CONTAINER, vhd)
        for lab in accounts.values():
            assert world.bytes_of(lab, STAGING_CONTAINER, vhd) == content, f"{where}, {lab.name}"
        written = page_writes(world)
        for before in kills:
            assert not set(written[:before]) & set(written[before:]), f"{where}: what was written was moved again"
        begun += kills[-1]
        world.cloud.clear_faults()
        world.serve()
        for lab in world.labs.values():
            assert set(world.held(lab)) == set(world.images) and world.staged(lab) == [], f"{where}, {lab.name}"
    assert begun > 0, f"seed {seed}: no kill met a copy that had moved something"
    assert world.up().only_unchanged
    assert str(world.folder) not in processes("args"), "a process is left"


def test_what_is_staged_for_two_labs_of_one_account_is_copied_once_and_stays_for_the_second(world: World) -> None:
    """The first lab has its image and releases the VHD; the second, whose image failed, gets it from there later."""
    web = world.add_lab("web", "Win2016")
    near = world.add_lab("near", "Win2016", account=web.account)
    (name,) = world.add_images(("Win2016/Datacenter.json", 5), allocated=4 * MIB)
    failure = {"imageFails": {"code": "AllocationFailed", "message": "no room"}}
    world.cloud.set_faults([{"service": "arm", "method": "PUT", "path": "/labs/near/customimages", "action": failure}])
    run = world.up()
    assert run.code != 0 and "AllocationFailed" in run.output, run.output
    assert world.held(web) == {name: "Succeeded"} and world.copies() == 1
    vhd = world.images[name]
    assert world.staged(web) == [vhd]
    staged = world.service(web).get_blob_client(STAGING_CONTAINER, vhd).get_blob_properties()
    assert copier.users_of(staged.metadata) == {copier.user_of(f"{near.id}/customimages/{name}")}
    world.cloud.clear_faults()
    world.cloud.clear_calls()
    world.serve()
    assert world.held(near) == {name: "Succeeded"} and world.staged(near) == []
    assert world.copies() == 0 and page_writes(world) == []


def test_three_labs_of_a_region_get_an_image_that_crossed_once(world: World) -> None:
    """The factory's VHD is gone once the first of them has it, so the other two can only have read that one.

    They check it by the MD5s of the manifest, as `save` leaves them.
    """
    world.add_lab("near", "Win2016")
    (name,) = world.add_images(("Win2016/Datacenter.json", 5), size=64 * MIB, allocated=20 * MIB)
    world.serve()
    add_md5s(world)
    labs = [world.add_lab(name, "Win2016", region="eastus") for name in ("east", "farther", "farthest")]
    world.cloud.clear_calls()
    world.cloud.set_latencies({"pageSeconds": 2})
    process = world.start(*UP)
    while not (whole := [lab for lab in labs if is_whole(world, name, lab.name)]):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    (relay,) = whole
    crossed = page_writes(world)
    assert {write.path.split("/")[1] for write in crossed} == {relay.account}, "nobody else has begun"
    world.retire(name)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0 and "copying from the factory" not in output, output
    assert len(page_writes(world)) == 3 * len(crossed) and total(page_writes(world)) == 3 * total(crossed)
    for lab in labs:
        assert world.held(lab) == {name: "Succeeded"} and world.staged(lab) == []


def is_whole(world: World, name: str, lab: str) -> bool:
    """Whether the staged VHD of an image has the mark of a finished copy."""
    blob = world.service(world.labs[lab]).get_blob_client(STAGING_CONTAINER, world.images[name])
    return bool(blob.exists()) and blob.get_blob_properties().metadata[copier.STATE] == copier.WHOLE


def kill_an_up(world: World, after: int, then: float, everything: bool) -> None:
    """Begin an up, and kill its engine so many page writes later: alone, or with program, provider and all others."""
    before = len(page_writes(world))
    process = world.start(*UP)
    while len(page_writes(world)) < before + after and process.poll() is None:
        time.sleep(0.2)
    time.sleep(then)
    if process.poll() is None:
        for pid in family(process.pid) if everything else [process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    world.pulumi("cancel", "--yes")


def family(pid: int) -> list[int]:
    """A process and all that it and its children have started; plugins have process groups of their own."""
    parents = [tuple(map(int, line.split())) for line in processes("pid=,ppid=").splitlines()]
    found = [pid]
    for parent in found:
        found += [child for child, of in parents if of == parent]
    return found


def processes(columns: str) -> str:
    """All processes of this machine."""
    return subprocess.run(["ps", "-A", "-ww", "-o", columns], capture_output=True, text=True, check=True).stdout
