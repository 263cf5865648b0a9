"""The resource classes of the `vhdcopy` provider, as a program declares them.

Defines names and types of inputs and outputs. Does not implement them: `providers.vhdcopy` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from imagefactory.azure.core.clouds import cloud_of
from imagefactory.configuration.stack_settings import Settings


class VhdCopyProvider(pulumi.ProviderResource):
    """The provider, with the endpoints of a cloud and the settings for copying."""

    def __init__(self, name: str, settings: Settings) -> None:
        cloud = cloud_of(settings)
        properties = {
            "resourceManager": cloud.resource_manager,
            "blobEndpoint": cloud.blob_endpoint,
            "authority": cloud.authority,
            "audience": cloud.audience,
            **settings.copy_options.to_properties(),
        }
        super().__init__("vhdcopy", name, {key: value for key, value in properties.items() if value})


class VhdCopy(pulumi.CustomResource):
    """A factory VHD staged in a lab's own storage account until the custom image `image_id` exists.

    `source_length` (bytes) and `source_created` (ISO 8601) identify the version of the VHD. `relay_url` is the staged
    VHD to copy from instead of the source, in the account `relay_account_id`, staged for the image `relay_image_id`;
    `relay_uses` is the number of copies that read it. The output `url` is the destination's URL.
    """

    copyId: pulumi.Output[str]
    """New for each copy; spelled as the provider spells it, because the SDK sets it by that name."""
    digest: pulumi.Output[str]
    """The digest of all its ranges; empty if nothing was verified."""

    def __init__(
        self,
        name: str,
        *,
        source_url: str,
        source_account_id: str,
        source_length: int,
        source_created: str,
        destination_url: str,
        destination_account_id: str,
        image_id: str,
        relay_url: str | None = None,
        relay_account_id: str | None = None,
        relay_image_id: str | None = None,
        relay_uses: int | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "sourceUrl": source_url,
            "sourceAccountId": source_account_id,
            "sourceLength": source_length,
            "sourceCreated": source_created,
            "destinationUrl": destination_url,
            "destinationAccountId": destination_account_id,
            "imageId": image_id,
        }
        relay = {
            "relayUrl": relay_url,
            "relayAccountId": relay_account_id,
            "relayImageId": relay_image_id,
            "relayUses": relay_uses,
        }
        outputs = {"copyId": None, "digest": None}
        super().__init__("vhdcopy:index:VhdCopy", name, {**inputs, **_given(relay), **outputs}, opts)


class StagedVhdRelease(pulumi.CustomResource):
    """Deletes the staged VHD once its image exists; updated for each new copy.

    `tags`: those to write to the image, because somebody changed them; None: they are right.
    """

    def __init__(
        self,
        name: str,
        copy: VhdCopy,
        *,
        url: str,
        account_id: str,
        image_id: str,
        tags: Mapping[str, pulumi.Input[str]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {"url": url, "accountId": account_id, "imageId": image_id, "copyId": copy.copyId}
        super().__init__("vhdcopy:index:StagedVhdRelease", name, {**inputs, **_given({"tags": tags})}, opts)


def _given(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs that have a value: the SDK makes an output, with its future and tasks, of each of them."""
    return {name: value for name, value in inputs.items() if value is not None}


def as_in_state(kind: str, name: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions) -> pulumi.CustomResource:
    """Declare a resource of the provider with the inputs that the state has, so that it does not change."""
    return pulumi.CustomResource(kind, name, dict(inputs), opts)


class PlanFailures(pulumi.CustomResource):
    """Always fails to be created, so it is never in the state: a run that could not carry out all of its plan fails,
    yet deletes retired images (if a program raises, the engine deletes nothing)."""

    def __init__(self, name: str, summary: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vhdcopy:index:PlanFailures", name, {"summary": summary}, opts)
