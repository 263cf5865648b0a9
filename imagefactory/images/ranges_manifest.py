"""The ranges manifest of a factory image: each range of its VHD with the digests that the storage service computed.

Defines the format of `<guid>.ranges.json.gz` and the digest of the complete VHD. Does not compare digests or read
blobs. Digests are CRC64 as in Azure's `x-ms-content-crc64` (base64 of 8 bytes), and MD5 as in `Content-MD5` (of 16
bytes).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from imagefactory.errors import ImageFactoryError
from imagefactory.images.ranges import BRIDGE_BYTES, PAGE_BYTES, PIECE_BYTES, Range

VERSIONS = 1, 2
"""Version 2 has a fourth value in the rows of ranges with a known MD5."""
SUFFIX = ".ranges.json.gz"
LARGEST_BYTES = 64 * 1024 * 1024
UNPACKED_BYTES = 2 * LARGEST_BYTES
"""More than a manifest of the largest page blob (8 TiB, two million pieces); larger documents are rejected."""

_CRC64_BYTES, _MD5_BYTES = 8, 16

HEAD_BYTES = 8 * 1024
"""An upper bound for a document without rows: its longest value is a blob name, of up to 1,024 characters."""

ROW_BYTES = 72
"""An upper bound for a row, with numbers of 13 and 7 digits and both digests."""


class ManifestError(ImageFactoryError):
    """A manifest that is invalid, with the reason."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A VHD (file name, length in bytes, creation time) and its ranges, in order, with digests."""

    vhd: str
    length: int
    created: datetime
    ranges: Mapping[Range, str]
    md5: Mapping[Range, str] = field(default_factory=dict)
    """MD5 of the ranges for which it is known."""

    @property
    def digest(self) -> str:
        """`sha256:` and the hash of length and ranges: equal for equal content, independent of the VHD's name."""
        content = json.dumps([self.length, _rows(self.ranges)], separators=(",", ":"))
        return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"

    @property
    def allocated(self) -> int:
        """Bytes in its ranges."""
        return sum(part.length for part in self.ranges)


def manifest_name(vhd: str) -> str:
    """Return the name of the blob with the manifest of a VHD."""
    return f"{vhd.rpartition('.')[0]}{SUFFIX}"


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the compressed document; the same bytes for the same manifest."""
    document = {
        "version": VERSIONS[bool(manifest.md5)],
        "vhd": manifest.vhd,
        "length": manifest.length,
        "created": manifest.created.isoformat(),
        "algorithm": "crc64",
        "ranges": _rows(manifest.ranges, manifest.md5),
    }
    return gzip.compress(json.dumps(document, separators=(",", ":")).encode(), mtime=0)


def most_ranges(length: int) -> int:
    """Return up to how many ranges `pieces` returns for `length` bytes: two starts are more than a bridge apart."""
    return length // BRIDGE_BYTES + 1


def most_bytes(ranges: int) -> int:
    """Return up to how many bytes a document with this number of ranges has, compressed or not."""
    return min(UNPACKED_BYTES, HEAD_BYTES + ranges * ROW_BYTES)


def parse_manifest(packed: bytes, ranges: int) -> Manifest:
    """Parse a document of up to `ranges` ranges; decompress no more than these need. Raises `ManifestError`."""
    unpacking = zlib.decompressobj(wbits=31)
    try:
        content = unpacking.decompress(packed, most_bytes(ranges))
        if not unpacking.eof:
            raise ValueError("it is truncated, or too long for its VHD")
        document = json.loads(content)
        if unpacking.unused_data or document["version"] not in VERSIONS or document["algorithm"] != "crc64":
            raise ValueError("unknown version or algorithm")
        rows = [_row(*row) for row in document["ranges"]]
        created = datetime.fromisoformat(document["created"])
        if created.tzinfo is None:
            raise ValueError("its time has no time zone")
        manifest = Manifest(
            str(document["vhd"]),
            _number(document["length"]),
            created,
            {part: crc64 for part, crc64, _ in rows},
            {part: md5 for part, _, md5 in rows if md5},
        )
        _check(manifest, len(rows))
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error) as error:
        raise ManifestError(f"it is not a ranges manifest ({type(error).__name__}: {error})") from None
    return manifest


def _row(offset: Any, length: Any, crc64: Any, md5: Any = None) -> tuple[Range, str, str]:
    found = _digest(md5, _MD5_BYTES) if md5 is not None else ""
    return Range(_number(offset), _number(length)), _digest(crc64, _CRC64_BYTES), found


def _rows(*digests: Mapping[Range, str]) -> list[list[Any]]:
    return [[*part, *(known[part] for known in digests if part in known)] for part in sorted(digests[0])]


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("expected a number of bytes")
    return value


def _digest(value: Any, size: int) -> str:
    if not isinstance(value, str) or len(base64.b64decode(value, validate=True)) != size:
        raise ValueError(f"a digest is not {size} bytes in base64")
    return value


def _check(manifest: Manifest, rows: int) -> None:
    end = 0
    for part in sorted(manifest.ranges):
        if part.offset < end or part.offset % PAGE_BYTES or part.length % PAGE_BYTES:
            raise ValueError(f"the range at {part.offset} overlaps another, or is not aligned to pages")
        if not 0 < part.length <= PIECE_BYTES or part.end > manifest.length:
            raise ValueError(f"the range at {part.offset} is too long, or exceeds the VHD")
        end = part.end
    if len(manifest.ranges) != rows:
        raise ValueError("a range is listed twice")
