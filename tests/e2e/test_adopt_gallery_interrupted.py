"""An `up` that is killed or interrupted while versions are made: the next run goes on, and each version is put once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress

import pytest

from tests.e2e.gallery_world import GalleryWorld
from tests.e2e.test_kills import family
from tests.e2e.world import UP

pytestmark = pytest.mark.engine

PATHS = ("Win11/Office.json", "Win11/Plain.json", "Ubuntu/Jammy.json")
SLOW = {"galleryReplicationSeconds": 10}
"""Long enough to meet all versions in between."""


def begun(world: GalleryWorld) -> subprocess.Popen[str]:
    """An `up` that has begun to create all versions, one of them after the others."""
    for name, region in (("web", "westeurope"), ("north", "northeurope")):
        world.add_lab(name, "Win11", "Ubuntu", region=region)
    world.add_image(PATHS[2], 4)
    world.define(PATHS[0])
    world.cloud.set_latencies({"galleryReplicationSeconds": 0})
    world.serve()
    for day, path in enumerate(PATHS, 5):
        world.add_image(path, day)
    world.cloud.set_latencies(SLOW)
    world.cloud.clear_calls()
    process = world.start(*UP)
    while states(world) != {"Succeeded": 1, "Creating": len(PATHS)}:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    return process


def states(world: GalleryWorld) -> Counter[str]:
    """How many versions are in which state."""
    return Counter(each["properties"]["provisioningState"] for each in world.versions().values())


def puts(world: GalleryWorld) -> Counter[str]:
    """How often each definition and version was put since the run began; no other gallery resource was."""
    writes = [call for call in world.gallery_writes() if "/sharedgalleries/" not in call[1].lower()]
    assert {method for method, _, _ in writes} <= {"PUT"}, writes
    return Counter(path.rpartition("/")[2] for _, path, _ in writes)


def kill(process: subprocess.Popen[str]) -> None:
    """All that the run started."""
    for pid in family(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)


def check_healed(world: GalleryWorld) -> None:
    """All versions stand, each was put once, labs offer them, and nothing is left to do."""
    assert set(world.made_from()) == set(world.images.values())
    assert max(puts(world).values()) == 1, puts(world)
    for lab in world.labs.values():
        assert world.offers(lab) == {"images": ["Ubuntu.Jammy", "Win11.Office", "Win11.Plain"]}
    world.cloud.clear_calls()
    assert world.up().only_unchanged and world.serve("--refresh").only_unchanged
    assert "Nothing to take over" in world.adopt().output and world.gallery_writes() == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("checkpoints", [True, False])
def test_an_up_that_is_killed_while_versions_are_made_is_healed_by_the_next_adoption(
    gallery_world: GalleryWorld, checkpoints: bool
) -> None:
    """Whether the engine wrote the state meanwhile or not, and while Azure is still replicating."""
    world = gallery_world
    world.checkpoints = checkpoints
    kill(begun(world))
    world.pulumi("cancel", "--yes")
    run = world.adopt()
    assert run.code == 0 and "Traceback" not in run.output, run.output
    assert run.output.count("in state Creating") == len(PATHS), run.output
    missing = len(PATHS) if checkpoints else len(PATHS) + 2  # two definitions as well
    assert f"Took over {missing} parts of the gallery" in run.output, run.output
    world.serve()
    check_healed(world)


@pytest.mark.timeout(300)
def test_an_up_that_was_interrupted_while_versions_are_made_is_finished_in_the_state(
    gallery_world: GalleryWorld,
) -> None:
    """After Ctrl-C the state has versions that the engine did not see finish; it would put them again."""
    world = gallery_world
    process = begun(world)
    for _ in range(2):  # the second one cancels what is in progress
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.5)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0, output
    while states(world)["Creating"]:
        time.sleep(0.5)
    run = world.adopt()
    assert run.code == 0 and "Traceback" not in run.output, run.output
    assert run.output.count("an earlier run did not see Azure finish it") == len(PATHS), run.output + output
    world.serve()
    check_healed(world)


@pytest.mark.timeout(300)
def test_an_up_that_is_killed_while_a_region_is_added_goes_on_without_an_adoption(gallery_world: GalleryWorld) -> None:
    """The version is in the state; the next run waits for Azure, and the version is in all regions that need it."""
    world = gallery_world
    world.add_lab("web", "Ubuntu")
    world.add_image(PATHS[2], 5)
    world.serve()
    world.add_lab("north", "Ubuntu", region="northeurope")
    world.cloud.set_latencies(SLOW)
    process = world.start(*UP)
    while states(world) != {"Updating": 1}:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    kill(process)
    world.pulumi("cancel", "--yes")
    assert "Nothing to take over" in world.adopt().output
    world.serve()
    (made,) = world.versions().values()
    regions = {each["name"] for each in made["properties"]["publishingProfile"]["targetRegions"]}
    assert regions == {"West Europe", "North Europe"} and states(world) == {"Succeeded": 1}
    assert world.up().only_unchanged and world.serve("--refresh").only_unchanged
