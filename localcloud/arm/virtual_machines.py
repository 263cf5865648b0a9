"""Virtual machines of labs: their deletion, changes by the control API, and access to their disks.

Known of Azure: a grant is rejected with 409 `Conflict` unless the machine is deallocated, a SAS lasts up to 60 days,
and an active one blocks the deletion of its disk. With `networkAccessPolicy` AllowPrivate, `publicNetworkAccess`
Disabled or `dataAccessAuthMode` AzureActiveDirectory, a SAS alone does not open a disk (Azure's documentation). Five
rules are not published and assumed: a grant while another is active creates a second, equal SAS; revoking ends all of
them, and a grant in progress (`OperationPreempted`); a grant during another operation is 409 `Conflict`, as for a disk
with `networkAccessPolicy` DenyAll; a machine whose deletion fails is not changed. Does not handle HTTP or create a SAS.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import ClientError
from pydantic import Field

from localcloud.arm.errors import ArmError, resource_not_found
from localcloud.arm.machines import Disk, VirtualMachine, timestamp
from localcloud.arm.operations import Operations, Work, retry_headers
from localcloud.arm.store import ArmStore, AskedGrant, Fault, Lab
from localcloud.blobs.access import BlobAccess
from localcloud.blobs.disk_access import DISK_ACCOUNT, DiskAccess
from localcloud.fault_rules import Document, Latencies
from localcloud.seed import PowerState
from localcloud.vhd import SECTOR

LONGEST_ACCESS_SECONDS = 60 * 24 * 3600


class MachineChange(Document):
    """A change of a machine by the control API; omitted values are kept."""

    subscription_id: str
    resource_group: str
    """The lab's."""
    lab: str
    name: str
    power_state: PowerState | None = None
    generalized: bool | None = None
    provisioning_state: str | None = Field(None, min_length=1)
    tags: dict[str, str] | None = None
    disk_properties: dict[str, Any] | None = None
    writes: str | None = Field(None, max_length=SECTOR // 4)
    """Text that the guest writes to each disk; `Cloud` writes it."""


class VirtualMachines:
    """The virtual machines of all labs."""

    def __init__(
        self,
        store: ArmStore,
        operations: Operations,
        blobs: BlobAccess,
        access: DiskAccess,
        latencies: Callable[[], Latencies],
    ) -> None:
        self._store, self._operations, self._blobs, self._access = store, operations, blobs, access
        self._latencies = latencies

    async def delete(self, lab: Lab, machine: VirtualMachine, fault: Fault | None) -> str:
        """Start to delete a machine, its disks and their bytes; this fails with `fault`, if given.

        Returns the operation's id. Raises ArmError."""
        if machine.operation is not None:
            return machine.operation
        if not machine.whole:
            raise ArmError(409, "OperationNotAllowed", f"The virtual machine '{machine.name}' is still being created.")
        seconds = self._latencies().vm_delete_seconds
        return await self._operations.start(machine, seconds, self._deletion(lab, machine), fault=fault)

    async def grant(self, lab: Lab, machine: VirtualMachine, disk: Disk, seconds: int, fault: Fault | None) -> str:
        """Start to grant read access to a disk for `seconds`; this fails with `fault`, if given.

        Returns the operation's id. Raises ArmError."""
        if machine.power_state != "deallocated":
            raise ArmError(
                409,
                "Conflict",
                f"Access not permitted because disk {disk.name} is currently attached to running VM "
                f"{machine.compute_id(lab.subscription_id)}.",
            )
        properties = machine.disk_properties
        if properties.get("networkAccessPolicy") == "DenyAll":
            raise ArmError(409, "Conflict", f"Access to disk {disk.name} is denied by its network access policy.")
        if active := disk.operation or machine.operation:
            raise ArmError(
                409,
                "Conflict",
                f"Access to disk {disk.name} cannot be granted: another operation is in progress. Try later.",
                retry_headers(self._store.operations[active]),
            )
        usable = (
            properties.get("networkAccessPolicy") != "AllowPrivate"
            and properties.get("publicNetworkAccess") != "Disabled"
            and properties.get("dataAccessAuthMode") != "AzureActiveDirectory"
        )
        grant = AskedGrant(str(uuid.uuid4()), disk.container, seconds, usable)
        work = self._change_of_access(disk, grant)
        latency = self._latencies().disk_access_seconds
        return await self._operations.start(disk, latency, work, fault=fault, grant=grant)

    async def revoke(self, disk: Disk, fault: Fault | None) -> str:
        """Start to revoke all access to a disk, if any; this fails with `fault`, if given. Returns the operation id."""
        if disk.operation is not None:
            if self._store.operations[disk.operation].grant is None:
                return disk.operation
            message = f"Granting access to disk {disk.name} was preempted by revoking it."
            self._operations.end(disk, {"code": "OperationPreempted", "message": message})
        seconds = self._latencies().disk_access_seconds
        return await self._operations.start(disk, seconds, self._change_of_access(disk, None), fault=fault)

    def resume(self) -> None:
        """Resume the operations that were active when the cloud stopped. Needs the running event loop."""
        for lab, machine in self._store.all_machines():
            self._operations.resume(machine, self._deletion(lab, machine))
            for disk in machine.disks:
                grant = self._store.operations[disk.operation].grant if disk.operation else None
                self._operations.resume(disk, self._change_of_access(disk, grant))

    def _deletion(self, lab: Lab, machine: VirtualMachine) -> Work:
        async def check() -> Fault | None:
            busy = next((each for each in machine.disks if each.operation or self._access.active(each.container)), None)
            if busy is None:
                return None
            return {
                "code": "OperationNotAllowed",
                "message": f"There is an active shared access signature outstanding for disk {busy.name}. Call "
                f"EndGetAccess before deleting the virtual machine {machine.name}.",
            }

        async def perform() -> Fault | None:
            if fault := await check():
                return fault
            try:
                for disk in machine.disks:
                    await self._blobs.remove_container(DISK_ACCOUNT, disk.container)
            except ClientError as error:
                message = f"The disks of {machine.name} could not be deleted ({error})."
                return {"code": "InternalServerError", "message": message}
            return None

        def settle(fault: Fault | None) -> None:
            if fault is None:
                lab.machines.pop(machine.name.lower(), None)

        return Work(check, perform, settle)

    def _change_of_access(self, disk: Disk, grant: AskedGrant | None) -> Work:
        async def check() -> Fault | None:
            return None

        def settle(fault: Fault | None) -> None:
            if fault is None and grant is None:
                self._access.revoke(disk.container)
            elif fault is None and grant is not None:
                self._access.grant(disk.container, grant.id, grant.seconds, grant.usable)

        return Work(check, check, settle)


def change_machine(store: ArmStore, access: DiskAccess, change: MachineChange) -> VirtualMachine:
    """Change a machine, as its guest, its owner or the lab would. Returns it. Raises ArmError."""
    lab = store.find_lab(change.subscription_id, change.resource_group, change.lab)
    machine = lab.machines.get(change.name.lower()) if lab else None
    if machine is None:
        raise resource_not_found(
            "Microsoft.DevTestLab/labs/virtualMachines", f"{change.lab}/{change.name}", change.resource_group
        )
    if change.power_state not in (None, "deallocated"):
        for disk in machine.disks:
            if access.active(disk.container):
                raise ArmError(
                    409, "Conflict", f"There is an active shared access signature outstanding for disk {disk.name}."
                )
    if change.power_state not in (None, machine.power_state):
        for disk in machine.disks:
            disk.released = timestamp()
    machine.power_state = change.power_state or machine.power_state
    machine.state = change.provisioning_state or machine.state
    machine.generalized = machine.generalized if change.generalized is None else change.generalized
    machine.tags = machine.tags if change.tags is None else dict(change.tags)
    if change.disk_properties is not None:
        machine.disk_properties = dict(change.disk_properties)
    store.changed()
    return machine
