"""`ImageGallery`: the Compute Gallery of a stack, its definitions and versions, and what each lab offers of it.

Does not decide what the gallery contains: the plan does. In the engine's state, what a lab offers depends on no
definition: if one of several failed, that state would be invalid (docs/adr/0002). The program waits for them instead.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from typing import Any

import pulumi
from pulumi_azure_native import compute  # lazy: read at its first use, so only by a program that declares a gallery

from components.lab_gallery import LabGallery
from components.lab_images import VhdSource
from components.staged_vhd import as_in_state
from imagefactory.azure.observe import wait_for_version
from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.stack_settings import Settings
from imagefactory.errors import ImageFactoryError
from imagefactory.observed.lab_galleries import Definition
from imagefactory.observed.standing_gallery import GalleryFacts, region_key
from imagefactory.planning.galleries.inputs import GalleryInputs, Inputs
from imagefactory.planning.galleries.planned import (
    GalleryPlan,
    LabGalleryPlan,
    PlannedDefinition,
    PlannedVersion,
    attached_of,
)
from imagefactory.state.stack_state import DEFINITION, GALLERY, LAB_GALLERY, VERSION, StackState

GALLERY_NOT_COMPARED = ["description", "identity", "location", "sharingProfile", "softDeletePolicy", "tags"]
DEFINITION_NOT_COMPARED = [
    "allowUpdateImage",
    "architecture",
    "description",
    "disallowed",
    "endOfLifeDate",
    "eula",
    "features",
    "hyperVGeneration",
    "identifier",
    "location",
    "osState",
    "osType",
    "privacyStatementUri",
    "purchasePlan",
    "recommended",
    "releaseNoteUri",
    "tags",
]
VERSION_NOT_COMPARED = ["location", "restore", "securityProfile", "storageProfile", "tags"]
"""Inputs of an existing resource that are not compared: a difference would update or replace what may be another
client's work. The regions of a version, their replicas and the end of its life are compared."""

REPLICATION = pulumi.CustomTimeouts(create="12h", update="12h")
"""How long a version may take; azure-native waits for two hours by default, and large disks in many regions take longer
("Troubleshoot images in an Azure Compute Gallery": minutes to hours, by size and regions)."""


class ImageGallery(pulumi.ComponentResource):
    """The gallery of a stack."""

    def __init__(
        self,
        plan: GalleryPlan | None,
        source: VhdSource,
        settings: Settings,
        state: StackState,
        providers: Mapping[str, pulumi.ProviderResource],
    ) -> None:
        """Declare what `plan` contains (None: the gallery could not be read), and what is kept as the state has it.

        `providers` are those of the packages azure-native, for the subscription of the gallery, and vhdcopy.
        """
        options = pulumi.ResourceOptions(providers=dict(providers))
        super().__init__("imagefactory:galleries:ImageGallery", "gallery", None, options)
        self._source, self._settings, self._state = source, settings, state
        self.declared: list[pulumi.Resource] = []
        self.offers: dict[str, dict[str, dict[str, pulumi.Input[str]]]] = {}
        """Id, image path and state of the versions that labs offer, by lab label and `<definition>/<version>`."""
        self._versions: dict[str, dict[str, pulumi.Input[str]]] = {}
        self._parents: dict[str, pulumi.CustomResource] = {}
        """Definitions by their names in comparable form, and the gallery by an empty one. The engine deletes what
        depends on them first, as Azure demands."""
        if plan:
            self._declare(plan, settings.gallery or GallerySettings(id=plan.facts.id))
        else:
            for kind in (GALLERY, DEFINITION, VERSION, LAB_GALLERY):
                self.keep(kind, *state.gallery.get(kind, {}))
        self.register_outputs({})

    def _declare(self, plan: GalleryPlan, options: GallerySettings) -> None:
        source, name = self._source, self._state.gallery_name
        inputs = GalleryInputs(
            plan.facts, options, source.container_url, source.account_id, name, datetime.now(timezone.utc)
        )
        if plan.is_managed and not any(part.key == "" for part in plan.unadopted):
            self._managed(plan.facts, inputs.gallery())
        for definition in plan.definitions:
            self._definition(definition, inputs.definition(definition))
        self.keep(DEFINITION, *plan.kept)
        for version in plan.versions:
            self._image_version(plan.facts, version, inputs.version(version))
        self.keep(VERSION, *(one.key for one in plan.retained if one.regions is None))
        for one in plan.retained:
            if one.regions is not None:
                self._reduce(one.key, one.regions)
        for lab in plan.labs:
            self._offer(plan.facts, lab)
        self.keep(LAB_GALLERY, *plan.kept_labs)

    def keep(self, kind: str, *names: str) -> None:
        """Declare resources as the state has them, so that nothing of them is changed or deleted."""
        for name in names:
            if (inputs := self._state.gallery.get(kind, {}).get(name)) is None:
                continue
            if kind == LAB_GALLERY:
                self.declared.append(as_in_state(kind, name, inputs, self._child()))
                continue
            resource = as_in_state(kind, name, inputs, self._child(self._parent(name)))
            self._parents["" if kind == GALLERY else fold(name)] = resource
            self.declared.append(resource)

    def _reduce(self, name: str, regions: Collection[str]) -> None:
        """Declare a version as the state has it, but only in these regions, as Azure advises after a replication that
        failed elsewhere: the engine would try it again in each run, and the VHD may be gone."""
        inputs = dict(self._state.gallery[VERSION][name])
        published = inputs.get("publishingProfile") or {}
        kept = [each for each in published.get("targetRegions") or () if region_key(str(each.get("name"))) in regions]
        inputs["publishingProfile"] = {**published, "targetRegions": kept}
        self.declared.append(as_in_state(VERSION, name, inputs, self._child(self._parent(name))))

    def _parent(self, name: str) -> pulumi.CustomResource | None:
        """Return the definition of `<definition>/<version>`, or the gallery of `<definition>`, if it is declared."""
        return self._parents.get(fold(name.rpartition("/")[0]))

    def _child(self, *needed: pulumi.Resource | None, ignored: list[str] | None = None) -> pulumi.ResourceOptions:
        depends_on = [each for each in needed if each]
        return pulumi.ResourceOptions(parent=self, depends_on=depends_on, ignore_changes=ignored)

    def _managed(self, facts: GalleryFacts, inputs: Inputs) -> None:
        name = next(iter(self._state.gallery.get(GALLERY, {})), facts.name)
        options = self._child(ignored=GALLERY_NOT_COMPARED if facts.exists else None)
        self._parents[""] = gallery = compute.Gallery(name, **_arguments(inputs), opts=options)
        self.declared.append(gallery)

    def _definition(self, planned: PlannedDefinition, inputs: Inputs) -> None:
        options = self._child(self._parents.get(""), ignored=DEFINITION_NOT_COMPARED if planned.standing else None)
        definition = compute.GalleryImage(planned.name, **_arguments(inputs), opts=options)
        self._parents[fold(planned.name)] = definition
        self.declared.append(definition)

    def _image_version(self, facts: GalleryFacts, planned: PlannedVersion, inputs: Inputs) -> None:
        version = compute.GalleryImageVersion(
            planned.key,
            **_arguments({**inputs, "galleryImageVersionName": self._settled(facts, planned)}),
            opts=pulumi.ResourceOptions.merge(
                self._child(self._parent(planned.key), ignored=VERSION_NOT_COMPARED if planned.standing else None),
                pulumi.ResourceOptions(custom_timeouts=REPLICATION),
            ),
        )
        self.declared.append(version)
        self._versions[planned.key] = {
            "id": version.id,
            "imagePath": str(planned.image.image_path),
            "state": version.provisioning_state,
        }

    def _settled(self, facts: GalleryFacts, planned: PlannedVersion) -> pulumi.Input[str]:
        """Return the version's name; in an update, once Azure has finished an operation on it that an earlier run
        started, because Azure refuses a second one until then."""
        existing = facts.version(planned.definition, planned.name)
        if pulumi.runtime.is_dry_run() or existing is None or not existing.in_progress:
            return planned.name
        return self._after_operation(planned, existing.id)

    async def _after_operation(self, planned: PlannedVersion, version_id: str) -> str:
        pulumi.log.info(f"gallery version {planned.key}: waiting for Azure's operation on it", self)
        try:
            await wait_for_version(self._settings, version_id)
        except ImageFactoryError as problem:
            pulumi.log.warn(f"gallery version {planned.key}: {problem}", self)
        return planned.name

    def _offer(self, facts: GalleryFacts, lab: LabGalleryPlan) -> None:
        names = {fold(one.name) for one in lab.definitions}
        self.offers[lab.label] = {
            key: version for key, version in self._versions.items() if fold(key.rpartition("/")[0]) in names
        }
        gallery = self._parents.get("")
        gallery_id: pulumi.Input[str] = gallery.id if gallery and not facts.exists else facts.id
        self.declared.append(
            LabGallery(
                lab.label,
                lab_id=lab.facts.id,
                location=lab.facts.region,
                gallery_id=gallery_id,
                attachment_name=lab.attachment,
                definitions=self._usable(facts, lab),
                opts=self._child(),
            )
        )

    async def _usable(self, facts: GalleryFacts, lab: LabGalleryPlan) -> list[Definition]:
        """Return what the lab offers, without definitions that this run was to create and could not."""
        attached = attached_of(lab.facts, facts.id)
        enabled = attached.enabled if attached else frozenset()
        found = []
        for one in lab.definitions:
            declared = self._parents.get(fold(one.name))
            is_there = declared is None or fold(one.name) in enabled or pulumi.runtime.is_dry_run()
            if is_there or (declared and await declared.id.is_known()):
                found.append(Definition(one.name, one.traits.os_type, one.traits.os_state))
        return found


def _arguments(inputs: Inputs) -> dict[str, Any]:
    """Return inputs as arguments of azure-native's classes: `galleryName` is `gallery_name`."""
    return {re.sub("(?=[A-Z])", "_", key).lower(): each for key, each in inputs.items()}
