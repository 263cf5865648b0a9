"""Copies the ranges of one VHD: many requests in flight, each retried if that can help.

For each range: waits for the pacer, sends the request, compares digests, and backs off within bounds. Does not decide
which ranges are copied, or what a failure means for the copy: `ranged_copy` does.
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
"""How often one range is sent, the first time included, if the service fails, does not respond or rejects the token."""

DIFFERING_ATTEMPTS = 2
"""How often a range with a wrong digest is copied, the first time included."""

BUSY_SECONDS = 15 * 60.0
"""How long one range is retried while the service is busy."""

BUSY_WAIT = 0.2
"""The wait after a busy response, in seconds; then the range queues again at the account's new rate."""

FIRST_WAIT, LONGEST_WAIT = 0.5, 16.0
"""Bounds of the wait before the next attempt, in seconds; it doubles each time, minus a random part."""

Vouch = Callable[[Range], Awaitable[tuple[str | None, str | None]]]
"""Returns the CRC64 that a range must have (None: any) and, if the service can check it before it writes, the MD5."""


class SourceChanged(Exception):
    """The VHD that is read changed since the copy started, or was deleted.

    `refusal` is set if the service does not find it.
    """

    def __init__(self, refusal: ImageFactoryError | None = None) -> None:
        super().__init__(str(refusal or ""))
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Job:
    """One copy: the blob to read, its ETag (None: any), the blob to write, its generation.

    `name` names the source VHD in messages. `vouch` is set if the digests of the ranges are not all known: a relay
    (`is_relay`) is not trusted, and nothing states yet what a VHD without manifest contains.
    """

    source: BlobRef
    etag: str | None
    destination: BlobRef
    generation: int
    name: str
    vouch: Vouch | None = None
    is_relay: bool = False


@dataclass
class Tally:
    """What one copy sent again: ranges, and of those the requests that a busy service rejected."""

    retried: int = 0
    refused: int = 0


@dataclass
class _Tries:
    failed: int = 0
    differing: int = 0
    waits: int = 0
    busy_since: float | None = None
    rest: float = 0.0

    def wait(self) -> float:
        """Return the seconds before the next attempt; few after a busy response, because the pacer delays the range."""
        bound, self.rest = self.rest or min(LONGEST_WAIT, FIRST_WAIT * 2**self.waits), 0.0
        self.waits += bound > BUSY_WAIT
        return random.uniform(bound / 2, bound)  # noqa: S311 - to spread requests, not to keep a secret


@dataclass
class Transfer:
    """Copies ranges of `job`; `must` has the known digests, `done` is called with each verified range."""

    writer: PageWriter
    pacer: Pacer
    totals: Totals
    job: Job
    must: Mapping[Range, str]
    done: Callable[[Range, str], None]
    tally: Tally
    window: Window = field(default_factory=Window)

    async def run(self, parts: Iterable[Range]) -> None:
        """Copy all of them. Raises `SourceChanged`, `CopyError`, `CloudError`; no request is in flight afterwards.

        Raises `RelayLost` if a relay cannot be read, or if a range of it is not what `vouch` returns.
        """
        running: set[asyncio.Task[None]] = set()
        try:
            for part in parts:
                while len(running) >= int(self.window.size):
                    await _wait_for_first(running)
                ticket = await self.pacer.admit(self.job.destination.account_id, part.length)
                task = asyncio.ensure_future(self._move(part, ticket))
                # A task that is canceled before its first step runs no `finally`.
                task.add_done_callback(partial(self._left, ticket))
                running.add(task)
            while running:
                await _wait_for_first(running)
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
            self.tally.retried += 1
            await asyncio.sleep(tries.wait())
            ticket = await self.pacer.admit(self.job.destination.account_id, part.length)

    async def _try(self, part: Range, ticket: Ticket, tries: _Tries) -> bool:
        """Send it once; return whether it is copied and verified. Raises if another attempt cannot help."""
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
        if self.must.get(part, written) != written:  # another copy of the same source finished meanwhile
            self._count_differing(part, tries, written)
            return False
        self.done(part, written)
        return True

    def _judge(self, refused: RangeRefused, part: Range, ticket: Ticket, tries: _Tries) -> None:
        from imagefactory.azure.storage.page_writer import Refusal

        match refused.kind:
            case Refusal.BUSY:
                self.tally.refused += 1
                self.pacer.refused(ticket, self.window, refused.retry_after)
                tries.rest = BUSY_WAIT
                now = monotonic()
                tries.busy_since = now if tries.busy_since is None else tries.busy_since
                if now - tries.busy_since > BUSY_SECONDS:
                    raise self._final(refused) from None
            case Refusal.PASSING | Refusal.UNAUTHORIZED | Refusal.SOURCE_UNAUTHORIZED:
                tries.failed += 1
                if tries.failed >= RANGE_ATTEMPTS:
                    raise self._final(refused) from None
            case Refusal.OTHER_CONTENT if self.job.is_relay:
                raise RelayLost(
                    f"{self.job.source.name}: the range of {part.length} bytes at {part.offset} differs from"
                    f" {self.job.name} and was not written"
                ) from None
            case Refusal.OTHER_CONTENT:
                self.totals.moved += part.length
                self._count_differing(part, tries, refused.found)
            case Refusal.SOURCE_CHANGED | Refusal.SOURCE_GONE:
                raise SourceChanged(refused.error if refused.kind is Refusal.SOURCE_GONE else None) from None
            case _:
                raise self._final(refused) from None

    def _final(self, refused: RangeRefused) -> ImageFactoryError:
        if self.job.is_relay and refused.at_source:
            return RelayLost(f"{self.job.source.name}: cannot be read ({refused.error.diagnostic.fact})")
        return refused.error

    def _count_differing(self, part: Range, tries: _Tries, found: str) -> None:
        tries.differing += 1
        if tries.differing >= DIFFERING_ATTEMPTS:
            raise CopyError(
                f"{self.job.destination.name}: the range of {part.length} bytes at {part.offset} has CRC64 {found}"
                f" after {DIFFERING_ATTEMPTS} attempts, but {self.job.name} has {self.must[part]}; the image is not"
                " created. Run again; if the error persists, the factory VHD is damaged: save the image again"
            ) from None


async def _wait_for_first(running: set[asyncio.Task[None]]) -> None:
    """Wait for the first tasks to finish. Raises what they raised."""
    ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    running -= ended
    failures = [failure for task in ended if (failure := task.exception())]
    if failures:
        raise failures[0]
