"""An image leaves a lab only after its successors exist there; no bad night empties a lab or stops the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.world import Lab, World

pytestmark = pytest.mark.engine

WINDOWS, CORE, UBUNTU = "Win2016/Datacenter.json", "Win2016/Core.json", "Ubuntu/Jammy.json"


def refused_blobs(lab: Lab) -> dict[str, Any]:
    """A fault: the storage of a lab refuses every write."""
    refusal = {"status": 403, "code": "AuthorizationFailure", "message": "no"}
    return {"service": "blob", "method": "PUT", "path": f"/{lab.account}/", "action": refusal}


def failing_successor(name: str) -> dict[str, Any]:
    """A fault: Azure fails to make the image whose name stands beside this one's."""
    failure = {"imageFails": {"code": "Injected", "message": "injected"}}
    return {"service": "arm", "method": "PUT", "path": f"{name}-", "action": failure}


@pytest.mark.timeout(240)
def test_a_bad_image_and_an_unreadable_lab_cost_no_lab_its_last_image_and_hold_up_no_other(world: World) -> None:
    """With `keep: 1` and an image that cannot be copied all labs keep the one before; a good one retires it later.

    Whoever takes away the right to read one lab does not stop the run: nothing there is touched or deleted, while the
    other labs retire theirs.
    """
    world.settings["keep"] = 1
    unreadable, data, ops = (
        world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016", "Ubuntu"), world.add_lab("ops", "Ubuntu")
    )  # fmt: skip
    old, first = world.add_images((WINDOWS, 5), (UBUNTU, 5))
    world.serve()
    before = world.image(unreadable, old)
    new, bad = world.add_images((WINDOWS, 6), (UBUNTU, 6))
    no_range = {"service": "blob", "method": "PUT", "path": f"{world.images[bad]}.*comp=page"}
    no_read = {"service": "arm", "method": "GET", "path": "/labs/web/customimages"}
    refusal = {"status": 403, "code": "AuthorizationFailed", "message": "no"}
    faults = [{**no_range, "action": {"status": 400, "code": "Injected"}}, {**no_read, "action": refusal}]
    world.cloud.set_faults(faults)
    run = world.up()
    assert run.code != 0 and "AuthorizationFailed" in run.output, run.output
    assert world.held(ops) == {first: "Succeeded"}, run.output
    assert world.held(data) == dict.fromkeys((old, new, first), "Succeeded"), run.output
    assert f"{bad} in state Succeeded" in run.output, run.output
    (good,) = world.add_images((UBUNTU, 7))
    run = world.up()
    assert run.code != 0, run.output
    assert set(world.held(ops)) == {first, good} and set(world.held(data)) == {new, first, good}, run.output
    world.cloud.clear_faults()
    assert world.image(unreadable, old) == before and set(world.held(unreadable)) == {old}
    world.serve()
    assert world.held(ops) == {good: "Succeeded"} and set(world.held(data)) == {new, good}
    world.serve()
    assert set(world.held(unreadable)) == {new}
    assert world.up().only_unchanged


@pytest.mark.timeout(240)
def test_what_a_rebuild_a_pin_or_a_refusing_storage_cannot_deliver_leaves_what_was_there(world: World) -> None:
    """With `keep: 2`, a 403 of one lab's storage on two nights costs it no image, and the other lab none of its own.

    A changed pin whose copy fails: the lab keeps the image of the former pin until the new one exists. A rebuilt image
    gets a name beside the old one's, which is retired by the next run; a lost state loses neither.
    """
    world.settings["keep"] = 2
    refusing, data = world.add_lab("web", CORE), world.add_lab("data", CORE)
    pinning, rebuilding = world.add_lab("pinning", "Ubuntu"), world.add_lab("rebuilding", WINDOWS)
    name, first, second = world.add_images((WINDOWS, 5), (UBUNTU, 5), (UBUNTU, 6))
    old = world.add_images((CORE, 1), (CORE, 2))
    world.settings["pins"] = {UBUNTU: second}
    world.serve()
    assert set(world.held(pinning)) == {second}
    rebuilt = world.images[name]
    world.rebuild(name)
    world.settings["pins"] = {UBUNTU: first}
    world.cloud.set_faults([refused_blobs(refusing), refused_blobs(pinning), failing_successor(name)])
    for night in (3, 4):
        world.add_images((CORE, night))
        assert world.up().code != 0
        assert world.held(refusing) == dict.fromkeys(old, "Succeeded")
        assert world.held(pinning) == {second: "Succeeded"}
        assert world.image(rebuilding, name)["tags"]["SourceVhd"] == rebuilt
        assert world.held(rebuilding)[name] == "Succeeded"
    world.cloud.clear_faults()
    world.serve()
    world.serve()
    newest = {each for each in world.images if "Core" in each and each not in old}
    assert set(world.held(refusing)) == set(world.held(data)) == newest
    assert world.held(pinning) == {first: "Succeeded"}
    check_rebuilt(world, rebuilding, name)

    standing, rebuilt = next(iter(world.held(rebuilding))), world.images[name]
    world.rebuild(name)
    world.lose_state()
    assert world.adopt().code == 0
    world.cloud.set_faults([{**failing_successor(name), "path": f"/labs/rebuilding/customimages/{name}"}])
    assert world.up().code != 0
    assert world.image(rebuilding, standing)["tags"]["SourceVhd"] == rebuilt
    assert world.held(rebuilding)[standing] == "Succeeded"
    world.cloud.clear_faults()
    world.serve()
    world.serve()
    check_rebuilt(world, rebuilding, name)
    assert world.up().only_unchanged


def check_rebuilt(world: World, lab: Lab, name: str) -> None:
    """The lab has the image that was made anew, and nothing else."""
    sources = {world.image(lab, each)["tags"]["SourceVhd"] for each in world.held(lab)}
    assert sources == {world.images[name]}, world.held(lab)
    assert world.staged(lab) == []


@pytest.mark.timeout(240)
def test_one_labs_own_image_under_the_next_name_fails_the_plan_and_keeps_nothing_in_other_labs(world: World) -> None:
    """An untagged image under the name of the next one fails the run; other labs retire theirs all the same.

    A preview says so, and what is kept and why, as the stack's outputs do; the failing resource is never in the state.
    The run fails last, so a plain `pulumi up` still creates what it can; without `--continue-on-error`, the engine then
    deletes nothing.
    """
    world.settings["keep"] = 1
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016")
    (first,) = world.add_images((WINDOWS, 5))
    world.serve()
    world.seed_standing(web, "Win2016_Datacenter-Jun-6-2026", {"owner": "me"})
    (second,) = world.add_images((WINDOWS, 6))
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
