"""Galleries of a seed document as values of the resource manager. They only add: what exists is kept."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from localcloud.arm.galleries import Definition, Gallery, Replica, SharedGallery, Version
from localcloud.arm.machines import timestamp
from localcloud.arm.regions import short, shown
from localcloud.gallery_seeds import SeedDefinition, SeedGallery, SeedSharedGallery, SeedVersion, SeedVersionDisk


def add_galleries(known: dict[tuple[str, str, str], Gallery], subscription: str, seeds: Iterable[SeedGallery]) -> None:
    """Add galleries with their definitions and versions."""
    for seed in seeds:
        properties: dict[str, Any] = {"identifier": {"uniqueName": f"{subscription}-{seed.name.upper()}"}}
        if seed.description is not None:
            properties["description"] = seed.description
        gallery = Gallery(
            name=seed.name,
            location=short(seed.region),
            properties=properties,
            tags=dict(seed.tags) or None,
            subscription_id=subscription,
            resource_group=seed.resource_group,
        )
        gallery = known.setdefault(gallery.key, gallery)
        for each in seed.definitions:
            new = _definition(gallery, each)
            definition = gallery.definitions.setdefault(each.name.lower(), new)
            for version in each.versions:
                definition.versions.setdefault(version.name, _version(gallery, version))


def attached(seed: SeedSharedGallery, region: str) -> SharedGallery:
    """Return the attachment of a gallery to a lab in a region; it stands for long."""
    return SharedGallery(
        seed.name,
        seed.gallery_id,
        seed.allow_all_images,
        region,
        dict(seed.tags) or None,
        {name.lower(): "Enabled" for name in seed.images},
        0.0,
    )


def _definition(gallery: Gallery, seed: SeedDefinition) -> Definition:
    identifier = {"publisher": seed.publisher, "offer": seed.offer or gallery.name, "sku": seed.sku or seed.name}
    properties: dict[str, Any] = {
        "hyperVGeneration": seed.hyper_v_generation,
        "architecture": "x64",
        "osType": seed.os_type,
        "osState": seed.os_state,
        "identifier": identifier,
    }
    if seed.security_type is not None:
        properties["features"] = [{"name": "SecurityType", "value": seed.security_type}]
    return Definition(
        name=seed.name,
        location=gallery.location,
        properties={**properties, **seed.properties},
        tags=dict(seed.tags) or None,
        created=0.0,
    )


def _version(gallery: Gallery, seed: SeedVersion) -> Version:
    now, failed = time.time(), {short(each) for each in seed.failed_regions}
    names = [short(each) for each in seed.target_regions] or [gallery.location]
    profile: dict[str, Any] = {
        "targetRegions": [
            {"name": shown(name), "regionalReplicaCount": 1, "storageAccountType": "Standard_LRS"} for name in names
        ],
        "replicaCount": 1,
        "excludeFromLatest": seed.exclude_from_latest,
        "publishedDate": seed.published_date or timestamp(),
        "storageAccountType": "Standard_LRS",
    }
    if seed.end_of_life_date is not None:
        profile["endOfLifeDate"] = seed.end_of_life_date
    storage: dict[str, Any] = {"osDiskImage": _disk(seed, "ReadWrite")}
    if seed.data_disks:
        storage["dataDiskImages"] = [{"lun": each.lun, **_disk(each, "None")} for each in seed.data_disks]
    properties: dict[str, Any] = {
        "publishingProfile": profile,
        "storageProfile": storage,
        "safetyProfile": {"reportedForPolicyViolation": False, "allowDeletionOfReplicatedLocations": False},
        "validationsProfile": {"validationOperationStatus": "NotExecuted"},
    }
    text = "Failed with internal server error."
    fault = {"code": "CrpPirReplicationJobsNotCompleted", "message": text}
    return Version(
        name=seed.name,
        location=gallery.location,
        properties={**properties, **seed.properties},
        state=seed.provisioning_state,
        tags=dict(seed.tags) or None,
        replicas={
            name: Replica(now, now, fault, "Failed", text) if name in failed else Replica(now, now, None, "Completed")
            for name in names
        },
    )


def _disk(seed: SeedVersionDisk, caching: str) -> dict[str, Any]:
    source = {"uri": seed.vhd_url, "storageAccountId": seed.storage_account_id}
    return {"sizeInGB": seed.size_gb, "hostCaching": caching, "source": source}
