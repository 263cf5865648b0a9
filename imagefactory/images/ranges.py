"""Byte ranges of a page blob: which pieces are copied, and which of them are missing at a destination.

Turns the allocated ranges of a source into requests. Does not read blobs: callers pass page ranges as Get Page Ranges
returns them, which are in order, do not overlap, and start and end on page boundaries.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

PAGE_BYTES = 512
PIECE_BYTES = 4 * 1024 * 1024
"""The largest range of one Put Page From URL (Azure's limit)."""

BLOB_BYTES_PER_SECOND = 60 * 1024 * 1024
BLOB_REQUESTS_PER_SECOND = 500
"""Azure's targets for one page blob ("Scalability and performance targets for Blob storage")."""

SHARED_READERS = 4
"""Copies of a VHD in one region up to which all of them read the same one; of more, each finished one is a source for
the next (docs/adr/0035). Few copies would save little time, and reading a staged VHD costs a digest per range."""


def fans_out(readers: int) -> bool:
    """Return whether the copies that read a relay, without that of its own account, also read each other."""
    return readers >= SHARED_READERS


BRIDGE_BYTES = BLOB_BYTES_PER_SECOND // BLOB_REQUESTS_PER_SECOND // PAGE_BYTES * PAGE_BYTES
"""The longest gap that is copied with the ranges around it; longer gaps are skipped (125,440 bytes).

At Azure's limits for one page blob, a request costs 1/500 s, the time in which this many bytes are copied. So to copy a
shorter gap costs less than the request that skipping it would add. An empty chunk of 4 MiB is always skipped.
"""


class Range(NamedTuple):
    """`length` bytes from `offset`."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset of the first byte after it."""
        return self.offset + self.length


def pieces(allocated: Iterable[Range]) -> tuple[Range, ...]:
    """Return the pieces to copy, one request each: they start and end with allocated bytes and contain no long gap."""
    cut: list[Range] = []
    begin = end = -1
    for given in allocated:
        offset = given.offset
        if begin >= 0 and (offset - end > BRIDGE_BYTES or offset - begin >= PIECE_BYTES):
            cut.append(Range(begin, end - begin))
            begin = -1
        if begin < 0:
            begin = offset
        while given.end - begin > PIECE_BYTES:
            cut.append(Range(begin, PIECE_BYTES))
            begin += PIECE_BYTES
        end = given.end
    if begin >= 0:
        cut.append(Range(begin, end - begin))
    return tuple(cut)


def covered(piece: Range, present: Sequence[Range]) -> bool:
    """Return whether `present` contains every byte of `piece`."""
    at = piece.offset
    for each in present[max(bisect_right(present, Range(at, 1 << 62)) - 1, 0) :]:
        if each.offset > at:
            break
        at = max(at, each.end)
        if at >= piece.end:
            return True
    return False


def missing(wanted: Iterable[Range], present: Sequence[Range]) -> tuple[Range, ...]:
    """Return the pieces that are not completely present."""
    return tuple(piece for piece in wanted if not covered(piece, present))
