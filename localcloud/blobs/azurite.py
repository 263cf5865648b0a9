"""Azurite as a child process.

Owns its start, its accounts and its end. It dies with this process, however that ends: it stops when its standard input
does. Refuses: installing it (dev.py does that).
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
    """Azurite cannot be had or does not start; the text says why and what to do."""


class Azurite:
    """The blob emulator on a loopback port; `folder` None keeps everything in memory."""

    def __init__(self, port: int, front_port: int, folder: Path | None) -> None:
        self._port, self._front_port, self._folder = port, front_port, folder
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self._acknowledged: asyncio.Queue[None] = asyncio.Queue()
        self._changing = asyncio.Lock()
        self.ended = asyncio.Event()

    async def start(self, accounts: Mapping[str, str], inherited: tuple[int, ...] = ()) -> None:
        """Start with `accounts` (name -> key) and wait until it listens; it keeps the `inherited` descriptors open.

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
            start_new_session=True,  # a Ctrl-C in the terminal is for the daemon, which then ends Azurite in order
            pass_fds=inherited,
        )
        self._reader = asyncio.create_task(self._read(self._process))
        await self.set_accounts(accounts)
        await self._before_end(self._listening.wait())

    async def set_accounts(self, accounts: Mapping[str, str]) -> None:
        """Put `accounts` in the place of all accounts; at once, and no request notices."""
        process = self._process
        if process is None or process.stdin is None:
            raise AzuriteError("Azurite: it does not run, so no account can be added. Start the embedded cloud.")
        async with self._changing:
            process.stdin.write(json.dumps({"accounts": dict(accounts)}).encode() + b"\n")
            await self._before_end(self._acknowledged.get())

    async def stop(self) -> None:
        """End it and wait until its databases are written."""
        if self._process is None or self._reader is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except asyncio.TimeoutError:
            _log.error("Azurite did not end within %d s and is killed; its last seconds may be lost.", _STOP_SECONDS)
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

    async def _before_end(self, awaited: Coroutine[object, object, object]) -> None:
        tasks = [asyncio.ensure_future(each) for each in (awaited, self.ended.wait())]
        done, rest = await asyncio.wait(tasks, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        if tasks[0] not in done:
            raise AzuriteError(
                "Azurite: it did not start, or ended; the embedded cloud has no blobs. The lines before this say why."
            )


def _node() -> str:
    node = os.environ.get("LOCALCLOUD_NODE") or shutil.which("node")
    if node is None or not shutil.which(node):
        raise AzuriteError(
            "Node.js: not found in LOCALCLOUD_NODE or on the PATH, and the blob emulator needs it. "
            "Start the cloud with `python3 dev.py cloud start`, which brings it."
        )
    return node


def _entry() -> Path:
    """Azurite's blob entry script: what LOCALCLOUD_AZURITE names, else the newest that dev.py installed."""
    if given := os.environ.get("LOCALCLOUD_AZURITE"):
        found = [Path(given)] if Path(given).is_file() else []
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "imagefactory")
        installed = cache.glob("azurite*/node_modules/azurite/dist/src/blob/main.js")
        found = sorted(installed, key=lambda path: path.stat().st_mtime)
    if not found:
        raise AzuriteError(
            f"Azurite: not found ({given or 'nothing is installed in the cache folder'}), so there are no blobs. "
            "Start the cloud with `python3 dev.py cloud start`, which installs it."
        )
    return found[-1]
