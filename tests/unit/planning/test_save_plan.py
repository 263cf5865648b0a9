"""Which VMs are saved, as what, and why not the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.golden_images import GoldenImage
from imagefactory.configuration.image_paths import ImagePath
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import DataDisk
from imagefactory.images.lineage import Lineage
from imagefactory.observed.factory_vms import FactoryVm
from imagefactory.planning.save_plan import Save, SavePlan, plan_saves
from tests.unit.builders import catalog
from tests.unit.planning.vms import disk, saved, vm, vms

PATH = ImagePath.parse("Win2016/Datacenter.json")


def planned(*machines: FactoryVm, found: Catalog | None = None, golden: bool | None = None, **options: Any) -> SavePlan:
    """The plan for these VMs; `golden` is what the one golden image says of the OS state."""
    images = [GoldenImage(PATH, Path("Datacenter.json"), golden)]
    return plan_saves(
        machines, found or catalog(), images, Lineage(commit="abc", pipeline_run="https://run"), **options
    )


def only(plan: SavePlan) -> Save:
    """The one save of a plan that skips nothing."""
    assert plan.skipped == ()
    (save,) = plan.saves
    return save


def refusal(plan: SavePlan) -> str:
    """Why the one VM is not saved."""
    assert plan.saves == () and not plan.is_complete
    (one,) = plan.skipped
    assert isinstance(one.reason, Diagnostic)
    return one.reason.message()


def test_a_finished_vm_is_saved_with_all_that_is_known_of_it() -> None:
    """Its notes lose the old scripts' prefix; lineage tells VM, disk, commit and run."""
    machine = vm("golden", notes="Golden Image: Windows Server", os_disk=disk("golden-os", released="some day"))
    save = only(planned(machine))
    assert (save.image_path, save.os_type, save.description) == (PATH, "Windows", "Windows Server")
    disk_facts = ("/disks/golden-os", "unique-golden-os")
    assert save.lineage == Lineage(machine.id, *disk_facts, "abc", "https://run", "some day")
    assert save.vhd_name == f"{save.guid}.vhd"
    assert planned(machine).is_complete


def test_a_disk_gives_the_same_files_in_every_run_and_another_disk_others() -> None:
    """A VM that was made anew under its name has another disk."""
    first, again = only(planned(vm("a"))), only(planned(vm("a", notes="later")))
    anew = only(planned(vm("a", os_disk=disk("a-os", unique_id="other"))))
    assert first.guid == again.guid != anew.guid


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"state": "Creating"}, "the lab says it is Creating; it is not saved. Wait until it is made"),
        ({"state": "Failed"}, "the lab says it is Failed"),
        ({"power": "running"}, "it is running, not deallocated; it is not saved. Let its sysprep"),
        ({"power": "stopped"}, "it is stopped, not deallocated"),
        ({"power": None}, "in no known power state"),
        ({"os_disk": None}, "no managed disk"),
        ({"os_disk": disk(os_type=None)}, "tells no OS"),
        ({"os_disk": disk(unique_id="")}, "no unique id"),
        ({"os_disk": disk(state="ActiveSAS")}, "az disk revoke-access --ids /disks/vm-os"),
        ({"diagnostic": error("VM 'vm'", "Azure returned 403", "x", "Grant")}, "VM vm: Azure returned 403"),
        ({"tags": {"imagepath": "../x"}}, "leaves the image root"),
        ({"tags": {"imagepath": "Win2016/Datacenter.json", "imageosstate": "odd"}}, "ImageOsState is neither"),
    ],
)
def test_a_vm_that_is_not_ready_is_reported_with_what_to_do(changes: dict[str, Any], told: str) -> None:
    """And the plan is not complete, so that the exit code tells."""
    assert told in refusal(planned(vm(**changes)))


def test_one_vm_that_is_not_ready_stops_no_other() -> None:
    """The others are saved, in the order of their names."""
    plan = planned(vm("c"), vm("B", power="running"), vm("a"))
    assert [save.vm.name for save in plan.saves] == ["a", "c"]
    assert [one.vm for one in plan.skipped] == ["B"]


def test_a_disk_that_was_saved_is_not_saved_again() -> None:
    """Known by the disk's own id, whatever its VM is called by now; the image is named."""
    machine = vm("a")
    plan = planned(machine, found=catalog(saved(machine, "image")))
    assert plan.saves == () and plan.is_complete
    assert [(one.result, one.reason) for one in plan.skipped] == [("already saved", "image")]


def test_vms_without_the_tag_are_passed_over_unless_asked_for_by_name() -> None:
    """Names compare without regard to case."""
    assert [one.result for one in planned(vm("a", tags={})).skipped] == ["not tagged"]
    assert planned(vm("a", tags={})).is_complete
    assert "no tag ImagePath" in refusal(planned(vm("A", tags={}), vm("b"), wanted={"a"}))
    assert only(planned(vm("A"), vm("b"), wanted={"a"})).vm.name == "A"


@pytest.mark.parametrize(
    ("view", "tag", "golden", "generalized"),
    [
        (True, "Specialized", False, True),
        (False, "Specialized", True, False),
        (False, "generalized", False, True),
        (False, None, False, False),
        (False, None, True, True),
        (False, None, None, True),
    ],
)
def test_the_os_state_comes_from_view_tag_and_golden_image_in_this_order(
    view: bool, tag: str | None, golden: bool | None, generalized: bool
) -> None:
    """And where nobody tells, the VM is generalized, as the old scripts take every VM to be."""
    tags = {"imagepath": str(PATH), **({"imageosstate": tag} if tag else {})}
    assert only(planned(vm(tags=tags, generalized=view), golden=golden)).generalized is generalized


def test_a_disk_that_an_earlier_save_left_open_is_no_obstacle() -> None:
    """Only one that somebody else opened is."""
    machine = vm(os_disk=disk("vm-os", state="ActiveSAS"))
    assert only(planned(machine, ours={"/DISKS/vm-os"}))
    assert planned(machine, ours={"/disks/other"}).saves == ()


def test_generation_2_and_data_disks_and_unknown_paths_are_warnings() -> None:
    """The VM is saved all the same; with --with-data-disks the data disks are, and nothing is warned of."""
    data = {1: disk("data", os_type=None, released="some day")}
    odd = vm(os_disk=disk(generation="V2"), data_disks=data, tags={"imagepath": "Win2016/Other.json"})
    told = "\n".join(diagnostic.text() for diagnostic in planned(odd).warnings)
    assert "generation 1, and VMs of them may not start" in told
    assert "data (LUN 1); only its OS disk is saved" in told and "no golden image Win2016/Other.json" in told
    save = only(planned(vm(data_disks=data), with_data_disks=True))
    assert save.saved_data_disks == (DataDisk(1, f"{save.guid}.lun1.vhd", "some day"),)
    assert planned(vm(data_disks=data), with_data_disks=True).warnings == ()


@given(st.lists(vms, max_size=4, unique_by=lambda one: one.name), st.booleans())
def test_every_vm_is_told_once_and_only_ready_ones_are_saved(machines: list[FactoryVm], with_data_disks: bool) -> None:
    """Whatever Azure says of them."""
    plan = planned(*machines, with_data_disks=with_data_disks)
    told = [save.vm.name for save in plan.saves] + [one.vm for one in plan.skipped]
    assert sorted(told) == sorted(machine.name for machine in machines)
    for save in plan.saves:
        assert (save.vm.state, save.vm.power) == ("Succeeded", "deallocated")
        assert not any(each.is_open for each in save.disks)
    assert all(
        isinstance(one.reason, Diagnostic) for one in plan.skipped if one.result not in {"already saved", "not tagged"}
    )
