"""The VMs of the factory lab: lab VM, compute VM and managed disks, as facts; and the deletion of a lab VM.

Lists the VMs of the lab (DevTest Labs, 2018-09-15), then reads each compute VM with its instance view and its disks
(Microsoft.Compute), 16 VMs at a time. A VM that cannot be read, or that has an invalid id, carries a diagnostic and
does not stop the others. Does not say what follows from it: that depends on the command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from imagefactory.azure.core.errors import CloudError, cloud_error, not_found
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.labs import API_VERSION, NO_ID_REMEDY
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.images.tags import by_lower_name
from imagefactory.observed.arm_ids import DISK, LAB_VIRTUAL_MACHINE, VIRTUAL_MACHINE, ArmType
from imagefactory.observed.factory_vms import FactoryVm, ManagedDisk
from imagefactory.observed.standing_labs import LabFacts

COMPUTE_VERSION, DISK_VERSION = "2024-07-01", "2023-10-02"

_AT_ONCE = 16
_GIB = 1024**3


async def factory_vms(
    arm: ResourceManager, lab: LabFacts, is_wanted: Callable[[FactoryVm], bool] = lambda _: True
) -> tuple[FactoryVm, ...]:
    """Return the lab's VMs, sorted by name; the wanted ones with compute VM and disks.

    Raises `CloudError` if the VMs cannot be listed.
    """
    subject = f"factory lab '{lab.name}'"
    listed = await arm.list(f"{lab.id}/virtualmachines", API_VERSION, subject=subject)
    if listed is None:
        raise not_found(subject)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def complete(resource: Mapping[str, Any]) -> FactoryVm:
        vm = _lab_vm(resource)
        if vm.diagnostic or not is_wanted(vm):
            return vm
        async with gate:
            try:
                return await _with_disks(arm, vm, (resource.get("properties") or {}).get("computeId") or "")
            except CloudError as refusal:
                return replace(vm, diagnostic=_of_vm(vm, refusal.diagnostic))

    found = await asyncio.gather(*(complete(resource) for resource in listed))
    return tuple(sorted(found, key=lambda vm: vm.name.lower()))


async def delete_vm(arm: ResourceManager, vm: FactoryVm) -> None:
    """Delete a lab VM with its disks, and wait until that finishes. Raises `CloudError`, not if it does not exist."""
    await arm.run("DELETE", vm.id, API_VERSION, subject=f"VM '{vm.name}'")


async def find_disk(arm: ResourceManager, disk_id: str) -> ManagedDisk | None:
    """Return the managed disk at an ARM id, or None. Raises `CloudError`."""
    subject = f"disk '{disk_id.rpartition('/')[2]}'"
    found = await arm.get(disk_id, DISK_VERSION, subject=subject)
    if found is None:
        return None
    properties = found.get("properties", {})
    return ManagedDisk(
        id=_checked(DISK, found.get("id"), subject, "its own id"),
        unique_id=str(properties.get("uniqueId") or ""),
        length=int(properties.get("diskSizeBytes") or int(properties.get("diskSizeGB") or 0) * _GIB),
        state=str(properties.get("diskState") or ""),
        os_type=properties.get("osType"),
        generation=properties.get("hyperVGeneration"),
        released=str(properties.get("LastOwnershipUpdateTime") or ""),
        security_type=str((properties.get("securityProfile") or {}).get("securityType") or ""),
        network_access_policy=str(properties.get("networkAccessPolicy") or ""),
        public_network_access=str(properties.get("publicNetworkAccess") or ""),
        data_access_auth_mode=str(properties.get("dataAccessAuthMode") or ""),
    )


async def _with_disks(arm: ResourceManager, vm: FactoryVm, compute_id: str) -> FactoryVm:
    subject = f"VM '{vm.name}'"
    found = compute_id and await arm.get(
        _checked(VIRTUAL_MACHINE, compute_id, subject, "its computeId"),
        COMPUTE_VERSION,
        subject=subject,
        parameters={"$expand": "instanceView"},
    )
    if not found:
        fact, remedy = "its compute VM does not exist", "Check it in the lab, and delete it if it is broken"
        return replace(vm, diagnostic=error(subject, fact, "", remedy))
    properties = found.get("properties", {})
    view = properties.get("instanceView") or {}
    codes = [str(status.get("code", "")).lower() for status in view.get("statuses", [])]
    storage = properties.get("storageProfile") or {}
    os_disk = storage.get("osDisk") or {}
    attached = {int(disk["lun"]): disk for disk in storage.get("dataDisks") or []}
    disks = await asyncio.gather(*(_disk(arm, subject, each) for each in (os_disk, *attached.values())))
    system, *others = disks
    if system is not None:
        os_type, generation = system.os_type or os_disk.get("osType"), system.generation or view.get("hyperVGeneration")
        system = replace(system, os_type=os_type, generation=generation)
    return replace(
        vm,
        power=next((code.partition("/")[2] for code in codes if code.startswith("powerstate/")), None),
        generalized="osstate/generalized" in codes,
        os_disk=system,
        data_disks={lun: disk for lun, disk in zip(attached, others, strict=True) if disk},
    )


async def _disk(arm: ResourceManager, vm: str, attached: Mapping[str, Any]) -> ManagedDisk | None:
    disk_id = (attached.get("managedDisk") or {}).get("id")
    if not disk_id:
        return None
    disk = await find_disk(arm, _checked(DISK, disk_id, vm, "the id of its disk,"))
    if disk is None:
        raise not_found(f"disk '{disk_id.rpartition('/')[2]}'")
    return disk


def _of_vm(vm: FactoryVm, diagnostic: Diagnostic) -> Diagnostic:
    """Return the diagnostic of a VM or of its disk, as one of the VM."""
    subject = f"VM '{vm.name}'"
    if diagnostic.subject == subject:
        return diagnostic
    return replace(diagnostic, subject=subject, fact=f"{diagnostic.subject}: {diagnostic.fact}")


def _checked(kind: ArmType, value: object, subject: str, what: str) -> str:
    """Return the value if it is an id of that type. Raises `CloudError` if not: a request to it could go anywhere."""
    if id := kind.parse(value):
        return id.text
    raise cloud_error(subject, kind.fact(what, value), remedy=NO_ID_REMEDY)


def _lab_vm(resource: Mapping[str, Any]) -> FactoryVm:
    properties, name = resource.get("properties") or {}, str(resource.get("name"))
    fact = f"{LAB_VIRTUAL_MACHINE.fact('its id', resource.get('id'))} of that name"
    return FactoryVm(
        id=str(resource.get("id")),
        name=name,
        state=properties.get("provisioningState", ""),
        tags=by_lower_name(resource.get("tags")),
        notes=properties.get("notes") or "",
        diagnostic=None if LAB_VIRTUAL_MACHINE.of(resource) else error(f"VM '{name}'", fact, "", NO_ID_REMEDY),
    )
