"""What a copier does, whatever way it copies: the interface between the resource and the transfer.

Owns the values that cross it and the rules common to all ways: who wrote a staged VHD, and when a source is fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from imagefactory.errors import ImageFactoryError
from imagefactory_azure.blobs import BlobRef

SHORTEST_WAIT, LONGEST_WAIT = 0.2, 15.0
"""Bounds of the time between two looks at a copy, in seconds."""


def poll_delay(elapsed: float) -> float:
    """Seconds until the next look at a copy that has run for `elapsed` seconds and is still pending.

    The copy is to be noticed within 10 % of its own time after its end, bounds apart. The wait is less than a tenth of
    the elapsed time, for the look itself takes time too where many copies run.
    """
    return min(LONGEST_WAIT, max(SHORTEST_WAIT, elapsed / 15))


_SOURCE = "imagefactorysource"


class CopyError(ImageFactoryError):
    """A copy that cannot be made or finished; the text tells subject, fact, consequence and remedy."""


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """One factory VHD (as it was when the plan was made) and the place where it is to be staged. Length in bytes."""

    source: BlobRef
    source_length: int
    source_created: datetime
    destination: BlobRef

    @property
    def mark(self) -> dict[str, str]:
        """Blob metadata that tells whose staged VHD this is, and of what, also to a run on another machine."""
        return {_SOURCE: self.source.url, "imagefactorycreated": self.source_created.isoformat()}

    def marked(self, metadata: Mapping[str, str]) -> bool:
        """Whether blob metadata says that the blob is this very copy, finished or not."""
        return all(metadata.get(key) == value for key, value in self.mark.items())

    def from_same_source(self, metadata: Mapping[str, str]) -> bool:
        """Whether blob metadata says that the blob is ours, of that VHD, whenever that was written."""
        return metadata.get(_SOURCE) == self.source.url


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a copy has come, in bytes."""

    done: int
    total: int


class Copier(Protocol):
    """Moves one VHD; knows nothing of resources."""

    async def copy(self, request: CopyRequest, report: Callable[[Progress], None]) -> str:
        """Make the staged VHD exist and be whole, and return an id that is new for each copy really made.

        A whole one of the same source is taken over, an unfinished one resumed. Raises `CopyError` or `CloudError`;
        what is there then is kept, for the next call to go on.
        """
        ...

    async def is_whole(self, request: CopyRequest) -> bool | None:
        """Whether the staged VHD is finished; None where there is none of ours. Raises `CloudError`."""
        ...

    async def discard(self, request: CopyRequest) -> None:
        """Stop the copy if it runs, and remove the staged VHD if it is one of ours. Raises `CloudError`."""
        ...
