"""What the cloud holds after an image was revoked, and while images soak."""

from __future__ import annotations

import pytest

from tests.e2e.gallery_world import GalleryWorld
from tests.e2e.world import World

pytestmark = pytest.mark.engine

WINDOWS = "Win2016/Datacenter.json"


def test_a_revoked_image_leaves_all_labs_and_none_comes_back(world: World) -> None:
    """With `keep: 1` no older one takes its place; the next good one does. An image that soaks is not delivered."""
    world.settings |= {"keep": 1, "soakDays": 1}
    labs = [world.add_lab(name, "Win2016") for name in ("web", "data")]
    _, bad = world.add_images((WINDOWS, 5), (WINDOWS, 6))
    world.serve()
    assert all(world.held(lab) == {bad: "Succeeded"} for lab in labs)
    world.settings["revoked"] = {f"{WINDOWS}@{bad.upper()}": "leaked key"}
    world.settings["revokedAction"] = "report"
    run = world.up()
    assert all(world.held(lab) == {bad: "Succeeded"} for lab in labs)
    assert run.code == 0 and "is revoked: leaked key" in run.output, run.output
    world.settings["revokedAction"] = "remove"
    run = world.up()
    assert run.code == 0 and f"deletes {bad}: revoked: leaked key" in run.output, run.output
    assert [world.held(lab) for lab in labs] == [{}, {}]
    assert world.up().only_unchanged
    world.settings["soakDays"] = 3650
    (good,) = world.add_images((WINDOWS, 7))
    assert world.up().code == 0 and [world.held(lab) for lab in labs] == [{}, {}]
    del world.settings["soakDays"]
    world.serve()
    assert all(world.held(lab) == {good: "Succeeded"} for lab in labs)
    world.settings["revoked"] = {"nothing": "a typo"}
    run = world.up()
    assert run.code != 0 and "nothing is revoked, but neither the factory nor a lab" in run.output, run.output
    assert all(world.held(lab) == {good: "Succeeded"} for lab in labs)


def test_a_revoked_version_leaves_the_gallery(gallery_world: GalleryWorld) -> None:
    """Even if it is the last one; the next good image is delivered."""
    world = gallery_world
    world.settings["keep"] = 1
    west = world.add_lab("west", "Win11")
    bad = world.add_image("Win11/Office.json", 5)
    world.serve()
    assert set(world.versions()) == {"Win11.Office/2026.605.101112"}
    world.settings["revoked"] = {bad: "leaked key"}
    run = world.up()
    told = "gallery: deletes Win11.Office/2026.605.101112: revoked: leaked key"
    assert run.code == 0 and told in run.output, run.output
    assert not world.versions()
    assert world.up().only_unchanged
    world.add_image("Win11/Office.json", 7)
    world.serve()
    assert set(world.versions()) == {"Win11.Office/2026.607.101112"}
    assert world.offers(west) == {"images": ["Win11.Office"]}
