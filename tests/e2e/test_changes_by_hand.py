"""What people do in a lab by hand: an image that they delete returns, one that they made is left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.cloud_calls import VERSION
from tests.e2e.world import Lab, World

pytestmark = pytest.mark.engine

WINDOWS, LINUX = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"


def status(world: World, code: int, *options: str, path: str = LINUX) -> dict[str, Any]:
    """The cell of an image path in a status that ends with this code and writes nothing."""
    world.cloud.clear_calls()
    run = world.pulumi("status", "--json", *options)
    assert run.code == code, run.output
    assert {call["method"] for call in world.cloud.calls()} <= {"GET", "HEAD"}
    (stack,) = json.loads(run.output)["stacks"]
    (cell,) = (cell for lab in stack["labs"] for cell in lab["paths"] if cell["imagePath"] == path)
    return dict(cell)


def retag(world: World, lab: Lab, name: str, tags: dict[str, str]) -> None:
    """Somebody replaces the tags of a custom image."""
    target = f"{lab.id}/customimages/{name}?api-version={VERSION}"
    world.request("PATCH", target, {"tags": tags}).raise_for_status()


def test_an_image_deleted_and_tags_changed_by_hand_are_seen_and_return_with_refresh(world: World) -> None:
    """The status sees the image that is gone; the plan sees tags that were removed from one image, and those of another
    image written to one; a preview with a refresh sees both. `up --refresh` brings back the one image with one copy,
    and the tags without one: each image stays what it was made from, no other is put, and tags of others stay."""
    web = world.add_lab("web", "Win2016", "Ubuntu")
    first, second, linux, gone = world.add_images((WINDOWS, 5), (WINDOWS, 6), (LINUX, 5), (LINUX, 6))
    world.serve()
    assert status(world, 0)["state"] == "current"
    before = {name: world.image(web, name)["tags"] for name in world.images}
    world.delete_image(web, gone)
    found = status(world, 3)
    assert (found["state"], found["behind"]) == ("behind", 1)
    assert (found["holds"]["name"], found["newest"]["name"]) == (linux, gone)
    retag(world, web, first, {})
    assert f"{first}: its tags were removed" in status(world, 3, path=WINDOWS)["why"], "whose it is, --state tells"
    retag(world, web, second, {**before[linux], "owner": "somebody"})
    plan = world.pulumi("plan", "--detailed-exitcode")
    assert plan.code == 2 and plan.output.count("somebody changed its tags") == 2, plan.output
    assert "was changed or removed" in world.pulumi("status", "--state").output
    seen = world.preview("--refresh")
    assert seen.code == 0 and seen.output.count("refresh [diff: ~tags]") == 2 and gone in seen.output, seen.output
    assert (seen.changes["to create"], seen.changes["to update"]) == (2, 2 + 1), seen.output
    assert f"{first} of lab web" in seen.output and "was changed or removed" in seen.output
    world.cloud.clear_calls()
    world.serve("--refresh")
    before[second]["owner"] = "somebody"
    assert {name: world.image(web, name)["tags"] for name in world.images} == before
    written = [("PATCH", first.lower()), ("PATCH", second.lower()), ("PUT", gone.lower())]
    assert sorted((method, name.lower()) for method, name, _ in world.writes(web)) == sorted(written)
    assert set(world.held(web)) == set(world.images) and world.copies() == 1 and world.staged(web) == []
    assert world.up().only_unchanged
    assert status(world, 0, "--state")["state"] == "current"
    assert world.up("--refresh").only_unchanged


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
