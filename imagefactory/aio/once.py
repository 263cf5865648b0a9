"""Work that concurrent callers share: the first caller starts it, the others wait for the same result.

A failure is raised in each caller that waits for it, and not kept: the next caller tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")


class Once(Generic[Key, Result]):
    """Results of a coroutine by key. Cancelling one caller does not cancel the work for the others."""

    def __init__(self) -> None:
        self._work: dict[Key, asyncio.Task[Result]] = {}

    async def get(self, key: Key, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Return what `work` returns for this key, or raise what it raises."""
        task = self._work.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._work[key] = asyncio.ensure_future(work())
            task.add_done_callback(_noticed)
        return await asyncio.shield(task)

    def forget(self, key: Key) -> None:
        """Start the work again for the next caller; callers that wait get the result of the running work."""
        self._work.pop(key, None)

    async def results(self) -> list[Result]:
        """Return all results, also of running work; skip failures."""
        found = await asyncio.gather(*self._work.values(), return_exceptions=True)
        return [each for each in found if not isinstance(each, BaseException)]


def _noticed(task: asyncio.Task[Result]) -> None:
    """Keep asyncio from printing a failure that no caller waits for anymore, because all were canceled."""
    if not task.cancelled():
        task.exception()
