"""Blobs as a listing tells them, and which blobs of the factory's container belong together.

Owns the names that a save gives its files: all of one save begin with one stem, the VHD's name without its suffix.
Refuses to judge them (`imagefactory.planning.prune_plan`) and to list them (`imagefactory.azure`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from imagefactory.images.ranges_manifest import SUFFIX, manifest_name

RECORD, NAME = ".save", ".name"
"""Suffixes of what a save leaves while it is under way (`imagefactory.azure.storage.save_records`)."""

UNFINISHED = ".copying.json.gz"
"""Ends the name of the record beside a VHD whose copy has not ended."""

_SAVED = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DATA_DISK = re.compile(r"(?P<owner>.+)\.lun[0-9]+")


@dataclass(frozen=True)
class StoredBlob:
    """A blob as a listing gives it. Length in bytes."""

    account_id: str
    """ARM id of its storage account."""
    container: str
    name: str
    length: int
    etag: str
    last_modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    held: bool = False
    """Whether somebody holds it by a lease, or a copy into it is under way."""

    @property
    def is_vhd(self) -> bool:
        """By its name."""
        return self.name.lower().endswith(".vhd")


@dataclass(frozen=True)
class SavedFiles:
    """All blobs of one stem. Each of the factory's blobs belongs to one stem at most."""

    stem: str
    vhds: tuple[StoredBlob, ...] = ()
    """Of the OS disk: one, unless two names differ in letter case only."""
    companions: tuple[StoredBlob, ...] = ()
    data_disks: tuple[StoredBlob, ...] = ()
    manifests: tuple[StoredBlob, ...] = ()
    """Also the records of copies that have not ended."""
    names: tuple[StoredBlob, ...] = ()
    """Reservations of image names."""
    record: StoredBlob | None = None

    @property
    def blobs(self) -> tuple[StoredBlob, ...]:
        """All, in the order in which they are deleted: what remains of a deletion that was cut off is never an image,
        nor a companion alone, which an operator could mean to keep."""
        record = (self.record,) if self.record else ()
        return (*self.companions, *self.vhds, *self.data_disks, *self.manifests, *self.names, *record)

    @property
    def is_ours(self) -> bool:
        """Whether a save gave that name, this project's or the old scripts'."""
        return _SAVED.fullmatch(self.stem) is not None


def saved_files(blobs: Iterable[StoredBlob]) -> dict[str, SavedFiles]:
    """The blobs of the factory's container by stem; what has no name that a save gives is passed over."""
    blobs = sorted(blobs, key=lambda blob: blob.name)
    companions = {_before(blob.name, ".") for blob in blobs if blob.name.lower().endswith(".json")}
    found: dict[str, dict[str, list[StoredBlob]]] = {}
    for blob in blobs:
        kind, stem = _kind(blob, companions)
        if kind:
            found.setdefault(stem, {}).setdefault(kind, []).append(blob)
    return {stem: _files(stem, kinds) for stem, kinds in found.items()}


def allocated(vhd: StoredBlob, manifests: Iterable[StoredBlob]) -> int:
    """Bytes that a VHD holds, where its manifest tells; else its length."""
    manifest = next((each for each in manifests if each.name == manifest_name(vhd.name)), None)
    told = manifest.metadata.get("allocated", "") if manifest else ""
    return min(int(told), vhd.length) if re.fullmatch("[0-9]{1,16}", told) else vhd.length


def _kind(blob: StoredBlob, companions: set[str]) -> tuple[str, str]:
    if blob.name.endswith(NAME):
        return "names", blob.metadata.get("guid") or blob.name
    if blob.name.endswith(RECORD):
        return "records", blob.name.removesuffix(RECORD)
    if suffix := next((each for each in (SUFFIX, UNFINISHED) if blob.name.endswith(each)), ""):
        return "manifests", _owner(blob.name.removesuffix(suffix), companions)
    stem = _before(blob.name, ".")
    if blob.name.lower().endswith(".json"):
        return "companions", stem
    if blob.is_vhd:
        owner = _owner(stem, companions)
        return "vhds" if owner == stem else "data_disks", owner
    return "", ""


def _owner(stem: str, companions: set[str]) -> str:
    """The stem to which a data disk belongs, unless it is an image of its own."""
    match = _DATA_DISK.fullmatch(stem)
    return match["owner"] if match and stem not in companions else stem


def _before(name: str, separator: str) -> str:
    return name.rpartition(separator)[0]


def _files(stem: str, kinds: Mapping[str, list[StoredBlob]]) -> SavedFiles:
    records = kinds.get("records", [])
    return SavedFiles(
        stem,
        **{kind: tuple(blobs) for kind, blobs in kinds.items() if kind != "records"},
        record=records[0] if records else None,
    )
