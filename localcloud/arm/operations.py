"""Long-running operations: how they begin, when they end, and how they go on after a restart.

Owns the clock, and that an operation whose place another one has taken does nothing. What an operation does is its
resource's own (`Work`). It knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from localcloud.arm.store import ArmStore, AskedGrant, Fault, Operation

LAST_RETRY_AFTER_SECONDS = 10.0
SHORTEST_RETRY_AFTER_MS = 20
"""For an operation that is due and not ended yet: its VHD is being checked."""


class Resource(Protocol):
    """What an operation is about; `operation` names the one under way, if any."""

    operation: str | None


@dataclass(frozen=True)
class Work:
    """What an operation does. `check` tells why it must fail, asked when a slow one begins; `perform` tells the same
    when it is due, and does what takes time; `settle` then changes the resource at once, given the fault (None: none).
    """

    check: Callable[[], Awaitable[Fault | None]]
    perform: Callable[[], Awaitable[Fault | None]]
    settle: Callable[[Fault | None], None]


class Operations:
    """The operations of all resources."""

    def __init__(self, store: ArmStore) -> None:
        self._store = store
        self._under_way: set[asyncio.Task[None]] = set()

    async def begin(
        self,
        resource: Resource,
        seconds: float,
        work: Work,
        *,
        fault: Fault | None = None,
        grant: AskedGrant | None = None,
    ) -> str:
        """Begin an operation that takes `seconds` (0: it is done on return) and ends with `fault`, if given. Its id."""
        name = resource.operation = f"{datetime.now(timezone.utc):%Y%m%d}-{uuid.uuid4()}"
        now = time.time()
        self._store.operations[name] = Operation(now + seconds, fault=fault, began=now, grant=grant)
        self._store.changed()
        if seconds == 0:
            await self._finish(resource, name, work)
        else:
            self._wait_for(resource, name, work)
        return name

    def resume(self, resource: Resource, work: Work) -> None:
        """Go on with what was under way when the cloud was stopped. Needs the running event loop."""
        if resource.operation is not None:
            self._wait_for(resource, resource.operation, work)

    def end(self, resource: Resource, fault: Fault | None) -> None:
        """End what is under way now, whatever it was about to do."""
        if resource.operation is not None:
            operation = self._store.operations[resource.operation]
            operation.ended, operation.fault = time.time(), fault
        resource.operation = None
        self._store.changed()

    async def close(self) -> None:
        """Stop waiting; what is under way stays so in the store."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _wait_for(self, resource: Resource, name: str, work: Work) -> None:
        task = asyncio.create_task(self._finish_when_due(resource, name, work))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _finish_when_due(self, resource: Resource, name: str, work: Work) -> None:
        under_way = self._store.operations[name]
        if under_way.fault is None:
            under_way.fault = await work.check()
        await asyncio.sleep(max(0.0, under_way.due - time.time()))
        await self._finish(resource, name, work)

    async def _finish(self, resource: Resource, name: str, work: Work) -> None:
        fault = self._store.operations[name].fault or await work.perform()
        if resource.operation != name:
            return
        work.settle(fault)
        self.end(resource, fault)


def retry_headers(operation: Operation) -> dict[str, str]:
    """When to ask again. DevTest Labs sends none (clients then poll every 10 s); here it saves that wait."""
    left = 0.0 if operation.ended else min(max(0.0, operation.due - time.time()), LAST_RETRY_AFTER_SECONDS)
    if left < 1 and not operation.ended:
        return {"retry-after-ms": str(max(int(left * 1000) + 1, SHORTEST_RETRY_AFTER_MS))}
    return {"Retry-After": str(int(left))}
