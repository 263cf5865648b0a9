"""The place of a factory image in a lab: its name and id, considering the images that exist there.

Does not decide which images a lab gets, or what becomes of an existing one: `plan` does.
"""

from __future__ import annotations

from dataclasses import dataclass

from imagefactory.configuration.image_names import name_beside
from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.diagnostics import Diagnostic, error, warning
from imagefactory.images.catalog import name_warning
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.labs.ownership import Ownership, belongs_to_another


@dataclass(frozen=True)
class Place:
    """The name and id of a factory image in a lab."""

    name: str
    image_id: str
    standing: bool = False
    """Whether its image exists, finished or in progress."""
    attempt: int | None = None
    """The number of the next attempt, if its image exists in another state."""
    unadopted: StandingImage | None = None
    """Its image, if it exists and the state does not contain it."""
    retagged: bool = False
    """Whether somebody changed the tags of its image."""


@dataclass(frozen=True)
class NoPlace:
    """Why a lab does not get a factory image."""

    reason: str
    foreign: StandingImage | None = None
    """The image of another stack that is in its place."""


def place_of(
    lab: TargetLab, facts: LabFacts, image: FactoryImage, ownership: Ownership
) -> tuple[Place | NoPlace, Diagnostic | None]:
    """Return the place of the image, or why it has none; and a diagnostic about it, or None."""
    existing = _made_from(lab, facts, image, ownership)
    named = existing or (None if image.name_problem else facts.by_name.get(fold(image.name)))
    if named and ownership.is_foreign(lab, named):
        return NoPlace(of_another_stack(named), named), belongs_to_another(lab, named, ownership)
    if existing:
        return _place_of_existing(lab, facts, existing, ownership)
    if image.name_problem:
        return NoPlace(name_warning(image).fact), None
    if named is None:
        return Place(image.name, _image_id(facts, image.name)), None
    subject = f"custom image {named.name} of lab {lab.label}"
    beside = name_beside(image.name, image.vhd_name)
    if named.image_path is not None and fold(beside) not in facts.by_name:
        fact = f"was created from {named.source_vhd}, but the factory image of that name is {image.vhd_name}"
        consequence = f"the factory image is created as {beside}, and {named.name} is deleted by a run after that"
        return Place(beside, _image_id(facts, beside)), warning(
            subject, fact, consequence, "No action needed if intended"
        )
    fact = "has no ImagePath tag, so the factory did not create it"
    consequence = "it is not changed, and the factory image of that name is not distributed to this lab"
    remedy = "Rename or delete it in the lab"
    reason = "the lab has an image of that name that the factory did not create"
    return NoPlace(reason), error(subject, fact, consequence, remedy)


def of_another_stack(image: StandingImage) -> str:
    """Return why an image of another stack takes the place of one that this stack wants."""
    return f"custom image {image.name} of the lab belongs to stack {image.stack}"


def _place_of_existing(
    lab: TargetLab, facts: LabFacts, existing: StandingImage, ownership: Ownership
) -> tuple[Place, Diagnostic | None]:
    unadopted = existing if ownership.name_of(lab, existing.name) is None else None
    if existing.usable:
        return Place(existing.name, existing.id, standing=True, unadopted=unadopted, retagged=existing.retagged), None
    again = None
    if not unadopted:
        # The engine creates it again because a tag differs, from the state's as well: Azure may have an older one.
        subject, fact = f"custom image {existing.name} of lab {lab.label}", f"is in state {existing.state}"
        again = warning(subject, fact, "it is created again", "No action needed unless it fails again")
    image_id = existing.id if unadopted else _image_id(facts, existing.name)
    return Place(existing.name, image_id, attempt=existing.attempt + 1, unadopted=unadopted), again


def _image_id(facts: LabFacts, name: str) -> str:
    return f"{facts.id}/customimages/{name}"


def _made_from(lab: TargetLab, facts: LabFacts, image: FactoryImage, ownership: Ownership) -> StandingImage | None:
    """Return the lab's image of that VHD; of several preferably one that is not another stack's, a usable one, one in
    the state, one of the same name; None if missing."""
    order = sorted(
        facts.holding(image.vhd_name, image.name),
        key=lambda each: (
            ownership.is_foreign(lab, each),
            not each.usable,
            ownership.name_of(lab, each.name) is None,
            fold(each.name) != fold(image.name),
            each.id,
        ),
    )
    return order[0] if order else None
