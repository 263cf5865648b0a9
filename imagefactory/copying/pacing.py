"""Limits the rate of requests: of all copies together, per storage account, and per blob.

Implements back-off and recovery as arithmetic over a clock. Does not send anything, and sleeps only in `admit`. After a
busy response, requests to that account continue at half the rate that it sustained; other accounts are not affected.
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
"""Default for the requests of all copies together (setting `copy.maxInFlight`)."""

BLOB_IN_FLIGHT = 16
"""Requests per blob: 64 MiB, one second at Azure's target of 60 MiB/s per page blob."""

FIRST_IN_FLIGHT = 16
"""Requests per storage account at the start; the number grows step by step instead of in one burst."""

REQUEST_COST = BRIDGE_BYTES
"""The cost of a request in addition to its bytes, in bytes: the same weight that decides whether a gap is skipped."""

MEASURED_SECONDS = 0.5
"""The period over which an account's rate is measured; earlier, slower requests must not count."""

FIRST_RATE = float(BLOB_BYTES_PER_SECOND)
"""Assumed rate of an account that was busy before anything was measured: the target of a single blob."""

RECOVERY_SECONDS = 0.5
"""The time after which a halved rate is back at the sustained rate."""

GROWTH = 0.004
"""Growth beyond a measured rate: this share of it times the cube of the seconds, so slow near the rate that failed."""

GUESS_GROWTH = 8.0
"""Growth per second beyond an assumed rate, as a factor."""

REFUSED_AGAIN = 0.85
"""Factor for the sustained rate if the account is busy again before it is back at that rate."""

FORGOTTEN_SECONDS = 60.0
"""The time without a busy response after which an account is no longer limited."""

BITS_PER_MEGABIT = 1_000_000


class Bucket:
    """Spaces out costs so that their sum follows a rate (bytes per second, None: unlimited), with no burst."""

    def __init__(self) -> None:
        self._next = 0.0

    def delay(self, now: float, cost: float, rate: float | None) -> float:
        """Return the seconds to wait from `now` until a request that costs `cost` bytes may be sent."""
        if rate is None:
            return 0.0
        start = max(now, self._next)
        self._next = start + cost / rate
        return start - now


@dataclass
class Account:
    """The observed behavior of one storage account, at first without a limit. Times in seconds, rates in bytes."""

    bucket: Bucket = field(default_factory=Bucket)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the request that is sent next; the others queue behind it, because the rate may change meanwhile."""
    sustained: float | None = None
    """The rate at the last halving; None: the account was never busy."""
    measured: bool = False
    """Whether that rate was measured, not assumed."""
    halved_at: float = 0.0
    closed_until: float = 0.0
    """The end of its Retry-After: nothing is sent before."""
    done: deque[tuple[float, float]] = field(default_factory=deque)
    """When each recent request succeeded, and its cost."""
    window: float = FIRST_IN_FLIGHT
    """Requests that may be in flight until the account is busy for the first time; each success allows one more."""
    in_flight: int = 0
    room: asyncio.Event = field(default_factory=asyncio.Event)

    def rate(self, now: float) -> float | None:
        """Return the bytes per second to send at `now`; None: no limit."""
        if self.sustained is None or now - self.halved_at > FORGOTTEN_SECONDS:
            return None
        since = max(0.0, now - max(self.halved_at, self.closed_until)) - RECOVERY_SECONDS
        if since < 0:
            return self.sustained * (1.0 + 0.5 * since / RECOVERY_SECONDS)
        return self.sustained * (1.0 + GROWTH * since**3 if self.measured else GUESS_GROWTH**since)

    def ended(self, now: float, cost: float) -> None:
        """Note a request that succeeded."""
        self.window += 1.0
        self.done.append((now, cost))
        while self.done[0][0] < now - MEASURED_SECONDS:
            self.done.popleft()

    def busy(self, now: float, sent_at: float, retry_after: float | None) -> None:
        """Note a busy response: halve the rate, once for all requests that were in flight at the time."""
        self.closed_until = max(self.closed_until, now + (retry_after or 0.0))
        if self.sustained is not None and sent_at < self.halved_at:
            return
        self.window = inf  # from now on the rate limits it
        recent = [(at, cost) for at, cost in self.done if at >= now - MEASURED_SECONDS]
        span = now - recent[0][0] if len(recent) > 1 else 0.0
        found = sum(cost for _, cost in recent[1:]) / span if span >= MEASURED_SECONDS / 4 else None
        if self.sustained is None:
            self.sustained, self.measured = found or FIRST_RATE, found is not None
        elif found is not None and now - self.halved_at > RECOVERY_SECONDS + MEASURED_SECONDS:
            self.sustained, self.measured = found, True
        else:
            # What was measured since is the rate that was sent, not the rate that the account sustains.
            self.sustained = max(found or 0.0, self.sustained * REFUSED_AGAIN)
        self.halved_at = now


@dataclass
class Window:
    """The number of requests to one blob that may be in flight."""

    size: float = BLOB_IN_FLIGHT
    narrowed_at: float = 0.0

    def ended(self) -> None:
        """Allow one more for each window of successes."""
        self.size = min(BLOB_IN_FLIGHT, self.size + 1 / self.size)

    def busy(self, now: float, sent_at: float) -> None:
        """Halve the window, once for all requests that were in flight at the time."""
        if sent_at >= self.narrowed_at:
            self.size, self.narrowed_at = max(1.0, self.size / 2), now


@dataclass(slots=True)
class Ticket:
    """A request that was admitted: its account, when it was sent, its cost, and whether it is still in flight."""

    account: Account
    sent_at: float
    cost: float
    in_flight: bool = True


class Pacer:
    """The only pacer of a process. `megabits_per_second` limits all copies together (None: no limit)."""

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
        """Wait until a request that writes `length` bytes may be sent. It is in flight until `left`."""
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
            # Last, so that requests that wait for a busy account occupy no slot.
            await self._slots.acquire()
        except asyncio.CancelledError:
            self._leave(account)
            raise
        return Ticket(account, self._clock(), cost)

    def left(self, ticket: Ticket) -> None:
        """Note that a request is no longer in flight; a second call has no effect."""
        if ticket.in_flight:
            ticket.in_flight = False
            self._slots.release()
            self._leave(ticket.account)

    def succeeded(self, ticket: Ticket, window: Window) -> None:
        """Note a request that succeeded."""
        ticket.account.ended(self._clock(), ticket.cost)
        window.ended()

    def refused(self, ticket: Ticket, window: Window, retry_after: float | None) -> None:
        """Note a request that failed because the service is busy."""
        now = self._clock()
        ticket.account.busy(now, ticket.sent_at, retry_after)
        window.busy(now, ticket.sent_at)

    @staticmethod
    def _leave(account: Account) -> None:
        account.in_flight -= 1
        account.room.set()

    def _account(self, account_id: str) -> Account:
        return self._accounts.setdefault(account_id.lower(), Account())
