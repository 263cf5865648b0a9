"""The tasks of docs/tasks, typed as they are shown: what labs hold afterwards is what the pages say."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.e2e.new_stack import ensure_stack
from tests.e2e.test_tasks_adopt import typed
from tests.e2e.world import ROOT, World
from tests.task_pages import blocks, sections
from tests.warm.python import use_environment

pytestmark = pytest.mark.engine

WINDOWS = "Win2016/Datacenter.json"
DISTRIBUTE, WHAT_A_RUN_DID = ("distribute", "Distribute images"), ("distribute", "What a run did")
HERE = {
    DISTRIBUTE,
    WHAT_A_RUN_DID,
    ("distribute", "Limit the traffic of copies"),
    ("networks", "Distribute to other regions"),
    ("promote", "Distribute in rings"),
    ("promote", "Let images soak"),
    ("retire", "After an error"),
    ("retire", "How many images a run may delete"),
    ("retire", "Keep images in use"),
    ("retire", "Keep, pin and retire images"),
    ("review", "Review a plan"),
    ("revoke", "Revoke an image"),
    ("watch", "Correct what somebody changed in a lab"),
    ("watch", "See what labs hold"),
    ("watch", "Show the catalog"),
}
ELSEWHERE = {
    ("adopt", "Move from the scripts"): "tests/e2e/test_tasks_adopt.py",
    ("adopt", "Take over existing images"): "tests/e2e/test_adopt.py",
    ("check", "Check before a run"): "tests/doctor/test_fine.py",
    ("labs", "Move a lab"): "tests/e2e/test_tasks_adopt.py",
    ("labs", "Move a lab to another stack"): "tests/e2e/test_tasks_adopt.py",
    ("promote", "Promote between environments"): "tests/e2e/test_promotion.py",
    ("prune", "Prune the factory"): "tests/factory_lab/prune/test_prune.py",
    ("recover", "Recover from a killed run"): "tests/e2e/test_tasks_adopt.py",
    ("recover", "Recover from a lost state"): "tests/e2e/test_tasks_adopt.py",
    ("save", "Clean up VMs"): "tests/factory_lab/test_clean_vms.py",
    ("save", "Save VMs"): "tests/factory_lab/test_save.py",
    ("split", "Move labs to a new stack"): "tests/e2e/test_split.py",
    ("split", "Split labs over stacks"): "tests/e2e/test_split.py",
    ("watch", "Tell a channel"): "tests/unit/cli/test_telemetry.py",
    ("watch", "Watch runs"): "tests/e2e/test_telemetry.py",
}
"""Sections whose commands these tests run, with what they need around them."""


def test_every_task_that_shows_commands_has_a_test() -> None:
    """Here, or in a file that exists."""
    assert sections() == HERE | set(ELSEWHERE)
    assert [file for file in ELSEWHERE.values() if not (ROOT / file).is_file()] == []


def prepare(world: World) -> None:
    """The project as a user of the pages has it before the first command: configuration, stack, environment."""
    world.write_configuration()
    ensure_stack(world.folder, world.stack, world.environment)
    use_environment(world.folder / ".venv", world.python)


def type_section(world: World, page: str, heading: str) -> str:
    """Type all blocks of a section, and confirm what they ask; each command ends well."""
    confirm = "export PULUMI_SKIP_CONFIRMATIONS=true PULUMI_SKIP_CHECKPOINTS=true\n"
    return "".join(typed(world, confirm + block) for block in blocks(page, heading))


@pytest.fixture
def dev(world: World) -> World:
    """A world whose stack has the name that the pages show."""
    world.stack = "dev"
    return world


def test_images_are_distributed_reviewed_watched_and_retired(dev: World) -> None:
    """By the commands of the pages, in this order; then one image of three is pinned, and the others leave."""
    lab = dev.add_lab("web", "Win2016")
    old, middle, pinned = dev.add_images((WINDOWS, 24), (WINDOWS, 25), (WINDOWS, 26))
    prepare(dev)
    type_section(dev, *DISTRIBUTE)
    assert set(dev.held(lab)) == {old, middle, pinned}
    type_section(dev, "review", "Review a plan")
    assert "current" in type_section(dev, "watch", "See what labs hold")
    dev.delete_image(lab, middle)
    type_section(dev, "watch", "Correct what somebody changed in a lab")
    assert set(dev.held(lab)) == {old, middle, pinned}
    assert pinned in type_section(dev, "watch", "Show the catalog")
    type_section(dev, "networks", "Distribute to other regions")
    for heading in ("Keep, pin and retire images", "Keep images in use", "After an error"):
        type_section(dev, "retire", heading)
    shown = type_section(dev, "retire", "How many images a run may delete")
    assert "(setting pins)" in shown and "6 deleted" in shown, shown
    assert set(dev.held(lab)) == {pinned}
    type_section(dev, "distribute", "Limit the traffic of copies")
    assert "unchanged" in type_section(dev, *WHAT_A_RUN_DID)
    settings = yaml.safe_load((dev.folder / "Pulumi.dev.yaml").read_text("utf-8"))["config"]
    assert not {"imagefactory:maxDeletes", "imagefactory:copy"} & set(settings)


def test_an_image_is_revoked_by_three_commands(dev: World) -> None:
    """The lab loses it in that run and keeps the older one."""
    lab = dev.add_lab("web", "Win2016")
    old, revoked = dev.add_images((WINDOWS, 25), (WINDOWS, 26))
    dev.serve()
    assert f"deletes {revoked}: revoked: leaked key" in type_section(dev, "revoke", "Revoke an image")
    assert set(dev.held(lab)) == {old}


def test_images_soak_and_wait_for_rings_as_shown(world: World) -> None:
    """With the rings of the page: the pilot labs are to get the old image, the broad ring waits."""
    world.stack = "prod"
    text = (ROOT / "docs" / "tasks" / "promote.md").read_text("utf-8")
    (rings,) = re.findall(r"^```yaml\n(config:\n  imagefactory:rings:.*?)^```", text, re.MULTILINE | re.DOTALL)
    world.settings["rings"] = yaml.safe_load(rings)["config"]["imagefactory:rings"]
    for name in ("pilot-1", "web-team", "data"):
        world.add_lab(name, "Win2016")
    (old,) = world.add_images((WINDOWS, 5))
    prepare(world)
    shown = type_section(world, "promote", "Let images soak") + type_section(world, "promote", "Distribute in rings")
    assert "ring pilot" in shown and f"{old}: ring broad waits: lab pilot-1@" in shown, shown
