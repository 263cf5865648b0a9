"""How fast requests go out: what all copies share, what one storage account bears, what one blob bears.

Owns the rules of back-off and recovery as arithmetic over a clock; it sends nothing and sleeps nowhere but in `admit`.
An account that says it is busy is asked at half the rate that it bore; other accounts notice nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from time import monotonic

from imagefactory.images.ranges import BLOB_BYTES_PER_SECOND, BRIDGE_BYTES

REQUESTS_IN_FLIGHT = 512
"""Requests of all copies together, unless the settings say otherwise (`copy.maxInFlight`)."""

BLOB_IN_FLIGHT = 16
"""Requests for one blob: 64 MiB, a second's worth at Azure's target of 60 MiB/s for one page blob."""

FIRST_IN_FLIGHT = 16
"""Requests for one storage account at first; how many it bears is found out by degrees, not by one burst."""

REQUEST_COST = BRIDGE_BYTES
"""What a request costs beside its bytes, in bytes: the same weight by which a gap is bridged or skipped."""

MEASURED_SECONDS = 0.5
"""How far back an account's rate is measured; what it bore while it was asked for less must not count."""

FIRST_RATE = float(BLOB_BYTES_PER_SECOND)
"""What an account is taken to bear that was busy before anything was measured: the target of a single blob."""

RECOVERY_SECONDS = 0.5
"""After a halving, an account is back at the rate that it bore after this time."""

GROWTH = 0.004
"""How it goes on from there: by this share of that rate times the cube of the seconds, slowly where it was refused."""

GUESS_GROWTH = 8.0
"""How it goes on, by second, where that rate was not measured but guessed."""

REFUSED_AGAIN = 0.85
"""What is left of the rate that an account is taken to bear, when it is busy again before it is back at that rate."""

FORGOTTEN_SECONDS = 60.0
"""An account that was not busy for so long is not paced any more."""

BITS_PER_MEGABIT = 1_000_000


class Bucket:
    """Spaces out costs so that their sum follows a rate (bytes per second, None: unlimited), with no burst."""

    def __init__(self) -> None:
        self._next = 0.0

    def delay(self, now: float, cost: float, rate: float | None) -> float:
        """Seconds to wait from `now` until something of `cost` bytes may go."""
        if rate is None:
            return 0.0
        start = max(now, self._next)
        self._next = start + cost / rate
        return start - now


@dataclass
class Account:
    """One storage account as it behaves: at first without a limit. Times in seconds of one clock, rates in bytes."""

    bucket: Bucket = field(default_factory=Bucket)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by who waits next; the others wait for him, for the rate may change meanwhile."""
    borne: float | None = None
    """The rate at the last halving; None: it was never busy."""
    measured: bool = False
    """Whether that rate is a measured one."""
    halved_at: float = 0.0
    closed_until: float = 0.0
    """Its Retry-After: nothing is sent before."""
    done: deque[tuple[float, float]] = field(default_factory=deque)
    """When something ended, and its cost."""
    window: float = FIRST_IN_FLIGHT
    """How many requests may be in flight to it until it is busy for the first time; each success allows one more."""
    in_flight: int = 0
    room: asyncio.Event = field(default_factory=asyncio.Event)

    def rate(self, now: float) -> float | None:
        """What it is asked for per second at `now`; None: as much as goes."""
        if self.borne is None or now - self.halved_at > FORGOTTEN_SECONDS:
            return None
        since = max(0.0, now - max(self.halved_at, self.closed_until)) - RECOVERY_SECONDS
        if since < 0:
            return self.borne * (1.0 + 0.5 * since / RECOVERY_SECONDS)
        return self.borne * (1.0 + GROWTH * since**3 if self.measured else GUESS_GROWTH**since)

    def ended(self, now: float, cost: float) -> None:
        """Note a request that succeeded."""
        self.window += 1.0
        self.done.append((now, cost))
        while self.done[0][0] < now - MEASURED_SECONDS:
            self.done.popleft()

    def busy(self, now: float, sent_at: float, retry_after: float | None) -> None:
        """Note a refusal: half the rate, once for all requests that were under way at the time."""
        self.closed_until = max(self.closed_until, now + (retry_after or 0.0))
        if self.borne is not None and sent_at < self.halved_at:
            return
        self.window = inf  # from now on the rate holds it back
        recent = [(at, cost) for at, cost in self.done if at >= now - MEASURED_SECONDS]
        span = now - recent[0][0] if len(recent) > 1 else 0.0
        found = sum(cost for _, cost in recent[1:]) / span if span >= MEASURED_SECONDS / 4 else None
        if self.borne is None:
            self.borne, self.measured = found or FIRST_RATE, found is not None
        elif found is not None and now - self.halved_at > RECOVERY_SECONDS + MEASURED_SECONDS:
            self.borne, self.measured = found, True
        else:
            # What was measured since is what it was asked for, not what it bears.
            self.borne = max(found or 0.0, self.borne * REFUSED_AGAIN)
        self.halved_at = now


@dataclass
class Window:
    """How many requests of one blob may be in flight."""

    size: float = BLOB_IN_FLIGHT
    narrowed_at: float = 0.0

    def ended(self) -> None:
        """One more for each window of successes."""
        self.size = min(BLOB_IN_FLIGHT, self.size + 1 / self.size)

    def busy(self, now: float, sent_at: float) -> None:
        """Half as many, once for all requests that were under way at the time."""
        if sent_at >= self.narrowed_at:
            self.size, self.narrowed_at = max(1.0, self.size / 2), now


@dataclass(slots=True)
class Ticket:
    """A request that may go: to whom, when it went, what it costs, and whether it is in flight still."""

    account: Account
    sent_at: float
    cost: float
    in_flight: bool = True


class Pacer:
    """The one pacer of a process. `megabits_per_second` caps all copies together (None: not at all)."""

    def __init__(
        self,
        in_flight: int | None = None,
        megabits_per_second: int | None = None,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.in_flight = in_flight or REQUESTS_IN_FLIGHT
        self._slots = asyncio.Semaphore(self.in_flight)
        self._cap = None if megabits_per_second is None else megabits_per_second * BITS_PER_MEGABIT / 8
        self._bucket = Bucket()
        self._accounts: dict[str, Account] = {}
        self._clock, self._sleep = clock, sleep

    async def admit(self, account_id: str, length: int) -> Ticket:
        """Wait until a request that writes `length` bytes may go. It is in flight until `left`."""
        account, cost = self._account(account_id), length + REQUEST_COST
        async with account.turn:
            while (closed := account.closed_until - self._clock()) > 0:
                await self._sleep(closed)
            now = self._clock()
            delay = max(self._bucket.delay(now, length, self._cap), account.bucket.delay(now, cost, account.rate(now)))
            if delay > 0:
                await self._sleep(delay)
            while account.in_flight >= account.window:
                account.room.clear()
                await account.room.wait()
            account.in_flight += 1
        try:
            # Last, so that what waits for a busy account takes no place from others.
            await self._slots.acquire()
        except asyncio.CancelledError:
            self._leave(account)
            raise
        return Ticket(account, self._clock(), cost)

    def left(self, ticket: Ticket) -> None:
        """A request is no longer in flight; may be said twice."""
        if ticket.in_flight:
            ticket.in_flight = False
            self._slots.release()
            self._leave(ticket.account)

    def succeeded(self, ticket: Ticket, window: Window) -> None:
        """A request ended well."""
        ticket.account.ended(self._clock(), ticket.cost)
        window.ended()

    def refused(self, ticket: Ticket, window: Window, retry_after: float | None) -> None:
        """The service said that it is busy."""
        now = self._clock()
        ticket.account.busy(now, ticket.sent_at, retry_after)
        window.busy(now, ticket.sent_at)

    @staticmethod
    def _leave(account: Account) -> None:
        account.in_flight -= 1
        account.room.set()

    def _account(self, account_id: str) -> Account:
        return self._accounts.setdefault(account_id.lower(), Account())
