"""Listed blobs, and which blobs of the factory's container belong together.

Defines the names of the files of a save: all start with one stem, the VHD's name without its suffix. Does not list
blobs (`imagefactory.azure`) and does not decide which are deleted (`imagefactory.planning.factory.prune_plan`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from imagefactory.images.companions import stem
from imagefactory.images.ranges_manifest import SUFFIX, manifest_name

RECORD, NAME = ".save", ".name"
"""Suffixes of the blobs that exist while a save is in progress (`imagefactory.azure.storage.save_records`)."""

UNFINISHED = ".copying.json.gz"
"""The suffix of the record next to a VHD whose copy is not finished."""

_SAVED = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DATA_DISK = re.compile(r"(?P<owner>.+)\.lun[0-9]+")


@dataclass(frozen=True)
class StoredBlob:
    """A listed blob. Length in bytes."""

    account_id: str
    """ARM id of its storage account."""
    container: str
    name: str
    length: int
    etag: str
    last_modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    held: bool = False
    """Whether a client holds a lease on it, or a copy into it is in progress."""

    @property
    def is_vhd(self) -> bool:
        """Whether its name is that of a VHD."""
        return self.name.lower().endswith(".vhd")


@dataclass(frozen=True)
class SavedFiles:
    """All blobs of one stem. Each blob of the factory belongs to up to one stem."""

    stem: str
    vhds: tuple[StoredBlob, ...] = ()
    """The VHD of the OS disk; several if their names differ only in case."""
    companions: tuple[StoredBlob, ...] = ()
    data_disks: tuple[StoredBlob, ...] = ()
    manifests: tuple[StoredBlob, ...] = ()
    """Also the records of unfinished copies."""
    names: tuple[StoredBlob, ...] = ()
    """Reservations of image names."""
    record: StoredBlob | None = None

    @property
    def blobs(self) -> tuple[StoredBlob, ...]:
        """All blobs in the order of deletion: an interrupted deletion leaves no image, and no companion without VHD,
        which an operator may want to keep."""
        record = (self.record,) if self.record else ()
        return (*self.companions, *self.vhds, *self.data_disks, *self.manifests, *self.names, *record)

    @property
    def is_ours(self) -> bool:
        """Whether a save of this project or of the older scripts created that name."""
        return _SAVED.fullmatch(self.stem) is not None


def saved_files(blobs: Iterable[StoredBlob]) -> dict[str, SavedFiles]:
    """Return the blobs of the factory's container by stem; skip those with other names than a save creates."""
    blobs = sorted(blobs, key=lambda blob: blob.name)
    companions = {stem(blob.name) for blob in blobs if blob.name.lower().endswith(".json")}
    found: dict[str, dict[str, list[StoredBlob]]] = {}
    for blob in blobs:
        kind, owner = _kind(blob, companions)
        if kind:
            found.setdefault(owner, {}).setdefault(kind, []).append(blob)
    return {owner: _files(owner, kinds) for owner, kinds in found.items()}


def allocated(vhd: StoredBlob, manifests: Iterable[StoredBlob]) -> int:
    """Return the allocated bytes of a VHD from its manifest; its length if the manifest lacks them."""
    manifest = next((each for each in manifests if each.name == manifest_name(vhd.name)), None)
    written = manifest.metadata.get("allocated", "") if manifest else ""
    return min(int(written), vhd.length) if re.fullmatch("[0-9]{1,16}", written) else vhd.length


def _kind(blob: StoredBlob, companions: set[str]) -> tuple[str, str]:
    if blob.name.endswith(NAME):
        return "names", blob.metadata.get("guid") or blob.name
    if blob.name.endswith(RECORD):
        return "records", blob.name.removesuffix(RECORD)
    if suffix := next((each for each in (SUFFIX, UNFINISHED) if blob.name.endswith(each)), ""):
        return "manifests", _owner(blob.name.removesuffix(suffix), companions)
    if blob.name.lower().endswith(".json"):
        return "companions", stem(blob.name)
    if blob.is_vhd:
        owner = _owner(stem(blob.name), companions)
        return "vhds" if owner == stem(blob.name) else "data_disks", owner
    return "", ""


def _owner(own: str, companions: set[str]) -> str:
    """Return the stem to which a data disk belongs; its own if it has a companion and so is an image."""
    match = _DATA_DISK.fullmatch(own)
    return match["owner"] if match and own not in companions else own


def _files(owner: str, kinds: Mapping[str, list[StoredBlob]]) -> SavedFiles:
    records = kinds.get("records", [])
    return SavedFiles(
        owner,
        **{kind: tuple(blobs) for kind, blobs in kinds.items() if kind != "records"},
        record=records[0] if records else None,
    )
