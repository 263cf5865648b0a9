"""The VMs of the factory lab: lab VM, compute VM and managed disks, as facts; and the deletion of a lab VM.

Lists the VMs of the lab (DevTest Labs, 2018-09-15), then reads each compute VM with its instance view and its disks
(Microsoft.Compute), 16 VMs at a time. A VM that cannot be read, or that has an invalid id, carries a diagnostic and
does not stop the others. A list with a VM whose tags or state cannot be read is an error, because nothing shows what
that VM is for. Does not say what follows from it: that depends on the command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field, model_validator

from imagefactory.azure.core.answers import Answer, Tags, fitted, label, misfit
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


class _LabVmProperties(Answer):
    provisioning_state: str
    compute_id: object = None
    notes: str | None = None


class _LabVm(Answer):
    id: object = None
    name: str
    tags: Tags | None = None
    properties: _LabVmProperties


class _ManagedDisk(Answer):
    id: object


class _AttachedDisk(Answer):
    managed_disk: _ManagedDisk | None = None
    vhd: object = None
    """Instead of a managed disk: its VHD in a storage account."""

    @model_validator(mode="after")
    def _one_of_two(self) -> _AttachedDisk:
        if self.managed_disk is None and self.vhd is None:
            raise ValueError("neither a managed disk nor a VHD")
        return self


class _OsDisk(_AttachedDisk):
    os_type: str | None = None


class _DataDisk(_AttachedDisk):
    lun: int


class _StorageProfile(Answer):
    os_disk: _OsDisk
    data_disks: list[_DataDisk]


class _Status(Answer):
    code: str


class _InstanceView(Answer):
    statuses: list[_Status]
    hyper_v_generation: str | None = None


class _ComputeProperties(Answer):
    storage_profile: _StorageProfile
    instance_view: _InstanceView


class _ComputeVm(Answer):
    properties: _ComputeProperties


class _SecurityProfile(Answer):
    security_type: str | None = None


class _DiskProperties(Answer):
    unique_id: str
    disk_state: str
    disk_size_bytes: int | None = None
    disk_size_gb: int | None = Field(None, alias="diskSizeGB")
    os_type: str | None = None
    hyper_v_generation: str | None = None
    last_ownership_update_time: str | None = Field(None, alias="LastOwnershipUpdateTime")
    security_profile: _SecurityProfile | None = None
    network_access_policy: str | None = None
    public_network_access: str | None = None
    data_access_auth_mode: str | None = None

    @property
    def length(self) -> int:
        return self.disk_size_bytes or (self.disk_size_gb or 0) * _GIB


class _Disk(Answer):
    id: object = None
    properties: _DiskProperties


async def factory_vms(
    arm: ResourceManager, lab: LabFacts, is_wanted: Callable[[FactoryVm], bool] = lambda _: True
) -> tuple[FactoryVm, ...]:
    """Return the lab's VMs, sorted by name; the wanted ones with compute VM and disks.

    Raises `CloudError` if the VMs cannot be listed.
    """
    subject, path = f"factory lab '{lab.name}'", f"{lab.id}/virtualmachines"
    listed = await arm.list(path, API_VERSION, subject=subject)
    if listed is None:
        raise not_found(subject)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def complete(vm: FactoryVm, compute_id: object) -> FactoryVm:
        if vm.diagnostic or not is_wanted(vm):
            return vm
        async with gate:
            try:
                return await _with_disks(arm, vm, compute_id, path)
            except CloudError as refusal:
                return replace(vm, diagnostic=_of_vm(vm, refusal.diagnostic))

    vms = [_lab_vm(resource, index, subject, path) for index, resource in enumerate(listed)]
    found = await asyncio.gather(*(complete(*each) for each in vms))
    return tuple(sorted(found, key=lambda vm: vm.name.lower()))


async def delete_vm(arm: ResourceManager, vm: FactoryVm) -> None:
    """Delete a lab VM with its disks, and wait until that finishes. Raises `CloudError`, not if it does not exist."""
    await arm.run("DELETE", vm.id, API_VERSION, Answer, subject=f"VM '{vm.name}'")


async def find_disk(arm: ResourceManager, disk_id: str) -> ManagedDisk | None:
    """Return the managed disk at an ARM id, or None. Raises `CloudError`."""
    subject = f"disk '{disk_id.rpartition('/')[2]}'"
    found = await arm.get(disk_id, DISK_VERSION, _Disk, subject=subject)
    if found is None:
        return None
    properties = found.properties
    if properties.length <= 0:
        raise misfit(subject, f"GET {disk_id}", "it has no size")
    return ManagedDisk(
        id=_checked(DISK, found.id, subject, "its own id", disk_id),
        unique_id=properties.unique_id,
        length=properties.length,
        state=properties.disk_state,
        os_type=properties.os_type,
        generation=properties.hyper_v_generation,
        released=properties.last_ownership_update_time or "",
        security_type=(properties.security_profile and properties.security_profile.security_type) or "",
        network_access_policy=properties.network_access_policy or "",
        public_network_access=properties.public_network_access or "",
        data_access_auth_mode=properties.data_access_auth_mode or "",
    )


async def _with_disks(arm: ResourceManager, vm: FactoryVm, compute_id: object, listing: str) -> FactoryVm:
    subject, found = f"VM '{vm.name}'", None
    if compute_id not in (None, ""):
        path = _checked(VIRTUAL_MACHINE, compute_id, subject, "its computeId", listing)
        expand = {"$expand": "instanceView"}
        found = await arm.get(path, COMPUTE_VERSION, _ComputeVm, subject=subject, parameters=expand)
    if found is None:
        fact, remedy = "its compute VM does not exist", "Check it in the lab, and delete it if it is broken"
        return replace(vm, diagnostic=error(subject, fact, "", remedy))
    view, storage = found.properties.instance_view, found.properties.storage_profile
    codes = [status.code.lower() for status in view.statuses]
    attached = {disk.lun: disk for disk in storage.data_disks}
    asked: tuple[_AttachedDisk, ...] = (storage.os_disk, *attached.values())
    system, *others = await asyncio.gather(*(_disk(arm, subject, each, path) for each in asked))
    if system is not None:
        os_type = system.os_type or storage.os_disk.os_type
        system = replace(system, os_type=os_type, generation=system.generation or view.hyper_v_generation)
    return replace(
        vm,
        power=next((code.partition("/")[2] for code in codes if code.startswith("powerstate/")), None),
        generalized="osstate/generalized" in codes,
        os_disk=system,
        data_disks={lun: disk for lun, disk in zip(attached, others, strict=True) if disk},
    )


async def _disk(arm: ResourceManager, vm: str, attached: _AttachedDisk, path: str) -> ManagedDisk | None:
    if attached.managed_disk is None:
        return None
    disk_id = _checked(DISK, attached.managed_disk.id, vm, "the id of its disk", path)
    disk = await find_disk(arm, disk_id)
    if disk is None:
        raise not_found(f"disk '{disk_id.rpartition('/')[2]}'")
    return disk


def _of_vm(vm: FactoryVm, diagnostic: Diagnostic) -> Diagnostic:
    """Return the diagnostic of a VM or of its disk, as one of the VM."""
    subject = f"VM '{vm.name}'"
    if diagnostic.subject == subject:
        return diagnostic
    return replace(diagnostic, subject=subject, fact=f"{diagnostic.subject}: {diagnostic.fact}")


def _checked(kind: ArmType, value: object, subject: str, what: str, path: str) -> str:
    """Return the value, which is in the response to GET `path`, if it is an id of that type.

    Raises `CloudError` if not: a request to it could go anywhere.
    """
    if id := kind.parse(value):
        return id.text
    raise cloud_error(subject, kind.fact(f"{what} in the response to GET {path},", value), remedy=NO_ID_REMEDY)


def _lab_vm(resource: Mapping[str, Any], index: int, subject: str, path: str) -> tuple[FactoryVm, object]:
    """Return a VM as its lab lists it, and the id of its compute VM. Raises `CloudError`."""
    what = f"VM '{name}'" if (name := label(resource)) else f"VM {index + 1}"
    listed = fitted(_LabVm, resource, subject, f"GET {path}", what)
    fact = f"{LAB_VIRTUAL_MACHINE.fact(f'its id in the response to GET {path},', listed.id)} of that name"
    vm = FactoryVm(
        id=str(listed.id),
        name=listed.name,
        state=listed.properties.provisioning_state,
        tags=by_lower_name(listed.tags),
        notes=listed.properties.notes or "",
        diagnostic=None if LAB_VIRTUAL_MACHINE.of(resource) else error(f"VM '{name}'", fact, "", NO_ID_REMEDY),
    )
    return vm, listed.properties.compute_id
