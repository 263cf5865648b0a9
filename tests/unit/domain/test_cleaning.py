"""Which VMs of the factory lab go, and why the others stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.cleaning import CleanPlan, plan_clean
from imagefactory.companion import DataDisk
from imagefactory.factory_vms import FactoryVm
from imagefactory.faults import Fault, error
from imagefactory.saving import save_guid
from tests.unit.domain.builders import catalog
from tests.unit.domain.vms import disk, saved, vm, vms


def reason(plan: CleanPlan) -> str:
    """Why the one VM stays."""
    assert plan.deletions == ()
    (kept,) = plan.kept
    return kept.reason.message() if isinstance(kept.reason, Fault) else kept.reason


def test_a_vm_goes_when_an_image_was_saved_of_its_very_disk() -> None:
    """A VM that was made anew under its name has another disk, and stays."""
    machine = vm("a")
    (deletion,) = plan_clean([machine], catalog(saved(machine, "image"))).deletions
    assert (deletion.vm.name, deletion.image.name) == ("a", "image")
    anew = replace(machine, os_disk=disk("a-os", unique_id="other"))
    assert "no image of its disk" in reason(plan_clean([anew], catalog(saved(machine))))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tags": {"factoryignore": "true", "imagepath": "x"}}, "FactoryIgnore"),
        ({"tags": {}}, "is not known: it has no tag ImagePath"),
        ({"state": "Failed"}, "the lab says it is Failed; it stays"),
        ({"state": "Deleting"}, "Deleting"),
        ({"power": "running"}, "it was saved as image and is running again"),
        ({"os_disk": disk(state="ActiveSAS")}, "being saved"),
        ({"data_disks": {2: disk("data")}}, "without its data disks data; it stays, for they would be lost"),
        ({"fault": error("VM 'vm'", "Azure answered 403", "x", "Grant")}, "whether it is saved cannot be told"),
    ],
)
def test_what_stays_says_why(changes: dict[str, Any], told: str) -> None:
    """Although an image of its disk is saved."""
    machine = vm(**changes)
    assert told in reason(plan_clean([machine], catalog(saved(machine))))


def test_a_vm_whose_save_has_not_ended_stays() -> None:
    """Another run may be about to write the companion, or to revoke its access."""
    machine = vm()
    assert machine.os_disk
    assert "being saved" in reason(plan_clean([machine], catalog(saved(machine)), {save_guid(machine.os_disk)}))


def test_a_vm_whose_data_disks_were_saved_too_goes() -> None:
    """Nothing would be lost."""
    machine = vm(data_disks={2: disk("data")})
    image = replace(saved(machine), data_disks=(DataDisk(2, "x.lun2.vhd"),))
    assert len(plan_clean([machine], catalog(image)).deletions) == 1


@given(st.lists(vms, max_size=4, unique_by=lambda one: one.name), st.booleans())
def test_nothing_goes_that_is_unsaved_ignored_or_in_use(machines: list[FactoryVm], are_saved: bool) -> None:
    """Whatever Azure says; and every VM is told once."""
    known = [saved(machine) for machine in machines if machine.os_disk and are_saved]
    plan = plan_clean(machines, catalog(*known))
    told = [one.vm.name for one in plan.deletions] + [one.vm for one in plan.kept]
    assert sorted(told) == sorted(machine.name for machine in machines)
    for gone in plan.deletions:
        assert are_saved and not gone.vm.tags.get("factoryignore") and "imagepath" in gone.vm.tags
        assert gone.vm.power == "deallocated" and not any(each.is_open for each in gone.vm.disks)
        assert gone.vm.data_disks == {}
