"""The Compute Gallery of a stack with its definitions and versions, as facts for the plan (API version 2024-03-03).

Lists the versions of all definitions concurrently. A gallery that cannot be read, or is not listed as Azure documents
it, is returned as a `Diagnostic`. Does not say what follows from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import RootModel

from imagefactory.azure.core.answers import Answer, Tags, fitted, label
from imagefactory.azure.core.errors import CloudError, cloud_error
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.labs import NO_ID_REMEDY
from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.images.tags import read
from imagefactory.observed.arm_ids import GALLERY, GALLERY_IMAGE, GALLERY_VERSION, ArmId, ArmType
from imagefactory.observed.standing_gallery import GalleryFacts, StandingDefinition, StandingVersion, region_key
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.observed.storage_accounts import AccountFacts

API_VERSION = "2024-03-03"


class _AsAnswered(RootModel[dict[str, Any]]):
    """Any JSON object."""


class _Gallery(Answer):
    location: str


class _Identifier(Answer):
    publisher: str
    offer: str
    sku: str


class _Feature(Answer):
    name: str | None = None
    value: str | None = None


class _DefinitionProperties(Answer):
    os_type: str
    os_state: str
    hyper_v_generation: str | None = None
    identifier: _Identifier
    features: list[_Feature] | None = None


class _Definition(Answer):
    tags: Tags | None = None
    properties: _DefinitionProperties


class _Region(Answer):
    name: str


class _Publishing(Answer):
    target_regions: list[_Region] | None = None


class _Source(Answer):
    uri: str | None = None


class _Disk(Answer):
    source: _Source | None = None


class _Storage(Answer):
    os_disk_image: _Disk | None = None
    data_disk_images: list[_Disk] | None = None


class _Replicas(Answer):
    region: str
    state: str | None = None


class _Replication(Answer):
    summary: list[_Replicas] | None = None


class _VersionProperties(Answer):
    provisioning_state: str
    publishing_profile: _Publishing | None = None
    storage_profile: _Storage | None = None
    replication_status: _Replication | None = None


class _Version(Answer):
    tags: Tags | None = None
    properties: _VersionProperties


def gallery_id(settings: GallerySettings, factory: LabFacts) -> str:
    """Return the ARM id of the gallery that the settings name."""
    subscription = settings.subscription_id or factory.subscription_id
    place = f"/subscriptions/{subscription}/resourceGroups/{settings.resource_group}"
    return settings.id or f"{place}/providers/Microsoft.Compute/galleries/{settings.name}"


async def gallery_facts(
    arm: ResourceManager, settings: GallerySettings, factory: LabFacts
) -> GalleryFacts | Diagnostic:
    """Return the gallery of a stack, or why it cannot be read. One that the stack creates may not exist yet."""
    place = gallery_id(settings, factory)
    subject = f"gallery '{place.rpartition('/')[2]}'"
    try:
        answer = await arm.get(place, API_VERSION, _AsAnswered, subject=subject)
        if answer is None and settings.id:
            remedy = "Check imagefactory:gallery.id, and that the identity has the Reader role there"
            return error(subject, "does not exist, or this identity cannot see it", _KEPT, remedy)
        if answer is None:
            region = settings.region or factory.region_key
            return GalleryFacts(place, region, exists=False, source_region=_source_region(factory))
        found = answer.root
        id = _id(GALLERY, found, subject)
        gallery = fitted(_Gallery, found, subject, f"GET {place}")
        listed = await arm.list(f"{id.text}/images", API_VERSION, subject=subject) or []
        definitions = await asyncio.gather(*(_definition(arm, each, subject) for each in listed))
    except CloudError as refusal:
        return refusal.diagnostic
    return GalleryFacts(
        id.text,
        gallery.location,
        source_region=_source_region(factory),
        definitions=tuple(definitions),
        answer=found,
    )


def _source_region(factory: LabFacts) -> str:
    account = factory.account
    return (account.region if isinstance(account, AccountFacts) else "") or factory.region


async def is_in_progress(arm: ResourceManager, version_id: str) -> bool:
    """Return whether Azure has an operation in progress on a version, by ARM id. Raises `CloudError`."""
    found = await arm.get(version_id, API_VERSION, _AsAnswered, subject=f"gallery version '{version_id}'")
    return found is not None and _version(found.root, "gallery", f"GET {version_id}").in_progress


_KEPT = "nothing is delivered by it, and what labs offer of it stays"


async def _definition(arm: ResourceManager, resource: Mapping[str, Any], gallery: str) -> StandingDefinition:
    subject = f"{gallery}, definition '{label(resource)}'"
    id = _id(GALLERY_IMAGE, resource, subject)
    path = f"{id.text}/versions"
    definition = fitted(_Definition, resource, subject, f"GET {id.text}")
    listed = await arm.list(path, API_VERSION, subject=subject) or []
    properties, tags = definition.properties, read(definition.tags)
    features = {(each.name or "").lower(): each.value or "" for each in properties.features or ()}
    triple = properties.identifier
    return StandingDefinition(
        id=id.text,
        name=id.name,
        os_type=properties.os_type,
        os_state=properties.os_state,
        generation=properties.hyper_v_generation or "V1",
        identifier=(triple.publisher, triple.offer, triple.sku),
        security_type=features.get("securitytype", ""),
        image_path=tags.image_path,
        stack=tags.stack,
        versions=tuple(await asyncio.gather(*(_read_version(arm, each, subject, path) for each in listed))),
        answer=resource,
    )


async def _read_version(
    arm: ResourceManager, resource: Mapping[str, Any], definition: str, path: str
) -> StandingVersion:
    """Return a listed version; one that failed with the regions that have its replicas, which a list does not tell."""
    version = _version(resource, definition, f"GET {path}")
    if version.state != "Failed":
        return version
    subject = f"{definition}, version '{version.name}'"
    expand = {"$expand": "ReplicationStatus"}
    found = await arm.get(version.id, API_VERSION, _Version, subject=subject, parameters=expand)
    status = found and found.properties.replication_status
    replicas = (status and status.summary) or []
    return replace(
        version, regions=frozenset(region_key(each.region) for each in replicas if each.state == "Completed")
    )


def _version(resource: Mapping[str, Any], definition: str, request: str) -> StandingVersion:
    subject = f"{definition}, version '{label(resource)}'"
    id = _id(GALLERY_VERSION, resource, subject)
    version = fitted(_Version, resource, subject, request)
    tags, properties = read(version.tags), version.properties
    storage = properties.storage_profile or _Storage()
    vhd = _vhd_name(storage.os_disk_image)
    regions = (properties.publishing_profile and properties.publishing_profile.target_regions) or []
    return StandingVersion(
        id=id.text,
        name=id.name,
        state=properties.provisioning_state,
        image_path=tags.image_path,
        source_vhd=tags.source_vhd or vhd,
        regions=frozenset(region_key(each.name) for each in regions),
        attempt=tags.attempt,
        saved_at=tags.saved_at,
        stack=tags.stack,
        vhds=frozenset(name.lower() for name in (vhd, *map(_vhd_name, storage.data_disk_images or ())) if name),
        answer=resource,
    )


def _vhd_name(disk: _Disk | None) -> str:
    url = (disk.source.uri or "") if disk and disk.source else ""
    return url.partition("?")[0].rpartition("/")[2]


def _id(kind: ArmType, resource: Mapping[str, Any], subject: str) -> ArmId:
    """Return the id of a resource. Raises `CloudError` if it is of another type or name."""
    if id := kind.of(resource):
        return id
    raise cloud_error(subject, f"{kind.fact('its id', resource.get('id'))} of that name", remedy=NO_ID_REMEDY)
