"""`imagefactory clean-vms` on the embedded cloud: deletes saved VMs, and keeps all others with a reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiohttp import web

from imagefactory.factory_lab.clean import delete_all
from imagefactory.planning.factory.clean_plan import Deletion
from tests.azure.test_virtual_machines import DISK, VM, connected
from tests.factory_lab.factory_world import UBUNTU, FactoryWorld
from tests.unit.planning.factory.vms import disk, saved, vm


def test_saved_vms_are_deleted_and_the_others_kept(world: FactoryWorld) -> None:
    """With their disks; images are kept, and a second run has nothing to delete."""
    world.add_vm("saved")
    world.add_vm("new", UBUNTU)
    world.add_vm("ignored", tags={"FactoryIgnore": "true"})
    world.add_vm("unknown", None)
    assert world.save("--vm", "saved", "--vm", "ignored").code == 0
    before = world.blobs()
    disk = world.disk_id("saved")
    dry = world.command("clean-vms", "--dry-run", "--json")
    assert dry.code == 0 and dry.results()["saved"] == "would be deleted" and len(world.machines()) == 4
    run = world.command("clean-vms", "--json")
    assert run.code == 0, run.stderr
    assert run.results() == {"saved": "deleted", "new": "kept", "ignored": "kept", "unknown": "reported"}
    assert "Tag it FactoryIgnore" in run.row("unknown")["message"]
    assert set(world.machines()) == {"new", "ignored", "unknown"}
    assert world.request("GET", f"{disk}?api-version=2023-10-02").status_code == 404
    assert world.blobs() == before
    again = world.command("clean-vms")
    assert again.code == 0 and "deleted" not in again.stdout and "unknown" in again.stdout


def test_a_vm_that_was_recreated_under_the_same_name_is_kept(world: FactoryWorld) -> None:
    """Its disk is another one."""
    world.add_vm("golden")
    assert world.save().code == 0
    assert world.command("clean-vms").code == 0
    world.add_vm("golden")
    assert world.command("clean-vms", "--json").results() == {"golden": "kept"}
    saved = world.save()
    assert saved.code == 0 and saved.row("golden")["image"].endswith("A")


def test_a_failed_deletion_does_not_stop_the_others(world: FactoryWorld) -> None:
    """The next run deletes that VM."""
    world.add_vm("a")
    world.add_vm("b")
    assert world.save().code == 0
    path = {"service": "arm", "method": "DELETE", "path": "/virtualmachines/a"}
    world.cloud.set_faults([{**path, "action": {"status": 403, "code": "AuthorizationFailed"}}])
    run = world.command("clean-vms", "--json")
    assert run.code == 1 and run.results() == {"a": "failed", "b": "deleted"}
    assert "it is kept in the factory lab" in run.row("a")["message"]
    world.cloud.clear_faults()
    assert world.command("clean-vms", "--json").results() == {"a": "deleted"}


def test_a_saved_vm_that_is_running_is_kept(world: FactoryWorld) -> None:
    """It is reported."""
    world.add_vm("golden")
    assert world.save().code == 0
    world.set_power("golden", "running")
    run = world.command("clean-vms", "--json")
    assert run.code == 0 and run.results() == {"golden": "reported"}


PLANNED, LATER = "2026-06-01T00:00:00.1234567Z", "2026-06-02T00:00:00.1234567Z"


@pytest.mark.parametrize(("released", "state"), [(PLANNED, "Reserved"), (LATER, "Reserved"), (PLANNED, "Attached")])
async def test_a_vm_that_was_started_after_planning_is_kept(released: str, state: str) -> None:
    """Deletions wait for each other, and Azure supports no condition on them, so the disks are read again."""
    machine = replace(vm(os_disk=replace(disk(released=PLANNED), id=DISK)), id=VM)
    about = {"uniqueId": "unique-vm-os", "diskState": state, "LastOwnershipUpdateTime": released, "diskSizeGB": 1}
    deleted: list[str] = []
    problems: list[str] = []

    def delete(request: web.Request) -> web.Response:
        deleted.append(request.path)
        return web.Response(status=204)

    answers = {f"GET {DISK}": {"id": DISK, "properties": about}, f"DELETE {VM}": delete}
    async with connected(answers) as arm:
        await delete_all(arm, [Deletion(machine, saved(machine))], lambda _, problem: problems.append(problem))
    is_same = (released, state) == (PLANNED, "Reserved")
    assert deleted == [VM] * is_same
    assert problems == [""] if is_same else "was used after planning; it is kept" in problems[0]
