"""A resource manager on a real port, over blobs that a test declares, shared by the tests of this folder."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from localcloud.arm.app import TOKEN_PATH, build_app
from localcloud.arm.identity import Identity
from localcloud.arm.store import ArmStore
from localcloud.arm.throttling import Throttle
from localcloud.blobs.access import BlobFacts
from localcloud.fault_rules import FaultRule, Faults, Journal, Latencies
from localcloud.seed import parse_seed
from localcloud.vhd import MIB, footer

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
KEY = "c2VjcmV0LWFjY291bnQta2V5"
VERSION = "2018-09-15"


def blob_endpoint(account: str) -> str:
    """Return the blob endpoint of an account."""
    return f"http://127.0.0.1:10000/{account}"


def good_footer(size: int = 64 * MIB) -> bytes:
    """Return the footer of a fixed VHD."""
    return footer(size, uuid.UUID(int=1))


@dataclass
class Blobs:
    """Declared blobs by URL: their facts and last bytes; reads of the facts wait until they are `readable`."""

    declared: dict[str, tuple[BlobFacts, bytes]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    readable: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.readable.set()

    def put_vhd(self, account: str, name: str, end: bytes | None = None, **facts: Any) -> str:
        """Declare a VHD; return its URL."""
        end = good_footer() if end is None else end
        url = f"{blob_endpoint(account)}/vhds/{name}"
        about = {"blob_type": "PageBlob", "length": 64 * MIB + 512, "copy_status": "success", **facts}
        self.declared[url] = BlobFacts(**about), end
        return url

    async def stat(self, url: str) -> BlobFacts | None:
        """Return the declared facts."""
        await self.readable.wait()
        return self.declared[url][0] if url in self.declared else None

    async def read(self, url: str, offset: int, length: int) -> bytes:
        """Return the end of the blob."""
        facts, end = self.declared[url]
        assert offset + length == facts.length
        return end[-length:]

    async def keys(self, account: str) -> str:
        """Return the same key for all accounts."""
        return KEY

    async def remove_container(self, account: str, container: str) -> None:
        """Record the removal."""
        self.removed.append(f"{account}/{container}")


@dataclass
class World:
    """A running resource manager and its parts."""

    base: str
    store: ArmStore
    blobs: Blobs
    faults: Faults
    journal: Journal
    identity: Identity
    session: aiohttp.ClientSession
    latencies: list[Latencies]
    throttle: Throttle

    @property
    def token_endpoint(self) -> str:
        """The value of IDENTITY_ENDPOINT."""
        return f"{self.base}{TOKEN_PATH}"

    def seed(self, *labs: dict[str, Any]) -> None:
        """Add labs to the subscription; their disks need no bytes."""
        document = {"subscriptions": [{"subscriptionId": SUBSCRIPTION, "labs": list(labs)}]}
        self.store.add(parse_seed(document).subscriptions)
        for _, machine in self.store.all_machines():
            machine.whole = True

    def fault(self, *rules: dict[str, Any]) -> None:
        """Set the fault rules."""
        self.faults.set(FaultRule.model_validate({"service": "arm", **rule}) for rule in rules)

    def slow(self, **latencies: float) -> None:
        """Set the latencies."""
        self.latencies[0] = Latencies(**latencies)

    async def call(
        self, method: str, path: str, *, token: str | None = None, version: str | None = VERSION, **request: Any
    ) -> tuple[int, Any, dict[str, str]]:
        """Send one call; return status, JSON body (None without one) and headers in lower case."""
        bearer = token or self.identity.token("https://management.azure.com/")[0]
        url = path if path.startswith("http") else f"{self.base}{path}"
        request.setdefault("headers", {"Authorization": f"Bearer {bearer}"})
        query = dict(request.pop("params", {}))
        if version and "api-version" not in url:
            query["api-version"] = version
        async with self.session.request(method, url, params=query, **request) as response:
            body = await response.json() if response.content_type == "application/json" else None
            return response.status, body, {name.lower(): value for name, value in response.headers.items()}

    async def ended(self, headers: dict[str, str]) -> dict[str, Any]:
        """Poll the operation of a response until it ends; return its document."""
        while True:
            _, body, headers_now = await self.call("GET", headers["azure-asyncoperation"])
            if body["status"] not in ("Running", "InProgress"):
                return dict(body)
            assert "retry-after" in headers_now or "retry-after-ms" in headers_now


def lab(name: str = "Target", **more: Any) -> dict[str, Any]:
    """Return a lab of a seed document."""
    return {"name": name, "resourceGroup": "RG-One", "region": "westeurope", "storageAccount": "targetone", **more}


def lab_path(name: str = "Target") -> str:
    """Return the lab's path in the casing of Azure's documentation."""
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/RG-One/providers/Microsoft.DevTestLab/labs/{name}"


def machine(name: str = "win-a", **more: Any) -> dict[str, Any]:
    """Return a virtual machine of a seed document: sysprepped Windows, deallocated."""
    return {"name": name, "osType": "Windows", "sizeBytes": 64 * MIB, **more}


def image_body(url: str, **more: Any) -> dict[str, Any]:
    """Return the body of a PUT of a custom image from a sysprepped Windows VHD."""
    return {"properties": {"vhd": {"imageName": url, "osType": "Windows", "sysPrep": True}, **more}}


LABS = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.DevTestLab/labs"
IMAGES = f"{lab_path()}/customimages"
MACHINES = f"{lab_path()}/virtualmachines"
LOWER_LAB = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/RG-One/providers/microsoft.devtestlab/labs/Target"


@asynccontextmanager
async def running(
    path: Path | None = None, labs: Iterable[dict[str, Any]] = (), blobs: Blobs | None = None
) -> AsyncIterator[World]:
    """Run a resource manager with these labs; its state is saved to `path`, if given."""
    store, faults, journal, latencies = ArmStore.load(path), Faults(), Journal(), [Latencies()]
    identity = Identity("header-value", b"k" * 32)
    declared = blobs or Blobs()
    throttle = Throttle()
    app = build_app(store, declared, faults, lambda: latencies[0], journal, identity, blob_endpoint, throttle=throttle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        world = World(base, store, declared, faults, journal, identity, session, latencies, throttle)
        world.seed(*labs)
        try:
            yield world
        finally:
            await runner.cleanup()
