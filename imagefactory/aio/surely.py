"""Work that a cancellation must not break off, such as the release of what was acquired."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Result = TypeVar("Result")


async def surely(work: Awaitable[Result]) -> Result:
    """Wait until `work` finishes, even if this task is canceled meanwhile; then raise the cancellation."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as interruption:
            cancelled = interruption
    if cancelled and not task.exception():
        raise cancelled
    return task.result()
