"""kill -9 of runs of any kind, with the state written at each step or only at the end: the next runs reach the plan.

Kind, moment, and what changes before the next run are drawn from a seed. What nobody wants any more is named.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest

from tests.e2e.test_kills import family, processes
from tests.e2e.test_tasks_adopt import typed
from tests.e2e.world import ROOT, UP, Lab, World

pytestmark = pytest.mark.engine

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"
RUNS: dict[str, tuple[str, ...]] = {
    "up": (*UP, "--refresh"),
    "refresh": ("refresh", "--yes", "--skip-preview", "--parallel", "2"),
    "destroy": ("destroy", "--yes", "--skip-preview", "--parallel", "2"),
}
CALLS = {"up": 150, "refresh": 12, "destroy": 20}
"""A kill comes after fewer calls of the cloud than that: about what a run of this kind makes."""
SLOW = {"imageCreateSeconds": 1, "imageDeleteSeconds": 1}
"""What Azure takes for an image, so that a run does not end before its kill."""


@pytest.mark.timeout(300)
@pytest.mark.randomized(seeds=(11, 14), steps=3)
def test_whatever_run_is_killed_and_whatever_changes_meanwhile_the_next_ones_reach_the_plan(
    world: World, seed: int, steps: int, checkpoints: bool
) -> None:
    """Kill an up, a refresh and a destroy, in each mode of the state. After each kill, an image is retired, one is
    rebuilt under its name, and one is added.

    What a killed up has begun is not put again, `adopt` writes to no lab, and only what was staged of an image that the
    factory lost meanwhile stays, for `prune`.
    """
    draw, world.checkpoints = random.Random(seed), checkpoints
    labs = [world.add_lab("web", "Win2016", "Ubuntu"), world.add_lab("data", "Win2016")]
    world.add_images((WINDOWS, 1), (WINDOWS, 2), (UBUNTU, 1))
    lost: set[str] = set()
    kinds = ["up", *draw.sample(["refresh", "destroy"], 2)]
    for step in range(steps):
        kind = kinds[step % 3]
        where = f"seed {seed}, {kind} {step}, checkpoints {checkpoints}"
        world.cloud.clear_calls()
        world.cloud.set_latencies(SLOW)
        kill(world, kind, draw.randrange(CALLS[kind]), everything=draw.random() < 0.5)
        world.cloud.set_latencies({})
        before = dict(world.images)
        world.retire(draw.choice(sorted(world.wanted(["Win2016"]))))  # labs keep the last image of a path
        world.rebuild(draw.choice(sorted(world.images)))
        world.add_images((WINDOWS, step + 3))
        lost |= set(before.values()) - set(world.images.values())
        writes = [world.writes(lab) for lab in labs]
        adopted = world.adopt()
        assert adopted.code == 0 and writes == [world.writes(lab) for lab in labs], f"{where}\n{adopted.output}"
        run = world.serve("--refresh")
        for lab in labs:
            wanted = {world.images[name] for name in world.wanted(world.wishes[lab.name])}
            puts_of = Counter(name for method, name, _ in world.writes(lab) if method == "PUT")
            assert kind == "destroy" or set(puts_of.values()) <= {1}, f"{where}, {lab.name}: {puts_of}\n{run.output}"
            assert wanted <= world.sources(lab).keys(), f"{where}, {lab.name}\n{run.output}"
            assert set(world.staged(lab)) <= lost | {vhd.replace(".vhd", ".ranges.json.gz") for vhd in lost}, where
    run = world.serve()
    for lab in labs:
        wanted = {world.images[name] for name in world.wanted(world.wishes[lab.name])}
        assert world.sources(lab).keys() == wanted and len(world.held(lab)) == len(wanted), run.output
    assert world.up().only_unchanged
    assert str(world.folder) not in processes("args"), "a process is left"


def kill(world: World, kind: str, after: int, *, everything: bool) -> None:
    """Begin a run, and kill its engine after so many calls of the cloud: alone, or with all that it started."""
    process = world.start(*RUNS[kind])
    while len(world.cloud.calls()) < after and process.poll() is None:
        time.sleep(0.05)
    end(world, process, everything=everything)


def end(world: World, process: subprocess.Popen[str], *, everything: bool) -> None:
    """Kill an engine, alone or with all processes that it started, and release its lock."""
    for pid in family(process.pid) if everything else [process.pid]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    world.pulumi("cancel", "--yes")


def check_named_in_a_lab_that_labs_json_lost(world: World, lab: Lab, name: str) -> None:
    """An image of the stack; the two labs that labs.json has in its place, and has not, are gone again afterwards."""
    wish, theirs = world.wishes.pop(lab.name), world.add_lab("theirs")
    world.add_lab("data", *wish)
    refusal = {"status": 403, "code": "AuthorizationFailed"}
    world.cloud.set_faults([{"service": "arm", "path": f"labs/{theirs.name}/customimages", "action": refusal}])
    for options, fate in ([], "(--state tells)"), (["--state"], "the state does not have it, so it stays"):
        run = world.pulumi("status", "--json", *options)
        (stack,) = json.loads(run.output)["stacks"]
        found = {each["name"]: each["paths"] for each in stack["labs"]}
        assert run.code == 3 and stack["warnings"] == stack["failures"] == [] and found.keys() == {"data", lab.name}
        (cell,) = found[lab.name]
        assert cell["state"] == "foreign" and name in cell["why"] and fate in cell["why"], cell
    world.cloud.clear_faults()
    world.wishes = {lab.name: wish}


def test_what_a_killed_run_made_and_nobody_wants_any_more_is_named_and_leaves(world: World) -> None:
    """Without state per step, an image stands and a VHD is staged that no state has, and the factory retires both.

    `plan` and `status` name the image, and an up leaves it; after `adopt`, an up deletes it. `prune` deletes the VHD.
    The status names the image also while labs.json does not list its lab, and is silent about one that it may not read.
    """
    world.checkpoints = False
    web = world.add_lab("web", "Win2016")
    made, staged = world.add_images((WINDOWS, 1), (WINDOWS, 2))
    vhd = world.images[staged]
    refusal = {"service": "blob", "method": "PUT", "path": f"/{web.account}/.*{vhd}.*comp=page", "nth": 1}
    world.cloud.set_faults([{**refusal, "action": {"delaySeconds": 60}}])
    process = world.start(*UP)
    while world.held(web) != {made: "Succeeded"} or vhd not in world.staged(web):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    end(world, process, everything=True)
    assert not world.state().get("resources"), "nothing of the run is in the state"
    world.cloud.clear_faults()
    check_named_in_a_lab_that_labs_json_lost(world, web, made)
    for name in (made, staged):
        world.retire(name)
    (new,) = world.add_images((WINDOWS, 3))
    world.serve()
    assert world.held(web) == dict.fromkeys((made, new), "Succeeded"), "what the state does not have is not deleted"
    (lab,) = json.loads(world.pulumi("plan", "--format", "json").output)["labs"]
    assert {one["name"]: one["action"] for one in lab["images"]} == {made: "foreign", new: "unchanged"}
    (cell,) = json.loads(world.pulumi("status", "--state", "--json").output)["stacks"][0]["labs"][0]["paths"]
    assert cell["state"] == "foreign" and made in cell["why"]
    adopted = world.adopt()
    assert adopted.code == 0 and "Took over 1 image" in adopted.output, adopted.output
    world.serve()
    assert world.held(web) == {new: "Succeeded"} and vhd in world.staged(web)
    tomorrow = datetime.now(timezone.utc) + timedelta(days=2)
    later = f"{sys.executable} -m tests.factory_lab.prune.later {tomorrow.isoformat()}"
    typed(world, f"PYTHONPATH={ROOT} {later} prune --stack {world.stack} --yes --keep 5")
    assert world.staged(web) == [] and world.up().only_unchanged
