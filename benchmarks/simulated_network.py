"""Flows that share capacities, in simulated time: max-min fair rates, and the next moment at which one of them ends.

Pure arithmetic over a clock of its own: nothing waits and nothing is sent. A flow uses as much of each of its
capacities as it moves. Capacities are shared as if every service served all requests in turn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Capacity = tuple[Hashable, ...]
"""The name of what limits flows, such as the ingress of an account."""

LEAST_SHARE = 1e-9
"""The part of a capacity or a flow that counts as nothing left, because of rounding."""


def fair_rates(uses: Sequence[Sequence[Capacity]], limits: Mapping[Capacity, float]) -> list[float]:
    """Return the max-min fair rate of each flow; `uses` has the capacities of each, `limits` the rate of each capacity.

    The rates of all flows grow alike until a capacity is used up; then the flows that use it keep theirs.
    """
    rates = [0.0] * len(uses)
    left = {name: limits[name] for use in uses for name in use}
    growing: defaultdict[Capacity, set[int]] = defaultdict(set)
    for flow, use in enumerate(uses):
        for name in use:
            growing[name].add(flow)
    level = 0.0
    while growing:
        step = min(left[name] / len(flows) for name, flows in growing.items())
        level += step
        full = []
        for name, flows in growing.items():
            left[name] -= step * len(flows)
            if left[name] <= limits[name] * LEAST_SHARE:
                full.append(name)
        for flow in {flow for name in full for flow in growing[name]}:
            rates[flow] = level
            for name in uses[flow]:
                growing[name].discard(flow)
        for name in [name for name, flows in growing.items() if not flows]:
            del growing[name]
    return rates


@dataclass
class _Flow:
    uses: tuple[Capacity, ...]
    total: float
    left: float
    rate: float = 0.0


@dataclass
class Network:
    """Flows in progress, and what each capacity has moved. Times in seconds, sizes in bytes."""

    limits: Mapping[Capacity, float]
    now: float = 0.0
    moved: defaultdict[Capacity, float] = field(default_factory=lambda: defaultdict(float))
    _flows: dict[int, _Flow] = field(default_factory=dict)
    _changed: bool = False

    def start(self, key: int, size: float, uses: Iterable[Capacity]) -> None:
        """Start to move `size` bytes."""
        self._flows[key] = _Flow(tuple(uses), size, size)
        self._changed = True

    def next_end(self) -> float | None:
        """Return the time at which the next flow ends; None: none is in progress."""
        if self._changed:
            flows = list(self._flows.values())
            for flow, rate in zip(flows, fair_rates([flow.uses for flow in flows], self.limits), strict=True):
                flow.rate = rate
            self._changed = False
        return min((self.now + flow.left / flow.rate for flow in self._flows.values()), default=None)

    def advance(self, until: float) -> list[int]:
        """Move the clock, at most to `next_end`; return the flows that ended, in the order of their start."""
        passed, self.now = until - self.now, until
        ended = []
        for key, flow in self._flows.items():
            step = min(flow.left, flow.rate * passed)
            flow.left -= step
            for name in flow.uses:
                self.moved[name] += step
            if flow.left <= flow.total * LEAST_SHARE:
                ended.append(key)
        for key in ended:
            del self._flows[key]
        self._changed = self._changed or bool(ended)
        return ended
