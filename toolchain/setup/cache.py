"""Things installed once: made in a temporary folder beside their place, then renamed, so that what is there is whole.

Owns the lock against two runs that make the same thing, and the clearing away of what an interrupted run left.
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
    """Short hash of files' contents (paths) and texts: a key that changes when any of them does."""
    result = hashlib.sha256()
    for part in parts:
        result.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        result.update(b"\0")
    return result.hexdigest()[:16]


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold `lock` (a file that stays), waiting for another process that holds it. Freed when this process ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Waiting for another run that holds {lock.name} ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install_once(place: Path, make: Callable[[Path], None]) -> Path:
    """`place`, made by `make(folder)` if it is not there. A `make` that raises or is killed leaves nothing behind."""
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
