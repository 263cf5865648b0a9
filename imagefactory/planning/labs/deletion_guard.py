"""Images of the factory in the labs, and which of them are kept because a companion or VHD cannot be read.

Applies the rule that no image is deleted because its companion is unreadable. Ignores images that the factory did not
create.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.diagnostics import Diagnostic, error, warning
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.labs.ownership import Ownership


@dataclass(frozen=True)
class HeldImage:
    """A custom image in a target lab that is in the state, or has the tag ImagePath and is of no other stack."""

    lab: TargetLab
    image: StandingImage
    name: str
    """Its name in the state, else in the lab; they may differ in case."""
    owned: bool = False
    """Whether the state contains it."""

    @property
    def path(self) -> ImagePath | None:
        """Its image path; None: missing or invalid."""
        return self.image.path

    @property
    def subject(self) -> str:
        """The image's name for diagnostics."""
        return f"{self.image.name} of lab {self.lab.label}"

    @property
    def source(self) -> str | None:
        """File name of the VHD from which it was created, in lower case; None: unknown."""
        name = self.image.source_vhd or self.image.staged_name
        return name.lower() or None

    @property
    def wanted(self) -> bool:
        """Whether labs.json still has its image path for the lab; true if the path is invalid."""
        return self.path is None or self.lab.takes(self.path)


def held_images(labs: Iterable[tuple[TargetLab, LabFacts]], ownership: Ownership) -> tuple[HeldImage, ...]:
    """Return the images in the labs, by lab and name, that are in the state, or have the tag and are of no other stack.

    An image of another stack is never deleted by this one. It still counts as a newer image of its path in
    `retirement`, because users of the lab can use it.
    """
    held = (
        HeldImage(lab, image, name or image.name, name is not None)
        for lab, facts in labs
        for image in facts.images
        for name in (ownership.name_of(lab, image.name),)
        if name or (image.image_path is not None and not ownership.is_foreign(lab, image))
    )
    return tuple(sorted(held, key=lambda one: (one.lab.label, one.image.name.lower(), one.image.id)))


def unsafe_deletions(catalog: Catalog, held: Iterable[HeldImage]) -> Iterator[tuple[Diagnostic, list[HeldImage]]]:
    """Yield for each broken companion a warning, or an error with the images in labs that may be from its VHD.

    Yield for a skipped VHD an error with the images that are certainly from it. All these images are kept.
    """
    readable = {image.name.lower() for image in catalog.images}
    at_risk = [one for one in held if one.image.name.lower() not in readable and one.wanted]
    for broken in sorted(catalog.broken, key=lambda broken: broken.name):
        threatened = [one for one in at_risk if one.source in {None, broken.name.lower()}]
        diagnostic = broken.reason
        yield (
            _kept(diagnostic, threatened) if threatened else warning(*_parts(diagnostic), diagnostic.location),
            threatened,
        )
    for left_out in sorted(catalog.left_out, key=lambda left_out: left_out.name):
        image = left_out.image
        if threatened := [
            one
            for one in at_risk
            if one.source == left_out.name.lower() or (image and one.image.holds(image.vhd_name, image.name))
        ]:
            yield _kept(left_out.reason, threatened), threatened


def _kept(reason: Diagnostic, threatened: list[HeldImage]) -> Diagnostic:
    subject, fact, _, remedy = _parts(reason)
    others = f" and {len(threatened) - 1} more" if len(threatened) > 1 else ""
    consequence = f"{threatened[0].subject}{others} may be from its VHD, and no such image is deleted"
    return error(subject, fact, consequence, remedy, reason.location)


def _parts(diagnostic: Diagnostic) -> tuple[str, str, str, str]:
    return diagnostic.subject, diagnostic.fact, diagnostic.consequence, diagnostic.remedy
