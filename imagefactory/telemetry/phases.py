"""The named phases of this process, and how long each took.

A phase lasts from its first start to its last end, so concurrent parts of it count once; different phases may overlap.
`imagefactory.telemetry.traces` makes each one a span. Does not print.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import monotonic

_PREFIX = "phases: "

Spans = Callable[[str], AbstractContextManager[object]]


class Phases:
    """Phases in the order in which they started first; `spans` is entered for each part of one."""

    def __init__(self) -> None:
        self.spans: Spans = nullcontext
        self._times: dict[str, tuple[float, float]] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of the block to a phase."""
        began = monotonic()
        self._times.setdefault(name, (began, began))
        try:
            with self.spans(name):
                yield
        finally:
            self.add(name, began, monotonic())

    def add(self, name: str, began: float, ended: float) -> None:
        """Add a part of a phase; times as `monotonic` returns them."""
        first, last = self._times.get(name, (began, ended))
        self._times[name] = min(first, began), max(last, ended)

    @property
    def seconds(self) -> dict[str, float]:
        """The duration of each phase."""
        return {name: last - first for name, (first, last) in self._times.items()}

    def text(self) -> str:
        """Return all of them on one line, as `phases_in` reads it; empty if there was none."""
        return listed([f"{name} {duration(seconds)}" for name, seconds in self.seconds.items()])


def listed(phases: Sequence[str]) -> str:
    """Return phases, each with its duration, on one line; empty if there is none."""
    return f"{_PREFIX}{', '.join(phases)}" if phases else ""


def phases_in(line: str) -> list[str]:
    """Return the phases of such a line, each with its duration; empty if it is another line."""
    return line.strip().removeprefix(_PREFIX).split(", ") if line.startswith(_PREFIX) else []


def duration(seconds: float) -> str:
    """Return seconds as `0.4 s`, `42 s`, `3 min 05 s` or `2 h 10 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {left:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


PHASES = Phases()
"""Those of this process."""

phase = PHASES.phase
