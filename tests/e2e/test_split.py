"""Two stacks over one labs.json: each serves the labs that its `labsMatching` matches, and leaves the others alone."""

from __future__ import annotations

import pytest

from tests.e2e.test_tasks_adopt import typed
from tests.e2e.world import World

pytestmark = pytest.mark.engine

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"


def become(world: World, stack: str, *names: str) -> None:
    """Go on with a stack that serves these labs."""
    world.stack, world.settings = stack, {"keep": 1, "labsMatching": {"names": list(names)}}
    world.write_configuration()


def test_each_stack_makes_and_deletes_only_the_images_of_its_labs(world: World) -> None:
    """Also when images retire. `validate` names a lab of none and of two; a lab moves to the other stack as it is."""
    web, team, live = (world.add_lab(name, "Win2016", "Ubuntu") for name in ("web", "team-1", "live"))
    old, jammy = world.add_images((WINDOWS, 5), (UBUNTU, 5))
    become(world, "second", "live")
    become(world, "first", "web", "team-*")
    assert "0 errors" in typed(world, "imagefactory validate")
    world.cloud.clear_calls()
    world.serve()
    assert not [call for call in world.cloud.calls() if live.id.lower() in call["path"].lower()]
    assert world.held(web) == world.held(team) == {old: "Succeeded", jammy: "Succeeded"} and world.held(live) == {}
    become(world, "second", "live")
    world.serve()
    assert world.held(live) == {old: "Succeeded", jammy: "Succeeded"}
    (new,) = world.add_images((WINDOWS, 6))
    world.serve()
    world.serve()
    assert world.held(live) == {new: "Succeeded", jammy: "Succeeded"} and world.held(web)[old] == "Succeeded"
    become(world, "second", "live", "team-1")
    wrong = typed(world, "imagefactory validate", 1)
    assert f"lab {team_label(world)}" in wrong and "stacks first and second serve it (setting labsMatching)" in wrong
    become(world, "first", "web")
    assert "0 errors" in typed(world, "imagefactory validate")
    shown = typed(world, "imagefactory plan --stack first")
    assert "labsMatching of stack first does not match the lab" in shown
    told = typed(world, "imagefactory adopt --stack first --lab team-1 --dry-run", 2)
    assert "lab 'team-1': is not matched by labsMatching of the stack" in told, told
    become(world, "first", "wbe")
    run = world.preview()
    assert run.code != 0 and 'labsMatching.names.0 "wbe": matches no lab of the labs file' in run.output, run.output
    become(world, "first", "web")
    become(world, "second", "live", "team-1")
    world.cloud.clear_calls()
    moved = world.adopt("--from", "first", "--yes")
    assert moved.code == 0, moved.output
    become(world, "first", "web")
    world.serve()
    assert world.held(team) == {old: "Succeeded", jammy: "Succeeded"} and not world.writes(team)
    become(world, "second", "live")
    assert "no stack serves it" in typed(world, "imagefactory validate", 1)


def team_label(world: World) -> str:
    """The beginning of the label of the lab that moves."""
    return f"{world.labs['team-1'].name}@"
