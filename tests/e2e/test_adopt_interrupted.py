"""`imagefactory adopt` that is killed, interrupted or locked out: the state is as before or complete, never between."""

from __future__ import annotations

import os
import random
import signal
import time
import uuid
from collections import Counter
from contextlib import suppress

import pytest

from tests.e2e.test_kills import family
from tests.e2e.world import UP, World
from tests.warm.python import COLD

pytestmark = pytest.mark.engine

WINDOWS = "Win2016/Datacenter.json"


def full_of_images(world: World) -> list[str]:
    """A lab that the scripts filled; a stack that never ran. Returns the names of the images."""
    web = world.add_lab("web", "Win2016")
    names = world.add_images(*((WINDOWS, day) for day in range(1, 6)))
    seeds = ({"name": name, "tags": {"ImagePath": WINDOWS}, "osType": "Windows"} for name in names)
    world.seed_images(web, *seeds)
    return names


def adopted(world: World) -> int:
    """The number of images in the state."""
    return sum(each["type"].endswith(":CustomImage") for each in (world.state() or {}).get("resources", ()))


@pytest.mark.timeout(300)
@pytest.mark.randomized(seeds=(3,), steps=4)
def test_a_killed_adoption_leaves_the_state_as_it_was_or_complete(world: World, seed: int, steps: int) -> None:
    """At random moments, with all processes; the next one finishes, and no image gets a write or a copy."""
    draw = random.Random(seed)
    world.python = COLD  # so that everything that it starts is of its family
    names = full_of_images(world)
    world.adopt("--dry-run")
    for _ in range(steps):
        process = world.start("adopt", "--yes")
        time.sleep(draw.uniform(0.5, 4))
        for pid in family(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=60)
        world.pulumi("cancel", "--yes")
        assert adopted(world) in {0, len(names)}
    run = world.adopt()
    assert run.code == 0 and adopted(world) == len(names), run.output
    assert world.serve().changes["updated"] == 0
    assert world.serve("--refresh").only_unchanged and "Nothing to take over" in world.adopt().output
    (web,) = world.labs.values()
    assert world.writes(web) == [] and world.copies() == 0


@pytest.mark.parametrize("checkpoints", [True, False])
def test_an_up_that_is_killed_with_all_it_started_is_healed_by_the_next_adoption(
    world: World, checkpoints: bool
) -> None:
    """Whether the engine wrote the state meanwhile or not: each image is put once, and nothing staged is left."""
    world.checkpoints = checkpoints
    labs = [world.add_lab(name, "Win2016") for name in ("web", "data")]
    world.add_images(*((WINDOWS, day) for day in range(1, 7)))
    world.cloud.set_latencies({"imageCreateSeconds": 1})
    process = world.start(*UP, "--parallel", "3")
    while sum(state == "Succeeded" for lab in labs for state in world.held(lab).values()) < 4:
        assert process.poll() is None
        time.sleep(0.2)
    for pid in family(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    world.cloud.set_latencies({})
    world.pulumi("cancel", "--yes")
    standing = {(lab.name, name) for lab in labs for name in world.held(lab)}
    run = world.adopt()
    assert run.code == 0 and "Traceback" not in run.output, run.output
    if not checkpoints:
        assert f"Took over {len(standing)} images" in run.output
    world.serve()
    for lab in labs:
        assert world.held(lab) == dict.fromkeys(world.images, "Succeeded") and world.staged(lab) == []
        assert Counter(world.writes(lab)) == Counter(("PUT", name, 201) for name in world.images)
    assert world.serve("--refresh").only_unchanged and world.up().only_unchanged


def test_what_ends_an_adoption_early_is_named_and_leaves_the_state_as_it_was(world: World) -> None:
    """A lab that is not in labs.json, no terminal to prompt on; Ctrl-C while it reads the labs, which ends with 130 and
    leaves no lock; a lock of a killed run, which is named with its remedy. A stack that does not exist is only said."""
    names = full_of_images(world)
    run = world.adopt("--yes", "--lab", "wbe")
    assert run.code == 2 and "lab 'wbe': is not in labs.json" in run.output and "Write web" in run.output, run.output
    run = world.adopt("--lab", "web")
    assert run.code == 2 and "cannot prompt without a terminal" in run.output, run.output
    assert adopted(world) == 0

    slow = {"service": "arm", "method": "GET", "path": "/labs/web/customimages", "action": {"delaySeconds": 5}}
    world.cloud.set_faults([slow])
    world.cloud.clear_calls()
    process = world.start("adopt", "--yes")
    while not any(call["service"] == "arm" for call in world.cloud.calls()):
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    world.cloud.clear_faults()
    assert "Traceback" not in output and process.returncode == 130, output
    assert "the state is as before" in output and adopted(world) == 0
    assert not [*(world.folder / "stacks").rglob("locks/**/*.json")]

    locks = world.folder / "stacks" / ".pulumi" / "locks" / "organization" / "imagefactory" / "test"
    lock = locks / f"{uuid.uuid4()}.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text('{"pid": 1, "username": "me", "hostname": "here", "timestamp": "2026-11-27T00:00:00Z"}', "utf-8")
    run = world.adopt()
    assert run.code == 1 and "Traceback" not in run.output
    assert "pulumi cancel --stack test" in run.output and "is as before" in run.output, run.output
    assert adopted(world) == 0
    assert world.pulumi("cancel", "--yes").code == 0

    run = world.adopt("--yes", "--from", "nobody", "--lab", "WEB")
    assert run.code == 0 and "stack nobody: does not exist in this backend" in run.output, run.output
    assert adopted(world) == len(names)
