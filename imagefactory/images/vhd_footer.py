"""The fixed VHD format, as far as Azure insists on it.

Owns the check of footer, size and alignment (Virtual Hard Disk Image Format Specification 1.0; Azure's rules are in
"Prepare a Windows VHD to upload to Azure"). Azure tells of a wrong one only hours later, when the image is made. It
reads no file and no blob: callers give it the last 512 bytes.
"""

from __future__ import annotations

import struct

FOOTER_BYTES = 512
ALIGNMENT_BYTES = 1024 * 1024
"""The virtual size of a disk must be a multiple of this."""

_COOKIE = b"conectix"
_DISK_TYPES = {2: "fixed", 3: "dynamic", 4: "differencing"}
_CURRENT_SIZE, _DISK_TYPE, _CHECKSUM = struct.Struct(">48xQ"), struct.Struct(">60xI"), struct.Struct(">64xI")


def length_diagnostic(length: int) -> str | None:
    """Why a blob of `length` bytes cannot be a fixed VHD that Azure takes, or None when it can."""
    if length <= FOOTER_BYTES:
        return f"{length} bytes are too few for a fixed VHD"
    if (length - FOOTER_BYTES) % ALIGNMENT_BYTES:
        return f"its virtual size of {length - FOOTER_BYTES} bytes is not a multiple of 1 MiB"
    return None


def footer_problem(footer: bytes, length: int) -> str | None:
    """Why the VHD of `length` bytes that ends in `footer` is none that Azure takes, or None when it is one."""
    if diagnostic := length_diagnostic(length):
        return diagnostic
    if len(footer) != FOOTER_BYTES or not footer.startswith(_COOKIE):
        return "it does not end in a VHD footer (cookie 'conectix')"
    (stored,) = _CHECKSUM.unpack_from(footer)
    if stored != ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF:
        return "the checksum of its VHD footer is wrong"
    (disk_type,) = _DISK_TYPE.unpack_from(footer)
    if disk_type != 2:
        return f"it is a {_DISK_TYPES.get(disk_type, 'strange')} VHD, and Azure takes fixed ones only"
    (size,) = _CURRENT_SIZE.unpack_from(footer)
    if size != length - FOOTER_BYTES:
        return f"its footer tells a virtual size of {size} bytes, the blob holds {length - FOOTER_BYTES}"
    return None
