"""Work that many operations need and that runs once: the first caller starts it, the others wait for the same result.

All callers that wait also share a failure; it is not cached, so the next caller tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")


class Once(Generic[Key, Result]):
    """Results of a coroutine by key. To cancel one caller does not cancel the work for the others."""

    def __init__(self) -> None:
        self._work: dict[Key, asyncio.Task[Result]] = {}

    async def get(self, key: Key, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Return what `work` returns for this key, or raise what it raises."""
        task = self._work.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._work[key] = asyncio.ensure_future(work())
        return await asyncio.shield(task)

    def forget(self, key: Key) -> None:
        """Make the next caller start the work again; callers that wait get the result of the work in progress."""
        self._work.pop(key, None)

    async def results(self) -> list[Result]:
        """Return all results, also of work in progress, without failures."""
        found = await asyncio.gather(*self._work.values(), return_exceptions=True)
        return [each for each in found if not isinstance(each, BaseException)]
