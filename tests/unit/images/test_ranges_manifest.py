"""The ranges manifest: read as written, and rejected if invalid."""

from __future__ import annotations

import base64
import gzip
import json
import tracemalloc
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.images.ranges import BRIDGE_BYTES, PAGE_BYTES, PIECE_BYTES, Range, pieces
from imagefactory.images.ranges_manifest import (
    UNPACKED_BYTES,
    Manifest,
    ManifestError,
    manifest_bytes,
    manifest_name,
    most_bytes,
    most_ranges,
    parse_manifest,
)

CREATED = datetime(2026, 6, 5, 10, 11, 12, tzinfo=timezone.utc)
RANGES = 10
"""How many ranges the manifests of these tests have at most."""


def in_base64(size: int) -> st.SearchStrategy[str]:
    """Digests of this number of bytes."""
    return st.binary(min_size=size, max_size=size).map(lambda raw: base64.b64encode(raw).decode())


digests = in_base64(8)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """A manifest of some ranges."""
    ranges, at = {}, 0
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 8192)), max_size=RANGES)):
        at += gap * PAGE_BYTES
        ranges[Range(at, length * PAGE_BYTES)] = draw(digests)
        at += length * PAGE_BYTES
    known = [part for part in ranges if draw(st.booleans())]
    return Manifest("a.vhd", at + PAGE_BYTES, CREATED, ranges, {part: draw(in_base64(16)) for part in known})


@given(manifests())
def test_a_manifest_is_read_back_as_it_was_written(manifest: Manifest) -> None:
    """The same bytes each time, and the same value."""
    packed = manifest_bytes(manifest)
    assert parse_manifest(packed, RANGES) == manifest and manifest_bytes(parse_manifest(packed, RANGES)) == packed
    assert len(gzip.decompress(packed)) <= most_bytes(len(manifest.ranges))
    assert manifest.allocated == sum(part.length for part in manifest.ranges)


@given(manifests(), digests)
def test_the_digest_depends_on_the_content_only(manifest: Manifest, other: str) -> None:
    """It does not depend on name, order and MD5s; it depends on the digest of each range."""
    turned = dict(reversed(list(manifest.ranges.items())))
    without = Manifest("a.vhd", manifest.length, CREATED, manifest.ranges)
    assert without.digest == manifest.digest and b'"version":1' in gzip.decompress(manifest_bytes(without))
    assert Manifest("b.vhd", manifest.length, CREATED, turned).digest == manifest.digest
    for part, digest in manifest.ranges.items():
        changed = Manifest("a.vhd", manifest.length, CREATED, {**manifest.ranges, part: other})
        assert (changed.digest == manifest.digest) is (other == digest)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_not_a_manifest(junk: bytes) -> None:
    """Any bytes raise only `ManifestError`."""
    for packed in (junk, gzip.compress(junk)):
        with pytest.raises(ManifestError):
            parse_manifest(packed, RANGES)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 3},
        {"algorithm": "md5"},
        {"created": "yesterday"},
        {"ranges": [[0, 512, "AAAAAAAAAAA="], [0, 512, "AAAAAAAAAAA="]]},
        {"ranges": [[0, 1024, "AAAAAAAAAAA="], [512, 512, "AAAAAAAAAAA="]]},
        {"ranges": [[0, 100, "AAAAAAAAAAA="]]},
        {"ranges": [[0, 512, "short"]]},
        {"ranges": [[0, 8 * 1024 * 1024, "AAAAAAAAAAA="]]},
        {"ranges": [[1024 * 1024, 512, "AAAAAAAAAAA="]]},
        {"ranges": [[0, 512]]},
        {"ranges": [[0, 512, "AAAAAAAAAAA=", "AAAAAAAAAAA="]]},
        {"ranges": [[0, 512, "AAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAA="]]},
        {"ranges": None},
    ],
)
def test_an_impossible_manifest_is_rejected(change: dict[str, Any]) -> None:
    """Another version, overlapping or misaligned ranges, ranges beyond the end."""
    good = {
        "version": 1,
        "vhd": "a.vhd",
        "length": 1024,
        "created": CREATED.isoformat(),
        "algorithm": "crc64",
        "ranges": [],
    }
    assert parse_manifest(gzip.compress(json.dumps(good).encode()), RANGES).ranges == {}
    with pytest.raises(ManifestError):
        parse_manifest(gzip.compress(json.dumps({**good, **change}).encode()), RANGES)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(manifests(), st.data())
def test_a_damaged_manifest_is_read_or_rejected(manifest: Manifest, data: st.DataObject) -> None:
    """With changed or missing bytes, and with values of other types."""
    packed = bytearray(manifest_bytes(manifest))
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(ManifestError):
        parse_manifest(bytes(packed[:cut]), RANGES)
    packed[cut] ^= data.draw(st.integers(1, 255))
    read_or_refused(bytes(packed))
    document = json.loads(gzip.decompress(manifest_bytes(manifest)))
    document[data.draw(st.sampled_from(sorted(document)))] = data.draw(json_values)
    if manifest.ranges and isinstance(document["ranges"], list) and document["ranges"]:
        document["ranges"][0] = data.draw(st.just(document["ranges"][0]) | st.lists(json_values, max_size=4))
    read_or_refused(gzip.compress(json.dumps(document).encode()))


def read_or_refused(packed: bytes) -> None:
    """A manifest that is read follows the rules."""
    try:
        manifest = parse_manifest(packed, RANGES)
    except ManifestError as error:
        assert "\n" not in str(error)
        return
    assert all(part.end <= manifest.length for part in manifest.ranges)
    assert len(manifest.digest) == len("sha256:") + 64


@pytest.mark.parametrize(
    "change", [{"length": 1e999}, {"ranges": [[1e999, 512, "AAAAAAAAAAA="]]}, {"length": 1.5}, {"length": -512}]
)
def test_a_number_that_is_not_a_number_of_bytes_is_rejected(change: dict[str, Any]) -> None:
    """Also Infinity, which Python accepts although JSON forbids it."""
    document = {"version": 1, "vhd": "a.vhd", "length": 1024, "created": CREATED.isoformat(), "algorithm": "crc64"}
    with pytest.raises(ManifestError):
        parse_manifest(gzip.compress(json.dumps({**document, "ranges": [], **change}).encode()), RANGES)


@pytest.mark.parametrize("filling", [b" ", b"[", b"[],"])
def test_no_more_is_decompressed_than_the_ranges_of_the_vhd_need(filling: bytes) -> None:
    """130 KB of gzip decompress to 128 MiB; the VHD limits how much of them is decompressed."""
    bomb = gzip.compress(b'{"ranges":[' + filling * ((UNPACKED_BYTES - 100) // len(filling)))
    assert len(bomb) < 400_000
    tracemalloc.start()
    try:
        with pytest.raises(ManifestError, match="too long for its VHD"):
            parse_manifest(bomb, 4000)
        assert tracemalloc.get_traced_memory()[1] < 4 * most_bytes(4000)
    finally:
        tracemalloc.stop()


allocations = st.lists(
    st.tuples(st.sampled_from([0, 1, BRIDGE_BYTES // 512, BRIDGE_BYTES // 512 + 1, 9000]), st.integers(1, 9000)),
    max_size=40,
)
"""Gap and length of what a disk has allocated, in pages."""


@given(allocations)
def test_a_vhd_is_not_cut_into_more_ranges_than_its_manifest_may_have(allocated: list[tuple[int, int]]) -> None:
    """For any allocated ranges."""
    held, at = [], 0
    for gap, length in allocated:
        held.append(Range(at + gap * PAGE_BYTES, length * PAGE_BYTES))
        at = held[-1].end
    assert len(pieces(held)) <= most_ranges(at)


def test_the_largest_row_has_room() -> None:
    """The last piece of the largest page blob, with both digests, of a VHD with the longest possible name."""
    end = 8 * 1024**4
    part = Range(end - PIECE_BYTES, PIECE_BYTES)
    manifest = Manifest("\u1234" * 1024, end, CREATED, {part: "A" * 11 + "="}, {part: "A" * 22 + "=="})
    assert parse_manifest(manifest_bytes(manifest), 1) == manifest


def test_a_manifest_is_next_to_its_vhd() -> None:
    """It has the VHD's name without its suffix."""
    assert manifest_name("0c1d.vhd") == "0c1d.ranges.json.gz"
