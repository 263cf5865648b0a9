"""Values that are good for a while: kept, made anew before they end, made once for all who need one at the same time.

Owns when a value is renewed, and what happens when that fails. What the values are (tokens, SAS) it does not know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Generic

from imagefactory.aio.once import Key, Once, Result

RENEWED_BEFORE_SECONDS = 5 * 60.0
"""How long before its end a value is renewed; a short one at half of its life."""

AGAIN_SECONDS = 30.0
"""When the next renewal is tried after one that failed while the old value is still good."""


@dataclass(frozen=True, slots=True)
class Lasting(Generic[Result]):
    """A value, when it is to be renewed, and when it ends (both in seconds since 1970)."""

    value: Result
    renew_at: float
    ends_at: float


def lasting(value: Result, ends_at: float) -> Lasting[Result]:
    """A value that was made now, to be renewed well before its end."""
    now = time.time()
    return Lasting(value, max((now + ends_at) / 2, ends_at - RENEWED_BEFORE_SECONDS), ends_at)


class Renewing(Generic[Key, Result]):
    """Lasting values by key."""

    def __init__(self) -> None:
        self._kept: dict[Key, Lasting[Result]] = {}
        self._making: Once[Key, Lasting[Result]] = Once()

    async def get(self, key: Key, make: Callable[[], Coroutine[Any, Any, Lasting[Result]]]) -> Result:
        """The value of this key, as `make` returns it. Raises what `make` raises, unless the old one is good still."""
        kept = self._kept.get(key)
        if kept is None or time.time() >= kept.renew_at:
            kept = await self._making.get(key, lambda: self._made(key, make))
        return kept.value

    def drop(self, is_refused: Callable[[Result], bool]) -> None:
        """Make anew, the next time that they are wanted, those values that were refused where they were shown."""
        self._kept = {key: kept for key, kept in self._kept.items() if not is_refused(kept.value)}

    async def _made(self, key: Key, make: Callable[[], Coroutine[Any, Any, Lasting[Result]]]) -> Lasting[Result]:
        try:
            made = await make()
        except Exception:
            kept, now = self._kept.get(key), time.time()
            if kept is None or now >= kept.ends_at:
                raise
            made = replace(kept, renew_at=now + AGAIN_SECONDS)
        self._kept[key] = made
        self._making.forget(key)
        return made
