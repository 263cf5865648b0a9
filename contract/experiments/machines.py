"""Lab VMs: what they say of their image, an image in use, and the deletion of a machine whose disk is being read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.bench import Bench
from contract.experiments.disk_access import grant, revoke, sas_of
from contract.registry import experiment
from contract.sources import ASSUMED, PUBLISHED
from contract.wire import Answer, ContractError
from imagefactory.images.timestamps import only_reading

_VM = "1 custom image, 1 lab VM (Standard_B1s) for some minutes"


def machine_path(bench: Bench) -> str:
    """Return the path of the run's lab VM."""
    return f"{bench.place.lab_id}/virtualmachines/{bench.name('vm')}"


def create_machine(bench: Bench) -> Answer:
    """Start to create a lab VM of an image that was made of an empty VHD: nothing boots, and nothing waits for it."""
    place = bench.place
    image = bench.name("vm-image")
    if bench.arm("GET", bench.image_path(image)).status != 200:
        box = bench.container("vm")
        bench.image(image, bench.vhd(f"{box}/vm.vhd"))
    networks = bench.must(bench.arm("GET", f"{place.lab_id}/virtualnetworks"), 200).json.get("value", [])
    if not networks:
        raise ContractError(f"lab {place.lab}: has no virtual network, so no VM can be created")
    allowed = networks[0].get("properties", {}).get("allowedSubnets") or [{}]
    properties = {
        "customImageId": bench.image_path(image),
        "size": "Standard_B1s",
        "osType": "Linux",
        "storageType": "Standard",
        "disallowPublicIpAddress": True,
        "labVirtualNetworkId": networks[0]["id"],
        "labSubnetName": allowed[0].get("labSubnetName", "default"),
    }
    body = {"location": place.region, "properties": properties}
    return bench.must(bench.arm("PUT", machine_path(bench), body), 200, 201, 202)


@experiment(
    "images: deletion while in use",
    creates=_VM,
    minutes=20,
    cents=5,
    not_modelled="the embedded cloud creates no virtual machines, so no image is in use",
)
def in_use(bench: Bench) -> None:
    """What deleting a custom image answers while a VM is created from it, and while the VM stands. The engine deletes
    retired images whether they are in use or not."""
    started = create_machine(bench)
    answer = bench.arm("DELETE", bench.image_path(bench.name("vm-image")))
    bench.saw("DELETE while a VM is created from it", answer, ASSUMED)
    if answer.status == 202:
        bench.saw("its operation, ended", bench.ended(answer), ASSUMED)
    bench.saw("the creation of the VM, ended", bench.ended(started), ASSUMED)
    answer = bench.arm("DELETE", bench.image_path(bench.name("vm-image")))
    bench.saw("DELETE while the VM stands", answer, ASSUMED)
    if answer.status == 202:
        bench.saw("DELETE while the VM stands: its operation, ended", bench.ended(answer), ASSUMED)


@experiment("machines: the image of a VM", creates=_VM, minutes=20, cents=5)
def image_of(bench: Bench) -> None:
    """What a lab VM says of the custom image that it was created from, and when it was created, alone and in the list.
    `keepUsedDays` keeps images that VMs were created from lately."""
    machine = bench.place.machine or machine_path(bench)
    if not bench.place.machine and bench.arm("GET", machine).status != 200:
        bench.ended(create_machine(bench))
    one = bench.arm("GET", machine)
    bench.saw("GET of the VM", one, PUBLISHED, body=False, **_image_told(bench, one.json or {}))
    listed = bench.arm("GET", machine.rpartition("/")[0])
    name = machine.rpartition("/")[2].lower()
    found = [each for each in (listed.json or {}).get("value", ()) if each["name"].lower() == name]
    told = _image_told(bench, found[0]) if found else {}
    bench.saw("the VM in the list of its lab", listed, PUBLISHED, body=False, **told)


def _image_told(bench: Bench, machine: Mapping[str, Any]) -> dict[str, Any]:
    about = machine.get("properties") or {}
    images, _, name = str(about.get("customImageId") or "").rpartition("/")
    return {
        "an image of its lab": bool(name) and images.lower() == f"{bench.place.lab_id}/customimages".lower(),
        "has a time of creation": only_reading(about.get("createdDate")) is not None,
        "virtualMachineCreationSource": about.get("virtualMachineCreationSource"),
        "has a gallery image": "galleryImageReference" in about,
    }


@experiment("machines: deletion while a disk is read", creates=_VM, minutes=20, cents=5)
def deletion(bench: Bench) -> None:
    """What deleting a lab VM answers while access to its disk is active, and what is left of the machine then.
    `clean-vms` takes such a machine as unchanged and reports it."""
    machine = bench.place.machine or machine_path(bench)
    if not bench.place.machine:
        if bench.arm("GET", machine).status != 200:
            bench.ended(create_machine(bench))
        bench.ended(bench.must(bench.arm("POST", f"{machine}/stop"), 200, 202))
    shown = bench.must(bench.arm("GET", machine), 200).json
    compute = bench.must(bench.arm("GET", shown["properties"]["computeId"], versions="compute"), 200).json
    disk = compute["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"]
    sas = sas_of(bench, grant(bench, disk))
    try:
        answer = bench.arm("DELETE", machine)
        bench.saw("DELETE while access is active", answer, ASSUMED, body=False)
        bench.saw("its operation, ended", bench.ended(answer), ASSUMED)
        left = bench.arm("GET", machine)
        state = (left.json or {}).get("properties", {}).get("provisioningState")
        bench.saw("the machine afterwards", None, ASSUMED, status=left.status, provisioningState=state)
        read = bench.wire.send("GET", sas, None, {"x-ms-range": "bytes=0-511"})
        bench.saw("reading its disk afterwards", None, ASSUMED, status=read.status)
    finally:
        revoke(bench, disk)
    bench.saw("GET of a missing machine", bench.arm("GET", f"{machine}-missing"), ASSUMED)
