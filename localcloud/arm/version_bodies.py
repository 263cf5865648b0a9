"""The body of a PUT of a gallery image version: what it asks for, and what it may change of a version that stands.

Published: messages of the refusals; that counts, regions, dates, `excludeFromLatest` and tags can change, storage
types, replication mode and sources cannot; the source of a disk is `storageAccountId` with `uri`. Recorded: the
defaults, an update whose source is empty keeps it, regions are shown by their long names. Reported by users (of
application versions): 400 `BadRequest` for regions that an update leaves out, unless
`safetyProfile.allowDeletionOfReplicatedLocations` is true. Assumed: an update without regions or data disks keeps them;
the codes of the refusals where none is published.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from localcloud.arm.errors import ArmError
from localcloud.arm.galleries import Properties, Version
from localcloud.arm.gallery_rules import end_of_life, fixed, parameter
from localcloud.arm.regions import SHOWN, short, shown

MOST_REPLICAS = 100
_LARGEST = 2**31 - 1
_NUMBER = r"(0|[1-9][0-9]{0,9})"
_NAME = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}")
_TYPES = ("Standard_LRS", "Standard_ZRS", "Premium_LRS", "PremiumV2_LRS")
_PATH = "galleryArtifactVersion.properties.publishingProfile"
_STORAGE = "galleryImageVersion.properties.storageProfile"


def check_name(name: str) -> None:
    """Refuse what is not three 32-bit numbers. Raises ArmError (400). Assumed: numbers have no leading zeros."""
    found = _NAME.fullmatch(name)
    if found is None or any(int(each) > _LARGEST for each in found.groups()):
        raise parameter(
            "The image version name is invalid. The image version name should follow Major(int).Minor(int).Patch(int) "
            "format, where int is between 0 and 2,147,483,647 (inclusive). For e.g: 1.0.0, 2018.12.1 etc."
        )


def wanted(given: Mapping[str, Any], location: str, existing: Version | None) -> Properties:
    """Return the properties that a PUT asks for. Raises ArmError."""
    standing = existing.properties if existing else {}
    old = standing.get("publishingProfile", {})
    profile = _publishing(_object(given, "publishingProfile"), location, old)
    safety = _safety(_object(given, "safetyProfile"), standing.get("safetyProfile", {}))
    if existing is not None:
        _check_regions(old["targetRegions"], profile["targetRegions"], safety["allowDeletionOfReplicatedLocations"])
    storage = _storage(_object(given, "storageProfile"), standing.get("storageProfile"))
    checked = {"validationOperationStatus": "NotExecuted"}
    profiles = {"publishingProfile": profile, "storageProfile": storage, "safetyProfile": safety}
    return {**profiles, "validationsProfile": checked}


def disks_of(storage: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the disks of a storage profile, the OS disk first."""
    return [storage["osDiskImage"], *storage.get("dataDiskImages", [])]


def _object(given: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = given.get(key) or {}
    if not isinstance(value, dict):
        raise parameter(f"The value of parameter galleryImageVersion.properties.{key} is invalid.")
    return {name: each for name, each in value.items() if each is not None}


def _publishing(given: dict[str, Any], location: str, old: Mapping[str, Any]) -> Properties:
    count = _count(given.get("replicaCount", 1), f"{_PATH}.replicaCount")
    storage = _type(given.get("storageAccountType", old.get("storageAccountType", "Standard_LRS")))
    mode = given.get("replicationMode", old.get("replicationMode"))
    if mode not in (None, "Full", "Shallow"):
        raise parameter(f"The value of parameter {_PATH}.replicationMode is invalid: '{mode}'.")
    for key, value in (("storageAccountType", storage), ("replicationMode", mode)):
        if old and old.get(key) != value:
            raise fixed(f"galleryImageVersion.properties.publishingProfile.{key}")
    asked = given.get("targetRegions") or old.get("targetRegions") or [{"name": location}]
    regions = [_region(each, count, storage) for each in asked]
    names = [short(each["name"]) for each in regions]
    if len(set(names)) < len(names):
        raise parameter("Duplicate regions are not allowed in target publishing regions.")
    if location not in names:
        raise parameter(
            f"Gallery image version publishing profile regions '{', '.join(names)}' must contain the location of image "
            f"version '{shown(location)}'."
        )
    end = end_of_life(given.get("endOfLifeDate"), old.get("endOfLifeDate"))
    profile: Properties = {
        "targetRegions": regions,
        "replicaCount": count,
        "excludeFromLatest": bool(given.get("excludeFromLatest", False)),
        "publishedDate": old.get("publishedDate"),
        "endOfLifeDate": end,
        "storageAccountType": storage,
        "replicationMode": mode,
    }
    return {key: value for key, value in profile.items() if value is not None}


def _region(given: object, count: int, storage: str) -> Properties:
    if not isinstance(given, dict) or short(str(given.get("name", ""))) not in SHOWN:
        name = given.get("name") if isinstance(given, dict) else given
        raise parameter(f"The target region '{name}' of parameter {_PATH}.targetRegions is not available.")
    asked = count if given.get("regionalReplicaCount") is None else given["regionalReplicaCount"]
    region: Properties = {
        "name": shown(given["name"]),
        "regionalReplicaCount": _count(
            count if asked is None else asked, f"{_PATH}.targetRegions.regionalReplicaCount"
        ),
        "storageAccountType": _type(given.get("storageAccountType") or storage),
    }
    if given.get("excludeFromLatest") is not None:
        region["excludeFromLatest"] = bool(given["excludeFromLatest"])
    return region


def _count(value: object, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_REPLICAS:
        raise parameter(
            f"The value {value} of parameter '{path}' is out of range. The value must be between 1 and "
            f"{MOST_REPLICAS}, inclusive."
        )
    return value


def _type(value: object) -> str:
    if value not in _TYPES:
        raise parameter(f"The value of parameter {_PATH}.storageAccountType is invalid: '{value}'.")
    return str(value)


def _check_regions(old: list[Properties], new: list[Properties], may_drop: bool) -> None:
    types = {short(each["name"]): each["storageAccountType"] for each in old}
    kept = {short(each["name"]): each["storageAccountType"] for each in new}
    if any(kept.get(name, given) != given for name, given in types.items()):
        raise fixed("galleryImageVersion.properties.publishingProfile.targetRegions.storageAccountType")
    if not may_drop and not types.keys() <= kept.keys():
        raise ArmError(
            400,
            "BadRequest",
            "Complete set of target locations not specified while updating gallery artifact of type "
            "'GalleryImageVersion'. Deletion of previously replicated locations is not allowed, and you need to "
            "specify a complete set of target locations in the update request or specify null or empty set for target "
            "regions in the update request or set allow deletion of replicated locations under safety profile "
            "property.",
        )


def _safety(given: Mapping[str, Any], old: Mapping[str, Any]) -> Properties:
    safety: Properties = {"reportedForPolicyViolation": False}
    for key in ("allowDeletionOfReplicatedLocations", "blockDeletionBeforeEndOfLife"):
        if (value := given.get(key, old.get(key, False if key.startswith("allow") else None))) is not None:
            safety[key] = bool(value)
    return safety


def _storage(given: dict[str, Any], old: Properties | None) -> Properties:
    if given.get("source"):
        raise parameter(
            "The embedded cloud makes gallery image versions of VHDs: give 'storageProfile.osDiskImage.source' with "
            "'storageAccountId' and 'uri', not 'storageProfile.source'."
        )
    data = given.get("dataDiskImages") or []
    if not isinstance(data, list) or not all(isinstance(each, dict) for each in data):
        raise parameter(f"The value of parameter {_STORAGE}.dataDiskImages is invalid.")
    luns = [each.get("lun") for each in data]
    if not all(isinstance(lun, int) and 0 <= lun <= 63 for lun in luns):
        raise parameter(f"The value of parameter {_STORAGE}.dataDiskImages.lun is invalid.")
    if len(set(luns)) < len(luns):
        raise parameter(
            "Duplicated lun numbers have been detected in the input data disks. Lun number must be unique for each "
            "data disk."
        )
    os_disk = given.get("osDiskImage") or {}
    if old is not None:
        return _kept_storage(os_disk, data, old)
    storage: Properties = {"osDiskImage": _disk(os_disk, "osDiskImage", "ReadWrite")}
    if data:
        disks = [{"lun": each["lun"], **_disk(each, "dataDiskImages", "None")} for each in data]
        storage["dataDiskImages"] = sorted(disks, key=lambda disk: disk["lun"])
    uris = [each["source"]["uri"] for each in disks_of(storage)]
    if len(set(uris)) < len(uris):
        raise parameter(f"OSDiskImage and DataDiskImage cannot point to same blob {uris[0]}")
    return storage


def _disk(given: Mapping[str, Any], kind: str, caching: str) -> Properties:
    source = given.get("source")
    source = source if isinstance(source, dict) else {}
    account, uri = source.get("storageAccountId"), source.get("uri")
    if source.get("id") or not isinstance(account, str) or not isinstance(uri, str):
        raise parameter(
            f"The value of parameter {_STORAGE}.{kind}.source is invalid. A blob is given by 'storageAccountId' and "
            "'uri'."
        )
    host = given.get("hostCaching") or caching
    if host not in ("None", "ReadOnly", "ReadWrite"):
        raise parameter(f"The value of parameter {_STORAGE}.{kind}.hostCaching is invalid: '{host}'.")
    return {"hostCaching": host, "source": {"uri": uri, "storageAccountId": account}}


def _kept_storage(os_disk: Mapping[str, Any], data: list[dict[str, Any]], old: Properties) -> Properties:
    """Return the storage profile that stands, after a check that an update changes nothing of it."""
    _check_disk(os_disk, old["osDiskImage"], "osDiskImage")
    standing = {each["lun"]: each for each in old.get("dataDiskImages", [])}
    if data and {each["lun"] for each in data} != set(standing):
        text = "Adding new Data Disks or changing the LUN of a Data Disk in an existing Image is not allowed."
        raise ArmError(409, "OperationNotAllowed", text)
    for each in data:
        _check_disk(each, standing[each["lun"]], "dataDiskImages")
    return old


def _check_disk(given: Mapping[str, Any], standing: Mapping[str, Any], kind: str) -> None:
    source = given.get("source") or {}
    uri, account = source.get("uri"), source.get("storageAccountId")
    if uri not in (None, standing["source"]["uri"]):
        raise fixed(f"{_STORAGE}.{kind}.source.uri")
    if account is not None and str(account).lower() != standing["source"]["storageAccountId"].lower():
        raise fixed(f"{_STORAGE}.{kind}.source.storageAccountId")
    if given.get("hostCaching") not in (None, standing["hostCaching"]):
        raise fixed(f"{_STORAGE}.{kind}.hostCaching")
