"""A copier whose copies are observed: their start, their progress at most every 10 s, and how they end.

Does not copy, and knows no observer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime, timezone
from time import monotonic
from urllib.parse import urlsplit

from imagefactory.copying.copier import Copied, Copier, CopyRequest, Progress, RelayLost, Report, Warn
from imagefactory.observed.blobs import BlobRef
from imagefactory.plain_text import printable, redacted
from imagefactory.telemetry.copy_events import CopyEvent, CopyObserver, Outcome, Place

PROGRESS_SECONDS = 10.0
"""Minimum time between two events about the progress of a copy."""


class WatchedCopier:
    """A `Copier` that passes each event of its copies to all observers."""

    def __init__(self, copier: Copier, observers: Sequence[CopyObserver]) -> None:
        self._copier, self._observers = copier, observers

    async def copy(
        self, request: CopyRequest, via: BlobRef | None, users: AbstractSet[str], report: Report, warn: Warn
    ) -> Copied:
        """See `Copier`."""
        watch = _Watch(_place(request), self._observers)
        watch.began()

        def reported(progress: Progress) -> None:
            watch.progressed(progress)
            report(progress)

        try:
            copied = await self._copier.copy(request, via, users, reported, warn)
        except asyncio.CancelledError:
            watch.ended("canceled")
            raise
        except Exception as problem:
            watch.ended("relay lost" if isinstance(problem, RelayLost) else "failed", problem)
            raise
        watch.ended(copied.how)
        return copied


class _Watch:
    """One copy that is observed."""

    def __init__(self, place: Place, observers: Sequence[CopyObserver]) -> None:
        self._place, self._observers = place, observers
        self._began = self._told = monotonic()
        self._progress = Progress(0, 0)

    def began(self) -> None:
        self._tell(CopyEvent("copy.start", _now(), self._place))

    def progressed(self, progress: Progress) -> None:
        if not progress.note:
            self._progress = progress
        if monotonic() - self._told >= PROGRESS_SECONDS:
            self._told = monotonic()
            self._tell(self._event())

    def ended(self, outcome: Outcome, problem: Exception | None = None) -> None:
        message = printable(redacted(str(problem))) if problem else ""
        self._tell(replace(self._event(), event="copy.end", outcome=outcome, message=message))

    def _event(self) -> CopyEvent:
        now = self._progress
        return CopyEvent(
            "copy.progress",
            _now(),
            self._place,
            monotonic() - self._began,
            now.done,
            now.kept,
            now.total,
            now.retried,
            now.refused,
        )

    def _tell(self, event: CopyEvent) -> None:
        for observer in self._observers:
            observer(event)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _place(request: CopyRequest) -> Place:
    """Return the place without a query: that of a disk is a secret. A disk has its id instead of a file name."""
    destination = request.destination
    container, _, blob = urlsplit(destination.url).path.lstrip("/").rpartition("/")
    source = request.source_id or urlsplit(request.source.url).path.rpartition("/")[2]
    account = destination.account_id.rpartition("/")[2]
    return Place(source, account, container.rpartition("/")[2], blob, request.source_length)
