"""What stands is taken over: images of the old scripts and of a lost state; what was deleted by hand returns."""

from __future__ import annotations

import pytest

from tests.e2e.world import World

pytestmark = pytest.mark.engine

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"


def test_images_of_the_old_scripts_are_taken_over_without_a_copy(world: World) -> None:
    """An image with the tag ImagePath is imported as it stands; from then on it is retired like any other."""
    web = world.add_lab("web", "Win2016")
    old, new = world.add_images((WINDOWS, 5), (WINDOWS, 6))
    world.seed_standing(web, old, {"ImagePath": "Win2016\\Datacenter.json"})
    before = world.image(web, old)
    world.serve()
    assert world.copies() == 1, "only the new image is copied"
    # The azure-native provider adds the location that the old scripts left out; nothing else may change.
    assert world.image(web, old) == {**before, "location": "westeurope"}
    assert world.up().only_unchanged
    world.retire(old)
    world.serve()
    assert set(world.held(web)) == {new}


def test_a_lost_state_is_won_back_without_a_copy(world: World) -> None:
    """After the whole state is lost one up imports everything, copies nothing, and the next one is `unchanged`."""
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016", "Ubuntu")
    world.add_images((WINDOWS, 5), (UBUNTU, 6))
    world.serve()
    world.lose_state()
    world.cloud.clear_calls()
    run = world.serve()
    assert run.changes["imported"] == 3
    assert world.copies() == 0
    assert world.up().only_unchanged
    assert set(world.held(web)) == world.wanted(["Win2016"]) and set(world.held(data)) == set(world.images)


def test_an_image_deleted_by_hand_returns_with_refresh(world: World) -> None:
    """`up --refresh` brings back the one image with one copy, and touches no other."""
    web = world.add_lab("web", "Win2016")
    gone, _ = world.add_images((WINDOWS, 5), (WINDOWS, 6))
    world.serve()
    world.delete_image(web, gone)
    world.cloud.clear_calls()
    world.serve("--refresh")
    assert set(world.held(web)) == set(world.images)
    assert world.copies() == 1 and world.staged(web) == []
    assert world.up().only_unchanged


def test_an_image_that_the_factory_did_not_make_is_left_alone_and_named(world: World) -> None:
    """Without the tag ImagePath an image of that name is an error; the other images are served."""
    web = world.add_lab("web", "Win2016")
    name, other = world.add_images((WINDOWS, 5), (WINDOWS, 6))
    world.seed_standing(web, name, {"owner": "somebody"})
    before = world.image(web, name)
    run = world.up()
    assert run.code != 0
    assert name in run.output and "Traceback" not in run.output
    assert world.image(web, name) == before
    assert world.held(web)[other] == "Succeeded"


def test_a_failed_image_that_nothing_owns_is_named_with_its_remedy(world: World) -> None:
    """Nothing is written to it; once it is deleted the next run makes it."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.seed_standing(web, name, {"ImagePath": WINDOWS}, state="Failed")
    run = world.up()
    assert run.code != 0 and name in run.output and "imagefactory adopt" in run.output, run.output
    assert world.held(web) == {name: "Failed"}
    world.delete_image(web, name)
    world.serve()
    assert world.held(web) == {name: "Succeeded"}
