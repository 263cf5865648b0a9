"""`imagefactory plan` agrees with `pulumi preview`: same creates, updates and deletes, in worlds drawn from a seed.

The worlds change as those of the state machine do, with both ways of delivery, and some runs fail halfway.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.gallery_world import GalleryWorld
from tests.e2e.test_state_machine import Machine
from tests.e2e.world import World

pytestmark = pytest.mark.engine

KINDS = {
    "azure-native:devtestlab:CustomImage": "custom image",
    "azure-native:compute:Gallery": "gallery",
    "azure-native:compute:GalleryImage": "definition",
    "azure-native:compute:GalleryImageVersion": "version",
    "vhdcopy:index:LabGallery": "offer",
}
AGAIN = {"update", "replace", "create-replacement"}
WINDOWS = "Win2016/Datacenter.json"


def document(world: World) -> dict[str, Any]:
    """The plan as JSON."""
    run = world.pulumi("plan", "--format", "json")
    assert run.output.lstrip().startswith("{"), run.output
    return dict(json.loads(run.output))


def offer(definitions: list[dict[str, Any]]) -> str:
    """What becomes of all that a lab offers of the gallery."""
    actions = {one["action"] for one in definitions}
    if len(actions) == 1:
        return str(actions.pop())
    return "update" if actions & {"create", "delete"} else "unchanged"


def planned(shown: dict[str, Any]) -> set[tuple[str, str, str]]:
    """What the plan says of images and parts of the gallery: kind, name, and create, again or delete."""
    rows = [(f"{lab['lab']}/{one['name']}", one) for lab in shown["labs"] for one in lab["images"]]
    rows += [(one["name"], one) for one in shown["gallery"]]
    rows += [(lab["lab"], {"kind": "offer", "action": offer(lab["gallery"])}) for lab in shown["labs"]]
    does = {"create": "create", "delete": "delete", "replace": "again", "update": "again"}
    return {(one["kind"], name, does[one["action"]]) for name, one in rows if one["action"] in does}


def previewed(world: World) -> set[tuple[str, str, str]]:
    """The same of `pulumi preview`."""
    output = world.preview("--json").output
    shown, _ = json.JSONDecoder().raw_decode(output[output.index("{") :])
    found = set()
    for step in shown["steps"]:
        _, _, kinds, name = step["urn"].split("::", 3)
        if (kind := KINDS.get(kinds.rpartition("$")[2])) and step["op"] in {"create", "delete"} | AGAIN:
            found.add((kind, name, "again" if step["op"] in AGAIN else step["op"]))
    return found


def check(world: World, story: list[str]) -> dict[str, Any]:
    """The plan agrees with the preview, which shows no delete if the program reports an error; returns the plan."""
    shown, expected = document(world), previewed(world)
    found = {one for one in planned(shown) if one[2] != "delete" or not shown["failures"]}
    assert found == expected, "\n".join([*story, json.dumps(shown, indent=1)])
    return shown


def in_state(world: World) -> set[tuple[str, str]]:
    """Kind and name of all resources that the plan tells of."""
    resources = world.state().get("resources", ()) if any((world.folder / "stacks").iterdir()) else ()
    return {(KINDS[each["type"]], each["urn"].rpartition("::")[2]) for each in resources if each["type"] in KINDS}


@pytest.mark.timeout(400)
@pytest.mark.randomized(seeds=(3,), steps=3)
def test_the_plan_agrees_with_the_preview_in_any_world(gallery_world: GalleryWorld, seed: int, steps: int) -> None:
    """After any changes: before a run, after one that may have failed halfway, and once everything is done."""
    world = gallery_world
    machine = Machine(world, seed)
    for _ in range(steps):
        for _ in range(machine.draw.randint(1, 3)):
            actions: list[Callable[[], None]] = [
                machine.image_comes, machine.image_is_retired, machine.image_is_rebuilt, machine.image_is_damaged,
                machine.pin_changes, machine.lab_is_added, machine.lab_is_removed, machine.lab_cannot_be_read,
                machine.image_is_deleted_by_hand, machine.copy_fails, machine.image_fails, machine.delete_fails,
                machine.faults_end, machine.lab_moves, machine.state_is_lost,
                *[machine.lab_changes_its_delivery] * 4, *[machine.policy_changes] * 4,
            ]  # fmt: skip
            machine.draw.choice(actions)()
        machine.set_policies()
        check(world, machine.story)
        machine.adopt()
        shown, before = check(world, machine.story), in_state(world)
        run = world.up(*(["--refresh"] if not machine.unreadable and machine.draw.random() < 0.3 else []))
        machine.note("up", run.code)
        if not (machine.faults or machine.damaged):  # also deletes that the preview of a run that fails lacks
            deleted = {one[:2] for one in planned(shown) if one[2] == "delete"}
            assert before - in_state(world) == deleted, "\n".join([*machine.story, run.output])
        check(world, machine.story)


def test_a_plan_writes_nothing_and_tells_each_step_of_a_retirement(world: World) -> None:
    """Create, keep until the successor is there, delete, nothing; with the line of labs.json and the rule."""
    web = world.add_lab("web", "Win2016")
    world.settings["keep"] = 1
    (old,) = world.add_images((WINDOWS, 5))
    world.serve()

    def shown() -> dict[str, tuple[str, str]]:
        before = world.state()
        world.cloud.clear_calls()
        (lab,) = document(world)["labs"]
        assert {call["method"] for call in world.cloud.calls()} <= {"GET", "HEAD"} and world.state() == before
        return {one["name"]: (one["action"], one["why"]) for one in lab["images"]}

    assert world.pulumi("plan", "--detailed-exitcode").code == 0
    (new,) = world.add_images((WINDOWS, 6))
    world.write_configuration()
    column = (world.folder / "Configuration" / "labs.json").read_text("utf-8").index('"Win2016"') + 1
    why = f'Configuration/labs.json:1:{column} "Win2016", the newest 1 of its path (setting keep)'
    older = "older than the newest 1 of its image path (setting keep)"
    waits = f"{older}; the lab must first have {new} in state Succeeded"
    assert shown() == {old: ("keep for now", waits), new: ("create", why)}
    assert world.pulumi("plan", "--detailed-exitcode").code == 2
    world.serve()
    assert shown() == {old: ("delete", older), new: ("unchanged", why)}
    world.serve()
    assert shown() == {new: ("unchanged", why)} and set(world.held(web)) == {new}
    text = world.pulumi("plan").output
    assert "Total: 1 unchanged." in text and "To copy: 0 VHDs" in text
