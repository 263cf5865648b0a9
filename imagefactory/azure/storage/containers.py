"""The wait for a container that was deleted a moment ago: Azure creates it again after 30 seconds or more.

Until then Create Container is answered with 409 ContainerBeingDeleted, all else with 404 (documentation of Delete
Container). Does not create containers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.refusals import CONTAINER_GONE

WAIT_SECONDS, BETWEEN_SECONDS = 120.0, 2.0
"""How long to wait, and how long between two attempts."""

Notice = Callable[[str], None]
"""Shows what is waited for, on the row of a copy or save."""
Result = TypeVar("Result")


def ignore(_: str) -> None:
    """Show nothing."""


async def once_it_exists(call: Callable[[], Awaitable[Result]], place: str, notice: Notice = ignore) -> Result:
    """Return what `call` returns, which creates the container; call it again while `place` is being deleted.

    Raises the last `CloudError` if that does not end.
    """
    waited = 0.0
    while True:
        try:
            return await call()
        except CloudError as refusal:
            if refusal.code not in CONTAINER_GONE or waited >= WAIT_SECONDS:
                raise
        notice(f"waiting for {place}, which is being deleted")
        await asyncio.sleep(BETWEEN_SECONDS)
        waited += BETWEEN_SECONDS
