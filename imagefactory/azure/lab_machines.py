"""The VMs of target labs: one list per lab, and only what each VM says it was created from, and when.

`customImageId` and `createdDate` are properties of a lab VM in all API versions. Which gallery version it was created
from, only 2018-10-15-preview has: as `galleryImageVersionId` ("the shared gallery image version resource identifier"),
or as `sharedImageId` with `sharedImageVersion` ("will use latest if not specified"; API specification,
`LabVirtualMachineProperties`). So labs are asked with that version if the stack has a gallery.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from imagefactory.azure import lab_galleries, labs
from imagefactory.azure.core.answers import Answer, fitted, label
from imagefactory.azure.core.errors import CloudError, not_found
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import Diagnostic
from imagefactory.images.timestamps import only_reading
from imagefactory.observed.lab_machines import LabMachine
from imagefactory.observed.standing_labs import LabFacts

Key = TypeVar("Key")


class _Properties(Answer):
    created_date: object = None
    custom_image_id: str | None = None
    gallery_image_version_id: str | None = None
    shared_image_id: str | None = None
    shared_image_version: str | None = None


class _Machine(Answer):
    name: str
    properties: _Properties


async def with_machines(
    arm: ResourceManager, settings: Settings, found: Mapping[Key, LabFacts | Diagnostic]
) -> Mapping[Key, LabFacts | Diagnostic]:
    """Return the labs with their VMs, or why these cannot be listed; the same labs if no rule of the settings needs
    VMs."""
    if settings.keep_used_days is None:
        return found
    version = labs.API_VERSION if settings.gallery is None else lab_galleries.API_VERSION
    return dict(
        zip(found, await asyncio.gather(*(_complete(arm, lab, version) for lab in found.values())), strict=True)
    )


async def _complete(arm: ResourceManager, lab: LabFacts | Diagnostic, version: str) -> LabFacts | Diagnostic:
    if isinstance(lab, Diagnostic):
        return lab
    subject, path = f"VMs of lab '{lab.name}'", f"{lab.id}/virtualmachines"
    try:
        listed = await arm.list(path, version, subject=subject)
        if listed is None:
            raise not_found(subject)
        return replace(lab, machines=tuple(_machine(each, subject, f"GET {path}") for each in listed))
    except CloudError as refusal:
        return replace(lab, machines=refusal.diagnostic)


def _machine(resource: Mapping[str, Any], subject: str, request: str) -> LabMachine:
    found = fitted(_Machine, resource, subject, request, f"VM '{label(resource)}'")
    about = found.properties
    definition, version = about.shared_image_id or "", about.shared_image_version or ""
    if about.gallery_image_version_id:
        definition, _, version = about.gallery_image_version_id.lower().rpartition("/versions/")
    return LabMachine(
        found.name,
        only_reading(about.created_date),
        fold((about.custom_image_id or "").rpartition("/")[2]),
        fold(definition.rpartition("/")[2]),
        "" if fold(version) == "latest" else version,
    )
