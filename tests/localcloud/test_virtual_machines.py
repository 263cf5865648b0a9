"""Virtual machines of the embedded cloud: their values, access to their disks, and their deletion."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from azure.core.polling import AsyncLROPoller
from azure.core.rest import HttpRequest
from azure.mgmt.core.polling.async_arm_polling import AsyncARMPolling

from localcloud.arm.errors import ArmError
from localcloud.arm.virtual_machines import LONGEST_ACCESS_SECONDS, MachineChange, change_machine
from localcloud.blobs.disk_access import DISK_ACCOUNT, DiskAccess
from localcloud.vhd import MIB
from tests.localcloud.arm_world import (
    LOWER_LAB,
    MACHINES,
    SUBSCRIPTION,
    World,
    blob_endpoint,
    lab,
    machine,
    running,
)

COMPUTE_VERSION, DISK_VERSION = "2024-07-01", "2023-10-02"
READ = {"access": "Read", "durationInSeconds": 3600}


@pytest_asyncio.fixture
async def factory() -> AsyncIterator[World]:
    """A lab with one machine, which has a data disk."""
    data = {"lun": 3, "sizeBytes": 2048 * MIB}
    seed = machine(tags={"ImagePath": "Win/A.json"}, notes="Golden", hyperVGeneration="V2", dataDisks=[data])
    async with running(labs=[lab(virtualMachines=[seed])]) as world:
        yield world


async def compute_id(world: World, name: str = "win-a") -> str:
    """Return the id of the compute VM of the lab's machine."""
    _, found, _ = await world.call("GET", f"{MACHINES}/{name}")
    return str(found["properties"]["computeId"])


async def compute(world: World, name: str = "win-a") -> dict[str, Any]:
    """Return the compute VM with its instance view."""
    path = await compute_id(world, name)
    _, found, _ = await world.call("GET", path, version=COMPUTE_VERSION, params={"$expand": "instanceView"})
    return dict(found["properties"])


async def os_disk(world: World, name: str = "win-a") -> str:
    """Return the id of a machine's OS disk."""
    return str((await compute(world, name))["storageProfile"]["osDisk"]["managedDisk"]["id"])


async def disk(world: World, path: str) -> dict[str, Any]:
    """Return a disk's properties."""
    _, found, _ = await world.call("GET", path, version=DISK_VERSION)
    return dict(found["properties"])


async def grant(world: World, path: str, body: object = READ) -> tuple[int, Any, dict[str, str]]:
    """Call beginGetAccess."""
    return await world.call("POST", f"{path}/beginGetAccess", version=DISK_VERSION, json=body)


async def revoke(world: World, path: str) -> tuple[int, Any, dict[str, str]]:
    """Call endGetAccess."""
    return await world.call("POST", f"{path}/endGetAccess", version=DISK_VERSION)


def change(world: World, name: str = "win-a", **changes: Any) -> None:
    """Change a machine as the control API does."""
    where = {"subscriptionId": SUBSCRIPTION, "resourceGroup": "rg-one", "lab": "target", "name": name}
    access = DiskAccess(world.store.grants, world.identity.key)
    change_machine(world.store, access, MachineChange.model_validate({**where, **changes}))


async def test_a_lab_lists_its_machines(factory: World) -> None:
    """The single machine and the list are the same, in DevTest Labs' casing, with all seeded values."""
    status, found, _ = await factory.call("GET", f"{MACHINES.lower()}/WIN-A")
    assert (status, found["id"]) == (200, f"{LOWER_LAB}/virtualmachines/win-a")
    assert (found["type"], found["location"]) == ("Microsoft.DevTestLab/labs/virtualMachines", "westeurope")
    assert found["tags"] == {"ImagePath": "Win/A.json"}
    properties = found["properties"]
    assert (properties["osType"], properties["notes"]) == ("Windows", "Golden")
    assert (properties["provisioningState"], properties["createdDate"][:2]) == ("Succeeded", "20")
    group = properties["computeId"].split("/")[4]
    assert re.fullmatch(r"Target\d{13}", group)
    _, listed, _ = await factory.call("GET", MACHINES)
    assert listed["value"] == [found]


async def test_a_machine_says_what_it_was_created_from(factory: World) -> None:
    """As the seed does: a custom image, a version of a gallery (which only the preview API has), or without a date."""
    gallery = f"{LOWER_LAB}/sharedgalleries/images/sharedimages/Win2016"
    seeds: dict[str, dict[str, Any]] = {
        "custom": {"customImageId": f"{LOWER_LAB}/customimages/golden", "createdDate": "2026-11-01T10:00:00+00:00"},
        "shared": {"sharedImageId": gallery, "sharedImageVersion": "1.0.0", "createdDate": None},
    }
    factory.seed(lab(virtualMachines=[machine(name, properties=seed) for name, seed in seeds.items()]))

    async def shown(name: str, version: str) -> dict[str, Any]:
        _, found, _ = await factory.call("GET", f"{MACHINES}/{name}", version=version)
        return dict(found["properties"])

    custom = await shown("custom", "2018-09-15")
    assert custom.items() >= seeds["custom"].items() and "galleryImageReference" not in custom
    assert custom["virtualMachineCreationSource"] == "FromCustomImage"
    shared, older = await shown("shared", "2018-10-15-preview"), await shown("shared", "2018-09-15")
    assert (shared["sharedImageId"], shared["sharedImageVersion"]) == (gallery, "1.0.0")
    assert "createdDate" not in shared and not older.keys() & {"sharedImageId", "sharedImageVersion"}
    assert {shared["virtualMachineCreationSource"], older["virtualMachineCreationSource"]} == {"FromSharedGalleryImage"}


async def test_machines_are_paged(factory: World) -> None:
    """70 more are 2 pages, with each machine once."""
    factory.seed(lab(virtualMachines=[machine(f"vm{number:02}") for number in range(70)]))
    _, first, _ = await factory.call("GET", MACHINES)
    _, second, _ = await factory.call("GET", first["nextLink"])
    assert (len(first["value"]), len(second["value"])) == (50, 21)
    assert len({each["id"] for each in first["value"] + second["value"]}) == 71


async def test_the_compute_vm_has_its_disks_and_on_request_its_state(factory: World) -> None:
    """The instance view is returned only with $expand; each disk's id is valid."""
    _, plain, _ = await factory.call("GET", await compute_id(factory), version=COMPUTE_VERSION)
    assert "instanceView" not in plain["properties"]
    found = await compute(factory)
    assert found["instanceView"]["hyperVGeneration"] == "V2"
    codes = [each["code"] for each in found["instanceView"]["statuses"]]
    assert codes == ["ProvisioningState/succeeded", "OSState/generalized", "PowerState/deallocated"]
    storage = found["storageProfile"]
    assert storage["osDisk"]["osType"] == "Windows"
    (data,) = storage["dataDisks"]
    assert (data["lun"], data["diskSizeGB"]) == (3, 2)
    os_properties = await disk(factory, storage["osDisk"]["managedDisk"]["id"])
    data_properties = await disk(factory, data["managedDisk"]["id"])
    assert (os_properties["osType"], os_properties["hyperVGeneration"]) == ("Windows", "V2")
    assert (os_properties["diskSizeBytes"], os_properties["diskSizeGB"]) == (64 * MIB, 1)
    assert "osType" not in data_properties and data_properties["diskSizeBytes"] == 2048 * MIB
    assert os_properties["uniqueId"] != data_properties["uniqueId"]
    _, whole, _ = await factory.call("GET", storage["osDisk"]["managedDisk"]["id"], version=DISK_VERSION)
    assert whole["managedBy"] == await compute_id(factory)


@pytest.mark.parametrize(
    ("power", "held"), [("deallocated", "Reserved"), ("stopped", "Attached"), ("running", "Attached")]
)
async def test_a_disk_is_read_only_while_its_machine_is_deallocated(factory: World, power: str, held: str) -> None:
    """409 Conflict, in Azure's words; the instance view and the disk show the state."""
    change(factory, powerState=power)
    path = await os_disk(factory)
    statuses = (await compute(factory))["instanceView"]["statuses"]
    assert f"PowerState/{power}" in [each["code"] for each in statuses]
    assert (await disk(factory, path))["diskState"] == held
    status, body, _ = await grant(factory, path)
    if power == "deallocated":
        assert status == 202
        return
    assert (status, body["error"]["code"]) == (409, "Conflict")
    assert "is currently attached to running VM" in body["error"]["message"]


async def test_a_machine_is_changed_as_requested(factory: World) -> None:
    """Omitted values are kept; a missing machine or an impossible change is rejected."""
    change(factory, generalized=False, provisioningState="Failed", tags={"FactoryIgnore": "yes"})
    _, found, _ = await factory.call("GET", f"{MACHINES}/win-a")
    assert (found["tags"], found["properties"]["provisioningState"]) == ({"FactoryIgnore": "yes"}, "Failed")
    change(factory, powerState="deallocated")
    codes = [each["code"] for each in (await compute(factory))["instanceView"]["statuses"]]
    assert codes == ["ProvisioningState/succeeded", "PowerState/deallocated"]
    with pytest.raises(ArmError, match="not found"):
        change(factory, "nobody", generalized=True)
    await grant(factory, await os_disk(factory))
    with pytest.raises(ArmError, match="active shared access signature"):
        change(factory, powerState="running")


async def test_microsofts_poller_gets_the_sas(arm: Any, world: World) -> None:
    """beginGetAccess as the SDK sends it, with a real wait; both documents of the operation have the same SAS."""
    world.seed(lab(virtualMachines=[machine()]))
    world.slow(disk_access_seconds=0.2)
    path = await os_disk(world)
    request = HttpRequest("POST", f"{world.base}{path}/beginGetAccess?api-version={DISK_VERSION}", json=READ)
    first = await arm.send_request(request, enforce_https=False, _return_pipeline_response=True)
    options = {"final-state-via": "location"}
    polling: Any = AsyncARMPolling(0.05, lro_options=options, enforce_https=False)
    poller: AsyncLROPoller[Any] = AsyncLROPoller(
        arm, first, lambda answer: json.loads(answer.http_response.text()), polling
    )
    sas = (await poller.result())["accessSAS"]
    headers = {name.lower(): value for name, value in first.http_response.headers.items()}
    ended = await world.ended(headers)
    assert (ended["status"], ended["properties"]["output"]["accessSAS"]) == ("Succeeded", sas)
    assert ended["startTime"] < ended["endTime"] and ended["name"] in headers["location"]
    assert sas.startswith(f"{blob_endpoint(DISK_ACCOUNT)}/") and "/abcd?sv=" in sas and "&sr=b&si=" in sas


async def test_a_grant_is_in_progress_until_it_finishes(factory: World) -> None:
    """First InProgress and 202, no SAS and no access; in the end `Location` returns only the SAS."""
    factory.slow(disk_access_seconds=30)
    path = await os_disk(factory)
    _, _, headers = await grant(factory, path)
    status, body, _ = await factory.call("GET", headers["azure-asyncoperation"])
    assert (status, body["status"], "properties" in body) == (200, "InProgress", False)
    assert (await factory.call("GET", headers["location"]))[0] == 202
    assert (await disk(factory, path))["diskState"] == "Reserved"
    factory.slow()
    data_disk = (await compute(factory))["storageProfile"]["dataDisks"][0]["managedDisk"]["id"]
    _, _, headers = await grant(factory, data_disk)
    status, body, _ = await factory.call("GET", headers["location"])
    assert status == 200 and list(body) == ["accessSAS"]
    assert (await disk(factory, data_disk))["diskState"] == "ActiveSAS"


async def test_a_revocation_preempts_a_grant_in_progress(factory: World) -> None:
    """The grant ends as OperationPreempted and grants nothing; another grant is rejected meanwhile."""
    factory.slow(disk_access_seconds=30)
    path = await os_disk(factory)
    _, _, granted = await grant(factory, path)
    status, body, headers = await grant(factory, path)
    assert (status, body["error"]["code"]) == (409, "Conflict") and "retry-after" in headers
    factory.slow()
    status, _, revoked = await revoke(factory, path)
    assert (status, (await factory.ended(revoked))["status"]) == (202, "Succeeded")
    assert (await factory.ended(granted))["error"]["code"] == "OperationPreempted"
    status, body, _ = await factory.call("GET", granted["location"])
    assert (status, body["error"]["code"]) == (409, "OperationPreempted")
    assert (await disk(factory, path))["diskState"] == "Reserved"
    status, _, again = await revoke(factory, path)
    assert (status, (await factory.call("GET", again["location"]))[0]) == (202, 200)


async def test_a_preempted_grant_changes_nothing_when_it_would_be_due(factory: World) -> None:
    """The revocation that replaced it continues; a later grant, already finished, shows that its time has passed."""
    factory.slow(disk_access_seconds=0.2)
    path = await os_disk(factory)
    await grant(factory, path)
    factory.slow(disk_access_seconds=30)
    _, _, revoking = await revoke(factory, path)
    factory.slow(disk_access_seconds=0.2)
    data_disk = (await compute(factory))["storageProfile"]["dataDisks"][0]["managedDisk"]["id"]
    _, _, later = await grant(factory, data_disk)
    assert (await factory.ended(later))["status"] == "Succeeded"
    _, body, _ = await factory.call("GET", revoking["azure-asyncoperation"])
    assert (body["status"], (await disk(factory, path))["diskState"]) == ("InProgress", "Reserved")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "InvalidRequestContent"),
        ({}, "InvalidParameter"),
        ({**READ, "access": "Write"}, "InvalidParameter"),
        ({"access": "Read"}, "InvalidParameter"),
        ({**READ, "durationInSeconds": 0}, "InvalidParameter"),
        ({**READ, "durationInSeconds": "60"}, "InvalidParameter"),
        ({**READ, "durationInSeconds": True}, "InvalidParameter"),
        ({**READ, "durationInSeconds": LONGEST_ACCESS_SECONDS + 1}, "InvalidParameter"),
        ({**READ, "fileFormat": "VHDX"}, "InvalidParameter"),
    ],
)
async def test_an_invalid_request_for_access_is_rejected(factory: World, body: object, code: str) -> None:
    """400, and no operation starts."""
    path = await os_disk(factory)
    status, answer, _ = await grant(factory, path, body)
    assert (status, answer["error"]["code"]) == (400, code)
    assert (await disk(factory, path))["diskState"] == "Reserved" and not factory.store.operations


async def test_a_machine_is_not_deleted_while_a_disk_is_read(factory: World) -> None:
    """The deletion is accepted, fails with OperationNotAllowed, and the machine is kept; after revoking it succeeds."""
    path = await os_disk(factory)
    await grant(factory, path)
    status, _, headers = await factory.call("DELETE", f"{MACHINES}/win-a")
    assert status == 202
    ended = await factory.ended(headers)
    assert (ended["status"], ended["error"]["code"]) == ("Failed", "OperationNotAllowed")
    _, found, _ = await factory.call("GET", f"{MACHINES}/win-a")
    assert found["properties"]["provisioningState"] == "Succeeded" and factory.blobs.removed == []

    await revoke(factory, path)
    factory.slow(vm_delete_seconds=30)
    _, _, deleting = await factory.call("DELETE", f"{MACHINES}/win-a")
    _, found, _ = await factory.call("GET", f"{MACHINES}/win-a")
    assert found["properties"]["provisioningState"] == "Deleting"
    assert (await grant(factory, path))[0] == 409
    _, _, same = await factory.call("DELETE", f"{MACHINES}/win-a")
    assert same["azure-asyncoperation"] == deleting["azure-asyncoperation"]


async def test_a_deleted_machine_is_deleted_with_all_its_parts(factory: World) -> None:
    """Lab VM, compute VM, disks and their bytes; deleting it again is 204; seeded again it is another machine."""
    path, machine_path = await os_disk(factory), await compute_id(factory)
    before = (await disk(factory, path))["uniqueId"]
    containers = {each.container for _, vm in factory.store.all_machines() for each in vm.disks}
    _, _, headers = await factory.call("DELETE", f"{MACHINES}/win-a")
    assert await factory.ended(headers) == {"status": "Succeeded"}
    for gone, version in ((f"{MACHINES}/win-a", "2018-09-15"), (machine_path, COMPUTE_VERSION), (path, DISK_VERSION)):
        status, body, _ = await factory.call("GET", gone, version=version)
        assert (status, body["error"]["code"]) == (404, "ResourceNotFound")
    assert set(factory.blobs.removed) == {f"{DISK_ACCOUNT}/{each}" for each in containers} and len(containers) == 2
    assert (await factory.call("DELETE", f"{MACHINES}/win-a"))[0] == 204
    factory.seed(lab(virtualMachines=[machine()]))
    assert (await disk(factory, await os_disk(factory)))["uniqueId"] != before


async def test_fault_rules_apply_to_machines_and_disks(factory: World) -> None:
    """Errors, lost responses, and operations that are accepted and fail: each at the call that the rule names."""
    path = await os_disk(factory)
    factory.fault({"path": "/beginGetAccess", "times": 1, "action": {"status": 429, "code": "TooManyRequests"}})
    assert (await grant(factory, path))[0] == 429
    factory.fault({"path": "/beginGetAccess", "action": {"operationFails": {"code": "OutOfLuck", "message": "no"}}})
    _, _, headers = await grant(factory, path)
    assert (await factory.ended(headers))["error"] == {"code": "OutOfLuck", "message": "no"}
    assert (await disk(factory, path))["diskState"] == "Reserved"

    factory.fault({"path": "/beginGetAccess", "action": {"drop": "after"}})
    with pytest.raises(aiohttp.ClientConnectionError):
        await grant(factory, path)
    assert (await disk(factory, path))["diskState"] == "ActiveSAS"
    factory.fault({"path": "/endGetAccess", "action": {"operationFails": {"code": "OutOfLuck", "message": "no"}}})
    await revoke(factory, path)
    assert (await disk(factory, path))["diskState"] == "ActiveSAS"
    factory.fault({"path": "/DiskOperations/", "action": {"status": 500, "code": "InternalError"}})
    _, _, headers = await revoke(factory, path)
    assert (await factory.call("GET", headers["azure-asyncoperation"]))[0] == 500
    factory.fault({"path": "/virtualmachines/", "action": {"operationFails": {"code": "OutOfLuck", "message": "no"}}})
    _, _, headers = await factory.call("DELETE", f"{MACHINES}/win-a")
    assert (await factory.ended(headers))["error"]["code"] == "OutOfLuck" and factory.blobs.removed == []


async def test_grants_and_active_operations_survive_a_restart(tmp_path: Path) -> None:
    """The file has no signature; a grant in progress is granted, a machine in deletion is deleted."""
    path = tmp_path / "arm.json"
    async with running(path, [lab(virtualMachines=[machine(), machine("win-b"), machine("win-c")])]) as world:
        first, second = await os_disk(world), await os_disk(world, "win-b")
        _, _, done = await grant(world, first)
        before = (await world.ended(done))["properties"]["output"]["accessSAS"]
        world.slow(disk_access_seconds=0.3, vm_delete_seconds=0.3)
        _, _, pending = await grant(world, second)
        _, _, deleting = await world.call("DELETE", f"{MACHINES}/win-c")
    assert "sig" not in path.read_text(encoding="utf-8")
    async with running(path) as world:

        def here(headers: dict[str, str]) -> dict[str, str]:
            _, _, rest = headers["azure-asyncoperation"].partition("/subscriptions")
            return {"azure-asyncoperation": f"{world.base}/subscriptions{rest}"}

        after = (await world.ended(here(done)))["properties"]["output"]["accessSAS"]
        assert after == before
        access = DiskAccess(world.store.grants, world.identity.key)
        sas = (await world.ended(here(pending)))["properties"]["output"]["accessSAS"]
        for url in (before, sas):
            target, _, query = url.removeprefix("http://127.0.0.1:10000").partition("?")
            assert access.opens(target, query)
        assert (await world.ended(here(deleting)))["status"] == "Succeeded"
        assert [vm.name for _, vm in world.store.all_machines()] == ["win-a", "win-b"]
        assert (await disk(world, second))["diskState"] == "ActiveSAS"


async def test_a_machine_is_in_creation_until_its_disks_are_written(factory: World) -> None:
    """So an interrupted seed shows; the machine cannot be deleted meanwhile, and the next seed recreates it."""
    ((_, existing),) = factory.store.all_machines()
    existing.whole = False
    _, found, _ = await factory.call("GET", f"{MACHINES}/win-a")
    assert found["properties"]["provisioningState"] == "Creating"
    status, body, _ = await factory.call("DELETE", f"{MACHINES}/win-a")
    assert (status, body["error"]["code"]) == (409, "OperationNotAllowed")
    factory.seed(lab(virtualMachines=[machine()]))
    ((_, recreated),) = factory.store.all_machines()
    assert recreated.unique_identifier != existing.unique_identifier
    factory.seed(lab(virtualMachines=[machine(notes="other")]))
    assert factory.store.all_machines()[0][1] is recreated
