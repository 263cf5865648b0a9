"""`imagefactory promote`, as docs/tasks/promote.md shows it: what the labs of dev hold becomes the pins of prod.

Writes nothing to Azure; the next `pulumi up` of prod delivers exactly these images.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.new_stack import ensure_stack
from tests.e2e.test_tasks_adopt import typed
from tests.e2e.world import UP, Lab, World
from tests.task_pages import blocks

pytestmark = pytest.mark.engine

WINDOWS, SQL, UBUNTU = "Win2016/Datacenter.json", "Win2016/SQL.json", "Ubuntu/Jammy.json"
COMMANDS = blocks("promote", "Promote between environments")


def write_labs(world: World, file: str, *labs: Lab) -> None:
    """A labs file whose labs take everything."""
    entries = [
        {"SubscriptionId": each.subscription, "LabName": each.name, "ImagePaths": ["Win2016", "Ubuntu"]}
        for each in labs
    ]
    (world.folder / "Configuration" / file).write_text(json.dumps({"Labs": entries}), "utf-8")


def with_prod(world: World, *labs: Lab) -> Path:
    """A stack `prod` beside that of the world, with its own labs and a file that people write; returns the file."""
    dev = world.stack
    world.stack, world.settings = "prod", {"labs": "prod.json"}
    world.write_configuration()
    ensure_stack(world.folder, "prod", world.environment)
    world.stack, world.settings = dev, {}
    write_labs(world, "prod.json", *labs)
    file = world.folder / "Pulumi.prod.yaml"
    file.write_text(f"# Production.\r\n{file.read_text('utf-8')}  # the end".replace("\n", "\r\n"), "utf-8", newline="")
    return file


def document(world: World, command: str, code: int = 0) -> Any:
    """What a command prints as JSON."""
    return json.loads(typed(world, f"{command} --json", code))


def test_prod_gets_exactly_what_all_labs_of_dev_hold(world: World) -> None:
    """Both labs of dev hold the image, prod is pinned to it and gets it; promoting again changes nothing."""
    world.stack = "dev"
    web, data, live = world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016", "Ubuntu"), world.add_lab("live")
    _, second, jammy = world.add_images((WINDOWS, 5), (WINDOWS, 6), (UBUNTU, 6))
    world.define(SQL)
    world.serve()
    (third,) = world.add_images((WINDOWS, 7))
    file = with_prod(world, live)
    world.write_configuration()
    before = file.read_bytes()
    world.cloud.clear_calls()
    (preview, promote), (plan,) = map(str.splitlines, COMMANDS)
    shown = typed(world, preview)
    assert "Would write 2 pins to Pulumi.prod.yaml" in shown and file.read_bytes() == before
    told = document(world, preview)
    assert (told["dryRun"], told["changed"]) == (True, False)
    paths = {one["imagePath"]: one for one in told["paths"]}
    assert {path: (one["now"], one["action"]) for path, one in paths.items()} == {
        UBUNTU: (jammy, "pin"),
        WINDOWS: (second, "pin"),
        SQL: (None, "not promoted"),
    }
    assert f"{third} is not in labs data@" in paths[WINDOWS]["reason"] and len(paths[WINDOWS]["labs"]) == 2
    assert typed(world, promote).splitlines()[-1] == (
        "Wrote 2 pins to Pulumi.prod.yaml. Commit it and open a pull request."
    )
    written = file.read_bytes()
    config = yaml.safe_load(written)["config"]
    assert config.pop("imagefactory:pins") == {UBUNTU: jammy, WINDOWS: second}
    assert config == yaml.safe_load(before)["config"] and all(
        line in written.splitlines() for line in before.splitlines()
    )
    assert {call["method"] for call in world.cloud.calls()} <= {"GET", "HEAD"}
    assert second in typed(world, plan)
    typed(world, f"pulumi --non-interactive {' '.join(UP)} --stack prod")
    assert world.held(live) == {second: "Succeeded", jammy: "Succeeded"}
    assert third not in {**world.held(web), **world.held(data)}
    inode = file.stat().st_ino
    again = typed(world, promote).splitlines()[-1]
    assert again == "Nothing to promote: Pulumi.prod.yaml is as before. There is nothing to commit."
    assert (file.read_bytes(), file.stat().st_ino) == (written, inode)


def test_a_lab_that_cannot_be_read_keeps_the_pins_of_its_paths(world: World) -> None:
    """It is named, and the exit code is 1; the paths of the other labs are promoted, also by name."""
    world.stack = "dev"
    web, live = world.add_lab("web", "Win2016", "Ubuntu"), world.add_lab("live")
    windows, _, jammy = world.add_images((WINDOWS, 5), (SQL, 5), (UBUNTU, 5))
    world.serve()
    file = with_prod(world, live)
    gone = Lab("gone", web.subscription, "none")
    world.labs["gone"], world.wishes["gone"] = gone, [UBUNTU, SQL]
    world.write_configuration()
    told = document(world, "imagefactory promote --from dev --to prod", code=1)
    assert {one["imagePath"]: one["now"] for one in told["paths"]} == {WINDOWS: windows, SQL: None, UBUNTU: None}
    (failure,) = told["failures"]
    assert "gone" in failure and "the image paths of its labs are not promoted" in failure
    assert yaml.safe_load(file.read_bytes())["config"]["imagefactory:pins"] == {WINDOWS: windows}
    del world.wishes["gone"]
    world.write_configuration()
    told = document(world, "imagefactory promote --from dev --to prod --path ubuntu")
    assert [(one["imagePath"], one["now"]) for one in told["paths"]] == [(UBUNTU, jammy)]
    assert yaml.safe_load(file.read_bytes())["config"]["imagefactory:pins"] == {WINDOWS: windows, UBUNTU: jammy}


def test_wrong_options_are_one_line_and_change_nothing(world: World) -> None:
    """With exit code 2."""
    world.stack = "dev"
    world.add_lab("web", "Win2016")
    world.define(WINDOWS)
    world.define(UBUNTU)
    file = with_prod(world, world.add_lab("live"))
    world.write_configuration()
    before = file.read_bytes()
    for options, message in (
        ("--to dev", "--to: is dev, as --from; nothing is promoted. Pass two stacks."),
        ("--to prod --path Win2106", "matches no image path that a lab of the stack takes"),
        ("--to prod --path ../x", "leaves the image root"),
        ("--to prodd", "this folder does not contain Pulumi.prodd.yaml"),
    ):
        assert message in typed(world, f"imagefactory promote --from dev {options}", code=2)
        assert file.read_bytes() == before
