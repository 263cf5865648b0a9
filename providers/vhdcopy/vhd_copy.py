"""`VhdCopy`: a factory VHD staged in a target lab's own storage account, until its custom image is created.

Create copies the VHD, read detects drift, delete removes the copy. Does not move bytes: `imagefactory.copying` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from imagefactory.copying.copier import Copied, CopyError, CopyRequest, is_whole, poll_delay, user_of
from imagefactory.copying.staging import Relay
from imagefactory.images.vhd_footer import length_problem
from imagefactory.observed.blobs import BlobRef
from imagefactory.observed.standing_labs import StandingImage
from providers.vhdcopy.progress import Row
from providers.vhdcopy.resource import HINT, UNKNOWN, ArmId, Inputs, Kept, Properties, Resource, Text, WholeNumber
from providers.vhdcopy.services import Services

if TYPE_CHECKING:
    from imagefactory.azure.core.resource_manager import ResourceManager

NOT_COPIED = Copied("none")
"""The copy if the image already exists."""


def _plain(url: str) -> str:
    if urlsplit(url).query:
        raise ValueError("has a query, so a SAS would be stored in the state; pass the plain blob URL")
    return url


def _vhd_length(length: int) -> int:
    if problem := length_problem(length):
        raise ValueError(f"{problem}, so Azure would reject it; save the image again")
    return length


def _time(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a time in ISO 8601") from None
    return text


PlainUrl = Annotated[Text, AfterValidator(_plain)]


class VhdCopyInputs(Inputs):
    """The VHD to copy, where to, and for which custom image."""

    source_url: PlainUrl
    source_account_id: ArmId
    source_length: Annotated[WholeNumber, AfterValidator(_vhd_length)]
    """Bytes."""
    source_created: Annotated[Text, AfterValidator(_time)]
    """ISO 8601; stored as it was passed."""
    destination_url: PlainUrl
    destination_account_id: ArmId
    image_id: ArmId
    """ARM id of the custom image."""
    relay_url: Annotated[PlainUrl | None, HINT] = None
    """The staged VHD that the accounts of the region copy from; None: copy from the source."""
    relay_account_id: Annotated[ArmId | None, HINT] = None
    relay_image_id: Annotated[ArmId | None, HINT] = None
    """The image that the relay is staged for."""
    relay_uses: Annotated[WholeNumber | None, HINT] = None
    """The number of copies that read the relay."""

    @property
    def request(self) -> CopyRequest:
        """The copy to make."""
        return CopyRequest(
            source=BlobRef(self.source_account_id, self.source_url),
            source_length=self.source_length,
            source_created=datetime.fromisoformat(self.source_created),
            destination=BlobRef(self.destination_account_id, self.destination_url),
        )

    @property
    def relay(self) -> Relay | None:
        """The relay to read, if any."""
        if not (self.relay_url and self.relay_account_id and self.relay_image_id):
            return None
        blob = BlobRef(self.relay_account_id, self.relay_url)
        return Relay(blob, self.relay_uses or 0, user_of(self.relay_image_id))


class VhdCopy(Resource[VhdCopyInputs]):
    """Handles resources of type `vhdcopy:index:VhdCopy`.

    Outputs: `url` (the staged VHD, known at preview), `copyId` (new for each copy) and `digest` (of all its ranges;
    empty if nothing was copied or verified).
    """

    inputs = VhdCopyInputs
    part = "copy"
    replaces = True

    def planned(self, inputs: VhdCopyInputs) -> Properties:
        """See `Resource`."""
        return {"url": inputs.destination_url, "copyId": UNKNOWN, "digest": UNKNOWN}

    async def create(self, services: Services, inputs: VhdCopyInputs, row: Row) -> tuple[str, Properties]:
        """Stage the VHD, unless the image exists. If that fails, keep the resource for the next run to resume."""
        url, request = inputs.destination_url, inputs.request
        try:
            copied = await self._stage(services, inputs, request, row)
        except asyncio.CancelledError:
            canceled = f"{request.destination.name}: canceled; progress is kept, and the next pulumi up resumes"
            raise _kept(url) from CopyError(canceled)
        except Exception as error:
            raise _kept(url) from error
        return url, {"url": url, "copyId": copied.copy_id, "digest": copied.digest}

    async def _stage(self, services: Services, inputs: VhdCopyInputs, request: CopyRequest, row: Row) -> Copied:
        lacked = await services.listings.lacks(inputs.image_id)
        image = None if lacked else await settled_image(services.arm, inputs.image_id, row)
        if image and _serves(image, request):
            row.say("the image exists; nothing is copied")
            return NOT_COPIED
        if image and image.image_path is None:
            raise CopyError(
                f"custom image '{image.name}': has no ImagePath tag, so the factory did not create it; it is not"
                " changed and nothing is copied. Rename or delete it, then run again"
            )
        if image and image.usable:
            raise CopyError(
                f"custom image '{image.name}': was created after planning, from {image.source_vhd}; it is not changed"
                " and nothing is copied. Run again to create a new plan"
            )
        return await services.staging.stage(request, user_of(inputs.image_id), inputs.relay, row)

    async def read(self, services: Services, inputs: VhdCopyInputs) -> bool:
        """Return whether the image exists, or the staged VHD for it. Somebody may have changed the image's tags.

        Raises `Kept` if the copy is unfinished: otherwise a refresh would make the engine forget that it failed.
        """
        request = inputs.request
        image = await services.listings.image(inputs.image_id)
        if image and (image.in_progress or _serves(image, request) or _is_from(image, request)):
            return True
        facts = await services.listings.blob(request.destination)
        if facts is None or not request.marked(facts.metadata):
            return False
        if not is_whole(facts):
            unfinished = f"{request.destination.name}: is not finished, so its image is not created yet"
            raise _kept(inputs.destination_url) from CopyError(f"{unfinished}. The next pulumi up resumes the copy")
        return True

    async def delete(self, services: Services, inputs: VhdCopyInputs) -> None:
        """Remove the staged VHD, unless another image needs it."""
        await services.staging.forget(inputs.request, user_of(inputs.image_id))


def _kept(url: str) -> Kept:
    return Kept(url, {"url": url, "copyId": "", "digest": ""})


def _serves(image: StandingImage, request: CopyRequest) -> bool:
    return image.state == "Succeeded" and image.holds(request.source.file_name, image.name)


def _is_from(image: StandingImage, request: CopyRequest) -> bool:
    return image.state == "Succeeded" and image.staged_name.lower() == request.source.file_name.lower()


async def restore_tags(arm: ResourceManager, image_id: str, tags: Mapping[str, str]) -> None:
    """Write the tags of an existing custom image; its other tags stay. Raises `CloudError`."""
    from imagefactory.azure import labs

    await labs.restore_tags(arm, image_id, {name: value for name, value in tags.items() if value})


async def settled_image(arm: ResourceManager, image_id: str, row: Row) -> StandingImage | None:
    """Return the custom image once the service has finished working on it, or None. Raises `CloudError`."""
    from imagefactory.azure import labs
    from imagefactory.azure.core.errors import EXISTENCE, consequence

    def say(image: StandingImage) -> None:
        row.say(f"waiting for custom image '{image.name}', which is {image.state.lower()}")

    with consequence(EXISTENCE):
        return await labs.settled_image(arm, image_id, poll_delay, say)
