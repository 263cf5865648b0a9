"""The daemon: resource manager, identity, control API, blob front and Azurite, composed into one embedded cloud.

Owns the state folder, the ports, and the order of start and end. Everything binds to loopback only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from localcloud.arm.app import TOKEN_PATH, build_app
from localcloud.arm.identity import Identity
from localcloud.arm.store import ArmStore, StoreError
from localcloud.arm.virtual_machines import MachineChange, change_machine
from localcloud.blobs.access import LOOPBACK, Accounts, EmbeddedBlobs
from localcloud.blobs.azurite import Azurite, AzuriteError
from localcloud.blobs.disk_access import DISK_ACCOUNT, DiskAccess
from localcloud.blobs.door import Door, SignIn
from localcloud.blobs.front import BlobFront
from localcloud.blobs.limits import Limits, Turnstile
from localcloud.blobs.seeding import FACTORY_CONTAINER, MissingDisk, seed_disks, seed_images, write_text
from localcloud.control import add_control_routes
from localcloud.fault_rules import Faults, Journal, Latencies
from localcloud.private_files import read_private, write_private
from localcloud.seed import SeedDocument, SeedError, SeedFactoryImage
from localcloud.state_lock import CloudFault, acquire
from localcloud.vhd import has_mke2fs

_LAST_CALLS_SECONDS = 3.0
"""How long calls that are under way at the end may take; one that a fault rule delays could take minutes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How to serve. `state` is made if it is missing; ports None: those of the last time, or free ones."""

    state: Path
    seed: SeedDocument = field(default_factory=SeedDocument)
    arm_port: int | None = None
    blob_port: int | None = None
    in_memory: bool = False


class Cloud:
    """One embedded cloud; `serve` runs it."""

    def __init__(self, options: Options, store: ArmStore, ports: dict[str, int]) -> None:
        state = options.state
        self.faults, self.journal = Faults(), Journal()
        self._store, self._ports = store, ports
        self._latencies_file = state / "latencies.json"
        self._latencies = Latencies.model_validate(read_private(self._latencies_file))
        self._accounts = Accounts(state / "accounts.json")
        self._identity = _identity(state / "identity.json")
        self._disks = DiskAccess(store.grants, self._identity.key)
        self._door = Door(self._accounts, self._identity, self._disks)
        self.turnstile = Turnstile()
        self._azurite = Azurite(ports["azurite"], ports["blob"], None if options.in_memory else state / "blobs")
        self._seeding = asyncio.Lock()
        self._progress: dict[str, int] | None = None
        self._session: aiohttp.ClientSession
        self._blobs: EmbeddedBlobs

    async def run(self, options: Options, arm: socket.socket, blob: socket.socket, lock: int) -> None:
        """Serve until SIGTERM or SIGINT. Raises CloudFault where it cannot start or Azurite ends by itself."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with AsyncExitStack() as stack:
            # Azurite closes a connection that idles for 5 s; the front must be first, or a call meets a closed one.
            connector = aiohttp.TCPConnector(limit=512, keepalive_timeout=3)
            self._session = await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)
                )
            )
            self._blobs = EmbeddedBlobs(self._session, self._accounts, self._ports["azurite"], self._ports["blob"])
            stack.push_async_callback(self._azurite.stop)
            await self._azurite.start(self._accounts.keys, inherited=(lock,))
            await self.seed(options.seed)
            front = BlobFront(
                self._session,
                self._ports["azurite"],
                self._door,
                self.faults,
                lambda: self._latencies,
                self.turnstile,
                self.journal,
            )
            app = build_app(
                self._store,
                self._blobs,
                self.faults,
                lambda: self._latencies,
                self.journal,
                self._identity,
                self._blobs.endpoint,
            )
            add_control_routes(app, self)
            await _listen(
                stack,
                web.ServerRunner(
                    web.Server(front.handle, access_log=None, auto_decompress=False),
                    shutdown_timeout=_LAST_CALLS_SECONDS,
                ),
                blob,
            )
            await _listen(stack, web.AppRunner(app, access_log=None), arm)
            daemon_file = options.state / "daemon.json"
            about = self.status()
            endpoints = {name: about[name] for name in ("pid", "resourceManager", "blobEndpoint", "identityEndpoint")}
            write_private(daemon_file, endpoints)
            stack.callback(daemon_file.unlink, missing_ok=True)
            _log.info("The embedded cloud is ready at %s", about["resourceManager"])
            ended = [asyncio.ensure_future(each.wait()) for each in (stop, self._azurite.ended)]
            await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                each.cancel()
            if not stop.is_set():
                raise CloudFault(
                    "Azurite: it ended by itself; the embedded cloud has no blobs and stops. "
                    f"See {options.state / 'daemon.log'}, and start the cloud again."
                )

    @property
    def latencies(self) -> Latencies:
        """The latencies in force; they stay over a restart."""
        return self._latencies

    def set_latencies(self, latencies: Latencies) -> None:
        """Put latencies in force."""
        self._latencies = latencies
        write_private(self._latencies_file, latencies.to_json())

    def set_limits(self, limits: Limits) -> None:
        """Put limits in force, until the cloud ends."""
        self.turnstile.set(limits)

    def set_sign_in(self, sign_in: SignIn) -> None:
        """Put other rules of signing in in force, until the cloud ends."""
        self._door.keyless = frozenset(sign_in.keyless_accounts)
        self._identity.lifetime = sign_in.token_seconds
        self._identity.ahead = sign_in.clock_ahead_seconds

    def status(self) -> dict[str, Any]:
        """The status document of the control API."""
        manager = f"http://{LOOPBACK}:{self._ports['resourceManager']}"
        labs = list(self._store.labs.values())
        owners = {lab.storage_account: lab for lab in reversed(labs) if lab.storage_account}
        return {
            "resourceManager": manager,
            "blobEndpoint": self._blobs.endpoint("{account}"),
            "identityEndpoint": manager + TOKEN_PATH,
            "identityHeader": self._identity.header,
            "pid": os.getpid(),
            "seeding": self._progress,
            "storageAccounts": [
                {
                    "name": name,
                    "id": owner.storage_id if owner else None,
                    "key": key,
                    "subscriptionId": owner.subscription_id if owner else None,
                    "resourceGroup": owner.resource_group if owner else None,
                    "region": owner.region if owner else None,
                    "blobEndpoint": self._blobs.endpoint(name),
                }
                for name, key in self._accounts.keys.items()
                if name != DISK_ACCOUNT
                for owner in (owners.get(name),)
            ],
            "labs": [
                {
                    "subscriptionId": lab.subscription_id,
                    "resourceGroup": lab.resource_group,
                    "name": lab.name,
                    "region": lab.region,
                    "storageAccount": lab.storage_account,
                }
                for lab in labs
            ],
            "diskAccess": [
                {"disk": machine.disk_id(lab.subscription_id, disk), "grants": grants}
                for lab, machine in self._store.all_machines()
                for disk in machine.disks
                if (grants := self._disks.active(disk.container))
            ],
        }

    async def change_machine(self, change: MachineChange) -> None:
        """Change a virtual machine, as its guest or its owner would. Raises ArmError."""
        machine = change_machine(self._store, self._disks, change)
        if change.writes is not None:
            for disk in machine.disks:
                await write_text(self._session, self._blobs, disk.container, change.writes)

    async def seed(self, document: SeedDocument) -> int:
        """Add what the document declares, and leave what is there. Raises SeedError."""
        async with self._seeding:
            images = [(self._account_of(image, document), image) for image in document.factory_images]
            with_disks = any(lab.virtual_machines for each in document.subscriptions for lab in each.labs)
            if self._accounts.ensure([*document.accounts(), *([DISK_ACCOUNT] if with_disks else [])]):
                await self._azurite.set_accounts(self._accounts.keys)
            self._store.add(document.subscriptions)
            machines = self._store.unfinished(document.subscriptions)
            disks = [
                MissingDisk(disk.container, f"{lab.name}/{machine.name}/{disk.lun}", seed)
                for lab, machine, declared in machines
                for disk, seed in zip(machine.disks, (declared, *declared.data_disks), strict=True)
            ]
            if document.latencies is not None:
                self.set_latencies(document.latencies)
            self.faults.add(document.faults)
            if (images or disks) and not has_mke2fs():
                _log.warning("mke2fs is missing (e2fsprogs): the disks have no filesystem.")
            self._progress = {"done": 0, "total": len(images) + len(disks)}
            try:
                await seed_images(self._session, self._blobs, images, self._one_seeded)
                await seed_disks(self._session, self._blobs, disks, self._one_seeded)
            except (aiohttp.ClientError, OSError) as error:
                raise SeedError(
                    f"container {FACTORY_CONTAINER} or a disk: a VHD could not be put there ({error}); the rest of the "
                    "document is in force. Mend the cause and seed it again: what is there stays."
                ) from error
            finally:
                self._progress = None
            for _, machine, _ in machines:
                machine.whole = True
                self._store.changed()
            return len(images)

    def _one_seeded(self) -> None:
        if self._progress:
            self._progress["done"] += 1
            _log.info("VHDs: %d of %d", self._progress["done"], self._progress["total"])

    def _account_of(self, image: SeedFactoryImage, document: SeedDocument) -> str:
        """The storage account of the image's lab: a lab that is there already goes before the document's."""
        standing = [(lab.subscription_id, lab.name, lab.storage_account) for lab in self._store.labs.values()]
        declared = [
            (each.subscription_id, lab.name, lab.storage_account)
            for each in document.subscriptions
            for lab in each.labs
        ]
        wanted = (image.subscription_id or "").lower()
        found = [
            (subscription, account)
            for subscription, name, account in (*standing, *declared)
            if name.lower() == image.lab.lower() and wanted in ("", subscription.lower())
        ]
        if len({subscription.lower() for subscription, _ in found}) > 1:
            fact, remedy = "labs of this name are in several subscriptions", "Give subscriptionId"
        elif not found:
            fact, remedy = "there is no such lab", "Declare it under subscriptions"
        elif found[0][1] is None:
            fact, remedy = "the lab has no storage account", "Give it a storageAccount"
        else:
            return found[0][1]
        raise SeedError(f"factory image {image.vhd}, lab {image.lab}: {fact}; nothing was seeded. {remedy}.")


async def serve(options: Options) -> None:
    """Run an embedded cloud until it is told to end. Raises CloudFault, SeedError."""
    options.state.mkdir(parents=True, exist_ok=True)
    options.state.chmod(0o700)
    # Never closed: the system frees the lock when this process and Azurite have ended, and not before.
    lock = os.open(options.state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    await acquire(lock, options.state)
    try:
        store = ArmStore.load(None if options.in_memory else options.state / "arm.json")
        kept = read_private(options.state / "ports.json")
        arm = _bind(options.arm_port, kept.get("resourceManager"), options.state)
        blob = _bind(options.blob_port, kept.get("blob"), options.state)
        azurite = _bind(None, kept.get("azurite"), options.state)
        sockets = {"resourceManager": arm, "blob": blob, "azurite": azurite}
        ports = {name: each.getsockname()[1] for name, each in sockets.items()}
        azurite.close()  # found free; Azurite binds it itself
        write_private(options.state / "ports.json", ports)
        (options.state / "blobs").mkdir(exist_ok=True)
        try:
            cloud = Cloud(options, store, ports)
        except ValueError as error:
            raise CloudFault(
                f"{options.state}: a saved file is broken ({error}); it does not start. Delete the file, or the folder."
            ) from error
        await cloud.run(options, arm, blob, lock)
    except (StoreError, AzuriteError) as error:
        raise CloudFault(str(error)) from error


def _bind(wanted: int | None, kept: object, state: Path) -> socket.socket:
    port = wanted if wanted is not None else kept if isinstance(kept, int) else 0
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
    except OSError as error:
        bound.close()
        raise CloudFault(
            f"port {port}: cannot be taken ({error.strerror}); the embedded cloud does not start. End the program that "
            f"holds it, or delete {state / 'ports.json'} to choose other ports (URLs in stacks' state then change)."
        ) from error
    return bound


def _identity(path: Path) -> Identity:
    kept = read_private(path)
    if not {"header", "key"} <= kept.keys():
        kept = {"header": secrets.token_hex(16), "key": secrets.token_hex(32)}
        write_private(path, kept)
    return Identity(kept["header"], bytes.fromhex(kept["key"]))


async def _listen(stack: AsyncExitStack, runner: web.BaseRunner, bound: socket.socket) -> None:
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, bound, backlog=1024).start()
