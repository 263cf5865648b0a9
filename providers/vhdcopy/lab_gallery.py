"""`LabGallery`: the Compute Gallery that a lab has attached, with exactly the listed definitions enabled.

Create and update read first and write only what differs, read returns what users of the lab can use, delete detaches.
Changes no gallery and no image, and nothing in a lab that has another gallery attached: a lab has one at a time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from imagefactory.diagnostics import Diagnostic, error
from imagefactory.errors import ImageFactoryError
from imagefactory.observed.arm_ids import GALLERY, LAB, LAB_GALLERY, ArmType
from imagefactory.observed.lab_galleries import Definition
from imagefactory.planning.galleries.attachment import (
    WantedGallery,
    attachment_of,
    attachment_problem,
    in_order,
    other_gallery,
    usable,
)
from providers.vhdcopy.progress import Row
from providers.vhdcopy.resource import (
    CASELESS,
    UNKNOWN,
    UPDATED,
    Inputs,
    Kept,
    OrUnknown,
    Properties,
    Resource,
    State,
    Text,
    stored_inputs,
)
from providers.vhdcopy.services import Services

_NAME = re.compile(r"[a-z0-9](?:[\w.-]{0,78}\w)?", re.IGNORECASE | re.ASCII)


def _arm_id(kind: ArmType) -> AfterValidator:
    def checked(id: str) -> str:
        if kind.parse(id) is None:
            raise ValueError(f"is not an id of a {kind.title}")
        return id

    return AfterValidator(checked)


def _resource_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("is not a name that galleries and definitions can have (up to 80 letters, digits, _, - and .)")
    return name


class DefinitionInputs(BaseModel):
    """A definition that users of the lab can use."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="forbid")

    name: Annotated[Text, AfterValidator(_resource_name), OrUnknown]
    os_type: Annotated[Literal["Windows", "Linux"], OrUnknown]
    image_type: Annotated[Literal["Generalized", "Specialized"], OrUnknown]

    @property
    def value(self) -> Definition:
        """The definition as a value."""
        return Definition(self.name, self.os_type, self.image_type)


def _by_name(definitions: tuple[DefinitionInputs, ...]) -> tuple[DefinitionInputs, ...]:
    """Return the definitions sorted by name, so that another order is no change; those without a known name last."""
    known = {each.value.key: each for each in definitions if each.name != UNKNOWN}
    unknown = [each for each in definitions if each.name == UNKNOWN]
    if len(known) + len(unknown) < len(definitions):
        raise ValueError("has a name twice")
    return (*(known[each.key] for each in in_order(each.value for each in known.values())), *unknown)


class LabGalleryInputs(Inputs):
    """The lab, the gallery, and the definitions of it that users of the lab can use."""

    lab_id: Annotated[Text, _arm_id(LAB), OrUnknown, CASELESS]
    """As Azure lists it."""
    location: Annotated[Text, OrUnknown, UPDATED, CASELESS]
    """The region of the lab."""
    name: Annotated[Text, AfterValidator(_resource_name), OrUnknown, CASELESS]
    """The name of a new attachment; by default that of the gallery."""
    gallery_id: Annotated[Text, _arm_id(GALLERY), OrUnknown, CASELESS]
    definitions: Annotated[tuple[DefinitionInputs, ...], AfterValidator(_by_name), OrUnknown, UPDATED]

    @model_validator(mode="before")
    @classmethod
    def _with_name(cls, given: Any) -> Any:
        gallery = given.get("galleryId")
        if given.get("name") or not isinstance(gallery, str):
            return given
        return {**given, "name": gallery.rpartition("/")[2]}  # all of it if it is unknown

    @property
    def wanted(self) -> WantedGallery:
        """What the lab must have."""
        return WantedGallery(self.gallery_id, self.name, self.location, tuple(each.value for each in self.definitions))


class LabGallery(Resource[LabGalleryInputs]):
    """Handles resources of type `vhdcopy:index:LabGallery`.

    Outputs: the inputs, and `attachmentId` (the ARM id of the attachment, which is also the id of the resource). If the
    gallery is attached under another name already, that attachment is kept.
    """

    inputs = LabGalleryInputs
    part = "attach galleries"
    replaces = True
    deletes_first = True

    def planned(self, inputs: LabGalleryInputs) -> Properties:
        """See `Resource`."""
        return _state(stored_inputs(inputs), inputs.name).outputs

    async def create(self, services: Services, inputs: LabGalleryInputs, row: Row) -> tuple[str, Properties]:
        """Attach the gallery and enable exactly the definitions; write only what differs.

        Raises `ImageFactoryError` if it wrote nothing, else `Kept`.
        """
        from providers.vhdcopy import lab_gallery_requests as requests

        wanted, lab = inputs.wanted, f"lab '{_last(inputs.lab_id)}'"
        attachments = await requests.attachments(services.arm, inputs.lab_id)
        if attachments is None:
            lacking = error(lab, "does not exist", "no gallery is attached", "Run again to create a new plan")
            raise ImageFactoryError(lacking.message())
        if other := other_gallery(wanted.gallery_id, attachments):
            raise ImageFactoryError(_other_attached(lab, wanted.gallery_id, other).message())
        standing = attachment_of(wanted.gallery_id, attachments)
        state = _state(stored_inputs(inputs), standing.name if standing else inputs.name)
        try:
            await requests.correct(services.arm, inputs.lab_id, wanted, standing, row)
        except asyncio.CancelledError:
            canceled = f"{lab}: canceled; what was written is kept, and the next pulumi up resumes"
            raise Kept(state.id, state.outputs) from ImageFactoryError(canceled)
        except Exception as problem:
            raise Kept(state.id, state.outputs) from problem
        return state.id, state.outputs

    async def read(self, services: Services, inputs: LabGalleryInputs) -> bool | State:
        """Return the attachment with the definitions that users of the lab can use; False if it does not exist.

        Raises `Kept` if the attachment itself differs, so that the next update corrects it.
        """
        from providers.vhdcopy import lab_gallery_requests as requests

        attachments = await requests.attachments(services.arm, inputs.lab_id)
        standing = attachment_of(inputs.gallery_id, attachments or ())
        if standing is None:
            return False
        listed = await requests.definitions(services.arm, inputs.lab_id, standing.name)
        found = usable(listed, standing.allows_all, [each.value for each in inputs.definitions])
        state = _state({**stored_inputs(inputs), "definitions": _stored(found)}, standing.name)
        if problem := attachment_problem(inputs.wanted, standing):
            differs = f"lab '{_last(inputs.lab_id)}': {problem}; the next pulumi up corrects it"
            raise Kept(state.id, state.outputs, state.inputs) from ImageFactoryError(differs)
        return state

    async def find(self, services: Services, id: str) -> State | None:
        """Return the attachment with an ARM id."""
        from providers.vhdcopy import lab_gallery_requests as requests

        if (sought := LAB_GALLERY.parse(id)) is None:
            fact = LAB_GALLERY.fact("the id", id)
            remedy = "Pass the id of an attachment: LAB_ID/sharedgalleries/NAME"
            raise ImageFactoryError(error("import", fact, "nothing is imported", remedy).message())
        lab_id = id.rsplit("/", 2)[0]
        attachments = await requests.attachments(services.arm, lab_id) or ()
        standing = next((each for each in attachments if each.name.lower() == sought.name.lower()), None)
        if standing is None:
            return None
        listed = await requests.definitions(services.arm, lab_id, standing.name)
        inputs = {
            "labId": lab_id,
            "location": standing.location or "",
            "name": standing.name,
            "galleryId": standing.gallery_id,
            "definitions": _stored(usable(listed, standing.allows_all)),
        }
        return _state(inputs, standing.name)

    async def delete(self, services: Services, inputs: LabGalleryInputs) -> None:
        """Detach the gallery; change nothing in a lab that has another one, or none."""
        from providers.vhdcopy import lab_gallery_requests as requests

        attachments = await requests.attachments(services.arm, inputs.lab_id)
        if standing := attachment_of(inputs.gallery_id, attachments or ()):
            await requests.detach(services.arm, inputs.lab_id, standing)


def _state(inputs: Properties, attachment: str) -> State:
    """Return the resource as the state has it; the attachment has this name in the lab."""
    lab_id = inputs["labId"]
    id = UNKNOWN if UNKNOWN in {lab_id, attachment} else f"{lab_id}/sharedgalleries/{attachment}"
    return State(id, inputs, {**inputs, "attachmentId": id})


def _stored(definitions: Iterable[Definition]) -> list[dict[str, str]]:
    return [{"name": each.name, "osType": each.os_type, "imageType": each.image_type} for each in definitions]


def _other_attached(lab: str, wanted_id: str, other_id: str) -> Diagnostic:
    return error(
        lab,
        f"has the gallery '{_last(other_id)}' attached ({other_id}), and a lab has one gallery at a time",
        f"gallery '{_last(wanted_id)}' is not attached, and nothing in the lab is changed",
        "Detach that gallery in the lab, or set Delivery of its entry in labs.json to customImage",
    )


def _last(id: str) -> str:
    return id.rpartition("/")[2]
