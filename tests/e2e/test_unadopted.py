"""What exists in a lab and is not in the state gets no write; two stacks on one lab leave each other's images alone."""

from __future__ import annotations

import json

import pytest

from tests.e2e.world import Lab, Run, World

pytestmark = pytest.mark.engine

WINDOWS = "Win2016/Datacenter.json"
ADOPT = "Run imagefactory adopt --stack"


def writes(world: World, lab: Lab, name: str) -> list[str]:
    """The methods of the requests since the journal was cleared that could change a custom image."""
    return [
        call["method"]
        for call in world.cloud.calls()
        if call["service"] == "arm"
        and call["method"] not in {"GET", "HEAD"}
        and call["path"].partition("?")[0].lower() == f"{lab.id}/customimages/{name}".lower()
    ]


def told(run: Run) -> list[str]:
    """The lines of the summary that name the command."""
    summary = run.output.partition("Diagnostics:")[2]
    return [line.strip() for line in summary.splitlines() if ADOPT in line]


def test_images_that_are_not_in_the_state_get_no_write_and_fail_the_run_with_one_line(world: World) -> None:
    """Images of the older scripts, in any state: preview and up serve the others, and again after a refresh."""
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016")
    *names, new = world.add_images((WINDOWS, 3), (WINDOWS, 4), (WINDOWS, 5), (WINDOWS, 6))
    old = dict(zip(names, ("Succeeded", "Failed", "Creating"), strict=True))
    for lab in (web, data):
        for name, state in old.items():
            world.seed_standing(lab, name, {"ImagePath": "Win2016\\Datacenter.json"}, state=state)
    before = [world.image(lab, name) for lab in (web, data) for name in old]
    world.cloud.clear_calls()
    for run in (world.preview(), world.up(), world.up("--refresh")):
        assert run.code != 0 and "1 part of the plan could not be carried out" in run.output, run.output
        (line,) = told(run)
        assert "does not contain 6 existing images in 2 labs" in line
        assert "Traceback" not in run.output and run.changes["imported"] == 0
    for lab in (web, data):
        assert [writes(world, lab, name) for name in old] == [[], [], []]
        assert world.held(lab) == {**old, new: "Succeeded"}
    assert [world.image(lab, name) for lab in (web, data) for name in old] == before
    assert world.copies() == 2, "only the other image is copied"
    urns = str([resource["urn"] for resource in world.state()["resources"]])
    assert not [name for name in old if f"/{name}" in urns]
    outputs = world.state()["resources"][0]["outputs"]["labs"]
    assert [{name: each[name]["state"] for name in old} for each in outputs.values()] == [old, old]


def test_a_copy_that_an_earlier_run_made_stays_while_its_image_is_not_in_the_state(world: World) -> None:
    """Somebody else created the image first, so the run's own creation failed: its copy is not deleted, and the image
    gets no write."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    failure = {"status": 400, "code": "Injected", "message": "no"}
    rule = {"service": "arm", "method": "PUT", "path": f"/customimages/{name}", "action": failure}
    world.cloud.set_faults([rule])
    assert world.up().code != 0
    world.cloud.clear_faults()
    staged = world.staged(web)
    assert world.images[name] in staged
    world.seed_standing(web, name, {"ImagePath": WINDOWS}, state="Creating")
    world.cloud.clear_calls()
    run = world.up()
    assert run.code != 0 and run.changes["deleted"] == 0 and len(told(run)) == 1, run.output
    assert world.staged(web) == staged and writes(world, web, name) == []


def test_two_stacks_on_one_lab_leave_each_others_images_alone(world: World) -> None:
    """The second stack neither adopts nor deletes what the first created, and says so; it serves what is left to it.
    After the first has retired an image, the lab has what both want."""
    web = world.add_lab("web", "Win2016")
    (first,) = world.add_images((WINDOWS, 5))
    world.serve()
    before = world.image(web, first)
    assert before["tags"]["Stack"].endswith("/test")
    world.stack = "second"
    world.cloud.clear_calls()
    for run in (world.preview(), world.serve(), world.serve("--refresh")):
        assert run.code == 0, run.output
        (line,) = told(run)
        assert f"custom image {first} of lab" in line and "--stack second --from test" in line
    (omission,) = world.state()["resources"][0]["outputs"]["omissions"]
    assert omission["image"] == first
    assert writes(world, web, first) == [] and world.image(web, first) == before and world.copies() == 0

    (second,) = world.add_images((WINDOWS, 6))
    world.serve()
    assert world.image(web, second)["tags"]["Stack"].endswith("/second") and world.image(web, first) == before

    world.stack = "test"
    world.retire(first)
    run = world.serve()
    assert [second in line for line in told(run)] == [True] and world.held(web) == {second: "Succeeded"}
    world.stack = "second"
    assert world.up().only_unchanged
    assert world.destroy().code == 0 and world.held(web) == {}


def test_what_another_stack_left_under_the_name_of_a_wanted_image_is_neither_replaced_nor_doubled(world: World) -> None:
    """A rebuilt image meets the other stack's image of the same name: nothing is created beside it."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.serve()
    world.rebuild(name)
    before = world.image(web, name)
    world.stack = "second"
    world.cloud.clear_calls()
    run = world.serve()
    assert len(told(run)) == 1, run.output
    assert world.image(web, name) == before and set(world.held(web)) == {name}
    assert writes(world, web, name) == [] and world.copies() == 0


def test_an_image_without_the_tag_that_was_deleted_by_hand_is_not_updated(world: World) -> None:
    """The state of an earlier version has no tag Stack, and gets none where nothing is created."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.serve()
    exported = world.pulumi("stack", "export", "--file", str(world.folder / "state.json"))
    assert exported.code == 0, exported.output
    file = world.folder / "state.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    (image,) = (each for each in document["deployment"]["resources"] if each["type"].endswith("CustomImage"))
    for part in ("inputs", "outputs"):
        assert image[part]["tags"].pop("Stack")
    file.write_text(json.dumps(document), encoding="utf-8")
    assert world.pulumi("stack", "import", "--file", str(file)).code == 0
    world.delete_image(web, name)
    assert world.preview().only_unchanged and world.up().only_unchanged
    world.serve("--refresh")
    assert world.image(web, name)["tags"]["SourceVhd"] == world.images[name]
