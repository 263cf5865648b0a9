"""Work that many operations need and one of them does: the first asks for it, the others wait for the same answer.

Owns the sharing; a failure is shared by those who wait for it and forgotten after, so that the next one tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")


class Once(Generic[Key, Result]):
    """Results of a coroutine by key. One who waits may be cancelled without ending the work for the others."""

    def __init__(self) -> None:
        self._work: dict[Key, asyncio.Task[Result]] = {}

    async def get(self, key: Key, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """What `work` returns, or raises, for this key."""
        task = self._work.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._work[key] = asyncio.ensure_future(work())
        return await asyncio.shield(task)

    def forget(self, key: Key) -> None:
        """Have the next one who asks begin anew; who waits gets what is under way."""
        self._work.pop(key, None)

    async def results(self) -> list[Result]:
        """All results, of work under way too; failures are left out."""
        found = await asyncio.gather(*self._work.values(), return_exceptions=True)
        return [each for each in found if not isinstance(each, BaseException)]
