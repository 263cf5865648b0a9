"""`LabImages`: everything that one lab must hold, one chain per image.

Owns the declaration of a chain: VhdCopy -> CustomImage -> StagedVhdRelease. It will not look anything up, decide which
image a lab gets (that is the plan), or let one image depend on another: the engine's state does not survive that when
one of them fails (docs/adr).
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import devtestlab

from components.staged_vhd import StagedVhdRelease, VhdCopy
from imagefactory.companion import FactoryImage
from imagefactory.lab_facts import LabFacts
from imagefactory.plan_values import LabPlan, PlannedImage
from imagefactory.settings import Settings
from imagefactory_azure.blobs import STAGING_CONTAINER
from imagefactory_azure.clouds import cloud_of
from imagefactory_azure.storage import account_name

DIGEST_TAG = "Digest"
"""What all ranges of the VHD hashed to; only a copy by ranges knows it."""

TAKEN_AS_IT_STANDS = [
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
"""What is not compared for an image that stands already: everything but its place. It was made from another staged
VHD, perhaps by the old scripts, and a difference would change or replace it."""


@dataclass(frozen=True)
class VhdSource:
    """The factory's container: URL without a trailing slash, and the ARM id of its storage account."""

    container_url: str
    account_id: str

    @staticmethod
    def of(factory: LabFacts, container_url: str) -> VhdSource:
        """The container of a factory lab that has a storage account."""
        return VhdSource(container_url, factory.storage_account_id or "")


class LabImages(pulumi.ComponentResource):
    """The images of one lab."""

    def __init__(
        self,
        plan: LabPlan,
        source: VhdSource,
        settings: Settings,
        in_state: Set[str],
        providers: Mapping[str, pulumi.ProviderResource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the images of `plan`.

        `in_state` names the custom images that the stack holds (resource names), `providers` are those of the packages
        azure-native and vhdcopy.
        """
        options = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(providers=dict(providers)))
        super().__init__("imagefactory:labs:LabImages", plan.label, None, options)
        self._plan, self._source, self._settings, self._in_state = plan, source, settings, in_state
        self.images = {planned.name: self._chain(planned) for planned in plan.images}
        self.register_outputs({})

    def _chain(self, planned: PlannedImage) -> dict[str, pulumi.Input[str]]:
        facts, image = self._plan.facts, planned.image
        name = f"{self._plan.label}/{planned.name}"
        child = pulumi.ResourceOptions(parent=self)
        account = facts.storage_account_id or ""
        relay = planned.relay
        copy = VhdCopy(
            name,
            source_url=f"{self._source.container_url}/{image.vhd_name}",
            source_account_id=self._source.account_id,
            source_length=image.length,
            source_created=image.created.isoformat(),
            destination_url=self._staged_url(account, image),
            destination_account_id=account,
            image_id=planned.image_id,
            relay_url=self._staged_url(relay.account_id, image) if relay else None,
            relay_account_id=relay.account_id if relay else None,
            relay_image_id=relay.image_id if relay else None,
            relay_uses=relay.uses if relay else None,
            opts=child,
        )
        custom_image = devtestlab.CustomImage(
            name,
            lab_name=facts.name,
            resource_group_name=facts.resource_group,
            location=facts.region,
            name=planned.name,
            author=image.author,
            description=image.description,
            tags={**planned.tags, **({DIGEST_TAG: copy.digest} if self._settings.copy.method == "ranged" else {})},
            vhd=devtestlab.CustomImagePropertiesCustomArgs(
                image_name=copy.url,
                os_type=image.os_type,
                sys_prep=image.generalized and image.os_type == "Windows",
            ),
            opts=pulumi.ResourceOptions.merge(child, self._image_options(name, planned)),
        )
        StagedVhdRelease(
            name,
            copy,
            account_id=account,
            image_id=planned.image_id,
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[custom_image])),
        )
        return {
            "id": custom_image.id,
            "imagePath": str(image.image_path),
            "state": custom_image.provisioning_state,
        }

    def _staged_url(self, account_id: str, image: FactoryImage) -> str:
        """The staged VHD in an account: one for all labs of that account, in whatever letter case they name it.

        Azure reads this URL back.
        """
        service = cloud_of(self._settings).blob_service(account_name(account_id).lower())
        return f"{service}/{STAGING_CONTAINER}/{image.vhd_name}"

    def _image_options(self, name: str, planned: PlannedImage) -> pulumi.ResourceOptions:
        if planned.standing:
            import_id = None if name in self._in_state else planned.image_id
            return pulumi.ResourceOptions(import_=import_id, ignore_changes=TAKEN_AS_IT_STANDS)
        # Never delete before replace: with continue-on-error the engine hangs where that delete fails (docs/adr).
        return pulumi.ResourceOptions()
