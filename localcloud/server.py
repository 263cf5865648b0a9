"""The daemon: resource manager, identity, control API, blob front and Azurite as one embedded cloud.

Starts and stops them in order, and manages the state folder and the ports. Binds to loopback only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from localcloud.account_facts import AccountFacts, facts_of
from localcloud.arm.answers import Answers
from localcloud.arm.app import TOKEN_PATH, build_app
from localcloud.arm.errors import resource_not_found
from localcloud.arm.identity import Identity
from localcloud.arm.store import ArmStore, StoreError
from localcloud.arm.throttling import Throttle
from localcloud.arm.virtual_machines import MachineChange, change_machine
from localcloud.blobs.access import LOOPBACK, Accounts, EmbeddedBlobs
from localcloud.blobs.authorization import Authorization, SignIn
from localcloud.blobs.azurite import Azurite, AzuriteError
from localcloud.blobs.disk_access import DISK_ACCOUNT, DiskAccess
from localcloud.blobs.front import BlobFront
from localcloud.blobs.limits import Limits, Turnstile
from localcloud.blobs.seeding import FACTORY_CONTAINER, MissingDisk, seed_disks, seed_images, write_text
from localcloud.control import LabMove, add_control_routes
from localcloud.fault_rules import Faults, Journal, Latencies
from localcloud.private_files import read_private, write_private
from localcloud.rights import Assignments, Need
from localcloud.seed import SeedDocument, SeedError, SeedFactoryImage
from localcloud.state_lock import DaemonError, acquire
from localcloud.vhd import has_mke2fs

_LAST_CALLS_SECONDS = 3.0
"""How long a stop waits for active calls; a fault rule could delay one for minutes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How to serve. `state` is created if missing; ports None: those of the last run, or free ones."""

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
        self._latencies_changed = asyncio.Event()
        self._accounts = Accounts(state / "accounts.json")
        self._facts_file = state / "account-facts.json"
        self._facts = {name: AccountFacts.model_validate(each) for name, each in read_private(self._facts_file).items()}
        self._identity = _identity(state / "identity.json")
        self._disks = DiskAccess(store.grants, self._identity.key)
        self._authorization = Authorization(
            self._accounts, self._identity, self._disks, facts_of(self._facts), self._may
        )
        self.turnstile, self._throttle = Turnstile(), Throttle()
        self._assignments = Assignments()
        self._azurite = Azurite(ports["azurite"], ports["blob"], None if options.in_memory else state / "blobs")
        self._seeding = asyncio.Lock()
        self._progress: dict[str, int] | None = None
        self._session: aiohttp.ClientSession
        self._blobs: EmbeddedBlobs

    async def run(self, options: Options, arm: socket.socket, blob: socket.socket, lock: int) -> None:
        """Serve until SIGTERM or SIGINT. Raises DaemonError if it cannot start or Azurite exits unexpectedly."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with AsyncExitStack() as stack:
            # Azurite closes connections that are idle for 5 s; the front must do so earlier, or calls would fail.
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
                self._authorization,
                self.faults,
                lambda: self._latencies,
                self._pause,
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
                facts_of(self._facts),
                throttle=self._throttle,
                assignments=lambda: self._assignments,
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
            status = self.status()
            endpoints = {name: status[name] for name in ("pid", "resourceManager", "blobEndpoint", "identityEndpoint")}
            write_private(daemon_file, endpoints)
            stack.callback(daemon_file.unlink, missing_ok=True)
            _log.info("The embedded cloud is ready at %s", status["resourceManager"])
            ended = [asyncio.ensure_future(each.wait()) for each in (stop, self._azurite.ended)]
            await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                each.cancel()
            if not stop.is_set():
                raise DaemonError(
                    "Azurite: exited unexpectedly; the embedded cloud has no blobs and stops. "
                    f"See {options.state / 'daemon.log'}, then start the cloud again."
                )

    @property
    def latencies(self) -> Latencies:
        """The current latencies; they are kept after a restart."""
        return self._latencies

    def set_latencies(self, latencies: Latencies) -> None:
        """Set the latencies; page writes that wait according to the previous ones wait no longer."""
        self._latencies = latencies
        self._latencies_changed.set()
        self._latencies_changed = asyncio.Event()
        write_private(self._latencies_file, latencies.to_json())

    async def _pause(self, seconds: float) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._latencies_changed.wait(), seconds)

    def set_limits(self, limits: Limits) -> None:
        """Set the limits of page writes and of calls to the resource manager until the cloud stops."""
        self.turnstile.set(limits)
        self._throttle.set(limits.buckets)

    def set_answers(self, answers: Answers) -> None:
        """Set the form of answers about custom images and galleries until the cloud stops."""
        self._store.answers = answers

    def set_assignments(self, given: Assignments) -> None:
        """Set roles, deny assignments and tenants until the cloud stops."""
        self._assignments = given

    def _may(self, account: str, need: Need) -> bool:
        """Return whether the caller's roles permit this below an account; one that no lab has is open."""
        if not self._assignments.enforced:
            return True
        ids = {lab.storage_id for lab in self._store.labs.values() if lab.storage_account == account}
        return not ids or any(self._assignments.permit(need._replace(scope=f"{id}{need.scope}")) for id in ids)

    def move_lab(self, move: LabMove) -> None:
        """Move a lab to another resource group or subscription. Raises ArmError."""
        lab = self._store.find_lab(move.subscription_id, move.resource_group, move.lab)
        if lab is None:
            raise resource_not_found("Microsoft.DevTestLab/labs", move.lab, move.resource_group)
        self._store.move(lab, move.to_resource_group, move.to_subscription_id or lab.subscription_id)

    def set_sign_in(self, sign_in: SignIn) -> None:
        """Set the rules of authentication until the cloud stops."""
        self._authorization.keyless = frozenset(sign_in.keyless_accounts)
        self._identity.lifetime = sign_in.token_seconds
        self._identity.ahead = sign_in.clock_ahead_seconds

    def set_accounts(self, facts: Mapping[str, AccountFacts]) -> dict[str, Any]:
        """Set what storage accounts are like, and return it of all; it is kept after a restart."""
        self._facts.update(facts)
        known = {name: each.to_json() for name, each in self._facts.items()}
        write_private(self._facts_file, known)
        return known

    def status(self) -> dict[str, Any]:
        """Return the status document of the control API."""
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
            "galleries": [
                {"id": each.id, "region": each.region, "labs": self._store.labs_of(each)}
                for each in self._store.galleries.values()
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
        """Add the contents of the document; existing ones are kept.

        Returns the number of factory images in it. Raises SeedError."""
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
            if document.account_facts:
                self.set_accounts(document.account_facts)
            if document.latencies is not None:
                self.set_latencies(document.latencies)
            if document.answers is not None:
                self.set_answers(document.answers)
            self.faults.add(document.faults)
            if (images or disks) and not has_mke2fs():
                _log.warning("mke2fs: is missing; the disks have no filesystem. Install e2fsprogs.")
            self._progress = {"done": 0, "total": len(images) + len(disks)}
            try:
                await seed_images(self._session, self._blobs, images, self._one_seeded)
                await seed_disks(self._session, self._blobs, disks, self._one_seeded)
            except (aiohttp.ClientError, OSError) as error:
                raise SeedError(
                    f"container {FACTORY_CONTAINER} or a disk: cannot upload a VHD ({error}); the rest of the document "
                    "was added. Fix the cause and seed it again: existing contents are kept."
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
        """Return the storage account of the image's lab: an existing lab takes precedence over a declared one."""
        existing = [(lab.subscription_id, lab.name, lab.storage_account) for lab in self._store.labs.values()]
        declared = [
            (each.subscription_id, lab.name, lab.storage_account)
            for each in document.subscriptions
            for lab in each.labs
        ]
        wanted = (image.subscription_id or "").lower()
        found = [
            (subscription, account)
            for subscription, name, account in (*existing, *declared)
            if name.lower() == image.lab.lower() and wanted in ("", subscription.lower())
        ]
        if len({subscription.lower() for subscription, _ in found}) > 1:
            fact, remedy = "exists in several subscriptions", "Set subscriptionId"
        elif not found:
            fact, remedy = "does not exist", "Declare it under subscriptions"
        elif found[0][1] is None:
            fact, remedy = "has no storage account", "Set its storageAccount"
        else:
            return found[0][1]
        raise SeedError(f"factory image {image.vhd}, lab {image.lab}: {fact}; nothing was seeded. {remedy}.")


async def serve(options: Options) -> None:
    """Run an embedded cloud until SIGTERM or SIGINT. Raises DaemonError, SeedError."""
    options.state.mkdir(parents=True, exist_ok=True)
    options.state.chmod(0o700)
    # Never closed: the system releases the lock when both this process and Azurite have exited.
    lock = os.open(options.state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    await acquire(lock, options.state)
    try:
        store = ArmStore.load(None if options.in_memory else options.state / "arm.json")
        saved = read_private(options.state / "ports.json")
        arm = _bind(options.arm_port, saved.get("resourceManager"), options.state)
        blob = _bind(options.blob_port, saved.get("blob"), options.state)
        azurite = _bind(None, saved.get("azurite"), options.state)
        sockets = {"resourceManager": arm, "blob": blob, "azurite": azurite}
        ports = {name: each.getsockname()[1] for name, each in sockets.items()}
        azurite.close()  # the port is free; Azurite binds it itself
        write_private(options.state / "ports.json", ports)
        (options.state / "blobs").mkdir(exist_ok=True)
        try:
            cloud = Cloud(options, store, ports)
        except ValueError as error:
            raise DaemonError(
                f"{options.state}: contains a broken file ({error}); the embedded cloud does not start. Delete the "
                "file or the folder."
            ) from error
        await cloud.run(options, arm, blob, lock)
    except (StoreError, AzuriteError) as error:
        raise DaemonError(str(error)) from error


def _bind(wanted: int | None, saved: object, state: Path) -> socket.socket:
    port = wanted if wanted is not None else saved if isinstance(saved, int) else 0
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
    except OSError as error:
        bound.close()
        raise DaemonError(
            f"port {port}: cannot bind ({error.strerror}); the embedded cloud does not start. Stop the program that "
            f"uses it, or delete {state / 'ports.json'} to use other ports (URLs in the state of stacks then change)."
        ) from error
    return bound


def _identity(path: Path) -> Identity:
    saved = read_private(path)
    if not {"header", "key"} <= saved.keys():
        saved = {"header": secrets.token_hex(16), "key": secrets.token_hex(32)}
        write_private(path, saved)
    return Identity(saved["header"], bytes.fromhex(saved["key"]))


async def _listen(stack: AsyncExitStack, runner: web.BaseRunner, bound: socket.socket) -> None:
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, bound, backlog=1024).start()
