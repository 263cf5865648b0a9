"""The copier that lets the storage service copy (Copy Blob), and waits.

Owns when to start, take over, wait, start again and give up. Copy Blob is best effort and has no way to resume: a copy
that failed starts anew, one that is pending (from an earlier run too) is waited for. Does not read relays: the service
checks no digest of what it copies so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from imagefactory.aio.once import Once
from imagefactory.copying import copier
from imagefactory.copying.copier import Copied, CopyError, CopyRequest, Progress, Report, Source, Warn, poll_delay
from imagefactory.observed.blobs import BlobRef, CopyState

if TYPE_CHECKING:
    from imagefactory.azure.storage.page_blobs import PageBlobs

ATTEMPTS = 3
"""How often a copy that the service fails or forgets is started, the first time included."""

STARTS = 5
"""How often a copy is started while somebody else writes to its destination."""

STALL_SECONDS = 30 * 60.0
"""A copy whose progress has not moved for so long is aborted and started again."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One copy: at which ETag its source is read, and the metadata of what it makes."""

    request: CopyRequest
    etag: str
    metadata: dict[str, str]


class ServiceCopier:
    """A `Copier`; one for the whole provider process, any number of copies in flight. It verifies length and footer."""

    def __init__(self, blobs: PageBlobs, *, stall_seconds: float = STALL_SECONDS) -> None:
        self._blobs = blobs
        self._stall_seconds = stall_seconds
        self._sources: Once[BlobRef, Source] = Once()

    async def copy(
        self, request: CopyRequest, via: BlobRef | None, users: AbstractSet[str], report: Report, warn: Warn
    ) -> Copied:
        """See `Copier`; `via` is not read."""
        source = await self._sources.get(request.source, lambda: copier.checked_source(self._blobs, request))
        job = _Job(request, source.version, {**request.mark, **copier.users_text(users)})
        state = await self._start(job) or await self._begin(job)
        for attempt in range(ATTEMPTS):
            state = await self._wait(request, state, report)
            if state.status == "success":
                if not await copier.ends_alike(self._blobs, request, source):
                    facts = await self._blobs.facts(request.destination)
                    if facts and facts.copy and facts.copy.id == state.id:
                        await self._blobs.delete(request.destination, etag=facts.etag)
                    raise copier.ends_otherwise(request)
                return Copied(state.id)
            if attempt + 1 < ATTEMPTS:
                state = await self._begin(job)
        raise CopyError(
            f"{request.destination.name}: the copy of {request.source.name} ended {ATTEMPTS} times as {state.status}"
            f" ({state.reason or 'no reason given'}); the image is not made. Run again; if it stays, look at the"
            " storage accounts' health"
        )

    async def _start(self, job: _Job, overwrite_etag: str | None = None) -> CopyState | None:
        request = job.request
        return await self._blobs.start_copy(
            request.source, job.etag, request.destination, job.metadata, overwrite_etag=overwrite_etag
        )

    async def _begin(self, job: _Job) -> CopyState:
        """Take over a copy that is pending or done, from an earlier run too; else start one over what exists of it."""
        request = job.request
        for _ in range(STARTS):
            facts = await self._blobs.facts(request.destination)
            if facts is not None and not request.from_same_source(facts.metadata):
                raise copier.foreign(request)
            if facts is not None and request.marked(facts.metadata):
                if facts.copy and facts.copy.status in {"pending", "success"}:
                    return facts.copy
                if copier.is_whole(facts):
                    return CopyState(facts.metadata.get(copier.COPY, ""), "success")
            elif facts is not None and facts.copy and facts.copy.status == "pending":
                # A copy of what the factory's VHD was before it was written anew.
                await self._blobs.abort_copy(request.destination, facts.copy.id)
                continue
            if state := await self._start(job, facts.etag if facts else None):
                return state
        raise CopyError(
            f"{request.destination.name}: another copy into it is under way; the image is not made. Run again"
        )

    async def _wait(self, request: CopyRequest, state: CopyState, report: Report) -> CopyState:
        began = moved = monotonic()
        while state.status == "pending":
            await asyncio.sleep(poll_delay(monotonic() - began))
            facts = await self._blobs.facts(request.destination)
            if facts is None or facts.copy is None or not request.marked(facts.metadata):
                raise CopyError(
                    f"{request.destination.name}: somebody removed it while it was copied; the image is not made."
                    " Run again"
                )
            if facts.copy.done != state.done:
                moved = monotonic()
            state = facts.copy
            report(Progress(state.done, state.total or request.source_length))
            if state.status == "pending" and monotonic() - moved > self._stall_seconds:
                await self._blobs.abort_copy(request.destination, state.id)
                return replace(state, status="stalled", reason=f"no progress for {self._stall_seconds:.0f} s")
        return state
