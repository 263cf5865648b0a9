"""Records of saves written by other users: no request uses an id that is not a disk, and no record blocks forever.

All who can write to the factory's storage can write them, and every save and prune reads them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from azure.storage.blob import ContainerClient

from localcloud.client import CloudClient
from tests.e2e.world import FACTORY_CONTAINER, World
from tests.factory_lab.factory_world import FactoryWorld
from tests.factory_lab.prune.prune_world import PruneWorld

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def record(world: World, *ids: str, guid: str = GUID) -> ContainerClient:
    """Write a record that names these ids as disks with active access, like another user does."""
    container = world.service(world.factory).get_container_client(FACTORY_CONTAINER)
    if not container.exists():
        container.create_container()
    container.upload_blob(f"{guid}.save", b"", metadata={"disks": quote(",".join(ids))}, overwrite=True)
    return container


def strays(world: FactoryWorld, vm: str = "prod") -> list[str]:
    """Return strings that send a POST to another host, or that stop or delete a VM with it."""
    compute = str(world.machines()[vm]["properties"]["computeId"])
    return [
        ".attacker.example/x",
        f"{compute}/deallocate?x=",
        compute,
        f"{world.factory.id}/virtualmachines/{vm}?x=",
        world.disk_id(vm).replace(world.factory.subscription, str(uuid.uuid4())),
        "/",
    ]


def add_others(world: FactoryWorld) -> None:
    """Add two VMs that are not to be saved: one runs, the disk of the other has active access."""
    world.add_vm("prod", None)
    world.set_power("prod", "running")
    world.add_vm("idle", None)
    world.grant("idle")


def changed_only_access(world: FactoryWorld) -> bool:
    """Return whether the calls that change something only grant and revoke access to disks."""
    changes = [
        call["path"].partition("?")[0]
        for call in world.cloud.calls()
        if call["service"] == "arm" and call["method"] != "GET"
    ]
    return {path.rpartition("/")[2] for path in changes} <= {"beginGetAccess", "endGetAccess"}


def test_no_request_uses_an_id_of_a_record_that_is_not_a_disk(world: FactoryWorld) -> None:
    """The disks of the record are handled, the VMs are saved, and the run reports the record once."""
    world.add_vm("golden")
    add_others(world)
    record(world, *strays(world), world.disk_id("idle"), *strays(world))
    world.cloud.clear_calls()
    run = world.save()
    assert changed_only_access(world)
    assert run.code == 1 and run.results() == {"golden": "saved", "idle": "not tagged", "prod": "not tagged"}, (
        run.stdout + run.stderr
    )
    (failure,) = run.document["failures"]
    assert f"{GUID}.save" in failure and "not an id of a Microsoft.Compute/disks" in failure and "\n" not in failure
    assert world.open_disks() == [] and len(run.document["accessRevoked"]) == 1
    again = world.save()
    assert again.code == 0 and again.document["failures"] == [], again.stdout
    assert "disks" not in world.blobs()[f"{GUID}.save"]


def test_a_dry_run_reports_such_a_record_and_keeps_it(world: FactoryWorld) -> None:
    """It lists no disk with active access."""
    record(world, ".attacker.example/x")
    run = world.save("--dry-run")
    assert run.code == 1 and len(run.document["failures"]) == 1 and run.document["accessLeftOpen"] == []
    assert "disks" in world.blobs()[f"{GUID}.save"]


def test_a_vm_is_saved_even_if_its_own_record_is_such_a_one(world: FactoryWorld) -> None:
    """The record is deleted as usual."""
    world.add_vm("golden")
    add_others(world)
    guid = world.save("--dry-run").row("golden")["vhd"].removesuffix(".vhd")
    record(world, *strays(world), guid=guid)
    world.cloud.clear_calls()
    run = world.save()
    assert changed_only_access(world) and world.leftovers() == []
    assert run.code == 1 and run.results()["golden"] == "saved", run.stdout
    assert f"{guid}.save" in run.document["failures"][0]
    assert world.save().code == 0


@pytest.fixture
def pruned(
    fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path, python: Path
) -> PruneWorld:
    """A factory with VMs, to prune."""
    return PruneWorld(FactoryWorld(fresh_cloud, shell, accounts, project_folder, python))


def test_a_prune_deletes_such_a_record_with_a_warning(pruned: PruneWorld) -> None:
    """It uses only the ids of disks, revokes their access, and deletes the rest of its plan."""
    world = pruned.world
    assert isinstance(world, FactoryWorld)
    add_others(world)
    other = str(uuid.uuid4())
    record(world, *strays(world), world.disk_id("idle"), *strays(world))
    record(world, guid=other)
    world.cloud.clear_calls()
    run = pruned.prune("--yes", "--keep", "1", "--json")
    assert run.code == 0 and run.results() == {f"{GUID}.save": "deleted", f"{other}.save": "deleted"}, (
        run.stdout + run.stderr
    )
    (message,) = [text for text in run.document["warnings"] if GUID in text]
    assert "not an id of a Microsoft.Compute/disks" in message
    assert changed_only_access(world) and world.open_disks() == [] and world.leftovers() == []
