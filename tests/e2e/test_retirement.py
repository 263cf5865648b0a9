"""An image leaves a lab only after its successors exist there; no bad night empties a lab or stops the others."""

from __future__ import annotations

import json

import pytest

from tests.e2e.world import Lab, World

pytestmark = pytest.mark.engine

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"


def with_an_image_in_the_way(world: World) -> tuple[Lab, Lab, str, str]:
    """Two labs with `keep: 1` and one image; an untagged image in the first has the name of the next one."""
    world.settings["keep"] = 1
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016")
    (first,) = world.add_images((WINDOWS, 5))
    world.serve()
    world.seed_standing(web, "Win2016_Datacenter-Jun-6-2026", {"owner": "me"})
    (second,) = world.add_images((WINDOWS, 6))
    return web, data, first, second


def test_no_lab_loses_its_last_image_to_one_that_cannot_be_made(world: World) -> None:
    """With `keep: 1` and an image that cannot be copied all labs keep the one before; a good one retires it later."""
    world.settings["keep"] = 1
    labs = [world.add_lab(name, "Win2016") for name in ("web", "data")]
    (first,) = world.add_images((WINDOWS, 5))
    world.serve()
    (bad,) = world.add_images((WINDOWS, 6))
    rule = {"service": "blob", "method": "PUT", "path": f"{world.images[bad]}.*comp=page"}
    world.cloud.set_faults([{**rule, "action": {"status": 400, "code": "Injected"}}])
    run = world.up()
    assert run.code != 0
    assert all(world.held(lab) == {first: "Succeeded"} for lab in labs), run.output
    assert f"{bad} in state Succeeded" in run.output, run.output
    (good,) = world.add_images((WINDOWS, 7))
    world.serve()
    assert all(set(world.held(lab)) == {first, good} for lab in labs)
    world.serve()
    assert all(world.held(lab) == {good: "Succeeded"} for lab in labs)
    assert world.up().only_unchanged


def test_a_lab_whose_storage_refuses_for_nights_keeps_what_it_has(world: World) -> None:
    """With `keep: 2`, a 403 of one lab's storage on two nights costs it no image, and the other lab none of its own."""
    world.settings["keep"] = 2
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016")
    old = world.add_images((WINDOWS, 1), (WINDOWS, 2))
    world.serve()
    refusal = {"status": 403, "code": "AuthorizationFailure", "message": "no"}
    world.cloud.set_faults([{"service": "blob", "method": "PUT", "path": f"/{web.account}/", "action": refusal}])
    for night in (3, 4):
        world.add_images((WINDOWS, night))
        assert world.up().code != 0
        assert world.held(web) == dict.fromkeys(old, "Succeeded")
    world.cloud.clear_faults()
    world.serve()
    world.serve()
    newest = {name for name in world.images if name not in old}
    assert set(world.held(web)) == set(world.held(data)) == newest


def test_a_pin_that_cannot_be_delivered_leaves_the_image_before_it(world: World) -> None:
    """A changed pin whose copy fails: the lab keeps the image of the former pin until the new one exists."""
    web = world.add_lab("web", "Win2016")
    first, second = world.add_images((WINDOWS, 5), (WINDOWS, 6))
    world.settings["pins"] = {WINDOWS: second}
    world.serve()
    assert set(world.held(web)) == {second}
    world.settings["pins"] = {WINDOWS: first}
    refusal = {"status": 403, "code": "Injected", "message": "no"}
    world.cloud.set_faults([{"service": "blob", "method": "PUT", "path": f"/{web.account}/", "action": refusal}])
    assert world.up().code != 0
    assert world.held(web) == {second: "Succeeded"}
    world.cloud.clear_faults()
    world.serve()
    world.serve()
    assert world.held(web) == {first: "Succeeded"}


@pytest.mark.parametrize("known", [True, False])
def test_a_rebuilt_image_exists_before_the_one_that_it_replaces_goes(world: World, known: bool) -> None:
    """It gets a name beside the old one's, which is retired by the next run; a lost state loses neither."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.serve()
    old = world.images[name]
    world.rebuild(name)
    if not known:
        world.lose_state()
        assert world.adopt().code == 0
    failure = {"imageFails": {"code": "Injected", "message": "injected"}}
    world.cloud.set_faults([{"service": "arm", "method": "PUT", "path": f"{name}-", "action": failure}])
    assert world.up().code != 0
    assert world.image(web, name)["tags"]["SourceVhd"] == old and world.held(web)[name] == "Succeeded"
    world.cloud.clear_faults()
    world.serve()
    world.serve()
    sources = {world.image(web, each)["tags"]["SourceVhd"] for each, state in world.held(web).items()}
    assert sources == {world.images[name]}, world.held(web)
    assert world.staged(web) == []
    assert world.up().only_unchanged


def test_a_lab_that_cannot_be_read_keeps_its_images_while_others_retire_theirs(world: World) -> None:
    """Whoever takes away the right to read one lab does not stop the run: nothing there is touched or deleted."""
    world.settings["keep"] = 1
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016")
    (first,) = world.add_images((WINDOWS, 5))
    world.serve()
    before = world.image(web, first)
    refusal = {"status": 403, "code": "AuthorizationFailed", "message": "no"}
    rule = {"service": "arm", "method": "GET", "path": "/labs/web/customimages", "action": refusal}
    world.cloud.set_faults([rule])
    (second,) = world.add_images((WINDOWS, 6))
    run = world.up()
    assert run.code != 0 and "AuthorizationFailed" in run.output, run.output
    run = world.up()
    assert run.code != 0, run.output
    assert set(world.held(data)) == {second}, run.output
    world.cloud.clear_faults()
    assert world.image(web, first) == before and set(world.held(web)) == {first}
    world.serve()
    world.serve()
    assert set(world.held(web)) == {second}
    assert world.up().only_unchanged


def test_one_labs_own_image_under_the_next_name_fails_the_plan_and_keeps_nothing_in_other_labs(world: World) -> None:
    """An untagged image under the name of the next one fails the run; other labs retire theirs all the same.

    A preview says so, and what is kept and why, as the stack's outputs do; the failing resource is never in the state.
    The run fails last, so a plain `pulumi up` still creates what it can; without `--continue-on-error`, the engine then
    deletes nothing.
    """
    web, data, first, second = with_an_image_in_the_way(world)
    run = world.preview()
    assert run.code != 0 and f"keeps {first}" in run.output, run.output
    assert "1 part of the plan could not be carried out" in run.output, run.output
    for _ in range(2):
        run = world.pulumi("up", "--yes", "--skip-preview")
        assert run.code != 0 and "1 part of the plan" in run.output, run.output
        assert set(world.held(data)) == {first, second}
    run = world.up()
    assert run.code != 0 and "ImagePath" in run.output, run.output
    assert set(world.held(data)) == {second}, run.output
    assert world.held(web)[first] == "Succeeded"
    assert world.image(web, second)["tags"] == {"owner": "me"}
    resources = world.state()["resources"]
    assert not any("PlanFailures" in resource["type"] for resource in resources)
    (kept,) = resources[0]["outputs"]["retained"]
    assert kept["image"] == first and second in kept["reason"], json.dumps(kept)
