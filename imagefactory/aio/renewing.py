"""Cached values with an expiry: renewed before they expire, once for all concurrent callers.

Decides when a value is renewed, and what happens if that fails. Does not know what the values are (tokens, SAS).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Generic

from imagefactory.aio.once import Key, Once, Result

RENEWED_BEFORE_SECONDS = 5 * 60.0
"""How long before it expires a value is renewed; a short-lived one after half of its life."""

AGAIN_SECONDS = 30.0
"""How long to wait after a renewal that failed, while the old value is still valid."""


@dataclass(frozen=True, slots=True)
class Lasting(Generic[Result]):
    """A value, when to renew it, and when it expires (both in seconds since 1970)."""

    value: Result
    renew_at: float
    ends_at: float


def lasting(value: Result, ends_at: float) -> Lasting[Result]:
    """Return a value that was created now, to be renewed well before it expires."""
    now = time.time()
    return Lasting(value, max((now + ends_at) / 2, ends_at - RENEWED_BEFORE_SECONDS), ends_at)


class Renewing(Generic[Key, Result]):
    """Cached values by key."""

    def __init__(self) -> None:
        self._kept: dict[Key, Lasting[Result]] = {}
        self._making: Once[Key, Lasting[Result]] = Once()

    async def get(self, key: Key, make: Callable[[], Coroutine[Any, Any, Lasting[Result]]]) -> Result:
        """Return the value of this key, created by `make`. Raises what `make` raises, unless the old value is valid."""
        kept = self._kept.get(key)
        if kept is None or time.time() >= kept.renew_at:
            kept = await self._making.get(key, lambda: self._made(key, make))
        return kept.value

    def drop(self, key: Key, value: Result) -> None:
        """Renew a value that was rejected when it is next requested; not if a newer one has replaced it already."""
        if (kept := self._kept.get(key)) and kept.value == value:
            del self._kept[key]

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
