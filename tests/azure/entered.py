"""An asynchronous context that all examples of a property-based test share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager


@contextmanager
def entered(loop: asyncio.AbstractEventLoop, context: AbstractAsyncContextManager[object]) -> Iterator[None]:
    """Enter and leave the context in one task of a loop, which is closed at the end."""
    ready, end = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with context:
            ready.set()
            await end.wait()

    task = loop.create_task(live())
    loop.run_until_complete(ready.wait())
    yield
    end.set()
    loop.run_until_complete(task)
    loop.close()
