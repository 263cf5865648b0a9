"""The copier that lets the storage service copy (Copy Blob), and waits.

Owns when to start, take over, wait, start again and give up. Copy Blob is best effort and has no way to resume: a copy
that failed starts anew, one that is pending (from an earlier run too) is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic

from imagefactory.vhd import FOOTER_BYTES, footer_fault
from imagefactory_azure.blobs import BlobRef, CopyState
from imagefactory_azure.once import Once
from imagefactory_azure.page_blobs import PageBlobs
from providers.vhdcopy.copier import CopyError, CopyRequest, Progress, poll_delay

ATTEMPTS = 3
"""How often a copy that the service fails or forgets is started, the first time included."""

STALL_SECONDS = 30 * 60.0
"""A copy whose progress has not moved for so long is aborted and started again."""


@dataclass(frozen=True, slots=True)
class _Source:
    etag: str
    footer: bytes


class ServiceCopier:
    """A `Copier`; one for the whole provider process, any number of copies in flight."""

    def __init__(self, blobs: PageBlobs, *, stall_seconds: float = STALL_SECONDS) -> None:
        self._blobs = blobs
        self._stall_seconds = stall_seconds
        self._sources: Once[BlobRef, _Source] = Once()

    async def copy(self, request: CopyRequest, report: Callable[[Progress], None]) -> str:
        """See `Copier`."""
        source = await self._checked_source(request)
        state = await self._start(request, source, overwrite=False) or await self._take_over(request, source)
        for attempt in range(ATTEMPTS):
            state = await self._wait(request, state, report)
            if state.status == "success":
                await self._verify(request, source)
                return state.id
            if attempt + 1 < ATTEMPTS:
                state = await self._restart(request, source)
        raise CopyError(
            f"{request.destination.name}: the copy of {request.source.name} ended {ATTEMPTS} times as {state.status}"
            f" ({state.reason or 'no reason given'}); the image is not made. Run again; if it stays, look at the"
            " storage accounts' health"
        )

    async def is_whole(self, request: CopyRequest) -> bool | None:
        """See `Copier`."""
        facts = await self._blobs.facts(request.destination)
        if facts is None or not request.marked(facts.metadata):
            return None
        return facts.copy is not None and facts.copy.status == "success"

    async def discard(self, request: CopyRequest) -> None:
        """See `Copier`."""
        facts = await self._blobs.facts(request.destination)
        if facts is None or not request.marked(facts.metadata):
            return
        if facts.copy and facts.copy.status == "pending":
            await self._blobs.abort_copy(request.destination, facts.copy.id)
        await self._blobs.delete(request.destination)

    async def _checked_source(self, request: CopyRequest) -> _Source:
        """The source as the plan knows it, checked once for all labs that get it."""
        return await self._sources.get(request.source, lambda: self._check_source(request))

    async def _check_source(self, request: CopyRequest) -> _Source:
        name, lost = request.source.name, "it is not copied"
        facts = await self._blobs.facts(request.source)
        if facts is None:
            raise CopyError(f"{name}: the factory's VHD is gone; {lost}. Run again, so that the plan is made anew")
        if (facts.length, facts.created) != (request.source_length, request.source_created):
            raise CopyError(
                f"{name}: the factory's VHD was written anew since the plan; {lost}. Run again, so that the plan is"
                " made anew"
            )
        footer = await self._blobs.read(request.source, facts.length - FOOTER_BYTES, FOOTER_BYTES)
        fault = footer_fault(footer, facts.length) if facts.is_page_blob else "it is not a page blob"
        if fault:
            raise CopyError(f"{name}: {fault}; Azure would refuse it, so {lost}. Save the image again")
        return _Source(facts.etag, footer)

    async def _start(self, request: CopyRequest, source: _Source, *, overwrite: bool) -> CopyState | None:
        return await self._blobs.start_copy(
            request.source, source.etag, request.destination, request.mark, overwrite=overwrite
        )

    async def _restart(self, request: CopyRequest, source: _Source) -> CopyState:
        if state := await self._start(request, source, overwrite=True):
            return state
        # The answer to the start was lost, and asking again met the copy that it had started.
        facts = await self._blobs.facts(request.destination)
        if facts and facts.copy and request.marked(facts.metadata):
            return facts.copy
        raise CopyError(
            f"{request.destination.name}: another copy into it is under way; the image is not made. Run again"
        )

    async def _take_over(self, request: CopyRequest, source: _Source) -> CopyState:
        """What an earlier run left: finished or pending it is taken as it is, else the copy starts again."""
        facts = await self._blobs.facts(request.destination)
        if facts is None:
            return await self._restart(request, source)
        if request.marked(facts.metadata):
            if facts.copy and facts.copy.status in {"pending", "success"}:
                return facts.copy
            return await self._restart(request, source)
        if not request.from_same_source(facts.metadata):
            raise CopyError(
                f"{request.destination.name}: a blob that is not a copy of {request.source.name} stands there; it is"
                " left alone and the image is not made. Move or delete it, then run again"
            )
        # A copy of what the factory's VHD was before it was written anew.
        if facts.copy and facts.copy.status == "pending":
            await self._blobs.abort_copy(request.destination, facts.copy.id)
        return await self._restart(request, source)

    async def _wait(self, request: CopyRequest, state: CopyState, report: Callable[[Progress], None]) -> CopyState:
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

    async def _verify(self, request: CopyRequest, source: _Source) -> None:
        """The service says it is whole: length and footer must be the source's."""
        length = request.source_length
        tail = await self._blobs.read(request.destination, length - FOOTER_BYTES, FOOTER_BYTES + 1)
        if tail != source.footer:
            await self._blobs.delete(request.destination)
            raise CopyError(
                f"{request.destination.name}: the copy of {request.source.name} did not end as its source does; it was"
                " removed and the image is not made. Run again"
            )
