"""What people do in a lab by hand: an image that they delete returns, one that they made is left alone."""

from __future__ import annotations

import pytest

from tests.e2e.world import World

pytestmark = pytest.mark.engine

WINDOWS = "Win2016/Datacenter.json"


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
