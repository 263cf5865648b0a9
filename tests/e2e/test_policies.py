"""What the cloud holds after an image was revoked, and while images soak."""

from __future__ import annotations

import pytest

from tests.e2e.gallery_world import GalleryWorld
from tests.e2e.world import World

pytestmark = pytest.mark.engine

WINDOWS, OFFICE = "Win2016/Datacenter.json", "Win11/Office.json"


@pytest.mark.timeout(240)
def test_a_revoked_image_leaves_all_labs_and_the_gallery_and_none_comes_back(gallery_world: GalleryWorld) -> None:
    """With `keep: 1` no older one takes its place; the next good one does. An image that soaks is not delivered.

    Its version leaves the gallery even if it is the last one; the next good image is delivered.
    """
    world = gallery_world
    world.settings |= {"keep": 1, "soakDays": 1}
    labs = [world.add_lab(name, "Win2016") for name in ("web", "data")]
    west = world.add_lab("west", "Win11")
    world.deliveries = {"web": "customImage", "data": "customImage"}
    _, bad, office = world.add_images((WINDOWS, 5), (WINDOWS, 6), (OFFICE, 5))
    world.serve()
    assert all(world.held(lab) == {bad: "Succeeded"} for lab in labs)
    assert set(world.versions()) == {"Win11.Office/2026.605.101112"}
    world.settings["revoked"] = {f"{WINDOWS}@{bad.upper()}": "leaked key", office: "leaked key"}
    world.settings["revokedAction"] = "report"
    run = world.up()
    assert all(world.held(lab) == {bad: "Succeeded"} for lab in labs)
    assert run.code == 0 and "is revoked: leaked key" in run.output, run.output
    world.settings["revokedAction"] = "remove"
    run = world.up()
    assert run.code == 0 and f"deletes {bad}: revoked: leaked key" in run.output, run.output
    assert "gallery: deletes Win11.Office/2026.605.101112: revoked: leaked key" in run.output, run.output
    assert [world.held(lab) for lab in labs] == [{}, {}] and not world.versions()
    assert world.up().only_unchanged
    world.settings["soakDays"] = 3650
    good, _ = world.add_images((WINDOWS, 7), (OFFICE, 7))
    assert world.up().code == 0 and [world.held(lab) for lab in labs] == [{}, {}]
    del world.settings["soakDays"]
    world.serve()
    assert all(world.held(lab) == {good: "Succeeded"} for lab in labs)
    assert set(world.versions()) == {"Win11.Office/2026.607.101112"}
    assert world.offers(west) == {"images": ["Win11.Office"]}
    world.settings["revoked"] = {"nothing": "a typo"}
    run = world.up()
    assert run.code != 0 and "nothing is revoked, but neither the factory nor a lab" in run.output, run.output
    assert all(world.held(lab) == {good: "Succeeded"} for lab in labs)


def test_a_later_ring_gets_what_the_earlier_one_holds(world: World) -> None:
    """A run later, and only if it succeeded there. A failed one holds the ring, and nobody loses what they have."""
    rings = [{"name": "pilot", "labs": ["pilot-*"]}, {"name": "broad", "labs": ["*"], "soakDays": 0}]
    world.settings |= {"keep": 1, "rings": rings}
    pilot, team = world.add_lab("pilot-1", "Win2016"), world.add_lab("team", "Win2016")
    (old,) = world.add_images((WINDOWS, 5))
    first = world.serve()
    waits = f"factory image {old}: ring broad waits: lab pilot-1@"
    assert (world.held(pilot), world.held(team)) == ({old: "Succeeded"}, {}) and waits in first.output, first.output
    world.serve()
    assert world.held(team) == {old: "Succeeded"} and world.up().only_unchanged
    (new,) = world.add_images((WINDOWS, 6))
    failure = {"imageFails": {"code": "Injected", "message": "injected"}}
    path = f"/labs/pilot-1/customimages/{new}[?-]"
    world.cloud.set_faults([{"service": "arm", "method": "PUT", "path": path, "action": failure}])
    assert world.up().code != 0
    again = world.up()
    assert again.code != 0 and "of ring pilot does not hold it (Failed)" in again.output, again.output
    assert world.held(pilot)[old] == "Succeeded" and world.held(team) == {old: "Succeeded"}
    world.cloud.clear_faults()
    world.serve()
    assert world.held(pilot)[new] == "Succeeded" and world.held(team) == {old: "Succeeded"}
    world.serve()
    assert world.held(team) == {old: "Succeeded", new: "Succeeded"}
    world.serve()
    assert world.held(pilot) == world.held(team) == {new: "Succeeded"} and world.up().only_unchanged
    world.settings["rings"] = [{"name": "pilot", "labs": ["pilto-1"]}, {"name": "broad", "labs": ["*"]}]
    run = world.up()
    assert run.code != 0 and 'rings.0.labs.0 "pilto-1": matches no lab' in run.output, run.output
