"""The main job with the real engine: what is planned appears, what is retired goes, nothing else happens."""

from __future__ import annotations

import pytest

from tests.e2e.world import FACTORY_CONTAINER, STAGING_CONTAINER, Lab, World

pytestmark = pytest.mark.engine

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"


def test_a_stack_from_its_first_preview_to_its_end(world: World) -> None:
    """A preview tells each custom image with its VHD, and neither the labs nor the storage hold anything new after.
    Labs get what their paths say, staged VHDs are gone again, and a second run is `unchanged`, also with a refresh.
    Images and labs come and go, and nothing else moves. At the end the labs hold only what others made.

    A relay is released where an image of its account was deleted in the portal: without a refresh the state takes that
    lab for done, so no release would remove what another lab's copy stages in its account. The other lab copies from
    the factory."""
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016", "Ubuntu/Jammy.json")
    done = world.add_lab("done", "Ubuntu", region="eastus")
    world.seed_standing(web, "handmade", {})
    handmade = {"handmade": "Succeeded"}
    first, second = world.add_images((WINDOWS, 5), (WINDOWS, 6), allocated=4 * 1024 * 1024)
    (ubuntu,) = world.add_images((UBUNTU, 7))
    factory = world.factory_digest()
    run = world.preview("--diff")
    assert run.code == 0 and all(name in run.output and vhd in run.output for name, vhd in world.images.items())
    assert world.held(web) == handmade and world.held(data) == {}
    assert world.staged(web) == world.staged(data) == []

    staged_vhds_are_kept(world, web, first, second)
    assert world.held(data) == dict.fromkeys(world.images, "Succeeded") and world.staged(data) == []
    world.serve()
    assert world.held(web) == dict.fromkeys(world.wanted(["Win2016"]), "Succeeded") | handmade
    assert world.staged(web) == [] and world.factory_digest() == factory
    images_carry_what_their_companions_say(world, data, first, ubuntu)
    again = world.up()
    assert again.only_unchanged, again.output

    world.add_images((WINDOWS, 8))
    world.delete_image(done, ubuntu)
    others = [world.add_lab(f"other{n}", "Ubuntu", region="eastus") for n in range(2)]
    run = world.serve()
    assert run.changes["created"] == 2 * 3 + 2 * 4, "copy, image, release in each lab; and the component of a new one"
    assert set(run.changes) == {"created", "unchanged"}
    assert [world.held(lab) for lab in others] == [{ubuntu: "Succeeded"}] * 2
    assert [world.staged(lab) for lab in (done, *others)] == [[], [], []]
    world.serve("--refresh")
    assert world.held(done) == {ubuntu: "Succeeded"} and world.staged(done) == []
    world.retire(first)
    del world.wishes["other0"], world.wishes["other1"]
    run = world.serve()
    assert run.changes["deleted"] == 2 * 3 + 2 * 4 and set(run.changes) == {"deleted", "unchanged"}
    assert [world.held(lab) for lab in others] == [{}, {}] and set(world.held(data)) == set(world.images)
    assert set(world.held(web)) == {*world.wanted(["Win2016"]), "handmade"}

    another_endpoint_moves_no_image_while_keep_takes_the_older_ones(world, web, second)
    factory = world.factory_digest()
    run = world.destroy()
    assert run.code == 0, run.output
    assert world.held(web) == handmade and world.held(data) == {}
    assert world.staged(web) == world.staged(data) == [] and world.factory_digest() == factory


def staged_vhds_are_kept(world: World, lab: Lab, *names: str) -> None:
    """What a custom image is made from is the factory's VHD, byte for byte; seen by keeping the release from deleting
    it."""
    refused = {"service": "blob", "method": "DELETE", "path": f"/{lab.account}/"}
    world.cloud.set_faults([{**refused, "action": {"status": 403, "code": "Kept"}}])
    assert world.up().code != 0
    vhds = [each for each in world.staged(lab) if each.endswith(".vhd")]  # a slow copy has a record beside it
    staged = {world.bytes_of(lab, STAGING_CONTAINER, each) for each in vhds}
    assert staged == {world.bytes_of(world.factory, FACTORY_CONTAINER, world.images[name]) for name in names}
    assert len(staged) == len(vhds) == len(names)
    world.cloud.clear_faults()


def images_carry_what_their_companions_say(world: World, lab: Lab, windows: str, linux: str) -> None:
    """Description, tags and OS of the companion reach the custom image; only generalized Windows is sysprepped."""
    image = world.image(lab, windows)
    assert image["properties"]["description"] == f"{WINDOWS} of day 5"
    assert image["tags"]["ImagePath"].replace("\\", "/") == WINDOWS
    assert image["tags"]["SourceVhd"] == world.images[windows]
    assert image["properties"]["vhd"]["sysPrep"] is True
    vhd = world.image(lab, linux)["properties"]["vhd"]
    assert vhd | {"imageName": ""} == {"imageName": "", "osType": "Linux", "sysPrep": False}


def another_endpoint_moves_no_image_while_keep_takes_the_older_ones(world: World, lab: Lab, older: str) -> None:
    """URLs in the state that name the former endpoint of the same accounts can be replaced and deleted; nothing is
    copied for it. With `keep: 1` a lab holds the newest image of each path, and the outputs say why the others are left
    out."""
    endpoint = world.environment["IMAGEFACTORY_BLOB_ENDPOINT"].replace("127.0.0.1", "localhost")
    world.environment = {**world.environment, "IMAGEFACTORY_BLOB_ENDPOINT": endpoint}
    world.settings["keep"] = 1
    before = world.held(lab)
    world.cloud.clear_calls()
    run = world.up()
    assert run.code == 0 and world.copies() == 0, run.output
    assert world.held(lab) == {name: state for name, state in before.items() if name != older}
    (stack,) = (each for each in world.state()["resources"] if each["type"] == "pulumi:pulumi:Stack")
    (omission,) = stack["outputs"]["omissions"]
    assert omission["image"] == older and "setting keep" in omission["reason"]
    assert world.up("--refresh").only_unchanged
