"""Byte ranges of a page blob: which pieces are copied, and which of them a destination lacks.

Owns the rule that turns what a source has allocated into requests. It reads no blob; callers give it page ranges, in
order, that do not overlap and lie on page boundaries, as Get Page Ranges answers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

PAGE_BYTES = 512
PIECE_BYTES = 4 * 1024 * 1024
"""The most that one Put Page From URL writes (Azure's limit)."""

BLOB_BYTES_PER_SECOND = 60 * 1024 * 1024
BLOB_REQUESTS_PER_SECOND = 500
"""Azure's targets for one page blob ("Scalability and performance targets for Blob storage")."""

BRIDGE_BYTES = BLOB_BYTES_PER_SECOND // BLOB_REQUESTS_PER_SECOND // PAGE_BYTES * PAGE_BYTES
"""A gap up to this is copied with its neighbours, a longer one skipped (125,440 bytes).

At Azure's limits of one page blob a request costs the 500th part of a second, and so do the bytes that pass in it: a
shorter gap costs less than the request that skipping it would add. An empty chunk of 4 MiB is never touched.
"""


class Range(NamedTuple):
    """`length` bytes from `offset`."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.length


def pieces(allocated: Iterable[Range]) -> tuple[Range, ...]:
    """What one request each copies: pieces that begin and end with allocated bytes, with no gap to skip inside."""
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
    """Whether `present` holds every byte of `piece`."""
    at = piece.offset
    for held in present[max(bisect_right(present, Range(at, 1 << 62)) - 1, 0) :]:
        if held.offset > at:
            break
        at = max(at, held.end)
        if at >= piece.end:
            return True
    return False


def missing(wanted: Iterable[Range], present: Sequence[Range]) -> tuple[Range, ...]:
    """The pieces that are not wholly there."""
    return tuple(piece for piece in wanted if not covered(piece, present))
