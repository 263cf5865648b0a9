"""What a few bytes of a VHD show before it is copied: whether Azure accepts its format, and its partition table.

Parses the first 1,024 bytes and the footer. A GPT starts with its signature in the second sector (UEFI Specification
2.10, table 5.5), an MBR ends with 55 AA in the first one. Azure's VMs boot Windows from a GPT as generation 2 only
("Support for generation 2 VMs": generation 1 VMs have a BIOS and an MBR OS disk); a Linux disk with a GPT can have boot
loaders for both. Does not read blobs: `imagefactory.azure.storage.vhd_checks` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from imagefactory.images.vhd_footer import footer_problem

HEAD_BYTES = 1024
"""The first two sectors."""

PartitionTable: TypeAlias = Literal["GPT", "MBR"]

_SECTOR = 512


@dataclass(frozen=True)
class DiskLayout:
    """What was found in a VHD."""

    problem: str | None = None
    """Why Azure would reject it; None: it is a fixed VHD of the right size."""
    partition_table: PartitionTable | None = None
    """None: neither was found, or `problem` leaves the position of the sectors unknown."""


def read_layout(head: bytes, footer: bytes, length: int) -> DiskLayout:
    """Return what the first `HEAD_BYTES` and the footer of a VHD of `length` bytes show."""
    problem = footer_problem(footer, length)
    return DiskLayout(problem, None if problem else _partition_table(head))


def _partition_table(head: bytes) -> PartitionTable | None:
    if head[_SECTOR:].startswith(b"EFI PART"):
        return "GPT"
    return "MBR" if head[_SECTOR - 2 : _SECTOR] == b"\x55\xaa" else None
