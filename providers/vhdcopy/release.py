"""`StagedVhdRelease`: the staged VHD is deleted once the custom images made of it stand.

Owns that one act, as a resource of its own so that it is in the plan, retried after a failure, and done again after a
new copy (its `copyId` changes). It never touches the image or the container.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imagefactory.copying.copier import CopyError, user_of
from imagefactory.observed.blobs import BlobRef
from providers.vhdcopy.progress import Row
from providers.vhdcopy.resource import Properties, Text
from providers.vhdcopy.services import Services
from providers.vhdcopy.vhd_copy import settled_image


@dataclass(frozen=True, slots=True)
class StagedVhdRelease:
    """Handles resources of type `vhdcopy:index:StagedVhdRelease`.

    Inputs: `url` and `accountId` of the staged VHD, `imageId` (ARM id of the image made from it), `copyId`.
    """

    texts: tuple[Text, ...] = (
        Text("url", is_output=True),
        Text("accountId", is_id=True),
        Text("imageId", is_id=True),
        Text("copyId", is_output=True),
    )
    numbers: tuple[str, ...] = ()
    replaces: bool = False

    def diagnostics(self, inputs: Properties) -> Mapping[str, str]:
        """Nothing beyond the presence of the inputs."""
        return {}

    def planned(self, inputs: Properties) -> Properties:
        """It has no outputs."""
        return {}

    async def create(self, services: Services, inputs: Properties, row: Row) -> tuple[str, Properties]:
        """Release the staged VHD, if its image stands. Raises `CopyError` where it does not, and keeps the VHD."""
        image = await settled_image(services.arm, str(inputs["imageId"]), row)
        blob = BlobRef(str(inputs["accountId"]), str(inputs["url"]))
        if image is None or image.state != "Succeeded":
            found = f"is {image.state}" if image else "does not stand"
            name = str(inputs["imageId"]).rpartition("/")[2]
            raise CopyError(
                f"{blob.name}: custom image '{name}' {found}; the staged VHD is kept for it. Run again with --refresh"
            )
        await services.staging.release(blob, user_of(str(inputs["imageId"])), row)
        return blob.url, {}

    async def read(self, services: Services, inputs: Properties) -> bool:
        """A release stays done."""
        return True

    async def delete(self, services: Services, inputs: Properties) -> None:
        """Nothing to undo: the staged VHD belongs to its `VhdCopy`."""
