"""The calls of virtual machines, as DevTest Labs and as Compute show them, and of managed disks.

Bodies are those of DevTestLab 2018-09-15, Compute 2024-07-01 and disks 2023-10-02. The rules are in `virtual_machines`.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from localcloud.arm.errors import ArmError, invalid, resource_not_found
from localcloud.arm.identity import OBJECT
from localcloud.arm.machines import Disk, VirtualMachine
from localcloud.arm.routes.responses import accepted, injected_fault, json_body, page
from localcloud.arm.routes.routing import GROUP, LAB, Parts, Route, find_child, find_lab
from localcloud.arm.store import AUTHOR, ArmStore, Lab
from localcloud.arm.virtual_machines import LONGEST_ACCESS_SECONDS, VirtualMachines
from localcloud.blobs.disk_access import DiskAccess

GIB = 1024**3
_LAB = "Microsoft.DevTestLab"
_COMPUTE, _OPERATIONS = "Microsoft.Compute", "DiskOperations"
"""The path of an operation of a disk, as clients of Azure poll it."""
_SIZE = "Standard_DS1_v2"
_GALLERY = {
    "Linux": {"offer": "0001-com-ubuntu-server-jammy", "publisher": "canonical", "sku": "22_04-lts"},
    "Windows": {"offer": "WindowsServer", "publisher": "MicrosoftWindowsServer", "sku": "2022-datacenter"},
}
"""What the machines of labs were made from, by their operating system, if a seed does not say."""
_SHARED = ("galleryImageVersionId", "sharedImageId", "sharedImageVersion")
_SHARED_VERSION = "2018-10-15-preview"
"""The API version that has these properties (its specification; 2018-09-15 has none of them)."""
_SOURCES = {
    "customImageId": "FromCustomImage",
    "galleryImageVersionId": "FromSharedGalleryImage",
    "sharedImageId": "FromSharedGalleryImage",
}


class ComputeRoutes:
    """One method per call."""

    def __init__(self, store: ArmStore, machines: VirtualMachines, access: DiskAccess) -> None:
        self._store, self._machines, self._access = store, machines, access

    def routes(self) -> list[Route]:
        """Return the supported calls."""
        machines = LAB + "/virtualmachines"
        machine = machines + "/(?P<machine>[^/]+)"
        compute = GROUP + r"/providers/microsoft\.compute"
        compute_machine = compute + "/virtualmachines/(?P<machine>[^/]+)"
        disk = compute + "/disks/(?P<disk>[^/]+)"
        return [
            Route("a lab's virtual machines", "list", "GET", machines, self.list_machines),
            Route("a lab's virtual machines", "get", "GET", machine, self.get_machine),
            Route("a lab's virtual machines", "delete", "DELETE", machine, self.delete_machine),
            Route("compute virtual machines", "get", "GET", compute_machine, self.get_compute),
            Route("disks", "get", "GET", disk, self.get_disk),
            Route("disks", "beginGetAccess", "POST", disk + "/begingetaccess", self.begin_access),
            Route("disks", "endGetAccess", "POST", disk + "/endgetaccess", self.end_access),
        ]

    async def list_machines(self, request: web.Request, parts: Parts) -> web.Response:
        """The virtual machines of a lab, paged."""
        lab = find_lab(self._store, parts)
        return page(request, {key: _lab_machine(lab, machine, request) for key, machine in lab.machines.items()})

    async def get_machine(self, request: web.Request, parts: Parts) -> web.Response:
        """One virtual machine of a lab."""
        lab = find_lab(self._store, parts)
        machine = find_child(lab, "virtualMachines", lab.machines, parts["machine"])
        return web.json_response(_lab_machine(lab, machine, request))

    async def delete_machine(self, request: web.Request, parts: Parts) -> web.Response:
        """Delete a virtual machine, a long-running operation; 204 if the machine does not exist."""
        lab = find_lab(self._store, parts)
        machine = lab.machines.get(parts["machine"].lower())
        if machine is None:
            return web.Response(status=204)
        name = await self._machines.delete(lab, machine, injected_fault(request))
        return accepted(request, _LAB, lab, name, self._store.operations[name])

    async def get_compute(self, request: web.Request, parts: Parts) -> web.Response:
        """One compute VM, with its instance view if `$expand` asks for it."""
        found = self._store.find_machine(parts["subscription"], parts["group"], parts["machine"])
        if found is None:
            raise resource_not_found(f"{_COMPUTE}/virtualMachines", parts["machine"], parts["group"])
        lab, machine = found
        body = _compute_machine(lab, machine)
        if request.query.get("$expand", "").lower() == "instanceview":
            body["properties"]["instanceView"] = _instance_view(machine)
        return web.json_response(body)

    async def get_disk(self, _: web.Request, parts: Parts) -> web.Response:
        """One managed disk."""
        lab, machine, disk = self._disk(parts)
        return web.json_response(_disk(lab, machine, disk, self._access.active(disk.container) > 0))

    async def begin_access(self, request: web.Request, parts: Parts) -> web.Response:
        """Grant read access to a disk, a long-running operation whose result is the SAS."""
        lab, machine, disk = self._disk(parts)
        seconds = _seconds(await json_body(request))
        name = await self._machines.grant(lab, machine, disk, seconds, injected_fault(request))
        return accepted(request, _COMPUTE, lab, name, self._store.operations[name], _OPERATIONS)

    async def end_access(self, request: web.Request, parts: Parts) -> web.Response:
        """Revoke all access to a disk, a long-running operation."""
        lab, _, disk = self._disk(parts)
        name = await self._machines.revoke(disk, injected_fault(request))
        return accepted(request, _COMPUTE, lab, name, self._store.operations[name], _OPERATIONS)

    def _disk(self, parts: Parts) -> tuple[Lab, VirtualMachine, Disk]:
        found = self._store.find_disk(parts["subscription"], parts["group"], parts["disk"])
        if found is None:
            raise resource_not_found(f"{_COMPUTE}/disks", parts["disk"], parts["group"])
        return found


def _seconds(body: object) -> int:
    """Return the duration of read access that the body requests. Raises ArmError (400)."""
    if not isinstance(body, dict):
        raise invalid("The request content must be a JSON object with 'access' and 'durationInSeconds'.")
    if body.get("access") != "Read":
        raise _bad("access", "'Read' is what a disk that is attached to a virtual machine can be accessed for.")
    seconds = body.get("durationInSeconds")
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 < seconds <= LONGEST_ACCESS_SECONDS:
        raise _bad("durationInSeconds", f"It must be a whole number from 1 to {LONGEST_ACCESS_SECONDS}.")
    if body.get("fileFormat", "VHD") != "VHD":
        raise _bad("fileFormat", "Only a snapshot can be had in another format than VHD.")
    return seconds


def _bad(parameter: str, message: str) -> ArmError:
    return ArmError(400, "InvalidParameter", f"The value of parameter {parameter} is invalid. {message}")


def _expands(request: web.Request) -> bool:
    """Return whether the answer shall contain the compute VM (`$expand=properties($expand=computeVm)`)."""
    return "computevm" in request.query.get("$expand", "").lower()


def _lab_machine(lab: Lab, machine: VirtualMachine, request: web.Request) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "ownerObjectId": "",
        "ownerUserPrincipalName": "",
        "createdByUserId": OBJECT.replace("-", ""),
        "createdByUser": AUTHOR,
        "createdDate": machine.created,
        "computeId": machine.compute_id(lab.subscription_id),
        "osType": machine.os_type,
        "size": _SIZE,
        "userName": "someone",
        "isAuthenticationWithSshKey": False,
        "labSubnetName": f"Dtl{lab.name}Subnet",
        "labVirtualNetworkId": f"{lab.id}/virtualnetworks/dtl{lab.name.lower()}",
        "disallowPublicIpAddress": True,
        "artifactDeploymentStatus": {"artifactsApplied": 0, "totalArtifacts": 0},
        "galleryImageReference": {**_GALLERY[machine.os_type], "osType": machine.os_type, "version": "latest"},
        "networkInterface": {},
        "allowClaim": True,
        "storageType": "Standard",
        "virtualMachineCreationSource": "FromGalleryImage",
        "lastKnownPowerState": "Running" if machine.power_state == "running" else "Stopped",
        "provisioningState": machine.provisioning_state,
        "uniqueIdentifier": machine.unique_identifier,
    }
    if machine.notes is not None:
        properties["notes"] = machine.notes
    sources = [kind for key, kind in _SOURCES.items() if machine.properties.get(key)]
    if sources:
        del properties["galleryImageReference"]
        properties["virtualMachineCreationSource"] = sources[0]
    given = properties | machine.properties
    hidden = () if request.query["api-version"] == _SHARED_VERSION else _SHARED
    properties = {key: each for key, each in given.items() if each is not None and key not in hidden}
    if _expands(request):
        properties["computeVm"] = _expanded(lab, machine)
    body: dict[str, Any] = {
        "properties": properties,
        "id": f"{lab.id}/virtualmachines/{machine.name}",
        "name": machine.name,
        "type": f"{_LAB}/labs/virtualMachines",
        "location": lab.region,
    }
    return {**body, "tags": machine.tags} if machine.tags else body


def _expanded(lab: Lab, machine: VirtualMachine) -> dict[str, Any]:
    """Return the compute VM as an expanded lab VM shows it (published)."""
    os_disk, *data_disks = ((disk, machine.disk_id(lab.subscription_id, disk)) for disk in machine.disks)
    return {
        "statuses": [
            {"code": each["code"], "displayStatus": each["displayStatus"]}
            for each in _instance_view(machine)["statuses"]
        ],
        "osType": machine.os_type,
        "vmSize": _SIZE,
        "osDiskId": os_disk[1],
        "dataDiskIds": [id for _, id in data_disks],
        "dataDisks": [
            {"name": disk.name, "managedDiskId": id, "diskSizeGiB": _gigabytes(disk)} for disk, id in data_disks
        ],
    }


def _compute_machine(lab: Lab, machine: VirtualMachine) -> dict[str, Any]:
    os_disk, *data_disks = machine.disks

    def managed(disk: Disk) -> dict[str, str]:
        return {"id": machine.disk_id(lab.subscription_id, disk), "storageAccountType": "Standard_LRS"}

    storage = {
        "osDisk": {
            "osType": machine.os_type,
            "name": os_disk.name,
            "createOption": "FromImage",
            "caching": "ReadWrite",
            "managedDisk": managed(os_disk),
        },
        "dataDisks": [
            {
                "lun": disk.lun,
                "name": disk.name,
                "createOption": "Attach",
                "caching": "None",
                "managedDisk": managed(disk),
                "diskSizeGB": _gigabytes(disk),
            }
            for disk in data_disks
        ],
    }
    return {
        "id": machine.compute_id(lab.subscription_id),
        "name": machine.name,
        "type": f"{_COMPUTE}/virtualMachines",
        "location": lab.region,
        "properties": {
            "vmId": machine.vm_id,
            "provisioningState": "Succeeded",
            "storageProfile": storage,
            "timeCreated": machine.created,
        },
    }


def _instance_view(machine: VirtualMachine) -> dict[str, Any]:
    def status(code: str, display: str) -> dict[str, str]:
        return {"code": code, "level": "Info", "displayStatus": display}

    statuses = [status("ProvisioningState/succeeded", "Provisioning succeeded")]
    if machine.generalized:
        statuses.append(status("OSState/generalized", "VM generalized"))
    statuses.append(status(f"PowerState/{machine.power_state}", f"VM {machine.power_state}"))
    return {"hyperVGeneration": machine.hyper_v_generation, "statuses": statuses}


def _disk(lab: Lab, machine: VirtualMachine, disk: Disk, active: bool) -> dict[str, Any]:
    state = "Reserved" if machine.power_state == "deallocated" else "Attached"
    properties: dict[str, Any] = {
        "creationData": {"createOption": "FromImage" if disk.lun is None else "Empty"},
        "diskSizeBytes": disk.size_bytes,
        "diskSizeGB": _gigabytes(disk),
        "diskState": "ActiveSAS" if active else state,
        "uniqueId": disk.unique_id,
        "timeCreated": disk.created,
        "LastOwnershipUpdateTime": disk.released,
        "provisioningState": "Succeeded",
        "networkAccessPolicy": "AllowAll",
        "publicNetworkAccess": "Enabled",
        **machine.disk_properties,
    }
    if disk.lun is None:
        properties |= {"osType": machine.os_type, "hyperVGeneration": machine.hyper_v_generation}
    return {
        "id": machine.disk_id(lab.subscription_id, disk),
        "name": disk.name,
        "type": f"{_COMPUTE}/disks",
        "location": lab.region,
        "managedBy": machine.compute_id(lab.subscription_id),
        "sku": {"name": "Standard_LRS", "tier": "Standard"},
        "properties": properties,
    }


def _gigabytes(disk: Disk) -> int:
    return -(-disk.size_bytes // GIB)
