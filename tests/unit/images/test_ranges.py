"""What is copied from a disk: every allocated byte once, in the cheapest requests."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from imagefactory.images.ranges import BRIDGE_BYTES, PAGE_BYTES, PIECE_BYTES, Range, covered, missing, pieces

spans = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 300), st.integers(0, 20_000)), st.one_of(st.integers(1, 40), st.integers(1, 30_000))
    ),
    max_size=30,
)
"""Gaps and lengths, in pages."""

PIECE = PIECE_BYTES // PAGE_BYTES
BRIDGE = BRIDGE_BYTES // PAGE_BYTES


def disk(spans: list[tuple[int, int]]) -> list[Range]:
    """Page ranges in order."""
    found, at = [], 0
    for gap, length in spans:
        at += gap * PAGE_BYTES
        found.append(Range(at, length * PAGE_BYTES))
        at += length * PAGE_BYTES
    return found


@given(spans)
@example([(0, PIECE - 10), (50, 100)])
@example([(0, PIECE - BRIDGE), (BRIDGE, 1)])
@example([(3, PIECE), (BRIDGE, PIECE), (BRIDGE + 1, 1)])
def test_pieces_contain_every_allocated_byte_once_and_no_gap_to_skip(spans: list[tuple[int, int]]) -> None:
    """Pieces have up to 4 MiB, consist of complete pages, are in order, and start and end with data."""
    allocated = disk(spans)
    cut = pieces(allocated)
    starts, ends = {each.offset for each in allocated}, {each.end for each in allocated}
    for piece in cut:
        assert 0 < piece.length <= PIECE_BYTES and piece.offset % PAGE_BYTES == piece.length % PAGE_BYTES == 0
        assert piece.offset in starts or covered(Range(piece.offset - PAGE_BYTES, 2 * PAGE_BYTES), allocated)
        assert piece.end in ends or covered(Range(piece.end - PAGE_BYTES, 2 * PAGE_BYTES), allocated)
    assert all(first.end <= second.offset for first, second in pairwise(cut))
    assert all(covered(each, cut) for each in allocated)
    inside = [
        second.offset - first.end
        for first, second in pairwise(allocated)
        if covered(Range(first.end, max(second.offset - first.end, 0)), cut) and second.offset > first.end
    ]
    assert all(gap <= BRIDGE_BYTES for gap in inside)


@given(spans)
@example([(0, 1), (BRIDGE, 1), (BRIDGE + 1, 1)])
@example([(0, PIECE - BRIDGE - 1), (BRIDGE, 1)])
@example([(0, PIECE + 1), (BRIDGE, 1)])
def test_no_two_pieces_could_be_one_request(spans: list[tuple[int, int]]) -> None:
    """Adjacent pieces with a short gap do not fit into 4 MiB together."""
    for first, second in pairwise(pieces(disk(spans))):
        joined = second.end - first.offset
        assert second.offset - first.end > BRIDGE_BYTES or joined > PIECE_BYTES


@given(spans, st.data())
def test_missing_pieces_are_those_not_completely_present(spans: list[tuple[int, int]], data: st.DataObject) -> None:
    """Pieces at a destination, split at any page, are not missing; all others are."""
    cut = pieces(disk(spans))
    there = data.draw(st.sets(st.sampled_from(cut))) if cut else set()
    present = []
    for piece in sorted(there):
        split = data.draw(st.integers(0, piece.length // PAGE_BYTES - 1)) * PAGE_BYTES
        present += [Range(piece.offset, split)] * (split > 0) + [Range(piece.offset + split, piece.length - split)]
    assert missing(cut, present) == tuple(piece for piece in cut if piece not in there)


def test_an_empty_disk_has_no_pieces_and_a_full_one_pieces_of_four_mebibytes() -> None:
    """The limits."""
    assert pieces([]) == ()
    full = pieces([Range(0, 3 * PIECE_BYTES + PAGE_BYTES)])
    assert [piece.length for piece in full] == [PIECE_BYTES] * 3 + [PAGE_BYTES]
