"""Pacing as arithmetic: a simulated storage account with a limit, and the pacer with its own clock."""

from __future__ import annotations

import asyncio
import selectors
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagefactory.copying.pacing import Account, Bucket, Pacer, Ticket, Window
from imagefactory.images.ranges import PIECE_BYTES

MIB = 1024 * 1024


class VirtualTime(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._now


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualTime) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop._now += timeout or 0.0
        return super().select(0)


@dataclass
class Service:
    """A storage account that sustains `limit` bytes per second; busy if a request would queue over `queue` seconds."""

    limit: float
    queue: float
    free_at: float = 0.0
    served: float = 0.0

    async def write(self, length: int) -> bool:
        """Return whether it was written; False: busy."""
        now = asyncio.get_running_loop().time()
        start = max(now, self.free_at)
        if start - now > self.queue:
            await asyncio.sleep(0.01)
            return False
        self.free_at = start + length / self.limit
        await asyncio.sleep(self.free_at - now + 0.02)
        self.served += length
        return True


async def copy_without_end(service: Service, pacer: Pacer) -> None:
    """Copy one blob, like a transfer."""
    window, running = Window(), set[asyncio.Task[None]]()

    async def move(ticket: Ticket) -> None:
        while not await service.write(PIECE_BYTES):
            pacer.refused(ticket, window, None)
            pacer.left(ticket)
            await asyncio.sleep(0.15)
            ticket = await pacer.admit("account", PIECE_BYTES)
        pacer.succeeded(ticket, window)
        pacer.left(ticket)

    while True:
        while len(running) >= int(window.size):
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        running.add(asyncio.ensure_future(move(await pacer.admit("account", PIECE_BYTES))))


@pytest.mark.parametrize("blobs", [1, 20, 200])
@pytest.mark.parametrize("queue", [0.25, 0.5, 2.0])
@pytest.mark.parametrize("limit", [60 * MIB, 300 * MIB, 2000 * MIB])
def test_an_account_with_a_limit_is_used_to_nine_tenths_of_it(limit: float, queue: float, blobs: int) -> None:
    """Half the rate after a busy response, back within a second, then slow growth: little of the limit is lost."""
    seconds, service, loop = 10.0, Service(limit, queue), VirtualTime()

    async def story() -> None:
        pacer = Pacer(clock=loop.time)
        copies = [asyncio.ensure_future(copy_without_end(service, pacer)) for _ in range(blobs)]
        await asyncio.sleep(seconds)
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)

    loop.run_until_complete(story())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert service.served / (limit * seconds) > 0.9, service


def test_a_busy_response_halves_the_rate_once_for_all_requests_in_flight() -> None:
    """Sixteen busy responses of one moment count once."""
    account = Account()
    for tick in range(20):
        account.ended(9.0 + tick / 20, 10 * MIB)
    account.busy(10.0, 9.5, None)
    once = account.rate(10.0)
    for _ in range(15):
        account.busy(10.0, 9.5, None)
    assert account.rate(10.0) == once
    assert once is not None and 80 * MIB < once < 110 * MIB  # it sustained 200 MiB/s


def test_nothing_is_sent_to_a_busy_account_before_its_retry_after() -> None:
    """Retry-After pauses the account; requests to other accounts continue."""
    slept: list[float] = []
    now = [100.0]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    async def story() -> None:
        pacer = Pacer(clock=lambda: now[0], sleep=sleep)
        ticket = await pacer.admit("busy", PIECE_BYTES)
        pacer.refused(ticket, Window(), 7.0)
        pacer.left(ticket)
        pacer.left(await pacer.admit("other", PIECE_BYTES))
        assert slept == []
        pacer.left(await pacer.admit("BUSY", PIECE_BYTES))
        assert slept[0] == 7.0

    asyncio.run(story())


def test_a_cap_holds_for_all_accounts_together() -> None:
    """`maxMbps` is megabits per second, for any number of accounts."""
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    async def story() -> None:
        pacer = Pacer(megabits_per_second=80, clock=lambda: now[0], sleep=sleep)
        for number in range(100):
            pacer.left(await pacer.admit(f"account{number % 3}", 1_000_000))

    asyncio.run(story())
    assert now[0] == pytest.approx(9.9)  # 100 MB at 10 MB/s, the first immediately


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    """The next one waits until one has left; leaving twice frees only one slot."""

    async def story() -> None:
        pacer = Pacer(in_flight=2)
        first, second = await pacer.admit("a", 512), await pacer.admit("b", 512)
        third = asyncio.ensure_future(pacer.admit("c", 512))
        await asyncio.sleep(0)
        assert not third.done()
        pacer.left(first)
        pacer.left(first)
        await third
        fourth = asyncio.ensure_future(pacer.admit("d", 512))
        await asyncio.sleep(0)
        assert not fourth.done()
        pacer.left(second)
        await fourth

    asyncio.run(story())


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 10**8)), min_size=1), st.floats(1e3, 1e9))
def test_a_bucket_never_exceeds_its_rate(asked: list[tuple[float, int]], rate: float) -> None:
    """For any pauses: between two requests there is at least the time that the first one costs."""
    bucket, now, passed = Bucket(), 0.0, []
    for pause, cost in asked:
        now += pause
        passed.append((now + bucket.delay(now, cost, rate), cost))
    for (earlier, cost), (later, _) in pairwise(passed):
        assert later - earlier >= cost / rate * (1 - 1e-9) - 1e-9
