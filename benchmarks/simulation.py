"""How long copies at scale take, in simulated time, for any order of the copies and choice of their sources.

Simulates what a first `pulumi up` does. The engine has a fixed number of places (`--parallel`) and serves operations in
the order in which they became ready: the program declares all copies first, in the order of `Strategy`, and an image
only after its copy, so every copy starts before the first image. A copy that waits for its relay holds its place.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal, NamedTuple

from benchmarks.simulated_limits import Limits
from benchmarks.simulated_network import Capacity, Network

FACTORY = -1
"""The number of the factory's storage account; labs count from 0."""


class Task(NamedTuple):
    """One VHD of `size` bytes, to be copied to one lab."""

    lab: int
    image: int
    size: float


@dataclass(frozen=True)
class World:
    """Labs, each with an account of its own, their regions, and the sizes of the images that all of them get, in bytes.

    Lab `n` is in region `n % regions`; the factory is in region 0.
    """

    labs: int
    regions: int
    sizes: tuple[float, ...]
    image_seconds: float = 0.0
    """The time in which Azure makes a custom image of a staged VHD."""

    def region(self, account: int) -> int:
        """Return the region of an account."""
        return 0 if account == FACTORY else account % self.regions

    def tasks(self) -> list[Task]:
        """Return all copies, lab by lab."""
        return [Task(lab, image, size) for lab in range(self.labs) for image, size in enumerate(self.sizes)]

    @property
    def total(self) -> float:
        """Bytes of all copies."""
        return self.labs * sum(self.sizes)


Sources = Literal["factory", "relay", "spread", "anywhere"]
"""Where copies read: the factory; one relay per image and region; the least read whole VHD of the region, whose first
copy comes from the factory, or from the least read one anywhere."""


@dataclass(frozen=True)
class Strategy:
    """A way to make the copies."""

    name: str
    sources: Sources
    places: int
    readers: int = 0
    """Copies that read one VHD at a time, with `spread`; 0: any number."""
    order: Literal["lab", "image", "longest", "longest of lab", "product"] = "lab"
    """Lab by lab, image by image, the largest first, of all or of each lab, or as the product (`copy_order`)."""
    poll_seconds: float = 0.0
    """As the older scripts: the next copies start when a poll finds all copies finished; 0: as soon as one ended."""
    whole_bytes: float = 0.0
    """The bytes of each copy, if not those that are allocated."""
    bytes_factor: float = 1.0
    """What is moved, of those that are allocated."""


@dataclass(frozen=True)
class Outcome:
    """What a simulation found. Times in seconds, sizes in bytes."""

    copied: float
    done: float
    crossed: float
    busiest: tuple[tuple[str, float], ...]
    """Kinds of limits, and the highest share of one of that kind that was used over the time of the copies."""
    moved: float


def lower_bound(world: World, limits: Limits) -> float:
    """Return the seconds that the limits alone require until every lab has a complete copy of every image.

    Whatever the order and the sources: a VHD is not read before it is complete, so complete copies of an image at most
    double in the time of one copy. Up to any moment, an image moves no more than its complete VHDs give and its copies
    need; after it, all images together move no more than the agent does.
    """
    images = sum(world.sizes)
    crosses = limits.region_pair and len({world.region(lab) for lab in [FACTORY, *range(world.labs)]}) > 1
    return max(
        images / limits.ingress_rate,
        images / limits.egress_rate,
        images / ((world.regions - 1) * limits.region_pair) if crosses and limits.region_pair else 0.0,
        world.total / ((world.labs + 1) * limits.egress_rate),
        _doubling(world, limits),
    )


def _doubling(world: World, limits: Limits) -> float:
    doublings = math.ceil(math.log2(world.labs + 1))
    lasting = [size / limits.blob_rate for size in world.sizes]

    def moved(each: float, now: float) -> float:
        done = min(math.floor(now / each + 1e-9), doublings)
        return limits.blob_rate * each * min(world.labs, 2.0**done * (1 + max(0.0, now / each - done)) - 1)

    # The latest end is at a doubling: only there does the rate of an image rise.
    moments = [each * done for each in lasting for done in range(doublings)]
    ends = [now + (world.total - sum(moved(each, now) for each in lasting)) / limits.agent_rate for now in moments]
    return max(*ends, max(lasting) * doublings)


@dataclass
class _Run:
    world: World
    limits: Limits
    strategy: Strategy
    ready: deque[tuple[str, Task]] = field(default_factory=deque)
    waiting: deque[Task] = field(default_factory=deque)
    """Copies that have a place and wait for a source."""
    running: dict[int, tuple[Task, int]] = field(default_factory=dict)
    """Copies in progress, with the account that each reads."""
    held: defaultdict[tuple[int, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    """Accounts with the whole VHD, by image and region."""
    coming: defaultdict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    """Copies from the factory in progress, by image and region."""
    readers: defaultdict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    """Copies in progress by the VHD that they read: account and image."""
    timers: list[tuple[float, int, Task]] = field(default_factory=list)
    used: int = 0
    keys: int = 0
    crossed: float = 0.0

    def run(self) -> Outcome:
        """Simulate all of it."""
        tasks = self.world.tasks()
        by: dict[str, Callable[[Task], tuple[float, ...]]] = {
            "image": lambda task: (task.image,),
            "longest": lambda task: (-task.size,),
            "product": lambda task: (task.lab * task.size,),
        }
        by["longest of lab"] = lambda task: (task.lab, -task.size)
        if self.strategy.order in by:
            tasks.sort(key=by[self.strategy.order])
        self.ready.extend(("copy", task) for task in tasks)
        for image in range(len(self.world.sizes)):
            self.held[image, 0].append(FACTORY)
        network = Network(_Capacities(self.world, self.limits))
        copied = 0.0
        self._fill(network)
        while self.running or self.timers:
            end = network.next_end()
            due = self.timers[0][0] if self.timers else math.inf
            for key in network.advance(min(math.inf if end is None else end, due)):
                copied = network.now
                self._copied(key, network.now)
            while self.timers and self.timers[0][0] <= network.now:
                heappop(self.timers)
                self.used -= 1
            if (poll := self.strategy.poll_seconds) and not self.running:
                network.now = math.ceil(network.now / poll - 1e-9) * poll
            if not self.strategy.poll_seconds or not self.running:
                self._fill(network)
        return Outcome(copied, network.now, self.crossed, _busiest(network, copied), network.moved["agent",])

    def _fill(self, network: Network) -> None:
        """Give free places to what is ready, and sources to copies that wait for one."""
        for _ in range(len(self.waiting)):
            self._begin(self.waiting.popleft(), network)
        while self.ready and self.used < self.strategy.places:
            kind, task = self.ready.popleft()
            self.used += 1
            if kind == "copy":
                self._begin(task, network)
            else:
                self.keys += 1
                heappush(self.timers, (network.now + self.world.image_seconds, self.keys, task))

    def _begin(self, task: Task, network: Network) -> None:
        source = self._source(task)
        if source is None:
            self.waiting.append(task)
            return
        region, image = self.world.region(task.lab), task.image
        size = (self.strategy.whole_bytes or task.size) * self.strategy.bytes_factor
        uses: list[Capacity] = [
            ("agent",),
            ("write blob", task.lab, image),
            ("read blob", source, image),
            ("ingress", task.lab),
            ("egress", source),
        ]
        if (origin := self.world.region(source)) != region:
            uses.append(("region pair", origin, region))
            self.crossed += size
        if not self.held[image, region]:
            self.coming[image, region] += 1
        self.readers[source, image] += 1
        self.keys += 1
        self.running[self.keys] = (task, source)
        network.start(self.keys, size, uses)

    def _source(self, task: Task) -> int | None:
        """Return the account to read; None: a copy into the region is in progress and will be the source."""
        place = (task.image, self.world.region(task.lab))
        if self.strategy.sources == "factory" or (self.strategy.sources == "relay" and place[1] == 0):
            return FACTORY
        held = self.held[place]
        if not held and self.coming[place]:
            return None
        if not held and self.strategy.sources == "anywhere":
            held = [account for region in range(self.world.regions) for account in self.held[task.image, region]]
        elif not held:
            return FACTORY
        if self.strategy.sources == "relay":
            return held[0]
        source = min(held, key=lambda account: self.readers[account, task.image])
        full = 0 < self.strategy.readers <= self.readers[source, task.image]
        return None if full else source

    def _copied(self, key: int, now: float) -> None:
        task, source = self.running.pop(key)
        place = (task.image, self.world.region(task.lab))
        self.readers[source, task.image] -= 1
        self.coming[place] -= 1 if self.coming[place] else 0
        self.held[place].append(task.lab)
        self.used -= 1
        if self.world.image_seconds:
            self.ready.append(("image", task))


class _Capacities(dict[Capacity, float]):
    """The rate of each capacity, by its name."""

    def __init__(self, world: World, limits: Limits) -> None:
        super().__init__()
        self.rates = {
            "agent": limits.agent_rate,
            "write blob": limits.blob_rate,
            "read blob": limits.blob_rate,
            "ingress": limits.ingress_rate,
            "egress": limits.egress_rate,
            "region pair": limits.region_pair or math.inf,
        }

    def __missing__(self, name: Capacity) -> float:
        return self.rates[str(name[0])]


def _busiest(network: Network, seconds: float) -> tuple[tuple[str, float], ...]:
    shares: dict[str, float] = {}
    for name, moved in network.moved.items():
        kind = str(name[0])
        share = moved / (network.limits[name] * seconds) if seconds else 0.0
        shares[kind] = max(shares.get(kind, 0.0), share)
    return tuple(sorted(shares.items(), key=lambda each: -each[1]))


def simulate(world: World, limits: Limits, strategy: Strategy) -> Outcome:
    """Return how long all copies, and the images made of them, take."""
    return _Run(world, limits, strategy).run()
