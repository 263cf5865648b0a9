"""The ranges manifest: read back as written, and never a surprise from junk."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.manifest import UNPACKED_BYTES, Manifest, ManifestError, manifest_bytes, manifest_name, parse_manifest
from imagefactory.ranges import PAGE_BYTES, Range

CREATED = datetime(2026, 6, 5, 10, 11, 12, tzinfo=timezone.utc)
digests = st.binary(min_size=8, max_size=8).map(lambda raw: base64.b64encode(raw).decode())


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """A manifest of some ranges."""
    ranges, at = {}, 0
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 8192)), max_size=10)):
        at += gap * PAGE_BYTES
        ranges[Range(at, length * PAGE_BYTES)] = draw(digests)
        at += length * PAGE_BYTES
    return Manifest("a.vhd", at + PAGE_BYTES, CREATED, ranges)


@given(manifests())
def test_a_manifest_is_read_back_as_it_was_written(manifest: Manifest) -> None:
    """The same bytes each time, and the same value."""
    packed = manifest_bytes(manifest)
    assert parse_manifest(packed) == manifest and manifest_bytes(parse_manifest(packed)) == packed
    assert manifest.allocated == sum(part.length for part in manifest.ranges)


@given(manifests(), digests)
def test_the_digest_tells_content_and_nothing_else(manifest: Manifest, other: str) -> None:
    """Name and order do not count; another digest of any range does."""
    turned = dict(reversed(list(manifest.ranges.items())))
    assert Manifest("b.vhd", manifest.length, CREATED, turned).digest == manifest.digest
    for part, digest in manifest.ranges.items():
        changed = Manifest("a.vhd", manifest.length, CREATED, {**manifest.ranges, part: other})
        assert (changed.digest == manifest.digest) is (other == digest)


@given(st.binary(max_size=200))
def test_junk_is_no_manifest(junk: bytes) -> None:
    """Whatever the bytes, the one error."""
    for packed in (junk, gzip.compress(junk)):
        with pytest.raises(ManifestError):
            parse_manifest(packed)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"algorithm": "md5"},
        {"created": "yesterday"},
        {"ranges": [[0, 512, "AAAAAAAAAAA="], [0, 512, "AAAAAAAAAAA="]]},
        {"ranges": [[0, 1024, "AAAAAAAAAAA="], [512, 512, "AAAAAAAAAAA="]]},
        {"ranges": [[0, 100, "AAAAAAAAAAA="]]},
        {"ranges": [[0, 512, "short"]]},
        {"ranges": [[0, 8 * 1024 * 1024, "AAAAAAAAAAA="]]},
        {"ranges": [[1024 * 1024, 512, "AAAAAAAAAAA="]]},
        {"ranges": [[0, 512]]},
        {"ranges": None},
    ],
)
def test_a_manifest_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    """Another version, overlapping or misaligned ranges, ranges beyond the end."""
    good = {
        "version": 1,
        "vhd": "a.vhd",
        "length": 1024,
        "created": CREATED.isoformat(),
        "algorithm": "crc64",
        "ranges": [],
    }
    assert parse_manifest(gzip.compress(json.dumps(good).encode())).ranges == {}
    with pytest.raises(ManifestError):
        parse_manifest(gzip.compress(json.dumps({**good, **change}).encode()))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(manifests(), st.data())
def test_a_damaged_manifest_is_read_or_refused_and_nothing_else(manifest: Manifest, data: st.DataObject) -> None:
    """Bytes that changed or are missing, and values of any kind where others belong."""
    packed = bytearray(manifest_bytes(manifest))
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(ManifestError):
        parse_manifest(bytes(packed[:cut]))
    packed[cut] ^= data.draw(st.integers(1, 255))
    read_or_refused(bytes(packed))
    document = json.loads(gzip.decompress(manifest_bytes(manifest)))
    document[data.draw(st.sampled_from(sorted(document)))] = data.draw(json_values)
    if manifest.ranges and isinstance(document["ranges"], list) and document["ranges"]:
        document["ranges"][0] = data.draw(st.just(document["ranges"][0]) | st.lists(json_values, max_size=4))
    read_or_refused(gzip.compress(json.dumps(document).encode()))


def read_or_refused(packed: bytes) -> None:
    """What is read keeps the rules of a manifest."""
    try:
        manifest = parse_manifest(packed)
    except ManifestError as error:
        assert "\n" not in str(error)
        return
    assert all(part.end <= manifest.length for part in manifest.ranges)
    assert len(manifest.digest) == len("sha256:") + 64


@pytest.mark.parametrize(
    "change", [{"length": 1e999}, {"ranges": [[1e999, 512, "AAAAAAAAAAA="]]}, {"length": 1.5}, {"length": -512}]
)
def test_a_number_that_counts_no_bytes_is_refused(change: dict[str, Any]) -> None:
    """Also Infinity, which Python reads where JSON forbids it."""
    document = {"version": 1, "vhd": "a.vhd", "length": 1024, "created": CREATED.isoformat(), "algorithm": "crc64"}
    with pytest.raises(ManifestError):
        parse_manifest(gzip.compress(json.dumps({**document, "ranges": [], **change}).encode()))


def test_a_document_that_unpacks_without_end_is_refused() -> None:
    """A few hundred kilobytes must not fill the memory."""
    bomb = gzip.compress(b" " * (UNPACKED_BYTES + 1))
    with pytest.raises(ManifestError, match="it is no ranges manifest"):
        parse_manifest(bomb)


def test_a_manifest_lies_beside_its_vhd() -> None:
    """The VHD's name without its ending."""
    assert manifest_name("0c1d.vhd") == "0c1d.ranges.json.gz"
