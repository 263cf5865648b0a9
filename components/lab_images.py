"""`LabImages`: the images of one lab, each a chain VhdCopy -> CustomImage -> StagedVhdRelease.

Does not decide which images a lab gets: the plan does. Requests Azure only to wait for an image that is still being
created. Does not let one image depend on another: if one of them failed, the engine's state would be invalid
(docs/adr/0002).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pulumi

from components.custom_image import CustomImage
from components.staged_vhd import StagedVhdRelease, VhdCopy, as_in_state
from imagefactory.azure.core.clouds import cloud_of
from imagefactory.azure.observe import wait_for_operation
from imagefactory.azure.storage.openers import account_name
from imagefactory.configuration.stack_settings import Settings
from imagefactory.errors import ImageFactoryError
from imagefactory.images.companions import FactoryImage
from imagefactory.images.tags import DIGEST_TAG
from imagefactory.observed.blobs import STAGING_CONTAINER
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.labs.planned_images import LabPlan, PlannedImage
from imagefactory.state.stack_state import COPY, CUSTOM_IMAGE, RELEASE, StackState

NOT_COMPARED = [
    "author",
    "customImagePlan",
    "dataDiskStorageInfo",
    "description",
    "isPlanAuthorized",
    "location",
    "managedImageId",
    "managedSnapshotId",
    "tags",
    "vhd",
    "vm",
]
"""Inputs of an existing image that are not compared: all but its place. It was created from another staged VHD, perhaps
by the older scripts, and a difference would update or replace it."""

PLACE = ("labName", "resourceGroupName", "name")
"""The inputs that define the place of a custom image."""


@dataclass(frozen=True)
class VhdSource:
    """The factory's container: URL without a trailing slash, and the ARM id of its storage account."""

    container_url: str
    account_id: str

    @staticmethod
    def of(factory: LabFacts, container_url: str) -> VhdSource:
        """Return the container of a factory lab with a storage account."""
        return VhdSource(container_url, factory.storage_account_id or "")


class LabImages(pulumi.ComponentResource):
    """The images of one lab."""

    def __init__(
        self,
        label: str,
        plan: LabPlan | None,
        kept: Iterable[str],
        source: VhdSource,
        settings: Settings,
        state: StackState,
        providers: Mapping[str, pulumi.ProviderResource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the kept images as the state has them; `declare` does so with each one of `plan` (None: the lab could
        not be read).

        `providers` are those of the packages azure-native and vhdcopy.
        """
        options = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(providers=dict(providers)))
        super().__init__("imagefactory:labs:LabImages", label, None, options)
        self._label, self._source, self._settings, self._state = label, source, settings, state
        self.declared: list[pulumi.Resource] = []
        self.images: dict[str, dict[str, pulumi.Input[str]]] = {}
        """Id, image path and state by name, for the stack's outputs."""
        for one in plan.unadopted if plan else ():
            self.images[one.image.name] = {
                "id": one.image.id,
                "imagePath": str(one.planned.image.image_path),
                "state": one.image.state,
            }
        self.keep(kept)
        self.register_outputs({})

    def declare(self, facts: LabFacts, planned: PlannedImage) -> None:
        """Declare an image of the plan: its copy, itself and the release of its staged VHD."""
        self.images[planned.name] = self._chain(facts, planned)

    def keep(self, names: Iterable[str]) -> None:
        """Declare images as the state has them, so that nothing of them is changed or deleted."""
        for name in names:
            self._as_in_state(f"{self._label}/{name}")

    def _as_in_state(self, name: str) -> None:
        chain: list[pulumi.Resource] = []
        for kind in (COPY, CUSTOM_IMAGE, RELEASE):
            if (inputs := self._state.chains[name].get(kind)) is None:
                continue
            options = pulumi.ResourceOptions(parent=self, depends_on=list(chain))
            if kind == CUSTOM_IMAGE:
                place = {key: inputs[key] for key in PLACE if key in inputs}
                options.ignore_changes = NOT_COMPARED
                chain.append(CustomImage(name, place, options))
            else:
                chain.append(as_in_state(kind, name, inputs, options))
        self.declared += chain

    def _chain(self, facts: LabFacts, planned: PlannedImage) -> dict[str, pulumi.Input[str]]:
        image = planned.image
        name = f"{self._label}/{planned.name}"
        account = facts.storage_account_id or ""
        staged, relay = self._staged_url(account, facts.blob_endpoint, image), planned.relay
        source_url = f"{self._source.container_url}/{image.vhd_name}"
        relay_url = None
        if relay:
            own_url = self._staged_url(relay.account_id, relay.blob_endpoint, image)
            relay_url = source_url if relay.is_source else own_url
        copy = VhdCopy(
            name,
            source_url=source_url,
            source_account_id=self._source.account_id,
            source_length=image.length,
            source_created=image.created.isoformat(),
            destination_url=staged,
            destination_account_id=account,
            image_id=planned.image_id,
            relay_url=relay_url,
            relay_account_id=relay.account_id if relay else None,
            relay_image_id=relay.image_id if relay else None,
            relay_uses=relay.uses if relay else None,
            opts=pulumi.ResourceOptions(parent=self),
        )
        tags: dict[str, pulumi.Input[str]] = {**planned.tags}
        has_digest = self._settings.copying.method == "ranged"
        if has_digest:
            tags[DIGEST_TAG] = copy.digest
        custom_image = CustomImage(
            name,
            {
                "labName": self._settled(facts, planned),
                "resourceGroupName": facts.resource_group,
                "location": facts.region,
                "name": planned.name,
                "author": image.author,
                "description": image.description,
                "tags": tags,
                "vhd": {
                    "imageName": staged,
                    "osType": image.os_type,
                    "sysPrep": image.generalized and image.os_type == "Windows",
                },
            },
            # No delete-before-replace: with continue-on-error the engine hangs if that delete fails (docs/adr).
            pulumi.ResourceOptions(
                parent=self,
                depends_on=None if has_digest else [copy],
                ignore_changes=NOT_COMPARED if planned.standing else None,
            ),
        )
        release = StagedVhdRelease(
            name,
            copy,
            url=staged,
            account_id=account,
            image_id=planned.image_id,
            tags=tags if planned.retagged else None,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[custom_image]),
        )
        self.declared += (copy, custom_image, release)
        return {
            "id": custom_image.id,
            "imagePath": str(image.image_path),
            "state": custom_image.provisioningState,
        }

    def _settled(self, facts: LabFacts, planned: PlannedImage) -> pulumi.Input[str]:
        """Return the lab's name; in an update, once Azure has finished an operation on the image that an earlier run
        started: the engine puts an image again whose creation it did not see finish, and Azure returns 409 until then.
        """
        existing = (each for each in facts.images if each.id == planned.image_id)
        if pulumi.runtime.is_dry_run() or not any(each.in_progress for each in existing):
            return facts.name
        return self._after_operation(facts.name, planned)

    async def _after_operation(self, lab_name: str, planned: PlannedImage) -> str:
        pulumi.log.info(f"custom image {planned.name} of lab {self._label}: waiting for Azure's operation on it", self)
        try:
            await wait_for_operation(self._settings, planned.image_id)
        except ImageFactoryError as problem:
            pulumi.log.warn(f"custom image {planned.name} of lab {self._label}: {problem}", self)
        return lab_name

    def _staged_url(self, account_id: str, endpoint: str, image: FactoryImage) -> str:
        """Return the URL of a staged VHD: the same for all labs of an account, even if their cases of its name differ.

        Azure resolves this URL.
        """
        service = cloud_of(self._settings).endpoint_of(account_name(account_id).lower(), endpoint)
        return f"{service}/{STAGING_CONTAINER}/{image.vhd_name}"
