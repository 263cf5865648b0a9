"""Disks that a save cannot read or can list only in parts, and disks without a sign of whether they are ready."""

from __future__ import annotations

from typing import Any

import pytest

from imagefactory.copying.known_source import not_empty
from imagefactory.images.ranges import Range, pieces
from tests.e2e.world import MIB
from tests.factory_lab.factory_world import FactoryWorld
from tests.factory_lab.test_save_interrupted import is_complete
from tests.vhdcopy.copying import copier_of


def set_properties(world: FactoryWorld, vm: str, properties: dict[str, Any]) -> None:
    """Change the settings of a VM's disks, as their owner does."""
    lab = world.factory
    world.cloud.set_virtual_machine(lab.subscription, lab.group, lab.name, vm, disk_properties=properties)


@pytest.mark.parametrize(
    ("properties", "result", "told"),
    [
        ({"networkAccessPolicy": "DenyAll"}, "not ready", "--network-access-policy AllowAll"),
        ({"networkAccessPolicy": "AllowPrivate"}, "not ready", "Enable public access in the portal"),
        ({"publicNetworkAccess": "Disabled"}, "not ready", "--public-network-access Enabled"),
        ({"dataAccessAuthMode": "AzureActiveDirectory"}, "not ready", "--data-access-auth-mode None"),
        ({"securityProfile": {"securityType": "ConfidentialVM_VMGuestStateOnly"}}, "cannot be saved", "Standard"),
    ],
    ids=str,
)
def test_a_disk_that_cannot_be_read_is_reported_with_its_remedy_and_not_granted(
    world: FactoryWorld, properties: dict[str, Any], result: str, told: str
) -> None:
    """The exit code is 1; the other VM is saved, and so is this one once its disk can be read."""
    world.add_vm("closed", diskProperties=properties)
    world.add_vm("golden", "Ubuntu/Jammy.json")
    run = world.save()
    assert run.code == 1 and run.results() == {"closed": result, "golden": "saved"}, run.stdout
    assert told in run.row("closed")["message"]
    granted = [call["path"] for call in world.cloud.calls() if "/beginGetAccess" in call["path"]]
    assert granted and not any("/closed_" in path for path in granted)
    set_properties(world, "closed", {})
    again = world.save()
    assert again.code == 0 and again.results() == {"closed": "saved", "golden": "already saved"}


def test_a_disk_with_trusted_launch_is_saved_with_a_warning(world: FactoryWorld) -> None:
    """Its images have none."""
    security = {"securityProfile": {"securityType": "TrustedLaunch"}}
    world.add_vm("golden", hyperVGeneration="V2", diskProperties=security)
    run = world.save()
    assert run.code == 0 and "generation 2 with Trusted Launch" in run.document["warnings"][0]
    assert is_complete(world)


def test_a_disk_whose_ranges_azure_lists_only_in_parts_is_saved(world: FactoryWorld) -> None:
    """The first request for all of them takes too long."""
    world.add_vm("golden")
    slow = {"service": "blob", "path": "comp=pagelist", "longerThan": 128 * MIB}
    world.cloud.set_faults([{**slow, "action": {"status": 500, "code": "OperationTimedOut"}}])
    run = world.save()
    assert run.code == 0, run.stdout
    assert [rule["hits"] for rule in world.cloud.faults()] == [1]
    world.cloud.clear_faults()  # the SDK that the test reads with lists ranges, too, and would try again for a minute
    assert is_complete(world)


async def test_the_empty_pieces_of_a_disk_are_known_without_a_list_of_its_ranges(
    world: FactoryWorld, signed_in: None
) -> None:
    """A disk is read with its SAS and without conditions."""
    world.add_vm("golden")
    content = world.disk_bytes("golden")
    parts = pieces([Range(0, len(content))])
    async with copier_of(world) as copier:
        disk = copier.writer.accounts.lent.add("/disks/golden", world.grant("golden"))
        found = await not_empty(copier.writer, disk, None, parts)
    assert 0 < len(found) < len(parts) == 5
    assert found == tuple(part for part in parts if any(content[part.offset : part.end]))


def test_the_report_shows_what_the_os_state_is_taken_from_and_warns_if_nothing_says_it(world: FactoryWorld) -> None:
    """A Linux disk that was never deprovisioned gives its users and host keys to every VM."""
    world.add_vm("sealed", "Ubuntu/Jammy.json")
    world.add_vm("tagged", "Ubuntu/Jammy.json", generalized=False, tags={"ImageOsState": "Generalized"})
    world.add_vm("unknown", "Ubuntu/Jammy.json", generalized=False)
    run = world.save()
    sources = {row["vm"]: row["osStateSource"] for row in run.document["vms"]}
    assert run.code == 0 and sources == {"sealed": "instance view", "tagged": "tag", "unknown": "assumed"}
    (warned,) = run.document["warnings"]
    assert warned.startswith("VM unknown: ") and "its users and SSH host keys" in warned


def test_a_range_that_changed_on_its_way_from_a_disk_is_found_and_copied_again(world: FactoryWorld) -> None:
    """A disk has no manifest: the service computes the digests of its ranges."""
    world.add_vm("golden")
    corrupt = {"service": "blob", "method": "PUT", "path": "comp=page(&|$)", "action": {"corrupt": True}}
    world.cloud.set_faults([{**corrupt, "nth": 2}])
    run = world.save()
    assert run.code == 0, run.stdout
    assert [rule["hits"] for rule in world.cloud.faults()] == [1]
    assert is_complete(world)
