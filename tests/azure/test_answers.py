"""Responses of the resource manager out of shape: each reader returns the same value, or an error names the request.

A stand-in server returns valid responses, except one that is bent (`mutations`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest
from aiohttp import web
from azure.core.pipeline.policies import AsyncRetryPolicy
from hypothesis import given, settings
from hypothesis import strategies as st

from imagefactory.azure.core import resource_manager
from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.disk_access import DiskAccess
from imagefactory.azure.lab_galleries import attachments, definitions
from imagefactory.azure.labs import find_image, lab_facts
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.virtual_machines import delete_vm, factory_vms
from imagefactory.configuration.labs_file import LabKey
from imagefactory.diagnostics import Diagnostic
from imagefactory.observed.factory_vms import FactoryVm, ManagedDisk
from tests.azure.entered import entered
from tests.azure.mutations import bent_bodies
from tests.azure.storage_world import Token
from tests.azure.test_labs import ACCOUNT, image, lab
from tests.azure.test_virtual_machines import (
    COMPUTE,
    DISK,
    LAB,
    LAB_ID,
    SUBSCRIPTION,
    VM,
    compute_vm,
    lab_vm,
)
from tests.federation import serving

LABS = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.DevTestLab/labs"
IMAGES = f"{lab('good')['id']}/customimages"
GRANT, KEYS, OPERATION = f"{DISK}/beginGetAccess", f"{ACCOUNT}/listKeys", f"/subscriptions/{SUBSCRIPTION}/operation"
TAGS = {"ImagePath": "Win2016/Datacenter.json", "SourceVhd": "a.vhd", "SavedAt": "2026-11-24T10:00:00Z", "Attempt": "2"}
ATTACHED = f"{LAB_ID}/sharedgalleries"
SIZES = ({"diskSizeBytes": 5}, {"diskSizeGB": 30}, {"diskSizeGB": 1, "diskSizeBytes": 1024**3})
SAS = "http://127.0.0.1/md-1/container/abcd?sv=1&sig=secret"


def made(name: str) -> dict[str, Any]:
    """A custom image that the factory made, with all that is read of it."""
    vhd = {"imageName": f"https://x/{name}.vhd", "osType": "Windows", "sysPrep": True}
    about = {"provisioningState": "Succeeded", "vhd": vhd, "creationDate": "2026-11-24T10:13:00.5124741+00:00"}
    return image("good", name, properties=about, tags=TAGS)


def managed(name: str, size: Mapping[str, int]) -> dict[str, Any]:
    """A managed disk."""
    about = {"uniqueId": f"u-{name}", "diskState": "Reserved", "LastOwnershipUpdateTime": "2026"}
    return {"id": f"{DISK}{name}", "properties": {**about, **size, "osType": "Linux", "hyperVGeneration": "V2"}}


def offered(name: str) -> dict[str, Any]:
    """A definition of a gallery, as a lab lists it."""
    about = {"osType": "Windows", "imageType": "Generalized", "enableState": "Enabled", "displayName": "shown"}
    return {"name": name, "properties": {"definitionName": name, **about, "provisioningState": "Succeeded"}}


def machine() -> dict[str, Any]:
    """A compute VM with a data disk."""
    disk, codes = (
        {"osType": "Linux", "managedDisk": {"id": f"{DISK}1"}},
        ("PowerState/deallocated", "OSState/generalized"),
    )
    vm = compute_vm(disk, *codes, generation="V2")
    vm["properties"]["storageProfile"]["dataDisks"] = [{"lun": 3, "managedDisk": {"id": f"{DISK}2"}}]
    return vm


VALID: dict[str, Any] = {
    f"GET {LABS}": {"value": [lab("good"), lab("bad")]},
    f"GET {IMAGES}": {"value": [made("one"), made("two")], "nextLink": f"{{url}}{IMAGES}/page?api-version=1"},
    f"GET {IMAGES}/page": {"value": [made("three")]},
    f"GET {lab('bad')['id']}/customimages": {"value": []},
    f"GET {IMAGES}/one": made("one"),
    f"GET {LAB_ID}/virtualmachines": {"value": [lab_vm(notes="n"), lab_vm("other", computeId=f"{COMPUTE}2")]},
    f"GET {COMPUTE}": machine(),
    f"GET {COMPUTE}2": compute_vm({"managedDisk": {"id": f"{DISK}3"}}, "PowerState/running", generation="V2"),
    **{f"GET {DISK}{name}": managed(name, size) for name, size in zip("123", SIZES, strict=True)},
    f"GET {ATTACHED}": {
        "value": [
            {
                "name": "one",
                "location": "westeurope",
                "properties": {"galleryId": "/g/one", "allowAllImages": "Enabled", "provisioningState": "Failed"},
            }
        ]
    },
    f"GET {ATTACHED}/one/sharedimages": {"value": [offered("a"), offered("b")]},
    f"POST {KEYS}": {"keys": [{"keyName": "key1", "value": "a2V5"}]},
    f"GET {OPERATION}": {"status": "Succeeded", "properties": {"output": {"accessSAS": SAS}}},
    f"GET {OPERATION}/failed": {"status": "Failed", "error": {"code": "Conflict", "message": "It is in use."}},
}


async def _labs(arm: ResourceManager) -> Any:
    keys = [LabKey(SUBSCRIPTION, name) for name in ("good", "bad")]
    return await lab_facts(arm, keys[0], keys)


async def _grant(arm: ResourceManager) -> Any:
    async with StorageAccounts(arm) as accounts:
        disk = ManagedDisk(DISK, "u", 1, "Reserved")
        blob = await DiskAccess(arm, accounts).grant(disk)
        access = await accounts.access(blob)
        await accounts.lent.remove(DISK)
        return access.url


async def _key(arm: ResourceManager) -> Any:
    async with StorageAccounts(arm, "key") as accounts:
        return (await accounts.service(ACCOUNT)).credential.account_key


READERS: dict[str, Callable[[ResourceManager], Awaitable[Any]]] = {
    "labs and images": _labs,
    "image": lambda arm: find_image(arm, f"{IMAGES}/one"),
    "VMs and disks": lambda arm: factory_vms(arm, LAB),
    "attached galleries": lambda arm: attachments(arm, LAB_ID),
    "definitions in a lab": lambda arm: definitions(arm, LAB_ID, "one"),
    "access": _grant,
    "key": _key,
    "deletion": lambda arm: delete_vm(arm, FactoryVm(VM, "golden", "Succeeded")),
    "failed deletion": lambda arm: delete_vm(arm, FactoryVm(f"{VM}2", "golden2", "Succeeded")),
}
READ: dict[str, list[str]] = {
    "labs and images": [f"GET {LABS}", f"GET {IMAGES}", f"GET {IMAGES}/page"],
    "image": [f"GET {IMAGES}/one"],
    "VMs and disks": [
        f"GET {each}"
        for each in (f"{LAB_ID}/virtualmachines", COMPUTE, f"{COMPUTE}2", f"{DISK}1", f"{DISK}2", f"{DISK}3")
    ],
    "attached galleries": [f"GET {ATTACHED}"],
    "definitions in a lab": [f"GET {ATTACHED}/one/sharedimages"],
    "access": [f"GET {OPERATION}"],
    "key": [f"POST {KEYS}"],
    "deletion": [f"GET {OPERATION}"],
    "failed deletion": [f"GET {OPERATION}/failed"],
}
REQUESTS = (*VALID, f"POST {GRANT}", f"DELETE {VM}")
ABSENT: dict[str, Any] = {
    **dict.fromkeys(("image_path", "source_vhd", "vhd_url", "saved_at", "created", "storage_account_id"), None),
    "attempt": 1,
    "tags": {},
    "notes": "",
    "released": "",
    "power": None,
    "os_type": None,
    "generation": None,
    **dict.fromkeys(("location", "display_name"), None),
    **dict.fromkeys(("allows_all", "enabled", "failed"), False),
}
"""What a reader returns for a value that Azure may omit."""
KNOWN = "its compute VM does not exist"
"""What a lab says of a VM without computeId."""


@dataclass
class StandIn:
    """A resource manager with valid responses; each can be replaced."""

    loop: asyncio.AbstractEventLoop
    bent: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    arm: Any = None

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Return the response of a call; operations are at an address of their own."""
        name = f"{request.method} {request.path}"
        if name in self.bent:
            return web.Response(body=self.bent[name], content_type="application/json")
        if name in VALID:
            return web.json_response(json.loads(json.dumps(VALID[name]).replace("{url}", self.url)))
        where = {f"POST {GRANT}": "", f"DELETE {VM}": "", f"DELETE {VM}2": "/failed"}[name]
        return web.Response(status=202, headers={"Azure-AsyncOperation": f"{self.url}{OPERATION}{where}"})

    def read(self, reader: str) -> Any:
        """Return what a reader returns, or its error."""

        async def call() -> Any:
            try:
                return await READERS[reader](self.arm)
            except CloudError as refusal:
                return refusal

        return self.loop.run_until_complete(asyncio.wait_for(call(), 20))


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    """One server for all examples; operations are polled without a wait."""
    loop = asyncio.new_event_loop()
    found = StandIn(loop)

    @asynccontextmanager
    async def connected() -> AsyncIterator[None]:
        async with serving(found.answer) as found.url:
            cloud = Cloud(None, found.url, f"{found.url}/{{account}}")
            async with ResourceManager(cloud, Token()) as found.arm:
                yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resource_manager, "POLL_SECONDS", 0.0)
        patch.setattr(AsyncRetryPolicy, "get_backoff_time", lambda *_: 0.0)
        with entered(loop, connected()):
            yield found


def same(value: Any, valid: Any) -> bool:
    """Whether a value is the valid one, but for what Azure may omit."""
    if isinstance(value, Diagnostic | CloudError):
        message = value.message() if isinstance(value, Diagnostic) else str(value)
        return any(request in message for request in REQUESTS) or KNOWN in message
    if hasattr(value, "__dataclass_fields__"):
        if isinstance(getattr(value, "diagnostic", None), Diagnostic):
            return same(value.diagnostic, None)
        if type(value) is not type(valid):
            return False
        names = [name for name, field in value.__dataclass_fields__.items() if field.compare]
        return all(
            same(getattr(value, name), getattr(valid, name)) or getattr(value, name) == ABSENT.get(name, value)
            for name in names
        )
    if isinstance(value, Mapping) and isinstance(valid, Mapping):
        return value.keys() == valid.keys() and all(same(value[key], valid[key]) for key in value)
    if isinstance(value, tuple) and isinstance(valid, tuple):
        return len(value) == len(valid) and all(same(*pair) for pair in zip(value, valid, strict=True))
    return bool(value == valid)


@pytest.mark.parametrize("reader", READERS)
def test_a_valid_response_has_a_value(reader: str, stand_in: StandIn) -> None:
    """Of each reader, so that the next test compares something."""
    stand_in.bent = {}
    found = stand_in.read(reader)
    if reader == "failed deletion":
        assert "It is in use" in str(found)
    else:
        assert not isinstance(found, CloudError), found
        assert "Diagnostic" not in repr(found)


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=60)
@given(data=st.data())
def test_a_response_out_of_shape_is_the_same_value_or_an_error_that_names_the_request(
    reader: str, stand_in: StandIn, data: st.DataObject
) -> None:
    """Never another exception, never fewer labs, images, VMs or disks."""
    stand_in.bent = {}
    valid = stand_in.read(reader)
    request = data.draw(st.sampled_from(READ[reader]))
    document = json.loads(json.dumps(VALID[request]).replace("{url}", stand_in.url))
    stand_in.bent = {request: data.draw(bent_bodies(document))}
    found = stand_in.read(reader)
    if reader == "failed deletion" and isinstance(found, CloudError):
        return
    assert same(found, valid), (found, asdict(found) if hasattr(found, "__dataclass_fields__") else None)
