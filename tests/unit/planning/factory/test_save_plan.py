"""Which VMs are saved and as which images, and why the others are not."""

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
from imagefactory.planning.factory.save_plan import Save, SavePlan, plan_saves
from tests.unit.builders import catalog, in_any_case
from tests.unit.planning.factory.vms import disk, saved, vm, vms

PATH = ImagePath.parse("Win2016/Datacenter.json")


def planned(*machines: FactoryVm, found: Catalog | None = None, golden: bool | None = None, **options: Any) -> SavePlan:
    """The plan for these VMs; `golden` is the OS state of the one golden image."""
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
    """The reason why the one VM is not saved."""
    (one,) = plan.skipped
    assert plan.saves == () and one.result in {"not ready", "cannot be saved"}
    assert isinstance(one.reason, Diagnostic)
    return one.reason.message()


def test_a_finished_vm_is_saved_with_all_its_facts() -> None:
    """The prefix of the older scripts is removed from its notes; the lineage has VM, disk, commit and run."""
    machine = vm("golden", notes="Golden Image: Windows Server", os_disk=disk("golden-os", released="some day"))
    save = only(planned(machine))
    assert (save.image_path, save.os_type, save.description) == (PATH, "Windows", "Windows Server")
    disk_facts = ("/disks/golden-os", "unique-golden-os")
    assert save.lineage == Lineage(machine.id, *disk_facts, "abc", "https://run", "some day")
    assert save.vhd_name == f"{save.guid}.vhd"


@given(in_any_case(str(PATH)), st.sampled_from("/\\"))
def test_an_image_path_has_the_letter_case_of_the_golden_image(tag: str, separator: str) -> None:
    """Whatever the tag of the VM has; the path of a golden image that does not exist is as in the tag."""
    written = tag.replace("/", separator)
    assert str(only(planned(vm(tags={"imagepath": written}))).image_path) == str(PATH)
    other = only(planned(vm(tags={"imagepath": f"Other{separator}{written}"})))
    assert str(other.image_path) == f"Other/{tag}"


def test_the_files_of_a_disk_have_the_same_names_in_every_run_and_those_of_another_disk_differ() -> None:
    """A recreated VM of the same name has another disk."""
    first, again = only(planned(vm("a"))), only(planned(vm("a", notes="later")))
    anew = only(planned(vm("a", os_disk=disk("a-os", unique_id="other"))))
    assert first.guid == again.guid != anew.guid


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"state": "Creating"}, "is in state Creating; it is not saved. Wait until it is created"),
        ({"state": "Failed"}, "is in state Failed"),
        ({"power": "running"}, "is running, not deallocated; it is not saved. Wait for its sysprep"),
        ({"power": "stopped"}, "is stopped, not deallocated"),
        ({"power": None}, "in an unknown power state"),
        ({"os_disk": None}, "not a managed disk"),
        ({"os_disk": disk(os_type=None)}, "the OS type of its disk is missing"),
        ({"os_disk": disk(unique_id="")}, "no unique id"),
        ({"os_disk": disk(state="ActiveSAS")}, "az disk revoke-access --ids /disks/vm-os"),
        ({"diagnostic": error("VM 'vm'", "Azure returned 403", "x", "Grant")}, "VM vm: Azure returned 403"),
        ({"tags": {"imagepath": "../x"}}, "leaves the image root"),
        ({"tags": {"imagepath": "Win2016/Datacenter.json", "imageosstate": "odd"}}, "tag is 'odd', neither"),
    ],
)
def test_a_vm_that_is_not_ready_is_reported_with_what_to_do(changes: dict[str, Any], told: str) -> None:
    """The reason is a diagnostic, which the command counts as a failure."""
    assert told in refusal(planned(vm(**changes)))


def test_one_vm_that_is_not_ready_stops_no_other() -> None:
    """The others are saved, in the order of their names."""
    plan = planned(vm("c"), vm("B", power="running"), vm("a"))
    assert [save.vm.name for save in plan.saves] == ["a", "c"]
    assert [one.vm for one in plan.skipped] == ["B"]


def test_a_disk_that_was_saved_is_not_saved_again() -> None:
    """Recognized by the disk's id, even if the VM was renamed; the reason names the image."""
    machine = vm("a")
    plan = planned(machine, found=catalog(saved(machine, "image")))
    assert plan.saves == ()
    assert [(one.result, one.reason) for one in plan.skipped] == [("already saved", "image")]


def test_vms_without_the_tag_are_skipped_unless_requested_by_name() -> None:
    """Names are compared case-insensitively."""
    assert [one.result for one in planned(vm("a", tags={})).skipped] == ["not tagged"]
    assert "no ImagePath tag" in refusal(planned(vm("A", tags={}), vm("b"), wanted={"a"}))
    assert only(planned(vm("A"), vm("b"), wanted={"a"})).vm.name == "A"


@pytest.mark.parametrize(
    ("view", "tag", "golden", "generalized", "source"),
    [
        (True, "Specialized", False, True, "instance view"),
        (False, "Specialized", True, False, "tag"),
        (False, "generalized", False, True, "tag"),
        (False, None, False, False, "template"),
        (False, None, True, True, "template"),
        (False, None, None, True, "assumed"),
    ],
)
def test_the_os_state_comes_from_view_tag_and_golden_image_in_this_order(
    view: bool, tag: str | None, golden: bool | None, generalized: bool, source: str
) -> None:
    """The plan says from where. By default the VM is taken as generalized, with a warning."""
    tags = {"imagepath": str(PATH), **({"imageosstate": tag} if tag else {})}
    plan = planned(vm(tags=tags, generalized=view), golden=golden)
    assert (only(plan).generalized, only(plan).os_state_source) == (generalized, source)
    assert bool(plan.warnings) == (source == "assumed")


@pytest.mark.parametrize(
    ("os_type", "told"),
    [
        ("Linux", "never deprovisioned, all VMs of its image get its users and SSH host keys. Tag it ImageOsState="),
        ("Windows", "it is taken as generalized; if Sysprep never ran, VMs of its image fail to start. Tag it"),
    ],
)
def test_an_assumed_os_state_is_a_warning_with_what_may_follow(os_type: str, told: str) -> None:
    """A disk that was never generalized is copied as it is."""
    (warned,) = planned(vm(os_disk=disk(os_type=os_type))).warnings
    assert told in warned.message()


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"network_access_policy": "DenyAll"}, "az disk update --ids /disks/d --network-access-policy AllowAll"),
        ({"network_access_policy": "AllowPrivate"}, "can be read only through private endpoints"),
        ({"public_network_access": "disabled"}, "(publicNetworkAccess disabled); it is not saved. Allow it: az disk"),
        ({"data_access_auth_mode": "AzureActiveDirectory"}, "--ids /disks/d --data-access-auth-mode None"),
        ({"security_type": "ConfidentialVM_DiskEncryptedWithPlatformKey"}, "which cannot be created from a VHD"),
    ],
)
def test_a_disk_that_cannot_be_read_by_a_sas_is_reported_before_access_is_granted(
    properties: dict[str, str], told: str
) -> None:
    """The OS disk, or a data disk that would be saved too."""
    closed = disk("d", **properties)
    assert told in refusal(planned(vm(os_disk=closed)))
    assert told in refusal(planned(vm(data_disks={1: closed}), with_data_disks=True))
    assert only(planned(vm(data_disks={1: closed})))


def test_a_disk_with_trusted_launch_and_open_settings_is_saved() -> None:
    """A warning says that its images have no Trusted Launch."""
    settings = {"network_access_policy": "AllowAll", "public_network_access": "Enabled"}
    plan = planned(vm(generalized=True, os_disk=disk(generation="V2", security_type="TrustedLaunch", **settings)))
    assert only(plan)
    assert "generation 2 with Trusted Launch, which DevTest Labs cannot set" in plan.warnings[0].message()


def test_active_access_of_an_earlier_save_does_not_prevent_a_save() -> None:
    """A disk to which another client has access is not saved."""
    machine = vm(os_disk=disk("vm-os", state="ActiveSAS"))
    assert only(planned(machine, ours={"/DISKS/vm-os"}))
    assert planned(machine, ours={"/disks/other"}).saves == ()


def test_generation_2_and_data_disks_and_unknown_paths_are_warnings() -> None:
    """The VM is still saved; with --with-data-disks its data disks are saved too, without a warning."""
    data = {1: disk("data", os_type=None, released="some day")}
    odd = vm(os_disk=disk(generation="V2"), data_disks=data, tags={"imagepath": "Win2016/Other.json"})
    told = "\n".join(diagnostic.text() for diagnostic in planned(odd).warnings)
    assert "generation 1, and their VMs may not start" in told
    assert "data (LUN 1); only its OS disk is saved" in told
    assert "golden image Win2016/Other.json does not exist" in told
    save = only(planned(vm(data_disks=data), with_data_disks=True))
    assert save.saved_data_disks == (DataDisk(1, f"{save.guid}.lun1.vhd", "some day"),)
    assert planned(vm(data_disks=data, generalized=True), with_data_disks=True).warnings == ()


@given(st.lists(vms, max_size=4, unique_by=lambda one: one.name), st.booleans())
def test_every_vm_is_listed_once_and_only_ready_ones_saved(machines: list[FactoryVm], with_data_disks: bool) -> None:
    """For any response of Azure."""
    plan = planned(*machines, with_data_disks=with_data_disks)
    told = [save.vm.name for save in plan.saves] + [one.vm for one in plan.skipped]
    assert sorted(told) == sorted(machine.name for machine in machines)
    for save in plan.saves:
        assert (save.vm.state, save.vm.power) == ("Succeeded", "deallocated")
        assert not any(each.is_open for each in save.disks)
    assert all(
        isinstance(one.reason, Diagnostic) for one in plan.skipped if one.result not in {"already saved", "not tagged"}
    )
