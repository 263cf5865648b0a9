"""`VhdCopy`: a factory VHD staged in a target lab's own storage account, for as long as the custom image needs it.

Owns the life of that resource: create makes it exist and be whole, read tells drift, delete removes it. How bytes move
is the copier's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imagefactory.copying.copier import Copied, CopyError, CopyRequest, is_whole, poll_delay, user_of
from imagefactory.copying.staging import Relay
from imagefactory.images.vhd_footer import length_problem
from imagefactory.observed.blobs import BlobRef
from imagefactory.observed.standing_labs import StandingImage
from providers.vhdcopy.progress import Row
from providers.vhdcopy.resource import UNKNOWN, Kept, Properties, Text
from providers.vhdcopy.services import Services

if TYPE_CHECKING:
    from imagefactory.azure.core.resource_manager import ResourceManager

TAKEN_OVER = Copied("none")
"""The copy where the image stood already and nothing was copied."""


@dataclass(frozen=True, slots=True)
class VhdCopy:
    """Handles resources of type `vhdcopy:index:VhdCopy`.

    Inputs: `sourceUrl`, `sourceAccountId`, `sourceLength` (bytes), `sourceCreated` (ISO 8601), `destinationUrl`,
    `destinationAccountId`, `imageId` (ARM id of the custom image that it is for); and, where the VHD comes from another
    region, `relayUrl` and `relayAccountId` (the staged VHD that the region's accounts copy from), `relayImageId` (the
    image that it is staged for) and `relayUses` (how many copies read it). Outputs: `url` (the staged VHD, known at
    preview), `copyId` (new for each copy) and `digest` (of all its ranges; empty where nothing was copied, or nothing
    verified).
    """

    texts: tuple[Text, ...] = (
        Text("sourceUrl"),
        Text("sourceAccountId", is_id=True),
        Text("sourceCreated"),
        Text("destinationUrl"),
        Text("destinationAccountId", is_id=True),
        Text("imageId", is_id=True),
        Text("relayUrl", is_hint=True),
        Text("relayAccountId", is_id=True, is_hint=True),
        Text("relayImageId", is_id=True, is_hint=True),
        Text("relayUses", is_hint=True),
    )
    numbers: tuple[str, ...] = ("sourceLength",)
    replaces: bool = True

    def diagnostics(self, inputs: Properties) -> Mapping[str, str]:
        """What is wrong with inputs that are all there, by property."""
        found = {
            name: "it carries a query, and a SAS would end up in the state; give the plain blob URL"
            for name in ("sourceUrl", "destinationUrl", "relayUrl")
            if urlsplit(str(inputs.get(name, ""))).query
        }
        if diagnostic := length_problem(int(inputs["sourceLength"])):
            found["sourceLength"] = f"{diagnostic}, so Azure would refuse it; save the image again"
        try:
            datetime.fromisoformat(str(inputs["sourceCreated"]))
        except ValueError:
            found["sourceCreated"] = "it is no time in ISO 8601"
        return found

    def planned(self, inputs: Properties) -> Properties:
        """The outputs as far as a preview can tell them."""
        return {"url": inputs["destinationUrl"], "copyId": UNKNOWN, "digest": UNKNOWN}

    async def create(self, services: Services, inputs: Properties, row: Row) -> tuple[str, Properties]:
        """Stage the VHD, unless the image stands already. A failure keeps the resource, to go on at the next run."""
        request = _request(inputs)
        url = request.destination.url
        try:
            copied = await self._stage(services, inputs, request, row)
        except asyncio.CancelledError:
            stopped = f"{request.destination.name}: stopped by the user; what is there is kept, and the next up goes on"
            raise _kept(url) from CopyError(stopped)
        except Exception as error:
            raise _kept(url) from error
        return url, {"url": url, "copyId": copied.copy_id, "digest": copied.digest}

    async def _stage(self, services: Services, inputs: Properties, request: CopyRequest, row: Row) -> Copied:
        image_id = str(inputs["imageId"])
        image = await settled_image(services.arm, image_id, row)
        if image and _serves(image, request):
            row.say("the image stands already; nothing is copied")
            return TAKEN_OVER
        if image and image.image_path is None:
            raise CopyError(
                f"custom image '{image.name}': it stands in the lab and was not made by the factory (it has no tag"
                " ImagePath); it is not touched and nothing is copied. Rename or delete it, then run again"
            )
        if image and image.usable:
            raise CopyError(
                f"custom image '{image.name}': was created after planning, from {image.source_vhd}; it is not changed"
                " and nothing is copied. Run again to create a new plan"
            )
        return await services.staging.stage(request, user_of(image_id), _relay(inputs), row)

    async def read(self, services: Services, inputs: Properties) -> bool:
        """Whether it still does what it is for: its image stands, or the staged VHD is there for it.

        Raises `Kept` for one that is not whole: a refresh would otherwise make the engine forget that it failed.
        """
        request = _request(inputs)
        image = await find_image(services.arm, str(inputs["imageId"]))
        if image and (image.in_progress or _serves(image, request)):
            return True
        facts = await services.blobs.facts(request.destination)
        if facts is None or not request.marked(facts.metadata):
            return False
        if not is_whole(facts):
            unfinished = f"{request.destination.name}: it is not whole; its image is not made yet. The next up goes on"
            raise _kept(request.destination.url) from CopyError(unfinished)
        return True

    async def delete(self, services: Services, inputs: Properties) -> None:
        """Remove the staged VHD unless another image needs it; also if it is gone already."""
        await services.staging.forget(_request(inputs), user_of(str(inputs["imageId"])))


def _kept(url: str) -> Kept:
    return Kept(url, {"url": url, "copyId": "", "digest": ""})


def _relay(properties: Properties) -> Relay | None:
    url, account_id, image_id = (properties.get(f"relay{name}") for name in ("Url", "AccountId", "ImageId"))
    if not url or not account_id or not image_id:
        return None
    owner = user_of(str(image_id))
    return Relay(BlobRef(str(account_id), str(url)), int(properties.get("relayUses") or 0), owner)


def _request(properties: Properties) -> CopyRequest:
    return CopyRequest(
        source=BlobRef(str(properties["sourceAccountId"]), str(properties["sourceUrl"])),
        source_length=int(properties["sourceLength"]),
        source_created=datetime.fromisoformat(str(properties["sourceCreated"])),
        destination=BlobRef(str(properties["destinationAccountId"]), str(properties["destinationUrl"])),
    )


def _serves(image: StandingImage, request: CopyRequest) -> bool:
    return image.state == "Succeeded" and image.holds(request.source.file_name, image.name)


async def find_image(arm: ResourceManager, image_id: str) -> StandingImage | None:
    """The custom image at an ARM id, or None. Raises `CloudError`."""
    # Imported late: the module loads the Azure SDK, which a preview does without.
    from imagefactory.azure import labs

    return await labs.find_image(arm, image_id)


async def settled_image(arm: ResourceManager, image_id: str, row: Row) -> StandingImage | None:
    """The custom image once the service has stopped working on it, or None. Raises `CloudError`."""
    began = monotonic()
    while (image := await find_image(arm, image_id)) and image.in_progress:
        row.say(f"waiting for custom image '{image.name}', which is {image.state.lower()}")
        await asyncio.sleep(poll_delay(monotonic() - began))
    return image
