"""Which VMs of the factory lab are deleted, and why the others are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.diagnostics import Diagnostic, error
from imagefactory.images.companions import DataDisk
from imagefactory.images.lineage import Lineage
from imagefactory.observed.factory_vms import FactoryVm
from imagefactory.planning.factory.clean_plan import CleanPlan, plan_clean
from imagefactory.planning.factory.save_plan import plan_saves, save_guid
from tests.unit.builders import NOON, catalog
from tests.unit.planning.factory.vms import disk, saved, vm, vms


def reason(plan: CleanPlan) -> str:
    """The reason why the one VM is kept."""
    assert plan.deletions == ()
    (kept,) = plan.kept
    return kept.reason.message() if isinstance(kept.reason, Diagnostic) else kept.reason


def test_a_vm_is_deleted_if_an_image_was_saved_from_its_disk() -> None:
    """A recreated VM of the same name has another disk, and is kept."""
    machine = vm("a")
    (deletion,) = plan_clean([machine], catalog(saved(machine, "image"))).deletions
    assert (deletion.vm.name, deletion.image.name) == ("a", "image")
    anew = replace(machine, os_disk=disk("a-os", unique_id="other"))
    assert "no image of its disk" in reason(plan_clean([anew], catalog(saved(machine))))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tags": {"factoryignore": "true", "imagepath": "x"}}, "FactoryIgnore"),
        ({"tags": {}}, "has no ImagePath tag"),
        ({"state": "Failed"}, "VM vm: is in state Failed; it is kept"),
        ({"state": "Deleting"}, "Deleting"),
        ({"power": "running"}, "was saved as image and is now running"),
        ({"os_disk": disk(state="ActiveSAS")}, "being saved"),
        ({"data_disks": {2: disk("data")}}, "without its data disks data; it is kept, because they would be lost"),
        ({"diagnostic": error("VM 'vm'", "Azure returned 403", "x", "Grant")}, "it is unknown whether it is saved"),
    ],
)
def test_each_vm_that_is_kept_has_a_reason(changes: dict[str, Any], told: str) -> None:
    """The VM is kept although an image of its disk is saved."""
    machine = vm(**changes)
    assert told in reason(plan_clean([machine], catalog(saved(machine))))


def test_a_vm_with_an_unfinished_save_is_kept() -> None:
    """Another run may be about to write the companion, or to revoke its access."""
    machine = vm()
    assert machine.os_disk
    assert "being saved" in reason(plan_clean([machine], catalog(saved(machine)), {save_guid(machine.os_disk)}))


def test_a_vm_whose_data_disks_were_saved_too_is_deleted() -> None:
    """All its disks are saved."""
    machine = vm(data_disks={2: disk("data")})
    image = replace(saved(machine), data_disks=(DataDisk(2, "x.lun2.vhd"),))
    assert len(plan_clean([machine], catalog(image)).deletions) == 1


BEFORE, AFTER = "2026-03-14T10:11:12.1234567Z", "2026-03-14T13:11:12.1234567+00:00"
"""Before and after the image was saved, at noon, as Azure writes it."""


@pytest.mark.parametrize("on_data_disk", [False, True])
@pytest.mark.parametrize(
    ("recorded", "now", "is_used"),
    [
        (BEFORE, BEFORE, False),
        (BEFORE, AFTER, True),
        (AFTER, BEFORE, True),
        (BEFORE, "", True),
        ("", "", False),
        ("", BEFORE, False),
        ("", AFTER, True),
        ("", "no time", False),
    ],
)
def test_a_vm_that_was_used_after_it_was_saved_is_kept_and_save_warns(
    on_data_disk: bool, recorded: str, now: str, is_used: bool
) -> None:
    """Decided by the recorded state of each saved disk; if an image records none, by its date."""
    os_disk = disk("a-os", released=BEFORE if on_data_disk else now)
    data_disks = {2: disk("data", released=now)} if on_data_disk else {}
    machine = vm("a", os_disk=os_disk, data_disks=data_disks)
    image = saved(machine, "image")
    image = replace(image, lineage=replace(image.lineage, disk_released=BEFORE if on_data_disk else recorded))
    if on_data_disk:
        image = replace(image, data_disks=(DataDisk(2, "image.lun2.vhd", recorded),))
    clean = plan_clean([machine], catalog(image))
    save = plan_saves([machine], catalog(image), (), Lineage())
    assert [one.result for one in save.skipped] == ["already saved"]
    assert len(clean.deletions) == (not is_used) and len(save.warnings) == is_used
    if is_used:
        assert "was used after it was saved as image" in reason(clean) and "; it is kept. " in reason(clean)
        (warning,) = save.warnings
        assert "is not saved again. Rebuild the VM, or delete the image's blobs image.*" in warning.text()


def test_an_image_of_an_older_version_that_adopted_an_older_copy_does_not_delete_its_vm() -> None:
    """The VM was used after the copy started and before the companion was written, whose date is later."""
    machine = vm("a", os_disk=disk("a-os", released=BEFORE))
    assert len(plan_clean([machine], catalog(saved(machine))).deletions) == 1
    earlier = replace(saved(machine), created=NOON - timedelta(hours=3))
    assert "was used after it was saved" in reason(plan_clean([machine], catalog(earlier)))


@given(st.lists(vms, max_size=4, unique_by=lambda one: one.name), st.booleans())
def test_no_vm_is_deleted_that_is_unsaved_ignored_or_in_use(machines: list[FactoryVm], are_saved: bool) -> None:
    """For any response of Azure; and every VM is reported once."""
    known = [saved(machine) for machine in machines if machine.os_disk and are_saved]
    plan = plan_clean(machines, catalog(*known))
    told = [one.vm.name for one in plan.deletions] + [one.vm for one in plan.kept]
    assert sorted(told) == sorted(machine.name for machine in machines)
    for gone in plan.deletions:
        assert are_saved and not gone.vm.tags.get("factoryignore") and "imagepath" in gone.vm.tags
        assert gone.vm.power == "deallocated" and not any(each.is_open for each in gone.vm.disks)
        assert gone.vm.data_disks == {}
