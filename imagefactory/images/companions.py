"""Companions: the facts about a factory image, next to its VHD.

Reads companion documents (of the older PowerShell scripts and of this project) and the same facts in blob metadata, and
writes both. Does not guess: invalid content becomes a diagnostic.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote, unquote

from imagefactory.configuration.image_names import is_listable, name_problem
from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.json_documents import JsonError, parse_json
from imagefactory.diagnostics import Diagnostic, Location, error, warning
from imagefactory.images.disk_layout import PartitionTable
from imagefactory.images.lineage import MAX_TAG_VALUE, Lineage
from imagefactory.images.timestamps import read_timestamp

AHEAD = timedelta(days=1)
"""How far a timestamp may be after the VHD's Last-Modified, which is the service's clock: clocks and time zones differ.
An image with a later date would always be the newest."""

_CONSEQUENCE = "its image is not distributed"
_ALWAYS = frozenset({"imageName", "imagePath", "description", "osType", "vhdFileName", "timestamp"})
"""Keys that the older scripts wrote, and expect."""
_METADATA_KEYS = frozenset({"imagename", "imagepath", "ostype", "timestamp"})
_METADATA_BYTES = 7 * 1024
"""For names and values; Azure's limit for all metadata of a blob is 8 KiB."""
_BYTES, _DIGEST = re.compile(r"[0-9]{1,16}"), re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class VhdBlob:
    """A VHD in the factory's container, as listed. Length in bytes, times in UTC."""

    name: str
    length: int
    created: datetime
    last_modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    blob_type: str | None = None
    """PageBlob, BlockBlob, AppendBlob; None: unknown, treated as a page blob."""
    copy_status: str | None = None
    """success, pending, failed, aborted; None: it never was the destination of a copy."""
    manifest: Mapping[str, str] = field(default_factory=dict)
    """Metadata of its ranges manifest; empty if it has none."""


@dataclass(frozen=True)
class DataDisk:
    """The VHD of a data disk that was saved with an image, and its logical unit number in the VM."""

    lun: int
    vhd_name: str
    released: str = ""
    """The saved state of the disk, as `Lineage.disk_released`."""
    length: int = 0
    """Bytes of its VHD blob, including its footer; 0: it is not in the factory's container."""
    allocated: int | None = None
    """As that of an image."""


@dataclass(frozen=True)
class FactoryImage:
    """A saved build of a golden image: the facts of its companion and of its VHD blob."""

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
    """Bytes of the VHD blob, including its footer."""
    created: datetime
    """Creation time of the VHD blob, UTC; it and the length differ if a VHD is rewritten."""
    allocated: int | None = None
    """Allocated bytes according to its ranges manifest; None: the manifest is missing or invalid."""
    digest: str | None = None
    """The digest of all its ranges, from the manifest too."""
    generation: Literal["V1", "V2"] | None = None
    """Hyper-V generation of the disk; None: not recorded, as by the older scripts."""
    security_type: Literal["TrustedLaunch"] | None = None
    """Security type of the disk; None: standard, or not recorded."""
    partition_table: PartitionTable | None = None
    """As found on the disk; None: it was not read, or has none."""
    lineage: Lineage = field(default_factory=Lineage)
    data_disks: tuple[DataDisk, ...] = ()
    note: Diagnostic | None = None
    """A warning about this image, for the catalog."""

    @property
    def copied_bytes(self) -> int:
        """What a copy of its VHD moves: the allocated bytes, or at most its length if they are unknown."""
        return self.length if self.allocated is None else self.allocated

    @property
    def name_problem(self) -> str | None:
        """Why Azure would reject a new custom image of its name; labs that have the image keep it."""
        return name_problem(self.name)


def parse_companion(source: bytes | Mapping[str, str], vhd: VhdBlob) -> FactoryImage | Diagnostic:
    """Parse a companion document (bytes) or the metadata of the VHD (mapping). Does not raise for invalid content."""
    where = companion_name(vhd.name) if isinstance(source, bytes) else f"metadata of {vhd.name}"
    try:
        if isinstance(source, bytes):
            return _image(*_document(source, where), where, vhd)
        facts = _metadata(source, where)
        return _image(
            {**facts, "vhdfilename": vhd.name}, json.dumps(facts.get("timestamp"), ensure_ascii=False), where, vhd
        )
    except JsonError as problem:
        return problem.diagnostic


def metadata_image(vhd: VhdBlob) -> FactoryImage | None:
    """Return the image if the metadata of the VHD has all facts, so that its companion need not be read; else None."""
    if not _METADATA_KEYS.issubset(key.lower() for key in vhd.metadata):
        return None
    image = parse_companion(vhd.metadata, vhd)
    return image if isinstance(image, FactoryImage) and image.saved_at_source == "companion" else None


def with_disk_sizes(image: FactoryImage, vhds: Mapping[str, VhdBlob]) -> FactoryImage:
    """Return the image with the sizes of its data disks, from the listed VHDs by name."""
    known = ((disk, vhds.get(disk.vhd_name)) for disk in image.data_disks)
    disks = (replace(disk, length=vhd.length, allocated=_allocated(vhd)) if vhd else disk for disk, vhd in known)
    return replace(image, data_disks=tuple(disks))


def companion_metadata(image: FactoryImage, existing: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the facts as blob metadata, with the `existing` metadata except for the facts of an earlier image.

    If the facts do not fit into metadata, only the companion has them, except for the name. Write it only after the VHD
    is complete.
    """
    facts = _facts(image)
    others = {
        key: value for key, value in (existing or {}).items() if key.lower() not in {each.lower() for each in facts}
    }
    facts["dataDisks"] = json.dumps(facts["dataDisks"], separators=(",", ":")) if image.data_disks else ""
    quoted = {key.lower(): quote(str(value)) for key, value in facts.items() if value and key != "vhdFileName"}
    if sum(len(key) + len(value) for key, value in {**others, **quoted}.items()) > _METADATA_BYTES:
        quoted = {"imagename": quoted["imagename"]}
    return {**others, **quoted}


def companion_bytes(image: FactoryImage) -> bytes:
    """Return the companion document in ASCII, which is the same in all encodings that readers may expect."""
    facts = _facts(image)
    facts["imagePath"] = "\\".join(image.image_path.parts)  # the older scripts compare it in this form
    return json.dumps({key: value for key, value in facts.items() if value or key in _ALWAYS}, indent=2).encode()


def companion_name(vhd_name: str) -> str:
    """Return the name of the companion document of a VHD."""
    return f"{stem(vhd_name)}.json"


def stem(name: str) -> str:
    """Return a file name without its suffix: all files of an image start with it."""
    return name.rpartition(".")[0]


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
        "securityType": image.security_type or "",
        **image.lineage.facts(),
        "dataDisks": [
            {"lun": disk.lun, "vhdFileName": disk.vhd_name, "diskReleased": disk.released} for disk in image.data_disks
        ],
    }


def _document(content: bytes, where: str) -> tuple[dict[str, object], str]:
    """Return the facts, and the timestamp as the document has it."""
    document = parse_json(content, where, _CONSEQUENCE)
    if not isinstance(document.value, dict):
        raise _invalid(where, "is not a JSON object")
    written = (document.written((key,)) for key in document.value if key.lower() == "timestamp")
    return {key.lower(): value for key, value in document.value.items()}, next(written, None) or ""


def _metadata(metadata: Mapping[str, str], where: str) -> dict[str, object]:
    try:
        return {key.lower(): unquote(value, errors="strict") for key, value in metadata.items()}
    except UnicodeDecodeError:
        raise _invalid(where, "is not percent-encoded UTF-8") from None


def _image(facts: Mapping[str, object], timestamp: str, where: str, vhd: VhdBlob) -> FactoryImage:
    def text(key: str, default: str | None = None) -> str:
        value = facts.get(key.lower())
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise _invalid(where, f"{key} is missing" if value is None else f"{key} is not a string")
        return value

    def choice(key: str, *valid: str, default: str | None = None) -> str:
        written = text(key, default)
        found = next((name for name in valid if name.lower() == written.strip().lower()), None)
        if found is None:
            raise _invalid(where, f'{key} "{written}" is neither {" nor ".join(valid)}')
        return found

    vhd_name = text("vhdFileName")
    if vhd_name != vhd.name:
        raise _invalid(where, f'vhdFileName "{vhd_name}" is not the VHD of this companion, {vhd.name}')
    name = text("imageName")
    if not is_listable(name):
        raise _invalid(where, f'imageName "{name}" is not a valid name of a custom image: {name_problem(name)}')
    try:
        image_path = ImagePath.parse(text("imagePath"))
    except ValueError as reason:
        raise _invalid(where, f'imagePath "{text("imagePath")}" {reason}') from None
    for key, value in (("imagePath", str(image_path)), ("vhdFileName", vhd_name)):
        if len(value) > MAX_TAG_VALUE:
            raise _invalid(where, f"{key} has more than {MAX_TAG_VALUE} characters, the limit for a tag")
    saved_at, note = _saved_at(facts.get("timestamp"), timestamp, where, vhd)
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
        security_type="TrustedLaunch" if str(facts.get("securitytype")).lower() == "trustedlaunch" else None,
        lineage=Lineage.read(facts),
        data_disks=_data_disks(facts, where),
        note=note,
    )


def _saved_at(timestamp: object, written: str, where: str, vhd: VhdBlob) -> tuple[datetime | None, Diagnostic | None]:
    """Return when the image was saved; None, and a warning that quotes the timestamp as `written`, if it is unusable.

    Windows PowerShell writes a date that `Get-Date` returned as an object, whose `value` is the date.
    """
    if isinstance(timestamp, dict):
        timestamp = next((value for key, value in timestamp.items() if key.lower() == "value"), timestamp)
    moment = read_timestamp(timestamp, vhd.last_modified) if isinstance(timestamp, str) else None
    if moment and moment - vhd.last_modified <= AHEAD:
        return moment, None
    fact = "is missing" if written in ("", "null") else f"{written} is invalid or ambiguous"
    if moment:
        fact = f"{written} is more than 1 day after the last write to the VHD"
    consequence = f"the VHD's Last-Modified, {vhd.last_modified.isoformat()}, is used instead"
    remedy = "Use ISO 8601 with a time zone"
    return None, warning(f"companion {where}", f"timestamp {fact}", consequence, remedy)


def _generation(facts: Mapping[str, object]) -> Literal["V1", "V2"] | None:
    written = str(facts.get("hypervgeneration") or "").upper()
    return "V1" if written == "V1" else "V2" if written == "V2" else None


def _data_disks(facts: Mapping[str, object], where: str) -> tuple[DataDisk, ...]:
    written = facts.get("datadisks") or []
    try:
        rows: Any = json.loads(written) if isinstance(written, str) else written
        disks = [DataDisk(int(row["lun"]), str(row["vhdFileName"]), str(row.get("diskReleased") or "")) for row in rows]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise _invalid(where, "dataDisks is not a list of objects with lun and vhdFileName") from None
    return tuple(sorted(disks, key=lambda disk: disk.lun))


def _allocated(vhd: VhdBlob) -> int | None:
    written = vhd.manifest.get("allocated", "")
    return int(written) if _BYTES.fullmatch(written) and int(written) <= vhd.length else None


def _digest(vhd: VhdBlob) -> str | None:
    written = vhd.manifest.get("digest", "")
    return written if _DIGEST.fullmatch(written) else None


def _invalid(where: str, fact: str) -> JsonError:
    remedy = "Fix it, or delete it together with its VHD"
    return JsonError(error(f"companion {where}", fact, _CONSEQUENCE, remedy, Location(where)))
