"""The chains of images as this process sees them: a span for each, with a span and a phase for each of its parts.

A chain begins with the copy of its VHD and ends with the release of the staged VHD; what lies between is the creation
of the custom image, which azure-native does. Resources of one chain have the same name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, time_ns

from imagefactory.telemetry.phases import Phases
from imagefactory.telemetry.traces import Span, Telemetry, reason

COPY, CREATE, RELEASE = "copy", "create images", "release"


@dataclass
class _Chain:
    span: Span
    copied: tuple[float, int] | None = None
    """When the copy ended, by both clocks."""


class Chains:
    """The chains of one run."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self.phases = Phases()
        self._open: dict[str, _Chain] = {}

    @contextmanager
    def part(self, part: str, name: str) -> Iterator[None]:
        """Make the block a part of the chain `name`; all but a copy end the chain. Without a part it is of none."""
        if not part:
            yield
            return
        chain = self._open.get(name) or _Chain(self.telemetry.begin(f"chain {name}"))
        self._open[name] = chain
        if part == RELEASE and chain.copied:
            self._created(chain, *chain.copied)
        began, span = monotonic(), self.telemetry.begin(part, chain.span)
        try:
            with span.entered():
                yield
        except BaseException as problem:
            why = reason(problem)
            span.end(why)
            self._end(name, why)
            raise
        else:
            span.end()
            chain.copied = monotonic(), time_ns()
            if part != COPY:
                self._end(name)
        finally:
            self.phases.add(part, began, monotonic())

    def close(self) -> None:
        """End the chains whose staged VHD was not released in this run: their image was not created."""
        for name in list(self._open):
            self._end(name, "the custom image was not created in this run")

    def _created(self, chain: _Chain, since: float, at: int) -> None:
        self.phases.add(CREATE, since, monotonic())
        self.telemetry.begin("create image", chain.span, at).end()

    def _end(self, name: str, problem: str = "") -> None:
        if chain := self._open.pop(name, None):
            chain.span.end(problem)
