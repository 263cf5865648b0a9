"""Azurite as a child process: started, given accounts, stopped.

It never outlives this process: it stops when its standard input is closed. Does not install it; dev.py does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from collections.abc import Coroutine, Mapping
from pathlib import Path

from localcloud.blobs.access import LOOPBACK

_HOST = Path(__file__).with_name("azurite_host.cjs")
_START_SECONDS, _STOP_SECONDS = 60, 30
_log = logging.getLogger(__name__)


class AzuriteError(Exception):
    """Azurite is missing or does not start; the message gives the reason and the remedy."""


class Azurite:
    """The blob emulator on a loopback port; `folder` None: in memory only."""

    def __init__(self, port: int, front_port: int, folder: Path | None) -> None:
        self._port, self._front_port, self._folder = port, front_port, folder
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self._acknowledged: asyncio.Queue[None] = asyncio.Queue()
        self._changing = asyncio.Lock()
        self.ended = asyncio.Event()

    async def start(self, accounts: Mapping[str, str], inherited: tuple[int, ...] = ()) -> None:
        """Start with `accounts` (name -> key) and wait until it listens; it inherits the descriptors `inherited`.

        Raises AzuriteError."""
        command = [_node(), str(_HOST), str(_entry()), str(self._front_port), "--blobHost", LOOPBACK]
        command += ["--blobPort", str(self._port), "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        command += ["--disableProductStyleUrl"]
        command += ["--inMemoryPersistence"] if self._folder is None else ["--location", str(self._folder)]
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal reaches the daemon only, which then stops Azurite
            pass_fds=inherited,
        )
        self._reader = asyncio.create_task(self._read(self._process))
        await self.set_accounts(accounts)
        await self._unless_ended(self._listening.wait())

    async def set_accounts(self, accounts: Mapping[str, str]) -> None:
        """Replace all accounts; requests in progress are not affected."""
        process = self._process
        if process is None or process.stdin is None:
            raise AzuriteError("Azurite: is not running, so no account can be added. Start the embedded cloud.")
        async with self._changing:
            process.stdin.write(json.dumps({"accounts": dict(accounts)}).encode() + b"\n")
            await self._unless_ended(self._acknowledged.get())

    async def stop(self) -> None:
        """Stop it and wait until its databases are written."""
        if self._process is None or self._reader is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except asyncio.TimeoutError:
            _log.error("Azurite did not stop within %d s; killing it. Its latest writes may be lost.", _STOP_SECONDS)
            self._process.kill()
        await self._reader

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        async for line in process.stdout:
            text = line.decode(errors="replace").strip()
            if text.startswith("{"):
                self._acknowledged.put_nowait(None)
                continue
            _log.info("%s", text)
            if "successfully listens" in text:
                self._listening.set()
        await process.wait()
        self.ended.set()

    async def _unless_ended(self, awaited: Coroutine[object, object, object]) -> None:
        tasks = [asyncio.ensure_future(each) for each in (awaited, self.ended.wait())]
        done, rest = await asyncio.wait(tasks, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        if tasks[0] not in done:
            raise AzuriteError(
                "Azurite: did not start, or exited; the embedded cloud has no blobs. See the log lines before this one."
            )


def _node() -> str:
    node = os.environ.get("LOCALCLOUD_NODE") or shutil.which("node")
    if node is None or not shutil.which(node):
        raise AzuriteError(
            "Node.js: not found in LOCALCLOUD_NODE or on the PATH; the blob emulator needs it. "
            "Start the cloud with `python3 dev.py cloud start`, which installs it."
        )
    return node


def _entry() -> Path:
    """Return Azurite's blob entry script: LOCALCLOUD_AZURITE, else the newest that dev.py installed."""
    if given := os.environ.get("LOCALCLOUD_AZURITE"):
        found = [Path(given)] if Path(given).is_file() else []
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "imagefactory")
        installed = cache.glob("azurite*/node_modules/azurite/dist/src/blob/main.js")
        found = sorted(installed, key=lambda path: path.stat().st_mtime)
    if not found:
        raise AzuriteError(
            f"Azurite: not found ({given or 'none is installed in the cache folder'}); there are no blobs. "
            "Start the cloud with `python3 dev.py cloud start`, which installs it."
        )
    return found[-1]
