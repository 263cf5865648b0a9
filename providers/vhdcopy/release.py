"""`StagedVhdRelease`: deletes a staged VHD once the custom images created from it exist.

It is a resource of its own so that the plan shows it, a failure is retried, and a new copy (with a new `copyId`) is
released again. Writes the tags of an image that somebody changed, because azure-native would put the whole image, whose
VHD is gone by then (docs/adr/0023). Does not change the container.
"""

from __future__ import annotations

from typing import Annotated

from imagefactory.copying.copier import CopyError, user_of
from imagefactory.observed.blobs import BlobRef
from providers.vhdcopy.progress import Row
from providers.vhdcopy.resource import ONCE, ArmId, Inputs, Properties, Resource
from providers.vhdcopy.services import Services
from providers.vhdcopy.vhd_copy import restore_tags, settled_image


class StagedVhdReleaseInputs(Inputs):
    """URL and storage account of the staged VHD, id of the image created from it, id of the copy, and the tags that the
    image must have, if somebody changed them."""

    url: str = ""
    account_id: ArmId
    image_id: ArmId
    copy_id: str = ""
    tags: Annotated[dict[str, str] | None, ONCE] = None


class StagedVhdRelease(Resource[StagedVhdReleaseInputs]):
    """Handles resources of type `vhdcopy:index:StagedVhdRelease`. It has no outputs, and its deletion does nothing."""

    inputs = StagedVhdReleaseInputs
    part = "release"

    async def create(self, services: Services, inputs: StagedVhdReleaseInputs, row: Row) -> tuple[str, Properties]:
        """Release the staged VHD if its image exists. Otherwise raises `CopyError` and keeps the VHD."""
        image = await settled_image(services.arm, inputs.image_id, row)
        blob = BlobRef(inputs.account_id, inputs.url)
        if image is None or image.state != "Succeeded":
            found = f"is {image.state}" if image else "does not exist"
            name = inputs.image_id.rpartition("/")[2]
            raise CopyError(
                f"{blob.name}: custom image '{name}' {found}; the staged VHD is kept for it. Run again with --refresh"
            )
        if inputs.tags:
            await restore_tags(services.arm, inputs.image_id, inputs.tags)
            row.say("wrote the image's tags, which somebody had changed")
        await services.staging.release(blob, user_of(inputs.image_id), row)
        return blob.url, {}
