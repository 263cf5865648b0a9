"""The resource class `LabGallery` of the `vhdcopy` provider, as a program declares it.

Defines names and types of inputs and outputs. Does not implement it: `providers.vhdcopy` does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

import pulumi

from imagefactory.observed.lab_galleries import Definition


class LabGallery(pulumi.CustomResource):
    """The Compute Gallery that a lab has attached, and the definitions of it that users of the lab can use.

    `lab_id` is the lab's ARM id as listed, `location` its region, `attachment_name` the name of a new attachment (None:
    the gallery's name). `definitions` resolves once they exist, because a lab lists only existing ones.
    """

    attachmentId: pulumi.Output[str]
    """The ARM id of the attachment; spelled as the provider spells it, because the SDK sets it by that name."""

    def __init__(
        self,
        name: str,
        *,
        lab_id: str,
        location: str,
        gallery_id: pulumi.Input[str],
        definitions: Awaitable[Iterable[Definition]],
        attachment_name: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        async def listed() -> list[dict[str, str]]:
            known = await definitions
            return [{"name": each.name, "osType": each.os_type, "imageType": each.image_type} for each in known]

        inputs = {
            "labId": lab_id,
            "location": location,
            "name": attachment_name,
            "galleryId": gallery_id,
            "definitions": listed(),
            "attachmentId": None,
        }
        super().__init__("vhdcopy:index:LabGallery", name, inputs, opts)
