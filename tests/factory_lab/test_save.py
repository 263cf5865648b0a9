"""`imagefactory save` on the embedded cloud: what it saves, under which name, and what it skips."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from imagefactory.images.ranges_manifest import manifest_name, parse_manifest
from tests.azure.storage_world import md5
from tests.e2e.world import FACTORY_CONTAINER, MIB, RANGES
from tests.factory_lab.factory_world import UBUNTU, WINDOWS, FactoryWorld

PIPELINE = {
    "BUILD_SOURCEVERSION": "0123abc",
    "BUILD_BUILDID": "17",
    "SYSTEM_TEAMPROJECT": "Images",
    "SYSTEM_COLLECTIONURI": "https://dev.azure.com/contoso/",
}


def today(stem: str, suffix: str = "") -> str:
    """Return the name of an image that is saved today."""
    now = datetime.now(timezone.utc)
    return f"{stem}-{now:%b}-{now.day}-{now.year}{suffix}"


def test_finished_vms_become_images_that_equal_their_disks(world: FactoryWorld) -> None:
    """Only VHD, manifest and companion remain, no record and no active access; a second run saves nothing."""
    world.add_vm("win")
    world.add_vm("linux", UBUNTU)
    saved = world.save(variables=PIPELINE)
    assert saved.code == 0, saved.stderr
    assert saved.results() == {"win": "saved", "linux": "saved"} and saved.document["warnings"] == []
    name, vhd = saved.row("win")["image"], saved.row("win")["vhd"]
    assert name == today("Win2016_Datacenter")
    assert world.bytes_of(world.factory, FACTORY_CONTAINER, vhd) == world.disk_bytes("win")
    guid = vhd.removesuffix(".vhd")
    assert {each for each in world.blobs() if each.startswith(guid)} == {vhd, f"{guid}.json", f"{guid}.ranges.json.gz"}
    assert len(world.blobs()) == 6 and world.open_disks() == []
    companion = world.companions()[name]
    assert companion["imagePath"] == "Win2016\\Datacenter.json" and companion["description"] == "win"
    assert (companion["osType"], companion["osState"], companion["hyperVGeneration"]) == (
        "Windows",
        "Generalized",
        "V1",
    )
    assert companion["commit"] == "0123abc" and companion["pipelineRun"].endswith("/Images/_build/results?buildId=17")
    assert companion["disk"].lower() == world.disk_id("win").lower()
    manifest = parse_manifest(world.bytes_of(world.factory, FACTORY_CONTAINER, manifest_name(vhd)), RANGES)
    assert manifest.vhd == vhd and manifest.digest == saved.row("win")["digest"]
    content = world.disk_bytes("win")
    assert manifest.md5 == {part: md5(content[part.offset : part.end]) for part in manifest.ranges}
    images = {each["name"]: each for each in world.command("catalog", "--json").document["images"]}
    assert images[name]["digest"] == manifest.digest and images[name]["allocated"] == manifest.allocated
    before = world.blobs()
    world.cloud.clear_calls()
    again = world.save()
    assert again.code == 0 and again.results() == {"win": "already saved", "linux": "already saved"}
    assert world.blobs() == before
    assert {call["method"] for call in world.cloud.calls()} <= {"GET", "HEAD"}


def test_saved_images_are_distributed_with_os_state_and_lineage(world: FactoryWorld) -> None:
    """Only generalized Windows gets sysPrep; tags contain the lineage and the digest of the save."""
    world.add_vm("win")
    world.add_vm("special", "Win2016/SQL.json", tags={"ImageOsState": "Specialized"}, generalized=False)
    world.add_vm("linux", UBUNTU)
    saved = world.save(variables=PIPELINE)
    assert saved.code == 0, saved.stderr
    lab = world.add_lab("web", "Win2016", "Ubuntu")
    run = world.serve()
    assert run.changes["created"] == 13, run.output
    images = {vm: world.image(lab, saved.row(vm)["image"]) for vm in ("win", "special", "linux")}
    assert {vm: each["properties"]["vhd"]["sysPrep"] for vm, each in images.items()} == {
        "win": True, "special": False, "linux": False}  # fmt: skip
    tags = images["win"]["tags"]
    assert (tags["SourceVm"], tags["Commit"]) == ("win", "0123abc")
    assert tags["PipelineRun"].endswith("buildId=17") and tags["SourceDisk"].lower() == world.disk_id("win").lower()
    assert tags["Digest"] == saved.row("win")["digest"]


def test_a_vm_that_is_not_ready_is_reported_and_the_others_are_saved(world: FactoryWorld) -> None:
    """Exit code 1; once the VM is stopped, the next run saves only this VM."""
    world.add_vm("running", powerState="running")
    world.add_vm("finished")
    world.add_vm("other", None)
    first = world.save()
    assert first.code == 1
    assert first.results() == {"running": "not ready", "finished": "saved", "other": "not tagged"}
    assert "not deallocated" in first.row("running")["message"]
    world.set_power("running", "deallocated")
    second = world.save()
    assert second.code == 0, second.stderr
    assert second.results() == {"running": "saved", "finished": "already saved", "other": "not tagged"}
    assert second.row("running")["image"] == today("Win2016_Datacenter", "A")


def test_a_dry_run_reports_everything_and_changes_nothing(world: FactoryWorld) -> None:
    """It grants no access to a disk."""
    world.add_vm("finished")
    world.add_vm("running", powerState="running")
    world.cloud.clear_calls()
    run = world.save("--dry-run")
    assert run.code == 1 and run.results() == {"finished": "would be saved", "running": "not ready"}
    assert {call["method"] for call in world.cloud.calls()} <= {"GET", "HEAD"}
    assert world.blobs() == {}


def test_only_the_vm_that_is_named_is_saved(world: FactoryWorld) -> None:
    """With an unknown name, nothing is saved, the exit code is 2, and the existing names are listed."""
    world.add_vm("a")
    world.add_vm("b")
    assert world.save("--vm", "A").results() == {"a": "saved"}
    wrong = world.command("save", "--vm", "c", "--vm", "a")
    assert wrong.code == 2 and "VMs in the factory lab: a, b" in wrong.stderr


def test_concurrent_runs_give_every_image_its_own_name(world: FactoryWorld) -> None:
    """Four VMs of one golden image, two runs, one day."""
    for vm in "abcd":
        world.add_vm(vm)
    with ThreadPoolExecutor() as pool:
        runs = list(
            pool.map(lambda names: world.save(*names), (("--vm", "a", "--vm", "b"), ("--vm", "c", "--vm", "d")))
        )
    assert [run.code for run in runs] == [0, 0], [run.stderr for run in runs]
    names = [run.row(vm)["image"] for run, vms in zip(runs, ("ab", "cd"), strict=True) for vm in vms]
    assert sorted(names) == [today("Win2016_Datacenter", suffix) for suffix in ("", "A", "B", "C")]
    assert set(world.companions()) == set(names) and world.leftovers() == []


def test_concurrent_runs_of_the_same_vm_create_one_image(world: FactoryWorld) -> None:
    """One saves it; the other waits and finds the image, or reports the other run. No access stays active."""
    world.add_vm("a")
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda _: world.save(), range(2)))
    assert [run.code for run in runs] == [0, 0], [run.stderr for run in runs]
    assert len(world.companions()) == 1
    assert {run.row("a")["image"] for run in runs if run.row("a")["image"]} == set(world.companions())
    assert {run.row("a")["result"] for run in runs} <= {"saved", "already saved", "saved by another run"}
    assert world.leftovers() == [] and world.open_disks() == []


@pytest.mark.parametrize("ends", [False, True])
def test_access_of_another_run_that_begins_while_a_run_plans_is_not_taken_for_a_strangers(
    world: FactoryWorld, ends: bool
) -> None:
    """A run records a disk before it has access to it; the planning run finds that record, or the saved image."""
    world.add_vm("a")
    slow = {"service": "arm", "method": "GET", "path": "/disks/", "times": 1, "action": {"delaySeconds": 4}}
    world.cloud.set_latencies({} if ends else {"pageSeconds": 8})
    world.cloud.set_faults([slow])
    with ThreadPoolExecutor() as pool:
        planning = pool.submit(world.save)
        while not world.cloud.faults()[0]["hits"]:
            time.sleep(0.1)
        other = pool.submit(world.save)
    assert (planning.result().code, other.result().code) == (0, 0), planning.result().row("a")
    assert other.result().results() == {"a": "saved"} and len(world.companions()) == 1
    assert world.leftovers() == [] and world.open_disks() == []


def test_names_of_the_old_scripts_images_are_not_reused(world: FactoryWorld) -> None:
    """Their companions, in UTF-16 and with dates in the agent's culture, are kept unchanged."""
    name, vhd = today("Win2016_Datacenter"), "11111111-0000-4000-8000-000000000001.vhd"
    companion = {
        "imageName": name,
        "imagePath": "Win2016\\Datacenter.json",
        "description": "by hand",
        "osType": "Windows",
        "vhdFileName": vhd,
        "timestamp": "6/26/2020 10:11:12 AM",
    }
    image = {"lab": "factory", "subscriptionId": world.subscription, "vhd": vhd, "sizeBytes": 16 * MIB}
    world.cloud.seed({"factoryImages": [{**image, "companion": companion, "companionEncoding": "utf-16"}]})
    before = world.bytes_of(world.factory, FACTORY_CONTAINER, vhd.replace(".vhd", ".json"))
    world.add_vm("a")
    assert world.save().row("a")["image"] == today("Win2016_Datacenter", "A")
    assert world.bytes_of(world.factory, FACTORY_CONTAINER, vhd.replace(".vhd", ".json")) == before
    document = world.command("catalog", "--json").document
    assert [each["name"] for each in document["images"]] == [today("Win2016_Datacenter", "A"), name]


def test_a_disk_with_access_granted_to_another_user_is_not_saved(world: FactoryWorld) -> None:
    """It is reported with the command that revokes the access, which stays active."""
    world.add_vm("a")
    address = world.grant("a")
    run = world.save()
    assert run.code == 1 and "az disk revoke-access" in run.row("a")["message"]
    assert requests.head(address, headers={"x-ms-version": "2021-12-02"}, timeout=10).status_code == 200


def test_data_disks_are_reported_and_saved_on_request_and_labs_do_not_get_them(
    world: FactoryWorld,
) -> None:
    """DevTest Labs creates an image from one VHD."""
    data = {"sizeBytes": 16 * MIB, "allocatedBytes": 2 * MIB}
    world.add_vm("a", dataDisks=[{"lun": 0, **data}, {"lun": 3, **data}])
    assert "only its OS disk is saved" in world.save("--dry-run").document["warnings"][0]
    saved = world.save("--with-data-disks")
    assert saved.code == 0, saved.stderr
    guid = saved.row("a")["vhd"].removesuffix(".vhd")
    assert saved.row("a")["dataDisks"] == [f"{guid}.lun0.vhd", f"{guid}.lun3.vhd"]
    assert {f"{guid}.lun0.vhd", f"{guid}.lun3.ranges.json.gz"} <= set(world.blobs())
    assert world.open_disks() == []
    assert world.command("catalog", "--json").document["leftOut"] == []
    world.add_lab("web", "Win2016")
    run = world.preview()
    assert "labs get only its OS disk" in run.output, run.output


@pytest.mark.parametrize(
    ("machine", "metadata", "state"),
    [
        ({"generalized": True}, {"imageOsState": "Specialized"}, "Generalized"),
        (
            {"generalized": False, "tags": {"imageosstate": "specialized"}},
            {"imageOsState": "Generalized"},
            "Specialized",
        ),
        ({"generalized": False}, {"imageOsState": "Specialized"}, "Specialized"),
        ({"generalized": False}, {}, "Generalized"),
    ],
)
def test_the_os_state_comes_from_instance_view_then_tag_then_golden_image(
    world: FactoryWorld, machine: dict[str, Any], metadata: dict[str, str], state: str
) -> None:
    """Without any of them it is generalized, as the old scripts assume; the companion contains it."""
    world.add_vm("a", **machine)
    golden = world.folder / "Configuration" / "GoldenImages" / WINDOWS
    golden.write_text(json.dumps({"metadata": metadata}), encoding="utf-8")
    saved = world.save()
    assert saved.code == 0, saved.stderr
    assert world.companions()[saved.row("a")["image"]]["osState"] == state


def test_generation_2_is_recorded_with_a_warning(world: FactoryWorld) -> None:
    """The warning says how DevTest Labs creates its images."""
    world.add_vm("a", hyperVGeneration="V2")
    saved = world.save()
    assert saved.code == 0 and "created as generation 1" in saved.document["warnings"][0]
    assert world.companions()[saved.row("a")["image"]]["hyperVGeneration"] == "V2"


def test_without_json_a_table_is_printed_and_progress_is_not_on_standard_output(world: FactoryWorld) -> None:
    """In a log, progress is a line for each tenth."""
    world.add_vm("golden-vm")
    run = world.command("save")
    assert run.code == 0, run.stderr
    assert "golden-vm" in run.stdout and today("Win2016_Datacenter") in run.stdout
    assert "1 VHD copied" in run.stdout
    assert "100 %" in run.stderr and f"golden-vm: saved as {today('Win2016_Datacenter')}" in run.stderr


def test_events_of_a_save_are_lines_without_the_disks_sas(world: FactoryWorld, tmp_path: Path) -> None:
    """The source is the disk's id; the blob is the VHD that is written."""
    world.add_vm("golden")
    file = tmp_path / "events.jsonl"
    saved = world.save("--events", str(file))
    assert saved.code == 0, saved.stderr
    start, end = map(json.loads, file.read_text("utf-8").splitlines())
    assert (start["event"], end["event"], end["outcome"]) == ("copy.start", "copy.end", "copied")
    assert start["source"].startswith("disk:") and "sig=" not in file.read_text("utf-8")
    assert (end["container"], end["blob"]) == (FACTORY_CONTAINER, saved.row("golden")["vhd"])
