"""The copier that asks the storage service to copy (Copy Blob), and waits.

Copy Blob is best effort and cannot resume: restarts a copy that failed, and waits for a pending one, also from an
earlier run. Does not read relays, because the service does not verify digests in such a copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from imagefactory.aio.once import Once
from imagefactory.copying import copier
from imagefactory.copying.copier import (
    Copied,
    CopyError,
    CopyRequest,
    How,
    Progress,
    Report,
    SourceState,
    Warn,
    poll_delay,
)
from imagefactory.observed.blobs import BlobRef, CopyState

if TYPE_CHECKING:
    from imagefactory.azure.storage.page_blobs import PageBlobs

ATTEMPTS = 3
"""How often a copy is started, the first time included, if the service fails or stalls."""

START_ATTEMPTS = 5
"""How often a start is tried while other clients write to the destination."""

STALL_SECONDS = 30 * 60.0
"""A copy without progress for this time is aborted and restarted."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One copy: its request, the ETag of its source, the metadata of the destination, where to report."""

    request: CopyRequest
    etag: str
    metadata: dict[str, str]
    report: Report


class ServiceCopier:
    """A `Copier`; one per process, for any number of concurrent copies. Verifies length and footer."""

    def __init__(self, blobs: PageBlobs, *, stall_seconds: float = STALL_SECONDS) -> None:
        self._blobs = blobs
        self._stall_seconds = stall_seconds
        self._sources: Once[BlobRef, SourceState] = Once()

    async def copy(
        self, request: CopyRequest, via: BlobRef | None, users: AbstractSet[str], report: Report, warn: Warn
    ) -> Copied:
        """See `Copier`; `via` is not read."""
        source = await self._sources.get(request.source, lambda: copier.checked_source(self._blobs, request))
        job = _Job(request, source.version, {**request.mark, **copier.users_text(users)}, report)
        state = await self._start(job)
        how: How = "copied"
        if state is None:
            state, how = await self._adopt_or_start(job)
        for attempt in range(ATTEMPTS):
            state = await self._wait(request, state, report)
            if state.status == "success":
                end = await copier.end_of(self._blobs, request, source)
                if end is None:
                    raise copier.removed_meanwhile(request)
                facts, alike = end
                if not alike:
                    if facts.copy and facts.copy.id == state.id:
                        await self._blobs.delete(request.destination, etag=facts.etag)
                    raise copier.ends_otherwise(request)
                if how != "already there":
                    report(Progress(request.source_length, request.source_length))
                return Copied(state.id, how=how)
            if attempt + 1 < ATTEMPTS:
                state, _ = await self._adopt_or_start(job)
        raise CopyError(
            f"{request.destination.name}: the copy of {request.source.name} {state.status} {ATTEMPTS} times"
            f" ({state.reason or 'unknown reason'}); the image is not created. Run again; if the error persists, check"
            " the health of the storage accounts"
        )

    async def _start(self, job: _Job, overwrite_etag: str | None = None) -> CopyState | None:
        request = job.request
        return await self._blobs.start_copy(
            request.source,
            job.etag,
            request.destination,
            job.metadata,
            overwrite_etag=overwrite_etag,
            notice=lambda note: job.report(Progress(0, request.source_length, note=note)),
        )

    async def _adopt_or_start(self, job: _Job) -> tuple[CopyState, How]:
        """Adopt a pending or finished copy, also from an earlier run; otherwise start one over the existing blob."""
        request = job.request
        for _ in range(START_ATTEMPTS):
            facts = await self._blobs.facts(request.destination)
            if facts is not None and not request.from_same_source(facts.metadata):
                raise copier.foreign(request)
            if facts is not None and request.marked(facts.metadata):
                if facts.copy and facts.copy.status in {"pending", "success"}:
                    return facts.copy, "resumed" if facts.copy.status == "pending" else "already there"
                if copier.is_whole(facts):
                    return CopyState(facts.metadata.get(copier.COPY, ""), "success"), "already there"
            elif facts is not None and facts.copy and facts.copy.status == "pending":
                # A copy of an earlier version of the factory VHD.
                await self._blobs.abort_copy(request.destination, facts.copy.id)
                continue
            if state := await self._start(job, facts.etag if facts else None):
                return state, "copied"
        raise CopyError(f"{request.destination.name}: other clients write to it; the image is not created. Run again")

    async def _wait(self, request: CopyRequest, state: CopyState, report: Report) -> CopyState:
        started = moved = monotonic()
        while state.status == "pending":
            await asyncio.sleep(poll_delay(monotonic() - started))
            facts = await self._blobs.facts(request.destination)
            if facts is None or facts.copy is None or not request.marked(facts.metadata):
                raise copier.removed_meanwhile(request)
            if facts.copy.done != state.done:
                moved = monotonic()
            state = facts.copy
            report(Progress(state.done, state.total or request.source_length))
            if state.status == "pending" and monotonic() - moved > self._stall_seconds:
                await self._blobs.abort_copy(request.destination, state.id)
                return replace(state, status="stalled", reason=f"no progress for {self._stall_seconds:.0f} s")
        return state
