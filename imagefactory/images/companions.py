"""Companions: what is known of a factory image beside its VHD.

Owns the reading of companion documents (as PowerShell wrote them, and our own) and of the same facts in blob metadata,
and the writing of both. Refuses to guess: what cannot be read becomes a diagnostic.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote, unquote

from imagefactory.configuration.image_names import name_problem
from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.json_documents import JsonError, parse_json
from imagefactory.diagnostics import Diagnostic, Location, error, warning
from imagefactory.images.lineage import MAX_TAG_VALUE, Lineage
from imagefactory.images.timestamps import read_timestamp

AHEAD = timedelta(days=1)
"""How far a timestamp may be after the VHD's Last-Modified, the service's own clock: clocks and zones differ. An image
whose date is later still would be the newest for ever."""

_CONSEQUENCE = "its image is not distributed"
_ALWAYS = frozenset({"imageName", "imagePath", "description", "osType", "vhdFileName", "timestamp"})
"""Keys that the old scripts wrote, and expect."""
_METADATA_KEYS = frozenset({"imagename", "imagepath", "ostype", "timestamp"})
_METADATA_BYTES = 7 * 1024
"""For names and values; Azure's limit for all metadata of a blob is 8 KiB."""
_BYTES, _DIGEST = re.compile(r"[0-9]{1,16}"), re.compile(r"sha256:[0-9a-f]{64}")


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
    manifest: Mapping[str, str] = field(default_factory=dict)
    """Metadata of its ranges manifest; empty: it has none."""


@dataclass(frozen=True)
class DataDisk:
    """The VHD of a data disk that was saved with an image, and the logical unit number where the VM had it."""

    lun: int
    vhd_name: str
    released: str = ""
    """State of the disk that was saved, as `Lineage.disk_released`."""


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
    """`last-modified`: the timestamp is invalid, ambiguous or `AHEAD`, so the VHD's Last-Modified is used instead."""
    vhd_name: str
    length: int
    """Bytes of the VHD blob, its footer included."""
    created: datetime
    """Creation time of the VHD blob, UTC; with the length it tells a VHD that was written anew."""
    allocated: int | None = None
    """Bytes of it that hold something, as its ranges manifest tells; None: that is not there yet, or tells junk."""
    digest: str | None = None
    """The digest of all its ranges, from the same place."""
    generation: Literal["V1", "V2"] | None = None
    """Hyper-V generation of the disk; None: not told, as by the old scripts."""
    lineage: Lineage = field(default_factory=Lineage)
    data_disks: tuple[DataDisk, ...] = ()
    note: Diagnostic | None = None
    """A warning about this image, for the catalog's reader."""


def parse_companion(source: bytes | Mapping[str, str], vhd: VhdBlob) -> FactoryImage | Diagnostic:
    """Read a companion document (bytes) or the metadata on the VHD (mapping). Never raises for bad content."""
    where = companion_name(vhd.name) if isinstance(source, bytes) else f"metadata of {vhd.name}"
    try:
        if isinstance(source, bytes):
            return _image(_document(source, where), where, vhd)
        return _image({**_metadata(source, where), "vhdfilename": vhd.name}, where, vhd)
    except JsonError as problem:
        return problem.diagnostic


def metadata_image(vhd: VhdBlob) -> FactoryImage | None:
    """The image whose facts the metadata on the VHD tells completely, so that no document need be read; else None."""
    if not _METADATA_KEYS.issubset(key.lower() for key in vhd.metadata):
        return None
    image = parse_companion(vhd.metadata, vhd)
    return image if isinstance(image, FactoryImage) and image.saved_at_source == "companion" else None


def companion_metadata(image: FactoryImage, there: Mapping[str, str] | None = None) -> dict[str, str]:
    """The facts as blob metadata, in addition to what is `there`, except facts of an earlier image.

    Facts that do not fit into metadata are left to the companion, except for the name. Write it only once the VHD is
    whole.
    """
    facts = _facts(image)
    others = {key: value for key, value in (there or {}).items() if key.lower() not in {each.lower() for each in facts}}
    facts["dataDisks"] = json.dumps(facts["dataDisks"], separators=(",", ":")) if image.data_disks else ""
    told = {key.lower(): quote(str(value)) for key, value in facts.items() if value and key != "vhdFileName"}
    if sum(len(key) + len(value) for key, value in {**others, **told}.items()) > _METADATA_BYTES:
        told = {"imagename": told["imagename"]}
    return {**others, **told}


def companion_bytes(image: FactoryImage) -> bytes:
    """The companion document, plain ASCII, which every reader takes whatever encoding it expects."""
    facts = _facts(image)
    facts["imagePath"] = "\\".join(image.image_path.parts)  # the old scripts compare it so
    return json.dumps({key: value for key, value in facts.items() if value or key in _ALWAYS}, indent=2).encode()


def companion_name(vhd_name: str) -> str:
    """The companion document of a VHD, beside it."""
    return f"{vhd_name.rpartition('.')[0]}.json"


def _facts(image: FactoryImage) -> dict[str, object]:
    return {
        "imageName": image.name,
        "imagePath": str(image.image_path),
        "description": image.description,
        "osType": image.os_type,
        "vhdFileName": image.vhd_name,
        "timestamp": image.saved_at.isoformat(),
        "author": image.author,
        "osState": "Generalized" if image.generalized else "Specialized",
        "hyperVGeneration": image.generation or "",
        **image.lineage.facts(),
        "dataDisks": [
            {"lun": disk.lun, "vhdFileName": disk.vhd_name, "diskReleased": disk.released} for disk in image.data_disks
        ],
    }


def _document(content: bytes, where: str) -> dict[str, object]:
    document = parse_json(content, where, _CONSEQUENCE)
    if not isinstance(document.value, dict):
        raise _junk(where, "holds no JSON object")
    return {key.lower(): value for key, value in document.value.items()}


def _metadata(metadata: Mapping[str, str], where: str) -> dict[str, object]:
    try:
        return {key.lower(): unquote(value, errors="strict") for key, value in metadata.items()}
    except UnicodeDecodeError:
        raise _junk(where, "is not percent-encoded UTF-8") from None


def _image(facts: Mapping[str, object], where: str, vhd: VhdBlob) -> FactoryImage:
    def text(key: str, default: str | None = None) -> str:
        value = facts.get(key.lower())
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise _junk(where, f"{key} is missing" if value is None else f"{key} is no text")
        return value

    def choice(key: str, *known: str, default: str | None = None) -> str:
        written = text(key, default)
        found = next((name for name in known if name.lower() == written.strip().lower()), None)
        if found is None:
            raise _junk(where, f'{key} "{written}" is neither {" nor ".join(known)}')
        return found

    vhd_name = text("vhdFileName")
    if vhd_name != vhd.name:
        raise _junk(where, f'vhdFileName "{vhd_name}" is not the VHD of the same name, {vhd.name}')
    name = text("imageName")
    if unusable := name_problem(name):
        raise _junk(where, f'imageName "{name}" cannot be the name of a custom image: {unusable}')
    try:
        image_path = ImagePath.parse(text("imagePath"))
    except ValueError as reason:
        raise _junk(where, f'imagePath "{text("imagePath")}" {reason}') from None
    for key, value in (("imagePath", str(image_path)), ("vhdFileName", vhd_name)):
        if len(value) > MAX_TAG_VALUE:
            raise _junk(where, f"{key} has more than the {MAX_TAG_VALUE} characters that a tag can hold")
    saved_at, note = _saved_at(facts.get("timestamp"), where, vhd)
    return FactoryImage(
        name=name,
        image_path=image_path,
        description=text("description", ""),
        author=text("author", ""),
        os_type="Windows" if choice("osType", "Windows", "Linux") == "Windows" else "Linux",
        generalized=choice("osState", "Generalized", "Specialized", default="Generalized") == "Generalized",
        saved_at=saved_at or vhd.last_modified,
        saved_at_source="companion" if saved_at else "last-modified",
        vhd_name=vhd.name,
        length=vhd.length,
        created=vhd.created,
        allocated=_allocated(vhd),
        digest=_digest(vhd),
        generation=_generation(facts),
        lineage=Lineage.read(facts),
        data_disks=_data_disks(facts, where),
        note=note,
    )


def _saved_at(written: object, where: str, vhd: VhdBlob) -> tuple[datetime | None, Diagnostic | None]:
    """When the image was saved; None, and a warning, where that cannot be told."""
    moment = read_timestamp(written, vhd.last_modified) if isinstance(written, str) else None
    if moment and moment - vhd.last_modified <= AHEAD:
        return moment, None
    told = "is missing" if written is None else f'"{written}" has no reading, or several'
    if moment:
        told = f'"{written}" is more than 1 day after the last write to the VHD'
    consequence = f"the VHD's Last-Modified, {vhd.last_modified.isoformat()}, stands for it"
    remedy = "Write it as ISO 8601 with its zone"
    return None, warning(f"companion {where}", f"timestamp {told}", consequence, remedy)


def _generation(facts: Mapping[str, object]) -> Literal["V1", "V2"] | None:
    told = str(facts.get("hypervgeneration") or "").upper()
    return "V1" if told == "V1" else "V2" if told == "V2" else None


def _data_disks(facts: Mapping[str, object], where: str) -> tuple[DataDisk, ...]:
    told = facts.get("datadisks") or []
    try:
        rows: Any = json.loads(told) if isinstance(told, str) else told
        disks = [DataDisk(int(row["lun"]), str(row["vhdFileName"]), str(row.get("diskReleased") or "")) for row in rows]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise _junk(where, "dataDisks is no list of objects with lun and vhdFileName") from None
    return tuple(sorted(disks, key=lambda disk: disk.lun))


def _allocated(vhd: VhdBlob) -> int | None:
    told = vhd.manifest.get("allocated", "")
    return int(told) if _BYTES.fullmatch(told) and int(told) <= vhd.length else None


def _digest(vhd: VhdBlob) -> str | None:
    told = vhd.manifest.get("digest", "")
    return told if _DIGEST.fullmatch(told) else None


def _junk(where: str, fact: str) -> JsonError:
    remedy = "Correct it, or delete it together with its VHD"
    return JsonError(error(f"companion {where}", fact, _CONSEQUENCE, remedy, Location(where)))
