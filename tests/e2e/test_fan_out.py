"""Many accounts of one region take an image: with the real engine, finished copies are what later ones read."""

from __future__ import annotations

from collections import Counter

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


def test_the_engine_begins_copies_in_the_order_of_the_plan(world: World) -> None:
    """By the size of their VHD times the number of copies of it before them: all small ones before the third large one.
    Neighbors may change places, because the SDK sends declarations by several threads."""
    labs = {world.add_lab(f"lab{n}", "Win2016").account: f"lab{n}" for n in range(LABS)}
    sizes = {"large": 100, "small": 16}
    names = {
        world.images[name]: key
        for day, (key, size) in enumerate(sizes.items(), start=5)
        for name in world.add_images(("Win2016/Datacenter.json", day), size=size * MIB, allocated=MIB)
    }
    run = world.pulumi("up", "--yes", "--skip-preview", "--parallel", "1")
    assert run.code == 0, run.output
    paths = [call["path"].split("/")[1:] for call in world.cloud.calls() if call["method"] == "PUT"]
    begun = [(names[path[-1]], labs[path[0]]) for path in paths if path[0] in labs and path[-1] in names]
    assert Counter(begun) == {(key, lab): 1 for key in sizes for lab in labs.values()}
    large = [number for number, (key, _) in enumerate(begun) if key == "large"]
    assert large[2] > max(number for number, (key, _) in enumerate(begun) if key == "small"), begun
