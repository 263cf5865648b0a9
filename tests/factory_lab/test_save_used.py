"""VMs that are used after or during their save: no earlier state of a disk counts as the current one."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from azure.storage.blob import BlobLeaseClient

from imagefactory.factory_lab.save import disk_version
from tests.e2e.world import FACTORY_CONTAINER, MIB
from tests.factory_lab.factory_world import Ended, FactoryWorld
from tests.factory_lab.test_save_interrupted import COMPANION, MARK, REFUSED
from tests.unit.planning.factory.vms import disk

DATA_DISK = {"lun": 2, "sizeBytes": 16 * MIB, "allocatedBytes": 2 * MIB}
NEVER = {"delaySeconds": 60, "drop": True}
"""The request is delayed until its sender is killed, and then dropped."""

STEPS: dict[str, dict[str, Any]] = {
    "whole": {**MARK, "nth": 1},
    "facts": {**MARK, "nth": 2},
    "companion": {**COMPANION, "nth": 1},
}
"""The steps that the first save does not complete: its marks in order."""


def saved_content(world: FactoryWorld, suffix: str = ".vhd") -> bytes:
    """Return the content of the only image's VHD."""
    ((_, companion),) = world.companions().items()
    return world.bytes_of(world.factory, FACTORY_CONTAINER, companion["vhdFileName"].replace(".vhd", suffix))


def seen(world: FactoryWorld, step: str) -> bool:
    """Return whether all marks before a step are set."""
    vhds = [about for name, about in world.blobs().items() if name.endswith(".vhd")]
    if step == "whole":
        return any(name.endswith(".ranges.json.gz") for name in world.blobs())
    return any("imagename" in about if step == "companion" else about["imagefactorystate"] == "whole" for about in vhds)


def check_image_is_the_disk(world: FactoryWorld, vm: str = "golden") -> None:
    """Check that the only image is the current disk, with matching metadata, and that its VM can be deleted."""
    assert saved_content(world) == world.disk_bytes(vm)
    assert world.leftovers() == [] and world.open_disks() == []
    ((name, companion),) = world.companions().items()
    (about,) = (about for blob, about in world.blobs().items() if blob == companion["vhdFileName"])
    assert companion["diskReleased"] == world.released(vm)
    assert (about["imagename"], about["imagefactorystate"]) == (name, "whole")
    assert world.command("clean-vms", "--json").results()[vm] == "deleted"


@pytest.mark.parametrize("step", STEPS)
def test_an_unfinished_save_does_not_count_for_a_disk_that_was_used_since(world: FactoryWorld, step: str) -> None:
    """The disk is copied again with a warning, whichever mark was set last."""
    world.add_vm("golden", dataDisks=[DATA_DISK])
    late = {"nth": 3} if step == "facts" else {}  # both disks' marks come before
    world.cloud.set_faults([{**STEPS[step], **late, "action": REFUSED}])
    assert world.save("--with-data-disks").code == 1 and world.companions() == {}
    world.use("golden")
    world.cloud.clear_faults()
    world.cloud.clear_calls()
    run = world.save("--with-data-disks")
    assert run.code == 0 and run.results() == {"golden": "saved"}, run.stdout
    assert world.moved() > 5 * MIB
    assert any("copied anew" in text or "restarts" in text for text in run.document["warnings"]), run.stdout
    assert b"written since" in saved_content(world)
    assert saved_content(world, ".lun2.vhd") == world.disk_bytes("golden", 2)
    check_image_is_the_disk(world)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("is_used", [True, False], ids=["used", "untouched"])
def test_a_kill_between_the_marks_loses_nothing(world: FactoryWorld, step: str, is_used: bool) -> None:
    """Copied ranges count only while the disk is unchanged."""
    world.add_vm("golden")
    world.cloud.set_faults([{**STEPS[step], "action": NEVER}])
    killed = world.interrupted(lambda: seen(world, step), signal.SIGKILL)
    assert killed.code == -signal.SIGKILL
    world.cloud.clear_faults()
    world.end_leases()
    world.revoke("golden")
    if is_used:
        world.use("golden")
    world.cloud.clear_calls()
    run = world.save()
    assert run.code == 0 and run.results() == {"golden": "saved"}, run.stdout
    if step != "whole":  # before this mark, the ranges of a killed run do not count
        assert (world.moved() > 5 * MIB) is is_used
    assert bool(run.document["warnings"]) is is_used, run.stdout
    check_image_is_the_disk(world)


def test_data_disks_of_an_earlier_attempt_are_not_in_the_image(world: FactoryWorld) -> None:
    """Otherwise clean-vms would delete the VM with data disks that are not saved."""
    world.add_vm("golden", dataDisks=[DATA_DISK])
    world.cloud.set_faults([{**COMPANION, "action": REFUSED}])
    assert world.save("--with-data-disks").code == 1
    world.cloud.clear_faults()
    assert world.save().code == 0
    (image,) = world.command("catalog", "--json").document["images"]
    assert image["dataDisks"] == []
    run = world.command("clean-vms", "--json")
    assert run.results() == {"golden": "reported"} and "without its data disks" in run.row("golden")["message"]


def test_a_companion_without_its_vhd_does_not_turn_an_unfinished_vhd_into_an_image(world: FactoryWorld) -> None:
    """After the VHD was deleted, an interrupted save leaves no image, and the next one saves the VM."""
    world.add_vm("golden")
    vhd = world.save().row("golden")["vhd"]
    world.service(world.factory).get_blob_client(FACTORY_CONTAINER, vhd).delete_blob()
    world.use("golden")
    world.cloud.set_faults([{**STEPS["whole"], "action": REFUSED}])
    assert world.save().code == 1
    assert world.command("catalog", "--json").document["images"] == []
    assert world.command("clean-vms", "--json").results() == {"golden": "kept"}
    world.cloud.clear_faults()
    assert world.save().results() == {"golden": "saved"}
    check_image_is_the_disk(world)


def test_a_vm_that_was_used_after_its_save_is_reported_and_kept(world: FactoryWorld) -> None:
    """`save` warns, `clean-vms` keeps the VM; once the image is deleted, the VM is saved again."""
    world.add_vm("golden")
    first = world.save()
    name, guid = first.row("golden")["image"], first.row("golden")["vhd"].removesuffix(".vhd")
    assert first.document["warnings"] == []
    world.use("golden")
    for arguments in (("--dry-run",), ()):
        again = world.save(*arguments)
        assert again.code == 0 and again.results() == {"golden": "already saved"}
        (warning,) = again.document["warnings"]
        assert "VM golden" in warning and name in warning and guid in warning
    run = world.command("clean-vms", "--json")
    assert run.code == 0 and run.results() == {"golden": "reported"} and set(world.machines()) == {"golden"}
    assert name in run.row("golden")["message"]
    container = world.service(world.factory).get_container_client(FACTORY_CONTAINER)
    for blob in world.blobs():
        container.delete_blob(blob)
    assert world.save().results() == {"golden": "saved"}
    assert b"written since" in saved_content(world)
    check_image_is_the_disk(world)


def test_a_vm_whose_data_disk_was_used_after_its_save_is_kept(world: FactoryWorld) -> None:
    """The companion records the state of each data disk."""
    world.add_vm("golden", dataDisks=[DATA_DISK])
    assert world.save("--with-data-disks").code == 0
    ((_, companion),) = world.companions().items()
    assert [disk["diskReleased"] for disk in companion["dataDisks"]] == [world.released("golden", 2)]
    world.use("golden")
    assert world.command("clean-vms", "--json").results() == {"golden": "reported"}


def test_an_image_of_an_older_version_is_compared_by_its_age(world: FactoryWorld) -> None:
    """It has no state of its disk; a VM that was used after the VHD was created is kept."""
    world.add_vm("golden")
    vhd = world.save().row("golden")["vhd"]
    blob = world.service(world.factory).get_blob_client(FACTORY_CONTAINER, vhd)
    facts = dict(blob.get_blob_properties().metadata)
    del facts["diskreleased"]
    world.use("golden")
    blob.set_blob_metadata({**facts, "timestamp": datetime.now(timezone.utc).isoformat()})
    assert world.command("clean-vms", "--json").results() == {"golden": "reported"}


def test_a_disk_without_the_time_of_its_last_use_has_another_version_each_time() -> None:
    """No earlier copy of it counts; with that time, only a copy of the same state does."""
    known, unknown = disk(released="2026-06-01T00:00:00Z"), disk()
    assert disk_version(known, "etag") == disk_version(known, "etag") != disk_version(known, "other")
    assert disk_version(known, "etag") != disk_version(disk(released="2026-06-02T00:00:00Z"), "etag")
    assert disk_version(unknown, "etag") != disk_version(unknown, "etag")


def save_that_waits(world: FactoryWorld, vhd: str, meanwhile: Callable[[], None]) -> Ended:
    """Run a save that has planned and waits for another run; run `meanwhile`, then end the other run."""
    record = world.service(world.factory).get_blob_client(FACTORY_CONTAINER, vhd.replace(".vhd", ".save"))
    if not record.exists():
        record.upload_blob(b"")
    lease = BlobLeaseClient(record)
    lease.acquire()
    world.cloud.clear_calls()
    process = world.launch("save", "--json")
    while not any(".save" in call["path"] and call["status"] == 409 for call in world.cloud.calls()):
        assert process.poll() is None, "it did not wait"
        time.sleep(0.01)
    meanwhile()
    lease.release()
    stdout, stderr = process.communicate(timeout=60)
    return Ended(process.returncode, stdout, stderr)


def test_a_vm_that_is_used_between_plan_and_copy_is_saved_with_the_changes(world: FactoryWorld) -> None:
    """The state of the disk while access is granted decides, not the plan's."""
    world.add_vm("golden")
    world.cloud.set_faults([{**COMPANION, "action": REFUSED}])
    failed = world.save()
    assert failed.code == 1
    world.cloud.clear_faults()
    run = save_that_waits(world, failed.row("golden")["vhd"], lambda: world.use("golden"))
    assert run.code == 0 and run.results() == {"golden": "saved"}, run.stdout
    assert b"written since" in saved_content(world)
    check_image_is_the_disk(world)


def test_a_warning_says_that_another_run_saved_an_older_state(world: FactoryWorld) -> None:
    """The VM was used while this run waited for the other one."""
    world.add_vm("golden")
    vhd = world.save().row("golden")["vhd"]
    companion = world.service(world.factory).get_blob_client(FACTORY_CONTAINER, vhd.replace(".vhd", ".json"))
    content = companion.download_blob().readall()
    companion.delete_blob()

    def finish_and_use() -> None:
        companion.upload_blob(content)
        world.use("golden")

    run = save_that_waits(world, vhd, finish_and_use)
    assert run.code == 0 and run.results() == {"golden": "already saved"}, run.stdout
    (warning,) = run.document["warnings"]
    assert "VM golden: was used after it was saved as" in warning
