"""Folders that are installed once: filled under a temporary name, then renamed, so that an existing one is complete.

A lock keeps two runs from installing the same folder. The next run removes what an interrupted run left.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from toolchain.progress import say


def digest(*parts: Path | str) -> str:
    """Return a short hash of strings and of the contents of files: a key that changes if any of them does."""
    result = hashlib.sha256()
    for part in parts:
        result.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        result.update(b"\0")
    return result.hexdigest()[:16]


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold the lock on the file `lock`, after any process that holds it. The kernel frees it when this one exits."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Waiting for another run that holds the lock {lock} ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install_once(place: Path, make: Callable[[Path], None]) -> Path:
    """Return the folder `place`; if it does not exist, fill it by `make(folder)`, completely or not at all."""
    if place.is_dir():
        return place
    with exclusive(place.with_name(place.name + ".lock")):
        if not place.is_dir():
            unfinished = place.with_name(place.name + ".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            try:
                make(unfinished)
                unfinished.rename(place)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    return place
