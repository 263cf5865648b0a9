"""One failed lab does not stop the others; after an error, the run deletes nothing; its output reports both."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from imagefactory.state.run_log import read_logs, summarized
from tests.e2e.gallery_world import GalleryWorld
from tests.e2e.waiting import wait_until
from tests.e2e.world import MIB, UP, Lab, Run, World

pytestmark = pytest.mark.engine

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"
QUOTA = {"imageFails": {"code": "OperationNotAllowed", "message": "it results in exceeding approved quota"}}
"""As Azure Compute words it, once the lab has accepted the image."""
NO_ACCESS = {"status": 403, "code": "AuthorizationFailed", "message": "no permission"}
UNAVAILABLE = {"status": 503, "code": "ServerBusy", "message": "the region is down"}


def logged(world: World, name: str = "up.jsonl") -> tuple[Run, Path]:
    """An update with an event log."""
    world.environment = {**world.environment, "PULUMI_DEBUG_COMMANDS": "true"}
    log = world.folder / name
    return world.up("--event-log", str(log)), log


def outcomes(log: Path) -> dict[str, dict[str, str]]:
    """What a log tells, by names of labs and images."""
    labs = read_logs([log]).labs
    return {lab.label.partition("@")[0]: {one.name: one.outcome for one in lab.items} for lab in labs}


def outputs(world: World) -> dict[str, Any]:
    """The outputs of the stack."""
    return dict(world.state()["resources"][0]["outputs"])


def writes(lab: Lab, action: dict[str, Any]) -> dict[str, Any]:
    """A fault of all creations of custom images in a lab."""
    return {"service": "arm", "method": "PUT", "path": f"/labs/{lab.name}/customimages", "action": action}


def no_ubuntu(lab: Lab) -> dict[str, Any]:
    """A fault: this identity may not create the Linux images in a lab."""
    return {**writes(lab, NO_ACCESS), "path": f"/labs/{lab.name}/customimages/Ubuntu"}


def test_labs_without_permission_in_a_failed_region_and_over_quota_do_not_stop_the_others(world: World) -> None:
    """The others get their images; the run fails, and its summary, the stack's outputs and the log name each lab; the
    next run repeats only what failed."""
    web, ops, eng, data = (world.add_lab(name, "Win2016") for name in ("web", "ops", "eng", "data"))
    (name,) = world.add_images((WINDOWS, 5))
    storage = {"service": "blob", "method": "PUT", "path": f"/{eng.account}/", "action": UNAVAILABLE}
    world.cloud.set_faults([writes(web, NO_ACCESS), writes(ops, QUOTA), storage])
    run, log = logged(world)
    assert run.code != 0 and world.held(data) == {name: "Succeeded"}, run.output
    assert world.held(web) == world.held(eng) == {} and world.held(ops) == {name: "Failed"}
    failing = dict.fromkeys(["web", "ops", "eng"], "failed")
    assert outcomes(log) == {lab: {name: outcome} for lab, outcome in ({**failing, "data": "created"}).items()}
    assert [lab.has_problems for lab in read_logs([log]).labs] == [True, True, True, False]
    told = {lab.label.partition("@")[0]: lab.items[0].why for lab in read_logs([log]).labs}
    assert "AuthorizationFailed" in told["web"] and "OperationNotAllowed" in told["ops"] and "503" in told["eng"]
    not_done = {label.partition("@")[0]: names for label, names in outputs(world)["notDone"].items()}
    assert not_done == {lab: [name] for lab in failing}
    created = {label.partition("@")[0]: names for label, names in outputs(world)["created"].items()}
    assert created == {"data": [name]} and re.search(rf"web@\w+: not done {name}", run.output), run.output
    command = [str(world.python), "-c", "from imagefactory.cli.main import main; main()", "summary", str(log)]
    shown = subprocess.run(command, cwd=world.folder, capture_output=True, text=True, check=False)
    assert shown.returncode == 1 and all(f"Lab {lab}@" in shown.stdout for lab in told), shown.stdout
    world.cloud.clear_faults()
    run, log = logged(world, "again.jsonl")
    again = {lab: each[name] for lab, each in outcomes(log).items()}
    assert again == {"web": "created", "eng": "created", "ops": "updated", "data": "unchanged"}, run.output
    assert run.code == 0 and outputs(world)["notDone"] == {}


@pytest.mark.timeout(240)
def test_nothing_is_deleted_in_a_run_that_had_an_error_before(gallery_world: GalleryWorld) -> None:
    """Neither in the lab of the error nor in another one: no retired, no revoked image, none of a lab that left
    labs.json, no version of the gallery. The run says what it keeps; the next one without an error deletes it.

    Likewise an update without --continue-on-error, which the engine cancels at the first error: it has no traceback.
    By a setting images leave all the same: `otherLabs` keeps those of labs where something failed, `always` none."""
    world = gallery_world
    world.settings["keep"] = 1
    web, data = (world.add_lab(name, "Win2016", "Ubuntu") for name in ("web", "data"))
    gone = world.add_lab("gone", "Win2016", subscription="33333333-3333-3333-3333-333333333333")
    shared = world.add_lab("shared", "Win2016", "Ubuntu")
    world.deliveries = dict.fromkeys(("web", "data", "gone"), "customImage")

    def held() -> dict[str, set[str]]:
        return {lab.name: set(world.held(lab)) for lab in (web, data, gone)}

    first, linux = world.add_images((WINDOWS, 5), (UBUNTU, 5))
    world.serve()
    (second,) = world.add_images((WINDOWS, 6))
    world.serve()
    (new_linux,) = world.add_images((UBUNTU, 6))
    before, versions = held(), world.versions().keys()
    assert before["web"] == before["data"] == {first, second, linux} and len(versions) == 3
    world.cloud.set_faults([no_ubuntu(web), no_ubuntu(data)])
    run = world.pulumi("up", "--yes", "--skip-preview")
    assert run.code != 0 and "Traceback" not in run.output and run.changes["deleted"] == 0, run.output
    assert held() == before and versions <= world.versions().keys()

    world.cloud.set_faults([no_ubuntu(web)])
    world.settings["deleteAfterErrors"] = "otherLabs"
    (third,) = world.add_images((WINDOWS, 7))
    run = world.up()
    assert run.code != 0 and held()["data"] == {second, third, linux, new_linux}, run.output
    assert held()["web"] == {first, second, third, linux}, run.output
    world.settings["deleteAfterErrors"] = "always"
    old, old_linux = third, new_linux
    new, new_linux = world.add_images((WINDOWS, 8), (UBUNTU, 7))
    run = world.up()
    assert run.code != 0 and held()["web"] == {old, new, linux}, run.output

    del world.settings["deleteAfterErrors"]
    del world.wishes["gone"]
    world.settings["revoked"] = dict.fromkeys((linux, old_linux), "it boots with a wrong key")
    before, versions = held(), world.versions().keys()
    assert before["data"] == {old, new, old_linux, new_linux} and world.images[old] in world.made_from()
    run, log = logged(world)
    assert run.code != 0 and "something failed in this run" in run.output, run.output
    assert held() == before and world.versions().keys() == versions and run.changes["deleted"] == 0, run.output
    kept = [one for one in outputs(world)["retained"] if "this run" in one["reason"]]
    assert {(one["lab"].partition("@")[0], one["image"]) for one in kept} >= {
        *(("web", image) for image in (old, linux)),
        *(("data", image) for image in (old, old_linux)),
        *(("gone", image) for image in before["gone"]),
    }
    told = outcomes(log)
    assert told["data"][old] == told["gone"][old] == "kept", told
    world.cloud.clear_faults()
    world.serve()
    assert held() == {"web": {new, new_linux}, "data": {new, new_linux}, "gone": set()}
    assert world.made_from().keys() == {world.images[new], world.images[new_linux]}
    assert world.offers(shared) == {"images": ["Ubuntu.Jammy", "Win2016.Datacenter"]}
    assert world.up().only_unchanged


def test_a_killed_update_is_told_as_interrupted_and_its_repetition_as_one_with_it(world: World) -> None:
    """What was under way is interrupted, and nothing is claimed to be done; both logs together tell what is done."""
    world.environment = {**world.environment, "PULUMI_DEBUG_COMMANDS": "true"}
    world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5), size=96 * MIB, allocated=40 * MIB)
    world.cloud.set_limits({"blobBytesPerSecond": MIB, "queueSeconds": 60})
    log = world.folder / "killed.jsonl"
    process = world.start(*UP, "--event-log", str(log))
    wait_until(lambda: log.exists() and any(lab.items for lab in summarized(log.read_text().splitlines()).labs))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    found = read_logs([log])
    assert found.result == "interrupted" and found.failed and outcomes(log) == {"web": {name: "interrupted"}}
    world.cloud.set_limits({})
    assert world.pulumi("cancel", "--yes").code == 0
    run, again = logged(world)
    found = read_logs([log, again])
    (lab,) = found.labs
    assert run.code == 0 and not found.failed and [item.outcome for item in lab.items] == ["created"], run.output
