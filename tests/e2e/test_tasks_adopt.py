"""The tasks of docs/tasks: take over, recover, move a lab. The shown commands, typed in the cases that it names.

Standing images get no request that writes, nothing is copied for them, and the next run has nothing to do.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cloud_calls import writes
from tests.e2e.test_kills import family
from tests.e2e.world import UP, Lab, World
from tests.task_pages import blocks
from tests.warm.python import warm_engine

pytestmark = pytest.mark.engine

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"


def typed(world: World, script: str, code: int = 0) -> str:
    """Type commands in the project's folder, with `imagefactory` on the PATH; each must end well but for the last."""
    commands = world.folder / "bin"
    commands.mkdir(exist_ok=True)
    program = commands / "imagefactory"
    program.write_text(f'#!/bin/sh\nexec {world.python} -c "from imagefactory.cli.main import main; main()" "$@"\n')
    program.chmod(0o755)
    environment = warm_engine(world.environment, world.python)
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=world.folder,
        env={**environment, "PATH": f"{commands}{os.pathsep}{environment['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == code and "Traceback" not in done.stdout, done.stdout
    return done.stdout


def standing(world: World, lab: Lab) -> Mapping[str, Any]:
    """The images of a lab as Azure has them; from now on, requests are counted."""
    found = {name: world.image(lab, name) for name in world.held(lab)}
    world.cloud.clear_calls()
    return found


def check_untouched(world: World, lab: Lab, before: Mapping[str, Any]) -> None:
    """Images are as before, no request wrote to them, nothing was copied, and the next runs have nothing to do."""
    assert {name: world.image(lab, name) for name in before} == before
    for again in ((), ("--refresh",)):
        assert world.up(*again).only_unchanged
    assert [call for call in writes(world.cloud, lab.id) if call[1] in before] == [] and world.copies() == 0


@pytest.fixture
def dev(world: World) -> World:
    """A world whose stack has the name that the document shows."""
    world.stack = "dev"
    return world


def test_moving_from_the_scripts(dev: World) -> None:
    """Planned images are taken over; others of the scripts stay, until `--retire` has them deleted."""
    web = dev.add_lab("web", "Win2016")
    (wanted,) = dev.add_images((WINDOWS, 5))
    for name in (wanted, "Win2016_Datacenter-Jan-2-2020"):
        dev.seed_standing(web, name, {"ImagePath": "Win2016\\Datacenter.json"})
    dev.seed_standing(web, "mine", {"owner": "somebody"})
    before = standing(dev, web)
    dev.preview()
    move, retire = blocks("adopt", "Move from the scripts")
    shown = typed(dev, move)
    assert all(words in shown for words in ("take over", "not wanted", "foreign", ".imagefactory/backups/dev-"))
    check_untouched(dev, web, before)
    typed(dev, retire)
    assert set(dev.held(web)) == {wanted, "mine"}


def test_recovering_from_a_lost_state(dev: World) -> None:
    """With a new stack, in which nothing is yet; also an image that the factory retired meanwhile is known again."""
    web = dev.add_lab("web", "Win2016", "Ubuntu")
    old, _, _ = dev.add_images((WINDOWS, 5), (WINDOWS, 6), (UBUNTU, 6))
    dev.serve()
    before = standing(dev, web)
    dev.lose_state()
    (recover,) = blocks("recover", "Recover from a lost state")
    typed(dev, recover)
    check_untouched(dev, web, before)
    dev.retire(old)
    dev.lose_state()
    typed(dev, recover)
    assert old not in dev.held(web)


def test_recovering_from_a_killed_run(dev: World) -> None:
    """The engine and all of its processes are killed while Azure creates an image: the lock stays, and the image."""
    web = dev.add_lab("web", "Win2016")
    (name,) = dev.add_images((WINDOWS, 5))
    dev.cloud.set_latencies({"imageCreateSeconds": 4})
    process = dev.start(*UP)
    while name not in dev.held(web):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    kill(process)
    assert [*(dev.folder / "stacks" / ".pulumi" / "locks").rglob("*.json")]
    dev.cloud.clear_calls()
    (recover,) = blocks("recover", "Recover from a killed run")
    assert "1 image" in typed(dev, recover)
    assert dev.held(web) == {name: "Succeeded"} and writes(dev.cloud, web.id) == [] and dev.copies() == 0
    assert dev.staged(web) == [] and dev.up().only_unchanged


def test_moving_a_lab(dev: World) -> None:
    """To another group; `test_adopt` has the subscription. Before it, a run names the command and keeps the images."""
    web = dev.add_lab("web", "Win2016")
    dev.add_images((WINDOWS, 5), (WINDOWS, 6))
    dev.serve()
    moved = dev.move_lab(web, group="elsewhere")
    before = standing(dev, moved)
    run = dev.up()
    assert run.code != 0 and "was moved here from" in run.output and "imagefactory adopt" in run.output, run.output
    (move,) = blocks("labs", "Move a lab")
    assert "moved here from" in typed(dev, move)
    check_untouched(dev, moved, before)


def test_moving_a_lab_to_another_stack(world: World) -> None:
    """The images leave the state of the old stack, which then neither changes nor deletes them."""
    world.stack = "old"
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016")
    world.add_images((WINDOWS, 5))
    world.serve()
    remove_from_labs_of_old(world, data)
    world.stack = "dev"
    world.preview()
    before = standing(world, web)
    (move,) = blocks("labs", "Move a lab to another stack")
    assert ".imagefactory/backups/old-" in typed(world, move)
    check_untouched(world, web, before)
    world.stack, world.settings = "old", {"labs": "old.json"}
    assert "web@" not in str([each["urn"] for each in world.state()["resources"] if "CustomImage" in each["type"]])
    run = world.serve()
    assert {name: world.image(web, name) for name in before} == before, run.output
    assert writes(world.cloud, web.id) == []


def remove_from_labs_of_old(world: World, left: Lab) -> None:
    """Give the stack `old` a labs file with the lab `left` only, which `labs.json` then lacks."""
    configuration = world.folder / "Configuration"
    entries = json.loads((configuration / "labs.json").read_text("utf-8"))["Labs"]
    theirs = {"Labs": [entry for entry in entries if entry["LabName"] == left.name]}
    (configuration / "old.json").write_text(json.dumps(theirs), "utf-8")
    file = world.folder / "Pulumi.old.yaml"
    document = yaml.safe_load(file.read_text("utf-8"))
    document["config"]["imagefactory:labs"] = "old.json"
    file.write_text(yaml.safe_dump(document), "utf-8")
    del world.wishes[left.name]


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a command and all processes that it started."""
    for pid in family(process.pid):
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, 9)
    process.communicate(timeout=60)
