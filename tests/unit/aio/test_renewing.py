"""When cached values are renewed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest

from imagefactory.aio.renewing import AGAIN_SECONDS, Lasting, Renewing, lasting


@dataclass
class Maker:
    """Creates numbered values with this life in seconds, or fails."""

    life: float
    made: int = 0
    fails: bool = False

    async def __call__(self) -> Lasting[int]:
        self.made += 1
        await asyncio.sleep(0)
        if self.fails:
            raise OSError("no answer")
        return lasting(self.made, time.time() + self.life)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The present time, which the test sets."""
    now = [1_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


async def ask(renewing: Renewing[str, int], maker: Maker, times: int = 1) -> set[int]:
    return set(await asyncio.gather(*(renewing.get("key", maker) for _ in range(times))))


@pytest.mark.parametrize(("life", "renewed_after"), [(3600, 3300), (86_400, 86_100), (400, 200), (2, 1)])
async def test_a_value_is_renewed_five_minutes_before_it_expires_or_after_half_of_a_short_life(
    clock: list[float], life: float, renewed_after: float
) -> None:
    """Not earlier."""
    renewing, maker = Renewing[str, int](), Maker(life)
    assert await ask(renewing, maker) == {1}
    clock[0] += renewed_after - 0.5
    assert await ask(renewing, maker) == {1}
    clock[0] += 0.5
    assert await ask(renewing, maker) == {2}


async def test_a_value_is_created_once_for_all_concurrent_callers(clock: list[float]) -> None:
    """At first, and when it is renewed; a failure is raised in each of them, and the next caller tries again."""
    renewing, maker = Renewing[str, int](), Maker(3600)
    assert await ask(renewing, maker, 50) == {1}
    clock[0] += 3400
    assert await ask(renewing, maker, 50) == {2}
    maker.fails = True
    renewing.drop("key", 2)
    failures = await asyncio.gather(*(renewing.get("key", maker) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(failure, OSError) for failure in failures) and maker.made == 3
    maker.fails = False
    assert await ask(renewing, maker) == {4}


async def test_a_renewal_that_fails_is_no_error_while_the_old_value_is_valid(clock: list[float]) -> None:
    """It is tried again after a wait, not by each caller; when the value has expired, the failure is raised."""
    renewing, maker = Renewing[str, int](), Maker(3600)
    await ask(renewing, maker)
    maker.fails = True
    clock[0] += 3400
    assert await ask(renewing, maker, 10) == {1} and maker.made == 2
    assert await ask(renewing, maker, 10) == {1} and maker.made == 2
    clock[0] += AGAIN_SECONDS
    assert await ask(renewing, maker, 10) == {1} and maker.made == 3
    clock[0] += 200
    with pytest.raises(OSError, match="no answer"):
        await ask(renewing, maker)


async def test_a_rejected_value_is_renewed_and_its_successor_is_kept(clock: list[float]) -> None:
    """Many callers drop the same value; only the first one has it renewed."""
    renewing, maker = Renewing[str, int](), Maker(3600)
    await ask(renewing, maker)
    for _ in range(10):
        renewing.drop("key", 1)
        assert await ask(renewing, maker) == {2}
