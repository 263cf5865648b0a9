"""A lab changes how it gets an image, or gets another one: at no moment is it without a good image of the path."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import pytest

from tests.e2e.gallery_world import GalleryWorld
from tests.e2e.world import Run

pytestmark = pytest.mark.engine

Story = Generator[list[Mapping[str, object]], Run, None]
"""What happens to some labs between runs: it yields the faults of the next run, none if that shall succeed, and gets
the run. After a run with a fault of another story it finds that its own labs have what they had."""

MOVED, BUILT, SPREAD, LINUX = (f"{name}.json" for name in ("Moved/Office", "Built/Office", "Spread/Office", "Ubuntu/J"))


def test_a_lab_has_an_image_at_every_moment_whatever_changes(gallery_world: GalleryWorld) -> None:
    """It moves to the gallery and back; a golden image changes its generation and leaves; regions come and go. Each of
    these stories has labs and golden images of its own, and all take place in the same runs of one stack, which keeps
    one image of each path. At the end, and in between, a run changes nothing."""
    world = gallery_world
    world.settings["keep"] = 1
    stories = [to_the_gallery_and_back(world), another_generation(world), regions_that_come_and_go(world)]
    faults = {story: next(story) for story in stories}
    while faults:
        world.cloud.set_faults([dict(fault) for of_story in faults.values() for fault in of_story])
        run = world.up()
        assert (run.code != 0) == any(faults.values()), run.output
        for story in list(faults):
            try:
                faults[story] = story.send(run)
            except StopIteration:
                del faults[story]


def to_the_gallery_and_back(world: GalleryWorld) -> Story:
    """Its custom images go only after its users can use the version, and the version and its definition go only after
    the custom images are in state Succeeded, also if a run fails on the way. A lab with both has both throughout."""
    near, both = world.add_lab("near", MOVED), world.add_lab("both", MOVED)
    world.deliveries |= {"near": "customImage", "both": "both"}
    (name,) = world.add_images((MOVED, 5))
    vhd = world.images[name]
    yield []
    good, offered = {name: "Succeeded"}, {"images": ["Moved.Office"]}
    assert world.held(near) == world.held(both) == good and world.offers(near) == {}
    key = world.made_from()[vhd]
    assert world.offers(both) == offered

    world.deliveries["near"] = "gallery"
    refused = {"status": 403, "code": "AuthorizationFailed", "message": "no"}
    for _ in range(3):
        yield [{"service": "arm", "method": "PUT", "path": "/labs/near/sharedgalleries/", "action": refused}]
        assert world.held(near) == good
    yield []
    assert world.offers(near) == offered and world.held(near) == good
    yield []
    assert world.offers(near) == offered and world.held(near) == {}
    run = yield []
    assert run.only_unchanged

    world.deliveries["near"] = "customImage"
    failure = {"imageFails": {"code": "AllocationFailed", "message": "no room"}}
    yield [{"service": "arm", "method": "PUT", "path": "/labs/near/customimages", "action": failure}]
    assert world.offers(near) == offered
    yield []
    assert world.offers(near) == offered and world.held(near) == good
    yield []
    assert world.offers(near) == {} and world.held(near) == good
    assert world.offers(both) == offered and world.held(both) == good
    assert world.made_from()[vhd] == key

    world.deliveries["both"] = "customImage"
    yield []
    assert world.offers(both) == {} and vhd not in world.made_from() and "Moved.Office" not in world.definitions()
    assert world.held(near) == world.held(both) == good
    run = yield []
    assert run.only_unchanged


def another_generation(world: GalleryWorld) -> Story:
    """With `keep: 1` the definition of the new generation is enabled beside that of the old one, which goes with its
    version once the new version is finished. What leaves labs.json is disabled and deleted; an image that was not
    touched stays enabled."""
    east, west = world.add_lab("east", "Built", "Ubuntu"), world.add_lab("west", "Built", region="eastus")
    old, new = "Built.Office", "Built.Office-gen2-trusted"
    first, linux = world.add_image(BUILT, 5), world.add_image(LINUX, 5)
    own = {world.images[first], world.images[linux]}

    def made() -> set[str]:
        return world.made_from().keys() & own

    def add(day: int) -> str:
        name = world.add_image(BUILT, day, hyperVGeneration="V2", securityType="TrustedLaunch")
        own.add(world.images[name])
        return world.images[name]

    yield []
    second = add(6)
    failure = {"replicationFails": {"code": "ReplicationFailed", "message": "no room in eastus"}}
    for _ in range(3):
        run = yield [{"service": "arm", "method": "PUT", "path": "-gen2.*/regions/eastus", "action": failure}]
        assert "no room in eastus" in run.output, run.output
        assert made() == {world.images[first], world.images[linux]}
        assert world.offers(west) == {"images": [old, new]}, run.output
    yield []
    assert made() == {world.images[first], second, world.images[linux]}
    world.cloud.set_latencies({"galleryDeleteSeconds": 2})  # a definition that did not wait for its version would fail
    yield []
    assert made() == {second, world.images[linux]} and old not in world.definitions()
    assert {new, "Ubuntu.J"} <= world.definitions().keys()
    assert world.offers(west) == {"images": [new]}
    run = yield []
    assert run.only_unchanged

    third = add(7)
    yield []
    assert {second, third} <= made()
    yield []
    assert made() == {third, world.images[linux]}
    del world.wishes["west"]
    world.wishes["east"] = ["Ubuntu"]
    yield []
    assert world.offers(west) == {} and world.offers(east) == {"images": ["Ubuntu.J"]}
    assert made() == {world.images[linux]} and not {old, new} & world.definitions().keys()


def regions_that_come_and_go(world: GalleryWorld) -> Story:
    """A version keeps its identity while its regions change. If the replication to a region that was added fails, the
    labs of other regions keep the version, and the next run tries again; its successor does not push it out before it
    is everywhere itself."""
    world.add_lab("home", SPREAD)
    first = world.add_image(SPREAD, 5)
    yield []
    before = published(world, first)
    far = world.add_lab("far", SPREAD, region="eastus")
    failure = {"replicationFails": {"code": "ReplicationFailed", "message": "no room for Spread"}}
    fault = {"service": "arm", "path": "Spread.Office/.*/regions/eastus", "action": failure}
    run = yield [fault]
    assert "no room for Spread" in run.output, run.output
    second = world.add_image(SPREAD, 6)
    for _ in range(2):
        yield [fault]
        assert len(versions(world)) == 2, "the older one serves the lab in the region where it is"
        assert states(world, first)["West Europe"] == "Completed"
    yield []
    yield []
    (only,) = versions(world)
    assert only["tags"]["SourceVhd"] == world.images[second]
    assert states(world, second) == {"West Europe": "Completed", "East US": "Completed"}
    identity = published(world, second)
    assert identity[1] > before[1] and identity[0] != before[0]
    run = yield []
    assert run.only_unchanged

    yield []
    del world.wishes["far"]
    world.cloud.clear_calls()
    yield []
    assert states(world, second) == {"West Europe": "Completed"} and published(world, second) == identity
    world.wishes["far"] = [SPREAD]
    yield []
    assert states(world, second) == {"West Europe": "Completed", "East US": "Completed"}
    assert published(world, second) == identity and world.offers(far) == {"images": ["Spread.Office"]}
    assert {method for method, path, _ in world.gallery_writes() if "/Spread.Office/versions/" in path} == {"PUT"}


def versions(world: GalleryWorld) -> list[dict[str, Any]]:
    """The versions of the image path that is spread."""
    return [each for key, each in world.versions().items() if key.startswith("Spread.Office/")]


def version_of(world: GalleryWorld, name: str) -> dict[str, object]:
    """The version that was made from a factory image, with its replication status."""
    (found,) = [each for each in world.versions().values() if each["tags"]["SourceVhd"] == world.images[name]]
    answer = world.request("GET", f"{found['id']}?api-version=2024-03-03&$expand=ReplicationStatus")
    return dict(answer.json()["properties"])


def published(world: GalleryWorld, name: str) -> tuple[str, str]:
    """What identifies the version of an image: its id and when it was published."""
    (found,) = [each for each in world.versions().values() if each["tags"]["SourceVhd"] == world.images[name]]
    return str(found["id"]), str(found["properties"]["publishingProfile"]["publishedDate"])


def states(world: GalleryWorld, name: str) -> dict[str, str]:
    """The replication of the version of an image, by region."""
    status = version_of(world, name)["replicationStatus"]
    assert isinstance(status, dict)
    return {each["region"]: each["state"] for each in status["summary"]}
