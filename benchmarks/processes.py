"""Processor time and memory of a command and the processes below it, per kind: engine, program, provider, azure-native.

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


MIB = 1024 * 1024
MEMORY = {"VmHWM": "peak", "RssAnon": "own"}
"""Lines of /proc/<process>/status: the most resident memory so far, and what no other process shares, as it is now."""


class Processes:
    """Adds up the processor time of a running process and those below it. Use as a context."""

    def __init__(self, root: int) -> None:
        self._root, self._ended, self._last = root, Event(), dict[int, tuple[str, float]]()
        self._peaks: dict[int, tuple[str, int]] = {}
        self.together_mib = 0.0
        """The largest sum, at one time, of the memory of all processes that no other process shares."""
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

    def peaks_mib(self) -> dict[str, list[float]]:
        """Return by kind the largest resident memory of each process, in MiB, largest first. A process that ended
        between two looks had this much at the last one at least."""
        found: dict[str, list[float]] = {}
        for kind, peak in sorted(self._peaks.values(), key=lambda each: -each[1]):
            found.setdefault(kind, []).append(round(peak / MIB, 1))
        return found

    def look(self) -> None:
        """Read what the processes used until now."""
        together = 0
        for process, kind in self._below(self._root, "engine"):
            if (seconds := _seconds(process)) is not None:
                self._last[process] = (kind, seconds)
            if memory := _memory(process):
                self._peaks[process] = (kind, memory["peak"])
                together += memory["own"]
        self.together_mib = max(self.together_mib, together / MIB)

    def _watch(self) -> None:
        while not self._ended.wait(PERIOD):
            self.look()

    def _below(self, process: int, kind: str) -> Iterator[tuple[int, str]]:
        yield process, kind
        try:
            children = [child for task in Path(f"/proc/{process}/task").iterdir() for child in _children(task)]
        except OSError:
            return
        for child in children:
            known = self._last.get(child, (kind,))[0]
            yield from self._below(child, _kind(child, kind, known))


def _children(task: Path) -> list[int]:
    try:
        return [int(each) for each in (task / "children").read_text(encoding="utf-8").split()]
    except OSError:
        return []


def _kind(process: int, parent: str, known: str) -> str:
    """Return the kind of a process whose last kind was `known`: one that has ended has no command line any more."""
    try:
        line = Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8")
    except OSError:
        return known
    if not line:
        return known
    arguments = line.split("\0")
    paths = {part for argument in arguments for part in Path(argument).parts}
    return next((kind for name, kind in KINDS.items() if name in paths), parent)


def _seconds(process: int) -> float | None:
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS


def _memory(process: int) -> dict[str, int]:
    """Return the values of `MEMORY` in bytes; nothing of a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    values = (line.split(":") for line in lines)
    found = {MEMORY[name]: 1024 * int(value.split()[0]) for name, value in values if name in MEMORY}
    return found if len(found) == len(MEMORY) else {}
