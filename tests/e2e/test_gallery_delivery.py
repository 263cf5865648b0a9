"""A lab changes how it gets an image, or gets another one: at no moment is it without a good image of the path."""

from __future__ import annotations

import pytest

from tests.e2e.gallery_world import GalleryWorld

pytestmark = pytest.mark.engine

WINDOWS, LINUX = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"
DEFINITION = "Win2016.Datacenter"


def test_a_lab_moves_to_the_gallery_and_back_and_has_an_image_at_every_moment(gallery_world: GalleryWorld) -> None:
    """Its custom images go only after its users can use the version, and the version and its definition go only after
    the custom images are in state Succeeded, also if a run fails on the way. A lab with both has both throughout."""
    world = gallery_world
    near, both = world.add_lab("near", "Win2016"), world.add_lab("both", "Win2016")
    world.deliveries = {"near": "customImage", "both": "both"}
    (name,) = world.add_images((WINDOWS, 5))
    world.serve()
    good = {name: "Succeeded"}
    assert world.held(near) == world.held(both) == good and world.offers(near) == {}
    (key,) = world.made_from().values()
    assert world.offers(both) == {"images": [DEFINITION]}

    world.deliveries["near"] = "gallery"
    refused = {"status": 403, "code": "AuthorizationFailed", "message": "no"}
    enabling = {"service": "arm", "method": "PUT", "path": "/labs/near/sharedgalleries/", "action": refused}
    world.cloud.set_faults([enabling])
    run = world.up()
    assert run.code != 0 and world.held(near) == good, run.output
    world.cloud.clear_faults()
    run = world.serve()
    assert world.offers(near) == {"images": [DEFINITION]} and world.held(near) == good, run.output
    run = world.serve()
    assert world.offers(near) == {"images": [DEFINITION]} and world.held(near) == {}, run.output
    assert world.up().only_unchanged

    world.deliveries["near"] = "customImage"
    failure = {"imageFails": {"code": "AllocationFailed", "message": "no room"}}
    world.cloud.set_faults([{"service": "arm", "method": "PUT", "path": "/labs/near/customimages", "action": failure}])
    run = world.up()
    assert run.code != 0 and world.offers(near) == {"images": [DEFINITION]}, run.output
    world.cloud.clear_faults()
    run = world.serve()
    assert world.offers(near) == {"images": [DEFINITION]} and world.held(near) == good, run.output
    run = world.serve()
    assert world.offers(near) == {} and world.held(near) == good, run.output
    assert world.offers(both) == {"images": [DEFINITION]} and world.held(both) == good
    assert world.made_from() == {world.images[name]: key}
    assert world.up().only_unchanged

    world.deliveries["both"] = "customImage"
    world.serve()
    assert world.offers(both) == {} and world.versions() == {} and world.definitions() == {}
    assert world.held(near) == world.held(both) == good
    assert world.up().only_unchanged


def test_a_golden_image_changes_its_generation_and_then_leaves(gallery_world: GalleryWorld) -> None:
    """With `keep: 1` the definition of the new generation is enabled beside that of the old one, which goes with its
    version once the new version is finished. What leaves labs.json is disabled and deleted; an image that was not
    touched stays enabled."""
    world = gallery_world
    world.settings["keep"] = 1
    near, west = world.add_lab("near", "Win2016", "Ubuntu"), world.add_lab("west", "Win2016", region="eastus")
    first, linux = world.add_image(WINDOWS, 5), world.add_image(LINUX, 5)
    world.serve()
    second = world.add_image(WINDOWS, 6, hyperVGeneration="V2", securityType="TrustedLaunch")
    failure = {"replicationFails": {"code": "ReplicationFailed", "message": "no room in eastus"}}
    rule = {"service": "arm", "method": "PUT", "path": "-gen2.*/regions/eastus", "action": failure}
    world.cloud.set_faults([rule])
    run = world.up()
    assert run.code != 0 and "no room in eastus" in run.output, run.output
    for _ in range(2):
        assert world.made_from().keys() == {world.images[first], world.images[linux]}
        assert world.offers(west) == {"images": [DEFINITION, f"{DEFINITION}-gen2-trusted"]}, run.output
        run = world.up()
        assert run.code != 0, run.output
    world.cloud.clear_faults()
    run = world.serve()
    assert world.made_from().keys() == {world.images[each] for each in (first, second, linux)}, run.output
    world.cloud.set_latencies({"galleryDeleteSeconds": 2})  # a definition that did not wait for its version would fail
    run = world.serve()
    assert world.made_from().keys() == {world.images[second], world.images[linux]}, run.output
    assert set(world.definitions()) == {f"{DEFINITION}-gen2-trusted", "Ubuntu.Jammy"}
    assert world.offers(west) == {"images": [f"{DEFINITION}-gen2-trusted"]}
    assert world.up().only_unchanged

    third = world.add_image(WINDOWS, 7, hyperVGeneration="V2", securityType="TrustedLaunch")
    world.serve()
    assert {world.images[second], world.images[third]} <= world.made_from().keys()
    world.serve()
    assert world.made_from().keys() == {world.images[third], world.images[linux]}
    del world.wishes["west"]
    world.wishes["near"] = ["Ubuntu"]
    run = world.serve()
    assert world.offers(west) == {} and world.offers(near) == {"images": ["Ubuntu.Jammy"]}, run.output
    assert set(world.definitions()) == {"Ubuntu.Jammy"} and set(world.made_from()) == {world.images[linux]}
    assert world.up().only_unchanged


def test_regions_come_and_go_by_updates_and_a_region_that_fails_takes_nothing(gallery_world: GalleryWorld) -> None:
    """A version keeps its identity while its regions change. If the replication to a region that was added fails, the
    labs of other regions keep the version, and the next run tries again; its successor does not push it out before it
    is everywhere itself."""
    world = gallery_world
    world.settings["keep"] = 1
    world.add_lab("near", "Win2016")
    first = world.add_image(WINDOWS, 5)
    world.serve()
    before = published(world, first)
    far = world.add_lab("far", "Win2016", region="eastus")
    failure = {"replicationFails": {"code": "ReplicationFailed", "message": "no room in eastus"}}
    world.cloud.set_faults([{"service": "arm", "path": "/regions/eastus", "action": failure}])
    run = world.up()
    assert run.code != 0 and "no room in eastus" in run.output, run.output
    second = world.add_image(WINDOWS, 6)
    for _ in range(2):
        run = world.up()
        assert run.code != 0, run.output
        assert len(world.versions()) == 2, "the older one serves the lab in the region where it is"
        assert states(world, first)["West Europe"] == "Completed"
    world.cloud.clear_faults()
    world.serve()
    world.serve()
    assert world.made_from().keys() == {world.images[second]}
    assert states(world, second) == {"West Europe": "Completed", "East US": "Completed"}
    assert published(world, second)[1] > before[1] and published(world, second)[0] != before[0]

    identity = published(world, second)
    del world.wishes["far"]
    world.cloud.clear_calls()
    world.serve()
    assert states(world, second) == {"West Europe": "Completed"} and published(world, second) == identity
    world.wishes["far"] = ["Win2016"]
    world.serve()
    assert states(world, second) == {"West Europe": "Completed", "East US": "Completed"}
    assert published(world, second) == identity and world.offers(far) == {"images": [DEFINITION]}
    assert {method for method, path, _ in world.gallery_writes() if "/versions/" in path} == {"PUT"}
    assert world.up().only_unchanged


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
