"""The ranges manifest of a factory image: each range of its VHD with the digest that the storage service computed.

Owns the format of `<guid>.ranges.json.gz` and the digest of the whole. It compares nothing and reads no blob. Digests
are CRC64 as Azure writes them in `x-ms-content-crc64` (base64 of 8 bytes).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from imagefactory.errors import ImageFactoryError
from imagefactory.ranges import PAGE_BYTES, PIECE_BYTES, Range

VERSION = 1
SUFFIX = ".ranges.json.gz"
LARGEST_BYTES = 64 * 1024 * 1024
UNPACKED_BYTES = 2 * LARGEST_BYTES
"""More than a manifest of the largest page blob (8 TiB, two million pieces); what is larger, packed or not, is none."""

_DIGEST_BYTES = 8


class ManifestError(ImageFactoryError):
    """A manifest that cannot be read; the text tells what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The VHD that it tells of (file name, length in bytes, creation time) and its ranges, in order, with digests."""

    vhd: str
    length: int
    created: datetime
    ranges: Mapping[Range, str]

    @property
    def digest(self) -> str:
        """`sha256:` and the hash of length and ranges: the same for the same content, whatever the VHD is called."""
        content = json.dumps([self.length, _rows(self.ranges)], separators=(",", ":"))
        return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"

    @property
    def allocated(self) -> int:
        """Bytes in its ranges."""
        return sum(part.length for part in self.ranges)


def manifest_name(vhd: str) -> str:
    """The blob that holds the manifest of a VHD, beside it and its companion."""
    return f"{vhd.rpartition('.')[0]}{SUFFIX}"


def manifest_bytes(manifest: Manifest) -> bytes:
    """The document, packed; the same bytes for the same manifest."""
    document = {
        "version": VERSION,
        "vhd": manifest.vhd,
        "length": manifest.length,
        "created": manifest.created.isoformat(),
        "algorithm": "crc64",
        "ranges": _rows(manifest.ranges),
    }
    return gzip.compress(json.dumps(document, separators=(",", ":")).encode(), mtime=0)


def parse_manifest(packed: bytes) -> Manifest:
    """Read a document. Raises `ManifestError`."""
    unpacking = zlib.decompressobj(wbits=31)
    try:
        content = unpacking.decompress(packed, UNPACKED_BYTES)
        document = json.loads(content)
        if (
            not unpacking.eof
            or unpacking.unused_data
            or document["version"] != VERSION
            or document["algorithm"] != "crc64"
        ):
            raise ValueError("it is of another kind or version, or cut short")
        ranges = {
            Range(_number(offset), _number(length)): _digest(digest) for offset, length, digest in document["ranges"]
        }
        created = datetime.fromisoformat(document["created"])
        if created.tzinfo is None:
            raise ValueError("its time has no zone")
        manifest = Manifest(str(document["vhd"]), _number(document["length"]), created, ranges)
        _check(manifest, len(document["ranges"]))
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error) as error:
        raise ManifestError(f"it is no ranges manifest ({type(error).__name__}: {error})") from None
    return manifest


def _rows(ranges: Mapping[Range, str]) -> list[list[Any]]:
    return [[part.offset, part.length, ranges[part]] for part in sorted(ranges)]


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a number of bytes is none")
    return value


def _digest(value: Any) -> str:
    if not isinstance(value, str) or len(base64.b64decode(value, validate=True)) != _DIGEST_BYTES:
        raise ValueError("a digest is not 8 bytes in base64")
    return value


def _check(manifest: Manifest, rows: int) -> None:
    end = 0
    for part in sorted(manifest.ranges):
        if part.offset < end or part.offset % PAGE_BYTES or part.length % PAGE_BYTES:
            raise ValueError(f"the range at {part.offset} overlaps another or is not made of whole pages")
        if not 0 < part.length <= PIECE_BYTES or part.end > manifest.length:
            raise ValueError(f"the range at {part.offset} is too long, or beyond the end")
        end = part.end
    if len(manifest.ranges) != rows:
        raise ValueError("a range stands there twice")
