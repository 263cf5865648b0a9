"""Work that callers share."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from imagefactory.aio.once import Once


async def test_a_failure_that_no_caller_waits_for_anymore_is_not_printed() -> None:
    """All callers were canceled, the work goes on and fails."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    once: Once[str, int] = Once()
    fails = asyncio.Event()

    async def work() -> int:
        await fails.wait()
        raise OSError("no answer")

    caller = asyncio.ensure_future(once.get("key", work))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    for _ in range(3):  # until the failure has passed all callbacks
        fails.set()
        await asyncio.sleep(0)
    once.forget("key")
    del caller
    gc.collect()
    assert told == []
