"""Processor time of a command and the processes below it, per kind: engine, program, provider and azure-native.

Reads /proc (Linux). A process is of the kind of its command line, otherwise of its parent's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

PERIOD = 0.2
"""Seconds between two looks; what a process does after the last one is the engine's, whose total is exact."""
KINDS = {
    "program.py": "program",
    "vhdcopy": "provider",
    "idle": "provider",
    "--plugin-version": "azure-native",
}
"""Kind by a part of a path (or an option) that the command line has; the first that it has decides."""
TICKS = os.sysconf("SC_CLK_TCK")


class Processes:
    """Adds up the processor time of a running process and those below it. Use as a context."""

    def __init__(self, root: int) -> None:
        self._root, self._ended, self._last = root, Event(), dict[int, tuple[str, float]]()
        self._thread = Thread(target=self._watch)

    def __enter__(self) -> Processes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def by_kind(self, total: float) -> dict[str, float]:
        """Return seconds by kind; those of the engine are what of `total` is no other's."""
        found: dict[str, float] = {}
        for kind, seconds in self._last.values():
            found[kind] = found.get(kind, 0.0) + seconds
        return {**found, "engine": total - sum(found.values()) + found.get("engine", 0.0)}

    def _watch(self) -> None:
        while not self._ended.wait(PERIOD):
            for process, kind in self._below(self._root, "engine"):
                if (seconds := _seconds(process)) is not None:
                    # A process that has ended has no command line anymore, until its parent notices.
                    first, _ = self._last.get(process, (kind, 0.0))
                    self._last[process] = (kind if first == "engine" else first, seconds)

    def _below(self, process: int, kind: str) -> Iterator[tuple[int, str]]:
        yield process, kind
        try:
            children = [child for task in Path(f"/proc/{process}/task").iterdir() for child in _children(task)]
        except OSError:
            return
        for child in children:
            yield from self._below(child, _kind(child, kind))


def _children(task: Path) -> list[int]:
    try:
        return [int(each) for each in (task / "children").read_text(encoding="utf-8").split()]
    except OSError:
        return []


def _kind(process: int, parent: str) -> str:
    try:
        arguments = Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8").split("\0")
    except OSError:
        return parent
    paths = {part for argument in arguments for part in Path(argument).parts}
    return next((kind for name, kind in KINDS.items() if name in paths), parent)


def _seconds(process: int) -> float | None:
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS
