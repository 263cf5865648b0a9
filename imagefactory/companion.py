"""Companions: what is known of a factory image beside its VHD.

Owns the reading of companion documents (as PowerShell wrote them) and of the same facts in blob metadata, and the
writing of the latter. Refuses to guess: what cannot be read becomes a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from imagefactory.faults import Fault
from imagefactory.image_path import ImagePath


@dataclass(frozen=True)
class VhdBlob:
    """A VHD in the factory's container as the listing gives it. Length in bytes, times in UTC."""

    name: str
    length: int
    created: datetime
    last_modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    blob_type: str | None = None
    """PageBlob, BlockBlob, AppendBlob; None: not told, taken for a page blob."""
    copy_status: str | None = None
    """success, pending, failed, aborted; None: never the target of a copy."""


@dataclass(frozen=True)
class FactoryImage:
    """One built result of a golden image: the facts of its companion and of its VHD blob."""

    name: str
    image_path: ImagePath
    description: str
    author: str
    os_type: Literal["Windows", "Linux"]
    generalized: bool
    saved_at: datetime
    """UTC."""
    saved_at_source: Literal["companion", "last-modified"]
    """`last-modified`: the companion's timestamp could not be read, so the VHD's Last-Modified stands for it."""
    vhd_name: str
    length: int
    """Bytes of the VHD blob, its footer included."""
    created: datetime
    """Creation time of the VHD blob, UTC; with the length it tells a VHD that was written anew."""
    note: Fault | None = None
    """A warning about this image, for the catalog's reader."""


def parse_companion(source: bytes | Mapping[str, str], vhd: VhdBlob) -> FactoryImage | Fault:
    """Read a companion document (bytes) or the metadata on the VHD (mapping). Never raises for bad content."""
    raise NotImplementedError


def carries_facts(metadata: Mapping[str, str]) -> bool:
    """Whether blob metadata tells all that a companion must tell, so that the document need not be read."""
    raise NotImplementedError


def companion_metadata(image: FactoryImage) -> dict[str, str]:
    """The facts as blob metadata. Write it only once the VHD is whole: a VHD that carries it counts as finished."""
    raise NotImplementedError
