"""What the first sectors and the footer of a VHD show: each wrong field is found, and so is the partition table."""

from __future__ import annotations

import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.images.disk_layout import HEAD_BYTES, DiskLayout, read_layout
from imagefactory.images.vhd_footer import FOOTER_BYTES
from localcloud.vhd import footer
from tests.unit.builders import MIB

SIZE = 64 * MIB
GOOD = footer(SIZE, uuid.UUID(int=7))
MBR = bytes(510) + b"\x55\xaa" + bytes(512)
GPT = MBR[:512] + b"EFI PART" + bytes(504)


def written(offset: int, value: bytes, *, summed: bool = True) -> bytes:
    """The footer with other bytes at an offset, and with the checksum that the format prescribes, unless told not."""
    content = GOOD[:offset] + value + GOOD[offset + len(value) :]
    if not summed:
        return content
    checksum = ~(sum(content) - sum(content[64:68])) & 0xFFFFFFFF
    return content[:64] + struct.pack(">I", checksum) + content[68:]


def problem(content: bytes, length: int = SIZE + FOOTER_BYTES) -> str:
    """What is wrong with a VHD that ends so; empty if nothing is."""
    return read_layout(MBR, content, length).problem or ""


@given(st.integers(0, FOOTER_BYTES - 1), st.integers(1, 255))
def test_any_single_wrong_byte_of_a_footer_is_found(position: int, change: int) -> None:
    """By the checksum at least, whichever field it is in."""
    assert problem(written(position, bytes([GOOD[position] ^ change]), summed=False))
    assert problem(GOOD) == ""


@given(st.binary(min_size=8, max_size=8).filter(lambda cookie: cookie != b"conectix"))
def test_another_cookie_is_found_although_the_checksum_is_right(cookie: bytes) -> None:
    """A file of another format that happens to have a right sum is no VHD."""
    assert "conectix" in problem(written(0, cookie))


@given(st.integers(0, 2**64 - 1).filter(lambda size: size != SIZE))
def test_a_footer_with_another_size_is_found_although_the_checksum_is_right(size: int) -> None:
    """Both sizes are named."""
    found = problem(written(48, struct.pack(">Q", size)))
    assert f"virtual size of {size} bytes" in found and str(SIZE) in found


@given(st.integers(0, 2**32 - 1).filter(lambda kind: kind != 2))
def test_each_type_but_fixed_is_found_although_the_checksum_is_right(kind: int) -> None:
    """Dynamic and differencing VHDs by their names."""
    name = {3: "dynamic", 4: "differencing"}.get(kind, "unknown")
    assert f"of the {name} type" in problem(written(60, struct.pack(">I", kind)))


@given(st.integers(0, 200 * MIB))
def test_only_a_blob_of_the_footers_own_length_is_valid(length: int) -> None:
    """A blob that was cut off, or is longer, is not."""
    assert (problem(GOOD, length) == "") == (length == SIZE + FOOTER_BYTES)


@pytest.mark.parametrize(("head", "table"), [(GPT, "GPT"), (MBR, "MBR"), (bytes(HEAD_BYTES), None), (b"", None)])
def test_the_partition_table_is_found_in_the_first_two_sectors(head: bytes, table: str | None) -> None:
    """A disk with a GPT also has an MBR, which protects it; a blob that gives fewer bytes has none."""
    assert read_layout(head, GOOD, SIZE + FOOTER_BYTES) == DiskLayout(None, table)  # type: ignore[arg-type]


@given(st.binary(max_size=HEAD_BYTES), st.binary(max_size=FOOTER_BYTES), st.integers(0, 2**63))
def test_any_bytes_are_read_without_an_error(head: bytes, end: bytes, length: int) -> None:
    """What is invalid has a reason and no partition table."""
    found = read_layout(head, end, length)
    assert found.problem and found.partition_table is None
