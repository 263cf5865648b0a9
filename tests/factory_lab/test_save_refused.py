"""Refusals whose status means something else elsewhere: a save is done only if the service says so."""

from __future__ import annotations

import pytest

from tests.e2e.world import FACTORY_CONTAINER
from tests.factory_lab.factory_world import FactoryWorld
from tests.factory_lab.test_save_interrupted import COMPANION, is_complete


@pytest.mark.parametrize("code", ["BlobImmutableDueToPolicy", "InvalidBlobType"])
def test_a_companion_that_is_refused_with_409_is_not_saved(world: FactoryWorld, code: str) -> None:
    """Exit code 1 and the reason; nothing has the image's name, and the next run finishes it without a copy."""
    world.add_vm("golden")
    world.cloud.set_faults([{**COMPANION, "action": {"status": 409, "code": code}}])
    run = world.save()
    assert run.code == 1 and run.results() == {"golden": "failed"}, run.stdout
    assert f"409 {code}" in run.row("golden")["message"] and world.companions() == {} and world.open_disks() == []
    world.cloud.clear_faults()
    world.cloud.clear_calls()
    again = world.save()
    assert again.code == 0 and world.moved() == 0 and is_complete(world), again.stdout


def test_a_save_waits_for_the_factorys_container_while_it_is_being_deleted(world: FactoryWorld) -> None:
    """Somebody deleted it a moment ago: the row says so, and the VM is saved."""
    world.add_vm("golden")
    world.cloud.set_latencies({"containerDeleteSeconds": 2})
    world.service(world.factory).delete_container(FACTORY_CONTAINER)
    run = world.save()
    world.cloud.set_latencies({})
    assert run.code == 0 and is_complete(world), run.stdout
    assert f"golden: waiting for container '{FACTORY_CONTAINER}' of {world.factory.account}" in run.stderr


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"status": 404, "code": "ResourceNotFound"}, "404 ResourceNotFound"),
        ({"status": 403, "code": "AuthorizationFailed"}, "403 AuthorizationFailed"),
    ],
)
def test_a_disk_that_cannot_be_read_is_a_managed_disk_all_the_same(
    world: FactoryWorld, action: dict[str, object], expected: str
) -> None:
    """The VM is not saved, and the reason is what Azure returned for the disk."""
    world.add_vm("golden")
    world.cloud.set_faults([{"service": "arm", "method": "GET", "path": "/microsoft.compute/disks/", "action": action}])
    run = world.save()
    message = run.row("golden")["message"]
    assert run.code == 1 and "disk '" in message and expected in message, run.stdout
    assert "managed disk" not in message
