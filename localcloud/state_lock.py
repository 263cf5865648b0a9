"""The lock of a state folder: one embedded cloud at a time.

The daemon holds the lock together with its child Azurite, which inherits the descriptor. So the lock is free only after
both have exited, even if the daemon was killed.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

from localcloud.private_files import read_private

LOCK_SECONDS = 40.0
"""How long a start waits after a killed cloud: Azurite may still be writing."""


class DaemonError(Exception):
    """The embedded cloud cannot start, run or stop; the message gives the reason and the remedy."""


def is_locked(state: Path) -> bool:
    """Return whether an embedded cloud, or the Azurite of a killed one, uses the state folder."""
    try:
        with (state / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


async def acquire(lock: int, state: Path) -> None:
    """Acquire the lock on an open descriptor. Raises DaemonError if another daemon is running."""
    deadline = asyncio.get_running_loop().time() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pid = read_private(state / "daemon.json").get("pid")
            alive = isinstance(pid, int) and _alive(pid)
            if alive or asyncio.get_running_loop().time() > deadline:
                raise DaemonError(
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
