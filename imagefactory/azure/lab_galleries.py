"""Galleries of DevTest Labs (API version 2018-10-15-preview): read, attach and detach them, and set their definitions.

Requests and responses follow the API specification (`sharedGalleries`, `sharedImages`) and Microsoft's own PowerShell
module Az.DevTestLabs2, which names the resource of a definition like the definition. Does not decide what to write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from imagefactory.azure.core.answers import Answer, Tags, fitted, label
from imagefactory.azure.core.errors import CloudError, not_found
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.configuration.image_paths import fold
from imagefactory.diagnostics import Diagnostic
from imagefactory.observed.lab_galleries import Attachment, Definition, LabDefinition
from imagefactory.observed.standing_gallery import AttachedGallery
from imagefactory.observed.standing_labs import LabFacts

Key = TypeVar("Key")

API_VERSION = "2018-10-15-preview"


class _GalleryProperties(Answer):
    gallery_id: str
    allow_all_images: str | None = None
    provisioning_state: str | None = None


class _SharedGallery(Answer):
    name: str
    location: str | None = None
    tags: Tags | None = None
    properties: _GalleryProperties


class _ImageProperties(Answer):
    definition_name: str | None = None
    os_type: str
    image_type: str
    enable_state: str | None = None
    display_name: str | None = None
    provisioning_state: str | None = None


class _SharedImage(Answer):
    name: str
    properties: _ImageProperties


async def attachments(arm: ResourceManager, lab_id: str) -> tuple[Attachment, ...] | None:
    """Return the galleries that are attached to a lab; None: the lab does not exist. Raises `CloudError`."""
    found = await _list(arm, f"{lab_id}/sharedgalleries", _SharedGallery, _lab(lab_id))
    return None if found is None else tuple(map(_attachment, found))


async def definitions(arm: ResourceManager, lab_id: str, attachment: str) -> tuple[LabDefinition, ...]:
    """Return the definitions that a lab lists of a gallery; none if it is not attached. Raises `CloudError`."""
    found = await _list(arm, f"{_path(lab_id, attachment)}/sharedimages", _SharedImage, _lab(lab_id))
    return tuple(map(_definition, found or ()))


async def with_galleries(
    arm: ResourceManager, labs: Mapping[Key, LabFacts | Diagnostic]
) -> dict[Key, LabFacts | Diagnostic]:
    """Return the same labs with their attached galleries, or a `Diagnostic` in place of a lab whose galleries cannot be
    read."""
    return dict(zip(labs, await asyncio.gather(*(_with_galleries(arm, lab) for lab in labs.values())), strict=True))


async def _with_galleries(arm: ResourceManager, lab: LabFacts | Diagnostic) -> LabFacts | Diagnostic:
    if isinstance(lab, Diagnostic):
        return lab
    try:
        found = await attachments(arm, lab.id) or ()
        listed = await asyncio.gather(*(definitions(arm, lab.id, each.name) for each in found))
    except CloudError as refusal:
        return refusal.diagnostic
    attached = (
        AttachedGallery(
            f"{_path(lab.id, each.name)}",
            each.gallery_id,
            frozenset(fold(one.definition.name) for one in its if one.enabled or each.allows_all),
        )
        for each, its in zip(found, listed, strict=True)
    )
    return replace(lab, galleries=tuple(attached))


async def attach(arm: ResourceManager, lab_id: str, attachment: Attachment) -> None:
    """Attach a gallery, or correct its attachment. Raises `CloudError`."""
    allowed = "Enabled" if attachment.allows_all else "Disabled"
    body: dict[str, Any] = {
        # Not in Microsoft's example, but without it Azure returns "Location is required" (a user's report).
        "location": attachment.location,
        "properties": {"galleryId": attachment.gallery_id, "allowAllImages": allowed},
    }
    if attachment.tags:
        body["tags"] = dict(attachment.tags)
    path = _path(lab_id, attachment.name)
    if await arm.run("PUT", path, API_VERSION, _SharedGallery, subject=_lab(lab_id), body=body) is None:
        raise not_found(_lab(lab_id))


async def set_definition(arm: ResourceManager, lab_id: str, attachment: str, wanted: LabDefinition) -> None:
    """Enable or disable a definition for the users of a lab. Raises `CloudError`, for 404 too.

    Does not poll: in the specification's example, a new one is returned in the state `Created`, which is not an end
    state for azure-core.
    """
    definition = wanted.definition
    properties = {
        "definitionName": definition.name,
        "osType": definition.os_type,
        "imageType": definition.image_type,
        "enableState": "Enabled" if wanted.enabled else "Disabled",
    }
    if wanted.display_name:
        properties["displayName"] = wanted.display_name
    path, subject = f"{_path(lab_id, attachment)}/sharedimages/{wanted.name}", f"definition '{definition.name}'"
    await arm.put(path, API_VERSION, Answer, subject=subject, body={"properties": properties})


async def detach(arm: ResourceManager, lab_id: str, attachment: str) -> None:
    """Detach a gallery; no error if it is not attached. Raises `CloudError`."""
    await arm.run("DELETE", _path(lab_id, attachment), API_VERSION, Answer, subject=_lab(lab_id))


async def _list(arm: ResourceManager, path: str, model: type[Any], subject: str) -> list[Any] | None:
    listed = await arm.list(path, API_VERSION, subject=subject)
    if listed is None:
        return None
    return [fitted(model, each, subject, f"GET {path}", f"'{label(each)}'") for each in listed]


def _path(lab_id: str, attachment: str) -> str:
    return f"{lab_id}/sharedgalleries/{attachment}"


def _lab(lab_id: str) -> str:
    return f"lab '{lab_id.rpartition('/')[2]}'"


def _attachment(found: _SharedGallery) -> Attachment:
    properties = found.properties
    return Attachment(
        name=found.name,
        gallery_id=properties.gallery_id,
        location=found.location,
        allows_all=_is(properties.allow_all_images, "Enabled"),
        failed=_is(properties.provisioning_state, "Failed"),
        tags=found.tags or {},
    )


def _definition(found: _SharedImage) -> LabDefinition:
    properties = found.properties
    return LabDefinition(
        name=found.name,
        definition=Definition(properties.definition_name or found.name, properties.os_type, properties.image_type),
        enabled=_is(properties.enable_state, "Enabled"),
        failed=_is(properties.provisioning_state, "Failed"),
        display_name=properties.display_name,
    )


def _is(value: str | None, expected: str) -> bool:
    return (value or "").lower() == expected.lower()
