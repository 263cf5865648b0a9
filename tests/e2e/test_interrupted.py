"""Copies that fail, are cancelled or lose their engine: kept, cleaned or resumed, never lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.world import MIB, STAGING_CONTAINER, UP, World

pytestmark = pytest.mark.engine

WINDOWS = "Win2016/Datacenter.json"


def refused_writes(path: str) -> dict[str, Any]:
    """A fault rule: no range is written where `path` matches."""
    refusal = {"status": 400, "code": "NoSuchLuck"}
    return {"service": "blob", "method": "PUT", "path": f"{path}.*comp=page(&|$)", "action": refusal}


def moved(world: World) -> int:
    """Bytes that were moved by ranges into this world's labs since the journal was cleared."""
    accounts = {lab.account for lab in world.labs.values()}
    return sum(
        call["length"] or 0
        for call in world.cloud.calls()
        if call["status"] == 201 and call["path"].split("/")[1] in accounts
    )


def wait_until(begun: Callable[[], bool]) -> None:
    """Return as soon as it is so."""
    deadline = time.monotonic() + 60
    while not begun():
        assert time.monotonic() < deadline, "it did not come to pass within a minute"
        time.sleep(0.1)


def interrupted(world: World, end: signal.Signals, begun: Callable[[], bool]) -> str:
    """Begin an up, and end it once `begun` holds: Ctrl-C, or kill -9 of everything. Its output."""
    process = world.start(*UP)
    wait_until(begun)
    (os.kill if end is signal.SIGINT else os.killpg)(process.pid, end)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0 and "Traceback" not in output
    if end is signal.SIGKILL:
        assert world.pulumi("cancel", "--yes").code == 0
    return output


def test_a_failed_copy_stops_no_other_and_is_resumed(world: World) -> None:
    """The copy whose ranges the service refuses is an error of its image alone; the next up finishes it and only it."""
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016")
    bad, good = world.add_images((WINDOWS, 5), (WINDOWS, 6))
    world.cloud.set_faults([refused_writes(f"/{web.account}/.*{world.images[bad]}")])
    run = world.up()
    assert run.code != 0 and "NoSuchLuck" in run.output, run.output
    assert set(world.held(web)) == {good} and set(world.held(data)) == {good, bad}
    world.cloud.clear_faults()
    world.cloud.clear_calls()
    world.serve()
    assert world.copies() == 0, "what was begun is taken up"
    assert set(world.held(web)) == {good, bad} and world.staged(web) == []
    assert world.up().only_unchanged


def test_a_failed_copy_is_finished_also_after_a_refresh(world: World) -> None:
    """A refresh does not make the engine forget that the staged VHD is not whole."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.cloud.set_faults([refused_writes(f"/{web.account}/")])
    assert world.up().code != 0
    world.cloud.clear_faults()
    world.serve("--refresh")
    assert world.held(web) == {name: "Succeeded"} and world.staged(web) == []


def test_a_copy_that_fails_once_is_started_again_in_the_same_run(world: World) -> None:
    """One failure of the service is no failure of the run, where the service copies itself."""
    world.settings["copy"] = {"method": "service"}
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.service(web).create_container(STAGING_CONTAINER)
    where = f"/{web.account}/{STAGING_CONTAINER}/"
    world.cloud.set_faults([{"service": "blob", "path": where, "nth": 1, "action": {"copyFails": "InternalError"}}])
    world.serve()
    assert world.copies() == 2
    assert set(world.held(web)) == {name}


def test_a_cancelled_copy_goes_on_where_it_was(world: World) -> None:
    """Ctrl-C keeps what was moved, in the storage and in the state; the next up moves the rest and serves the lab."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5), size=64 * MIB, allocated=20 * MIB)
    slow = {"service": "blob", "method": "PUT", "path": f"/{web.account}/.*comp=page(&|$)", "offset": 16 * MIB}
    world.cloud.set_faults([{**slow, "action": {"delaySeconds": 60}}])
    interrupted(world, signal.SIGINT, lambda: moved(world) >= 10 * MIB)
    before = moved(world)
    assert len([blob for blob in world.staged(web) if blob.endswith(".vhd")]) == 1
    world.cloud.clear_faults()
    world.serve()
    assert world.copies() == 1 and moved(world) - before < before
    assert set(world.held(web)) == {name} and world.staged(web) == []


def test_a_cancelled_copy_that_is_not_wanted_any_more_is_removed_by_destroy(world: World) -> None:
    """What Ctrl-C kept is in the state, so nothing is left in the lab's account for good."""
    web = world.add_lab("web", "Win2016")
    world.add_images((WINDOWS, 5))
    world.cloud.set_latencies({"pageSeconds": 300})
    interrupted(world, signal.SIGINT, lambda: world.copies() >= 1)
    world.cloud.set_latencies({})
    run = world.destroy()
    assert run.code == 0, run.output
    assert world.staged(web) == []


def test_a_copy_whose_engine_was_killed_is_taken_up_where_it_is(world: World) -> None:
    """After kill -9 of everything the pending copy goes on at the service, and the next up waits for that very copy."""
    world.settings["copy"] = {"method": "service"}
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.cloud.set_latencies({"copySeconds": 8})
    interrupted(world, signal.SIGKILL, lambda: world.copies() >= 1)
    assert world.adopt().code == 0
    world.serve()
    assert world.copies() == 1
    assert set(world.held(web)) == {name} and world.staged(web) == []


def test_an_image_that_azure_fails_to_make_is_made_by_the_next_up(world: World) -> None:
    """A failed custom image is the error of its chain alone; its staged VHD is kept and serves the next attempt."""
    web = world.add_lab("web", "Win2016")
    bad, good = world.add_images((WINDOWS, 5), (WINDOWS, 6))
    failure = {"imageFails": {"code": "AllocationFailed", "message": "no room"}}
    world.cloud.set_faults([{"service": "arm", "method": "PUT", "path": f"customimages/{bad}", "action": failure}])
    run = world.up()
    assert run.code != 0 and "AllocationFailed" in run.output, run.output
    assert world.held(web)[good] == "Succeeded"
    world.cloud.clear_faults()
    world.cloud.clear_calls()
    world.serve()
    assert world.held(web) == {good: "Succeeded", bad: "Succeeded"}
    assert world.copies() == 0 and world.staged(web) == []
    assert world.up().only_unchanged
    assert world.held(web) == {good: "Succeeded", bad: "Succeeded"}, "the image is not created once more"


def test_a_failed_image_is_made_anew_also_after_a_refresh(world: World) -> None:
    """A refresh makes the engine forget that the image failed; the program does not."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    failure = {"imageFails": {"code": "AllocationFailed", "message": "no room"}}
    world.cloud.set_faults([{"service": "arm", "method": "PUT", "path": "customimages", "action": failure}])
    assert world.up().code != 0
    assert world.held(web) == {name: "Failed"}
    world.cloud.clear_faults()
    world.serve("--refresh")
    assert world.held(web) == {name: "Succeeded"} and world.staged(web) == []
    assert world.up("--refresh").only_unchanged and world.held(web) == {name: "Succeeded"}


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_ends_while_azure_makes_the_image_is_taken_up(world: World, end: signal.Signals) -> None:
    """Ctrl-C or kill -9 while the image is made: Azure finishes it, adopt takes it over, no run writes to it."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.cloud.set_latencies({"imageCreateSeconds": 15})
    interrupted(world, end, lambda: world.held(web) == {name: "Creating"})
    assert world.adopt().code == 0
    world.serve()
    assert world.copies() == 1, "the VHD was copied once"
    assert world.held(web) == {name: "Succeeded"} and world.staged(web) == []
    assert world.serve().only_unchanged
    assert [write[:2] for write in world.writes(web)] == [("PUT", name)], "the one that made it"


@pytest.mark.timeout(300)
def test_a_hundred_images_over_ten_labs_in_one_up_with_a_hundred_copies_in_flight(world: World) -> None:
    """100 copies are under way at one moment, and one up serves all ten labs; all read the factory."""
    world.settings["crossRegion"] = "direct"
    labs = [world.add_lab(f"lab{n}", "Win2016") for n in range(10)]
    world.add_images(*((WINDOWS, day) for day in range(1, 11)))
    world.cloud.set_latencies({"pageSeconds": 30})
    process = world.start(*UP, "--suppress-progress")
    wait_until(lambda: world.copies() >= 100)
    pending = sum(
        blob.metadata["imagefactorystate"] == "copying"
        for lab in labs
        for blob in world.service(lab).get_container_client(STAGING_CONTAINER).list_blobs(include=["metadata"])
    )
    world.cloud.set_latencies({})
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert pending == 100
    for lab in labs:
        assert set(world.held(lab)) == set(world.images) and world.staged(lab) == []
