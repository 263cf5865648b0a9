"""Long-running operations: started, finished when due, and resumed after a restart.

An operation that another one has replaced changes nothing. The modules of the resources define what an operation does
(`Work`). Does not handle HTTP.
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
"""For an operation that is due but not finished, because its VHD is being checked."""


class Resource(Protocol):
    """The resource that an operation changes; `operation` names the active operation, if any."""

    operation: str | None


@dataclass(frozen=True)
class Work:
    """What an operation does. `check` returns why it must fail, at the start of a slow one; `perform` does so when
    it is due, and does what takes time; `settle` then changes the resource, given the error (None: success)."""

    check: Callable[[], Awaitable[Fault | None]]
    perform: Callable[[], Awaitable[Fault | None]]
    settle: Callable[[Fault | None], None]


class Operations:
    """The operations of all resources."""

    def __init__(self, store: ArmStore) -> None:
        self._store = store
        self._active: set[asyncio.Task[None]] = set()

    async def start(
        self,
        resource: Resource,
        seconds: float,
        work: Work,
        *,
        fault: Fault | None = None,
        grant: AskedGrant | None = None,
        dated: bool = True,
    ) -> str:
        """Start an operation that takes `seconds` (0: it finishes before the return) and fails with `fault`, if given.

        Returns its id: a GUID, after the date if `dated` (recorded of DevTest Labs; not of galleries)."""
        name = resource.operation = (f"{datetime.now(timezone.utc):%Y%m%d}-" if dated else "") + str(uuid.uuid4())
        now = time.time()
        self._store.operations[name] = Operation(now + seconds, fault=fault, began=now, grant=grant)
        self._store.changed()
        if seconds == 0:
            await self._finish(resource, name, work)
        else:
            self._wait_for(resource, name, work)
        return name

    def resume(self, resource: Resource, work: Work) -> None:
        """Resume the operation that was active when the cloud stopped. Needs the running event loop."""
        if resource.operation is not None:
            self._wait_for(resource, resource.operation, work)

    def end(self, resource: Resource, fault: Fault | None) -> None:
        """End the active operation now, with error `fault`, if given."""
        if resource.operation is not None:
            operation = self._store.operations[resource.operation]
            operation.ended, operation.fault = time.time(), fault
        resource.operation = None
        self._store.changed()

    async def close(self) -> None:
        """Stop waiting; active operations are kept in the store."""
        for task in self._active:
            task.cancel()
        await asyncio.gather(*self._active, return_exceptions=True)

    def _wait_for(self, resource: Resource, name: str, work: Work) -> None:
        task = asyncio.create_task(self._finish_when_due(resource, name, work))
        self._active.add(task)
        task.add_done_callback(self._active.discard)

    async def _finish_when_due(self, resource: Resource, name: str, work: Work) -> None:
        operation = self._store.operations[name]
        if operation.fault is None:
            operation.fault = await work.check()
        await asyncio.sleep(max(0.0, operation.due - time.time()))
        await self._finish(resource, name, work)

    async def _finish(self, resource: Resource, name: str, work: Work) -> None:
        fault = self._store.operations[name].fault or await work.perform()
        if resource.operation != name:
            return
        work.settle(fault)
        self.end(resource, fault)


def retry_headers(operation: Operation) -> dict[str, str]:
    """Return when to poll again. DevTest Labs sends no such header, so clients poll every 10 s; this saves the wait."""
    left = 0.0 if operation.ended else min(max(0.0, operation.due - time.time()), LAST_RETRY_AFTER_SECONDS)
    if left < 1 and not operation.ended:
        return {"retry-after-ms": str(max(int(left * 1000) + 1, SHORTEST_RETRY_AFTER_MS))}
    return {"Retry-After": str(int(left))}
