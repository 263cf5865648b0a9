"""The fixed VHD format, as far as Azure requires it.

Checks footer, size and alignment (Virtual Hard Disk Image Format Specification 1.0; Azure's rules are in "Prepare a
Windows VHD to upload to Azure"). Azure reports an invalid VHD only hours later, when the image is created. Does not
read files or blobs: callers pass the last 512 bytes.
"""

from __future__ import annotations

import struct

FOOTER_BYTES = 512
ALIGNMENT_BYTES = 1024 * 1024
"""The virtual size of a disk must be a multiple of this."""

_COOKIE = b"conectix"
_DISK_TYPES = {2: "fixed", 3: "dynamic", 4: "differencing"}
_CURRENT_SIZE, _DISK_TYPE, _CHECKSUM = struct.Struct(">48xQ"), struct.Struct(">60xI"), struct.Struct(">64xI")


def length_problem(length: int) -> str | None:
    """Return why a blob of `length` bytes cannot be a fixed VHD for Azure; None if it can."""
    if length <= FOOTER_BYTES:
        return f"has {length} bytes, too few for a fixed VHD"
    if (length - FOOTER_BYTES) % ALIGNMENT_BYTES:
        return f"its virtual size of {length - FOOTER_BYTES} bytes is not a multiple of 1 MiB"
    return None


def footer_problem(footer: bytes, length: int) -> str | None:
    """Return why a VHD of `length` bytes with this `footer` is invalid in Azure; None if it is valid."""
    if problem := length_problem(length):
        return problem
    if len(footer) != FOOTER_BYTES or not footer.startswith(_COOKIE):
        return "does not end with a VHD footer (cookie 'conectix')"
    (stored,) = _CHECKSUM.unpack_from(footer)
    if stored != ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF:
        return "its VHD footer has a wrong checksum"
    (disk_type,) = _DISK_TYPE.unpack_from(footer)
    if disk_type != 2:
        return f"is a VHD of the {_DISK_TYPES.get(disk_type, 'unknown')} type, and Azure accepts only fixed VHDs"
    (size,) = _CURRENT_SIZE.unpack_from(footer)
    if size != length - FOOTER_BYTES:
        return f"its footer has a virtual size of {size} bytes, but the blob contains {length - FOOTER_BYTES}"
    return None
