"""The main job with the real engine: what is planned appears, what is retired goes, nothing else happens."""

from __future__ import annotations

import pytest

from tests.e2e.world import FACTORY_CONTAINER, STAGING_CONTAINER, World

pytestmark = pytest.mark.engine

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"


def test_preview_names_every_image_and_changes_nothing(world: World) -> None:
    """A preview tells each custom image with its VHD, and neither the labs nor the storage hold anything new after."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    run = world.preview("--diff")
    assert run.code == 0, run.output
    assert name in run.output and world.images[name] in run.output
    assert world.held(web) == {} and world.staged(web) == []


def test_up_puts_each_image_into_each_lab_that_takes_it_and_a_second_up_changes_nothing(world: World) -> None:
    """Two labs get what their paths say, staged VHDs are gone again, and a second run is `unchanged`."""
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016", "Ubuntu/Jammy.json")
    world.add_images((WINDOWS, 5), (WINDOWS, 6), (UBUNTU, 7))
    factory = world.factory_digest()
    world.serve()
    assert world.held(web) == dict.fromkeys(world.wanted(["Win2016"]), "Succeeded")
    assert world.held(data) == dict.fromkeys(world.images, "Succeeded")
    assert world.staged(web) == world.staged(data) == []
    assert world.factory_digest() == factory
    again = world.up()
    assert again.only_unchanged, again.output
    assert world.up("--refresh").only_unchanged


def test_an_image_carries_what_its_companion_says(world: World) -> None:
    """Description, tags and OS of the companion reach the custom image; only generalized Windows is sysprepped."""
    web = world.add_lab("web", "Win2016", "Ubuntu")
    windows, ubuntu = world.add_images((WINDOWS, 5), (UBUNTU, 6))
    world.serve()
    image = world.image(web, windows)
    assert image["properties"]["description"] == f"{WINDOWS} of day 5"
    assert image["tags"]["ImagePath"].replace("\\", "/") == WINDOWS
    assert image["tags"]["SourceVhd"] == world.images[windows]
    assert image["properties"]["vhd"]["sysPrep"] is True
    assert world.image(web, ubuntu)["properties"]["vhd"] | {"imageName": ""} == {
        "imageName": "",
        "osType": "Linux",
        "sysPrep": False,
    }


def test_the_staged_vhd_equals_the_factorys_byte_for_byte(world: World) -> None:
    """What a custom image is made from is the factory's VHD; seen by keeping the release from deleting it."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5), allocated=4 * 1024 * 1024)
    world.cloud.set_faults(
        [{"service": "blob", "method": "DELETE", "path": f"/{web.account}/", "action": {"status": 403, "code": "Kept"}}]
    )
    run = world.up()
    assert run.code != 0
    (staged,) = world.staged(web)
    original = world.bytes_of(world.factory, FACTORY_CONTAINER, world.images[name])
    assert world.bytes_of(web, STAGING_CONTAINER, staged) == original
    world.cloud.clear_faults()
    world.serve()
    assert world.staged(web) == []


def test_a_new_image_and_a_retired_one_touch_only_their_own(world: World) -> None:
    """One image more is three resources more in each lab; a retired one leaves each lab, and nothing else moves."""
    labs = [world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016")]
    first, _ = world.add_images((WINDOWS, 5), (WINDOWS, 6))
    world.serve()
    world.add_images((WINDOWS, 7))
    run = world.serve()
    assert run.changes["created"] == 6 and set(run.changes) == {"created", "unchanged"}
    world.retire(first)
    run = world.serve()
    assert run.changes["deleted"] == 6 and set(run.changes) == {"deleted", "unchanged"}
    for lab in labs:
        assert set(world.held(lab)) == set(world.images)


def test_a_lab_is_added_and_removed(world: World) -> None:
    """A lab that enters labs.json is filled, one that leaves it is emptied, and the others are not touched."""
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data")
    world.add_images((WINDOWS, 5))
    world.serve()
    world.wishes["data"] = ["Win2016"]
    assert world.up().changes["created"] == 4  # component, copy, image, release
    assert set(world.held(data)) == set(world.images)
    del world.wishes["data"]
    run = world.up()
    assert run.changes["deleted"] == 4, run.output
    assert world.held(data) == {} and set(world.held(web)) == set(world.images)


def test_keep_limits_each_image_path_to_its_newest(world: World) -> None:
    """With `keep: 1` a lab holds the newest image of each path, and the outputs say why the others are left out."""
    web = world.add_lab("web", "Win2016", "Ubuntu")
    oldest, newest, ubuntu = world.add_images((WINDOWS, 5), (WINDOWS, 6), (UBUNTU, 7))
    world.settings["keep"] = 1
    world.serve()
    assert set(world.held(web)) == {newest, ubuntu}
    (stack,) = (each for each in world.state()["resources"] if each["type"] == "pulumi:pulumi:Stack")
    (omission,) = stack["outputs"]["omissions"]
    assert omission["image"] == oldest and "setting keep" in omission["reason"]


def test_another_endpoint_of_the_same_accounts_moves_no_image(world: World) -> None:
    """URLs in the state that name the former endpoint can be replaced and deleted; nothing is copied for it."""
    web = world.add_lab("web", "Win2016")
    world.add_images((WINDOWS, 5))
    world.serve()
    world.cloud.clear_calls()
    endpoint = world.environment["IMAGEFACTORY_BLOB_ENDPOINT"].replace("127.0.0.1", "localhost")
    world.environment = {**world.environment, "IMAGEFACTORY_BLOB_ENDPOINT": endpoint}
    run = world.up()
    assert run.code == 0 and world.copies() == 0, run.output
    assert world.held(web) == dict.fromkeys(world.images, "Succeeded")
    assert world.up().only_unchanged


def test_destroy_removes_what_the_stack_made_and_leaves_the_factory(world: World) -> None:
    """After destroy the labs hold only what others made, no staged VHD is left, the factory is as before."""
    web = world.add_lab("web", "Win2016")
    world.seed_standing(web, "handmade", {})
    world.add_images((WINDOWS, 5))
    factory = world.factory_digest()
    world.serve()
    run = world.destroy()
    assert run.code == 0, run.output
    assert set(world.held(web)) == {"handmade"}
    assert world.staged(web) == [] and world.factory_digest() == factory


def test_a_relay_is_released_where_an_image_of_its_account_was_deleted_in_the_portal(world: World) -> None:
    """Without a refresh the state takes that lab for done, so no release would remove what another lab's copy stages in
    its account: the other lab copies from the factory."""
    done = world.add_lab("done", "Win2016", region="eastus")
    (name,) = world.add_images((WINDOWS, 5))
    world.serve()
    world.delete_image(done, name)
    others = [world.add_lab(f"other{n}", "Win2016", region="eastus") for n in range(2)]
    world.serve()
    assert [world.held(lab) for lab in others] == [{name: "Succeeded"}] * 2
    assert [world.staged(lab) for lab in (done, *others)] == [[], [], []]
    world.serve("--refresh")
    assert world.held(done) == {name: "Succeeded"} and world.staged(done) == []
