"""The moving of one VHD's ranges: many requests in flight, each tried again where that can help.

Owns the life of a range: admission by the pacer, the request, the comparison of digests, back-off and its bounds. Which
ranges are to be moved, and what follows from it, is decided by `ranged_copy`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from imagefactory.copying.copier import CopyError, RelayLost
from imagefactory.copying.pacing import Pacer, Ticket, Window
from imagefactory.copying.totals import Totals
from imagefactory.errors import ImageFactoryError
from imagefactory.images.ranges import Range
from imagefactory.observed.blobs import BlobRef

if TYPE_CHECKING:
    from imagefactory.azure.storage.page_writer import PageWriter, RangeRefused

RANGE_ATTEMPTS = 6
"""How often one range is sent, the first time included, where the service fails, does not answer or asks who we are."""

DIFFERING_ATTEMPTS = 2
"""How often a range is copied whose digest is not the one that it must have."""

BUSY_SECONDS = 15 * 60.0
"""How long one range is tried while the service says that it is busy."""

BUSY_WAIT = 0.2
"""The wait after a busy service, in seconds, before the range takes its turn again at the account's new rate."""

FIRST_WAIT, LONGEST_WAIT = 0.5, 16.0
"""Bounds of the wait before the next try, in seconds; it doubles each time, and a random part of it is taken off."""


class SourceChanged(Exception):
    """The VHD that is read from is not the one any more that the copy began with, or is gone."""


@dataclass(frozen=True, slots=True)
class Job:
    """One copy: what is read, at which ETag (None: whatever it is); what is written, in which generation.

    `name` is the VHD's name for people. `vouch` is given where another blob than that VHD is read, of which no word is
    taken: it returns the CRC64 and the MD5 that a range must have, and the service checks the MD5 before it writes.
    """

    source: BlobRef
    etag: str | None
    destination: BlobRef
    generation: int
    name: str
    vouch: Callable[[Range], Awaitable[tuple[str, str]]] | None = None


@dataclass
class _Tries:
    failed: int = 0
    differing: int = 0
    waits: int = 0
    busy_since: float | None = None
    rest: float = 0.0

    def wait(self) -> float:
        """Seconds before the next try; after a busy service only a moment, for the pacer holds it back."""
        bound, self.rest = self.rest or min(LONGEST_WAIT, FIRST_WAIT * 2**self.waits), 0.0
        self.waits += bound > BUSY_WAIT
        return random.uniform(bound / 2, bound)  # noqa: S311 - to spread requests, not to keep a secret


@dataclass
class Transfer:
    """Moves ranges of `job`; `must` tells digests that are known, `done` is called with each range that is right."""

    writer: PageWriter
    pacer: Pacer
    totals: Totals
    job: Job
    must: Mapping[Range, str]
    done: Callable[[Range, str], None]
    window: Window = field(default_factory=Window)

    async def run(self, parts: Iterable[Range]) -> None:
        """Move all of them. Raises `SourceChanged`, `CopyError`, `CloudError`; no request is under way afterwards.

        `RelayLost` if a range is not what `vouch` says, or if what is read in place of that VHD cannot be read.
        """
        running: set[asyncio.Task[None]] = set()
        try:
            for part in parts:
                while len(running) >= int(self.window.size):
                    await _reap(running)
                ticket = await self.pacer.admit(self.job.destination.account_id, part.length)
                task = asyncio.ensure_future(self._move(part, ticket))
                # A task that is cancelled before its first step runs no `finally`.
                task.add_done_callback(partial(self._left, ticket))
                running.add(task)
            while running:
                await _reap(running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _left(self, ticket: Ticket, _: asyncio.Task[None]) -> None:
        self.pacer.left(ticket)

    async def _move(self, part: Range, ticket: Ticket) -> None:
        tries = _Tries()
        while not await self._try(part, ticket, tries):
            self.totals.retried += 1
            await asyncio.sleep(tries.wait())
            ticket = await self.pacer.admit(self.job.destination.account_id, part.length)

    async def _try(self, part: Range, ticket: Ticket, tries: _Tries) -> bool:
        """Send it once; whether it is there and right. Raises where another try is of no use."""
        from imagefactory.azure.storage.page_writer import RangeRefused

        job = self.job
        try:
            crc64, md5 = await job.vouch(part) if job.vouch else (self.must.get(part), None)
            written = await self.writer.copy_range(
                job.source, job.etag, job.destination, job.generation, part, crc64, md5
            )
        except RangeRefused as refused:
            self._judge(refused, part, ticket, tries)
            return False
        finally:
            self.pacer.left(ticket)
        self.pacer.succeeded(ticket, self.window)
        self.totals.moved += part.length
        if self.must.get(part, written) != written:  # another copy of the same source ended meanwhile
            self._count_differing(part, tries, written)
            return False
        self.done(part, written)
        return True

    def _judge(self, refused: RangeRefused, part: Range, ticket: Ticket, tries: _Tries) -> None:
        from imagefactory.azure.storage.page_writer import Refusal

        match refused.kind:
            case Refusal.BUSY:
                self.pacer.refused(ticket, self.window, refused.retry_after)
                tries.rest = BUSY_WAIT
                now = monotonic()
                tries.busy_since = now if tries.busy_since is None else tries.busy_since
                if now - tries.busy_since > BUSY_SECONDS:
                    raise self._given_up(refused) from None
            case Refusal.PASSING | Refusal.UNAUTHORIZED | Refusal.SOURCE_UNAUTHORIZED:
                tries.failed += 1
                if tries.failed >= RANGE_ATTEMPTS:
                    raise self._given_up(refused) from None
            case Refusal.OTHER_CONTENT if self.job.vouch:
                raise RelayLost(
                    f"{self.job.source.name}: the range of {part.length} bytes at {part.offset} is not that of"
                    f" {self.job.name}, and none of it is kept"
                ) from None
            case Refusal.OTHER_CONTENT:
                self.totals.moved += part.length
                self._count_differing(part, tries, refused.found)
            case Refusal.SOURCE_CHANGED | Refusal.SOURCE_GONE:
                raise SourceChanged from None
            case _:
                raise self._given_up(refused) from None

    def _given_up(self, refused: RangeRefused) -> ImageFactoryError:
        if self.job.vouch and refused.at_source:
            return RelayLost(f"{self.job.source.name}: it cannot be read ({refused.error.diagnostic.fact})")
        return refused.error

    def _count_differing(self, part: Range, tries: _Tries, found: str) -> None:
        tries.differing += 1
        if tries.differing >= DIFFERING_ATTEMPTS:
            raise CopyError(
                f"{self.job.destination.name}: the range of {part.length} bytes at {part.offset} was copied"
                f" {DIFFERING_ATTEMPTS} times with CRC64 {found}, and {self.job.name} has {self.must[part]} there; the"
                " image is not made. Run again; if it stays, the factory's VHD is damaged: save the image again"
            ) from None


async def _reap(running: set[asyncio.Task[None]]) -> None:
    """Wait until something ends. Raises what it raised."""
    ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    running -= ended
    failures = [failure for task in ended if (failure := task.exception())]
    if failures:
        raise failures[0]
