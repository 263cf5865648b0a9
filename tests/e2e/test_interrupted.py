"""Copies that fail, are cancelled or lose their engine: kept, cleaned or resumed, never lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.waiting import wait_until
from tests.e2e.world import MIB, STAGING_CONTAINER, UP, Lab, World

pytestmark = pytest.mark.engine

WINDOWS, CORE = "Win2016/Datacenter.json", "Win2016/Core.json"


def refused_writes(path: str) -> dict[str, Any]:
    """A fault rule: no range is written where `path` matches."""
    refusal = {"status": 400, "code": "NoSuchLuck"}
    return {"service": "blob", "method": "PUT", "path": f"{path}.*comp=page(&|$)", "action": refusal}


def failing_image(lab: Lab, name: str) -> dict[str, Any]:
    """A fault rule: Azure fails to make the custom image."""
    failure = {"imageFails": {"code": "AllocationFailed", "message": "no room"}}
    return {"service": "arm", "method": "PUT", "path": f"/labs/{lab.name}/customimages/{name}", "action": failure}


def moved(world: World) -> int:
    """Bytes that were moved by ranges into this world's labs since the journal was cleared."""
    accounts = {lab.account for lab in world.labs.values()}
    return sum(
        call["length"] or 0
        for call in world.cloud.calls()
        if call["status"] == 201 and call["path"].split("/")[1] in accounts
    )


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


def test_what_fails_stops_no_other_and_is_finished_by_the_next_up(world: World) -> None:
    """A copy whose ranges the service refuses, and an image that Azure fails to make, are errors of their chains alone.
    The next up finishes them and only them: what was copied is kept and taken up.

    Likewise after a refresh, which makes the engine forget that an image failed: the program does not forget, nor that
    a staged VHD is not whole. An image is not created once more."""
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data", WINDOWS)
    refused, failed, good = world.add_images((WINDOWS, 5), (WINDOWS, 6), (WINDOWS, 7))
    world.cloud.set_faults([refused_writes(f"/{web.account}/.*{world.images[refused]}"), failing_image(web, failed)])
    run = world.up()
    assert run.code != 0 and "NoSuchLuck" in run.output and "AllocationFailed" in run.output, run.output
    assert world.held(web) == {good: "Succeeded", failed: "Failed"}
    assert world.held(data) == dict.fromkeys(world.images, "Succeeded")
    world.cloud.clear_faults()
    world.cloud.clear_calls()
    world.serve()
    assert world.copies() == 0, "what was begun is taken up"
    assert world.held(web) == dict.fromkeys(world.images, "Succeeded") and world.staged(web) == []

    refused, failed = world.add_images((CORE, 5), (CORE, 6))
    world.cloud.set_faults([refused_writes(f"/{web.account}/.*{world.images[refused]}"), failing_image(web, failed)])
    world.cloud.clear_calls()
    run = world.up()
    assert run.code != 0 and world.held(web) == {**world.held(data), failed: "Failed"}, run.output
    assert {name.lower() for _, name, _ in world.writes(web)} == {failed.lower()}, (
        "the others are not created once more"
    )
    world.cloud.clear_faults()
    world.serve("--refresh")
    assert world.held(web) == dict.fromkeys(world.images, "Succeeded") and world.staged(web) == []
    world.cloud.clear_calls()
    assert world.up("--refresh").only_unchanged and world.writes(web) == []


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
    """After kill -9 of everything the pending copy goes on at the service, and the next up waits for that very copy.
    One failure of the service is no failure of a run: a copy that fails once is started again in the same run."""
    world.settings["copy"] = {"method": "service"}
    web = world.add_lab("web", "Win2016")
    world.add_images((WINDOWS, 5))
    world.cloud.set_latencies({"copySeconds": 8})
    interrupted(world, signal.SIGKILL, lambda: world.copies() >= 1)
    assert world.adopt().code == 0
    (other,) = world.add_images((WINDOWS, 6))
    where = f"/{web.account}/{STAGING_CONTAINER}/.*{world.images[other]}"
    world.cloud.set_faults([{"service": "blob", "path": where, "nth": 1, "action": {"copyFails": "InternalError"}}])
    world.serve()
    assert world.copies() == 1 + 2
    assert world.held(web) == dict.fromkeys(world.images, "Succeeded") and world.staged(web) == []


@pytest.mark.timeout(240)
def test_a_run_that_ends_while_azure_makes_the_image_is_taken_up(world: World) -> None:
    """Ctrl-C or kill -9 while the image is made: Azure finishes it, adopt takes it over, no run writes to it."""
    web = world.add_lab("web", "Win2016")
    for number, end in enumerate((signal.SIGINT, signal.SIGKILL), start=1):
        world.add_images((WINDOWS, number))
        world.cloud.set_latencies({"imageCreateSeconds": 15})
        interrupted(world, end, lambda: "Creating" in world.held(web).values())
        assert world.adopt().code == 0
        world.serve()
        assert world.copies() == number, "each VHD was copied once"
        assert world.held(web) == dict.fromkeys(world.images, "Succeeded") and world.staged(web) == []
    assert world.serve().only_unchanged
    assert [write[:2] for write in world.writes(web)] == [("PUT", name) for name in world.images], "those that made it"


@pytest.mark.timeout(300)
def test_a_hundred_images_over_ten_labs_in_one_up_with_a_hundred_copies_in_flight(world: World) -> None:
    """100 copies are under way at one moment, and one up serves all ten labs; all read the factory."""
    world.settings["crossRegion"] = "direct"
    world.checkpoints = False
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
