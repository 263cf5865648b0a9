"""Many accounts of one region take an image: with the real engine, finished copies are what later ones read."""

from __future__ import annotations

import pytest

from tests.e2e.world import MIB, World

pytestmark = pytest.mark.engine

LABS = 5
"""So many storage accounts of a region share an image by reading each other."""


def test_each_range_leaves_the_factory_for_few_labs_and_the_others_read_what_these_hold(world: World) -> None:
    """Each lab reads one VHD, the factory's or that of a lab before it, and says so where it waits for one."""
    labs = [world.add_lab(f"lab{n}", "Win2016") for n in range(LABS)]
    (name,) = world.add_images(("Win2016/Datacenter.json", 5), allocated=4 * MIB)
    world.cloud.set_latencies({"pageSeconds": 1})
    run = world.serve()
    calls = [each for each in world.cloud.calls() if each["source"]]
    read = {
        lab.account: {each["source"].split("/")[1] for each in calls if f"/{lab.account}/" in each["path"]}
        for lab in labs
    }
    assert all(len(sources) == 1 for sources in read.values()), read
    sources = [*read.values()]
    assert sources.count({world.factory.account}) < LABS
    assert set().union(*sources) <= {world.factory.account, *read}
    assert "waiting for another copy in its region" in run.output
    for lab in labs:
        assert world.held(lab) == {name: "Succeeded"} and world.staged(lab) == []
