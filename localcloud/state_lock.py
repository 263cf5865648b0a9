"""The lock of a state folder: one embedded cloud at a time.

Owns who may use the folder. The lock belongs to the daemon and to Azurite, its child, so it is free only when both have
ended, also after the daemon was killed.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

from localcloud.private_files import read_private

LOCK_SECONDS = 40.0
"""How long a start waits for what is left of a killed cloud: Azurite may still be writing."""


class CloudFault(Exception):
    """The embedded cloud cannot start, run on or stop; the text says why and what to do."""


def is_locked(state: Path) -> bool:
    """Whether an embedded cloud, or what is left of one, uses the state folder."""
    try:
        with (state / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


async def acquire(lock: int, state: Path) -> None:
    """Take the lock on an open descriptor. Raises CloudFault while another daemon lives."""
    deadline = asyncio.get_running_loop().time() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pid = read_private(state / "daemon.json").get("pid")
            alive = isinstance(pid, int) and _alive(pid)
            if alive or asyncio.get_running_loop().time() > deadline:
                raise CloudFault(
                    f"{state}: another embedded cloud uses this state folder (process {pid}); this one does not start. "
                    "Stop it: python3 dev.py cloud stop"
                ) from None
        await asyncio.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
