"""VMs of the factory lab as facts, and long-running operations: unusual responses of Azure.

A stand-in server returns what the test says. `tests/factory_lab` tests what is done to VMs and disks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from imagefactory.azure.core import resource_manager
from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.virtual_machines import delete_vm, factory_vms
from imagefactory.observed.factory_vms import FactoryVm
from imagefactory.observed.standing_labs import LabFacts
from tests.azure.storage_world import Token
from tests.federation import serving

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/factory/providers"
LAB_ID = f"{GROUP}/Microsoft.DevTestLab/labs/factory"
LAB = LabFacts(LAB_ID, SUBSCRIPTION, "factory", "factory", "westeurope", None)
VM = f"{LAB_ID}/virtualmachines/golden"
COMPUTE = f"{GROUP}/Microsoft.Compute/virtualMachines/golden"
DISK = f"{GROUP}/Microsoft.Compute/disks/os"
STRAY = [".attacker.example/x", f"{COMPUTE}/deallocate?x=", f"{DISK}/../x", "//attacker.example/x", "/x", 7]
"""Invalid ids, as a lab or its storage may contain them."""


def lab_vm(name: str = "golden", **properties: Any) -> dict[str, Any]:
    """Return a VM as the lab lists it."""
    about = {"provisioningState": "Succeeded", "computeId": COMPUTE, **properties}
    id = f"{LAB_ID}/virtualmachines/{name}"
    return {"id": id, "name": name, "tags": {"ImagePath": "a.json"}, "properties": about}


def compute_vm(os_disk: Mapping[str, Any], *codes: str, generation: str = "V1") -> dict[str, Any]:
    """Return the compute VM of a lab VM."""
    view = {"statuses": [{"code": code} for code in codes], "hyperVGeneration": generation}
    return {"properties": {"storageProfile": {"osDisk": os_disk, "dataDisks": []}, "instanceView": view}}


@asynccontextmanager
async def connected(answers: Mapping[str, Any]) -> AsyncIterator[ResourceManager]:
    """Open a resource manager with responses by method and path: a JSON body, a status, or a function."""

    async def answer(request: web.BaseRequest) -> web.Response:
        found = answers.get(f"{request.method} {request.path}", 404)
        if callable(found):
            made: web.Response = found(request)
            return made
        if isinstance(found, int):
            code = "ResourceNotFound" if found == 404 else "Told"
            return web.json_response({"error": {"code": code, "message": "by the test"}}, status=found)
        return web.json_response(found)

    async with serving(answer) as url, ResourceManager(Cloud(None, url, ""), Token()) as arm:
        yield arm


async def only_vm(answers: Mapping[str, Any]) -> FactoryVm:
    """Read the only VM of the lab."""
    listed = {f"GET {LAB_ID}/virtualmachines": {"value": [lab_vm()]}}
    async with connected({**listed, **answers}) as arm:
        (vm,) = await factory_vms(arm, LAB)
    return vm


async def test_disk_and_compute_vm_complete_each_other() -> None:
    """Size in GiB if there is none in bytes; OS and generation from the VM if the disk has none."""
    vm = await only_vm(
        {
            f"GET {COMPUTE}": compute_vm(
                {"osType": "Linux", "managedDisk": {"id": DISK}}, "PowerState/deallocated", generation="V2"
            ),
            f"GET {DISK}": {
                "id": DISK,
                "properties": {"diskSizeGB": 30, "uniqueId": "u", "diskState": "Reserved"},
            },
        }
    )
    assert vm.os_disk
    assert (vm.os_disk.length, vm.os_disk.os_type, vm.os_disk.generation) == (30 * 1024**3, "Linux", "V2")
    assert (vm.power, vm.generalized, vm.diagnostic) == ("deallocated", False, None)


async def test_a_vm_with_an_unmanaged_disk_has_no_managed_disk() -> None:
    """Its disk is a VHD in a storage account."""
    vm = await only_vm({f"GET {COMPUTE}": compute_vm({"vhd": {"uri": "https://x"}}, "PowerState/deallocated")})
    assert vm.os_disk is None and vm.diagnostic is None


@pytest.mark.parametrize(("answer", "fact"), [(404, "its compute VM does not exist"), (403, "Azure returned 403 Told")])
async def test_a_vm_that_cannot_be_read_has_a_diagnostic(answer: int, fact: str) -> None:
    """It is in the list, and does not stop the others."""
    vm = await only_vm({f"GET {COMPUTE}": answer})
    assert vm.diagnostic and fact in vm.diagnostic.message()


DISK_FACTS = {"id": DISK, "properties": {"diskSizeGB": 30, "uniqueId": "u", "diskState": "Reserved"}}


@pytest.mark.parametrize("stray", STRAY)
async def test_an_invalid_id_is_a_diagnostic_of_its_vm_and_does_not_stop_the_others(stray: Any) -> None:
    """The compute id, a disk's id in the VM or in the disk, the VM's own id: no request is sent there."""
    asked: list[str] = []

    def compute(request: web.BaseRequest) -> web.Response:
        asked.append(request.path)
        disk = f"{DISK}2" if request.path.endswith("4") else stray if request.path.endswith("3") else DISK
        return web.json_response(compute_vm({"managedDisk": {"id": disk}}, "PowerState/deallocated"))

    listed = [
        lab_vm("vm1", computeId=COMPUTE),
        lab_vm("vm2", computeId=stray),
        lab_vm("vm3", computeId=f"{COMPUTE}3"),
        lab_vm("vm4", computeId=f"{COMPUTE}4"),
        {**lab_vm("vm5"), "id": stray},
    ]
    answers = {
        f"GET {LAB_ID}/virtualmachines": {"value": listed},
        **{f"GET {COMPUTE}{n}": compute for n in ("", "3", "4")},
        f"GET {DISK}": DISK_FACTS,
        f"GET {DISK}2": {**DISK_FACTS, "id": stray},
    }
    async with connected(answers) as arm:
        vms = await factory_vms(arm, LAB)
    assert [vm.name for vm in vms] == ["vm1", "vm2", "vm3", "vm4", "vm5"]
    assert vms[0].diagnostic is None and vms[0].os_disk and vms[0].os_disk.id == DISK
    kinds = ("Compute/virtualMachines", "Compute/disks", "Compute/disks", "DevTestLab/labs/virtualmachines")
    for vm, kind in zip(vms[1:], kinds, strict=True):
        assert vm.diagnostic and f"is not an id of a Microsoft.{kind}" in vm.diagnostic.message(), vm
        assert f"VM '{vm.name}'" in vm.diagnostic.subject or "disk" in vm.diagnostic.subject
    assert sorted(asked) == [COMPUTE, f"{COMPUTE}3", f"{COMPUTE}4"]


async def test_a_vm_that_is_not_wanted_is_not_read() -> None:
    """One call for the lab, and none for its VMs."""
    async with connected({f"GET {LAB_ID}/virtualmachines": {"value": [lab_vm()]}}) as arm:
        (vm,) = await factory_vms(arm, LAB, lambda _: False)
    assert vm.diagnostic is None and vm.tags == {"imagepath": "a.json"}


async def test_a_lab_that_cannot_be_listed_is_an_error() -> None:
    """It is not an empty lab, whose VMs would silently not be saved."""
    async with connected({}) as arm:
        with pytest.raises(CloudError, match="404 ResourceNotFound"):
            await factory_vms(arm, LAB)


def accepted(where: str) -> Any:
    """Return a response that starts an operation."""
    return lambda request: web.Response(status=202, headers={"Azure-AsyncOperation": where.format(host=request.host)})


async def test_an_accepted_operation_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Azure's own reason."""
    monkeypatch.setattr(resource_manager, "POLL_SECONDS", 0.01)
    failed = {"status": "Failed", "error": {"code": "OperationNotAllowed", "message": "There is an active access."}}
    answers = {f"DELETE {VM}": accepted("http://{host}/operation"), "GET /operation": failed}
    async with connected(answers) as arm:
        with pytest.raises(CloudError, match=r"VM 'golden': .*There is an active access"):
            await delete_vm(arm, FactoryVm(VM, "golden", "Succeeded"))


async def test_an_operation_link_to_another_host_is_not_followed() -> None:
    """The token would be sent there."""
    async with connected({f"DELETE {VM}": accepted("http://elsewhere.example/operation")}) as arm:
        with pytest.raises(CloudError, match="link to another host"):
            await delete_vm(arm, FactoryVm(VM, "golden", "Succeeded"))


async def test_the_deletion_of_a_deleted_vm_succeeds() -> None:
    """Whether Azure returns 404 or 204."""
    for answer in (404, lambda _: web.Response(status=204)):
        async with connected({f"DELETE {VM}": answer}) as arm:
            await delete_vm(arm, FactoryVm(VM, "golden", "Succeeded"))
