"""Images of the factory that labs hold, and which of them must not go because the factory cannot be read.

Owns the rule that no image is deleted for want of a readable companion. Refuses to judge images that others made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.diagnostics import Diagnostic, error, warning
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_labs import LabFacts, StandingImage


@dataclass(frozen=True)
class HeldImage:
    """A custom image in a target lab that has the tag ImagePath, or that the state holds."""

    lab: TargetLab
    image: StandingImage
    name: str
    """Its name in the state, else as it stands in the lab; they may differ in case."""
    owned: bool = False
    """Whether the state contains it."""

    @property
    def path(self) -> ImagePath | None:
        """Its image path; None: cannot be read."""
        return self.image.path

    @property
    def subject(self) -> str:
        """The image's name for diagnostics."""
        return f"{self.image.name} of lab {self.lab.label}"

    @property
    def source(self) -> str | None:
        """File name of the VHD that it was made from, in lower case; None: cannot be told."""
        name = self.image.source_vhd or self.image.staged_name
        return name.lower() or None

    @property
    def wanted(self) -> bool:
        """Whether labs.json still gives its image path to the lab; true if the path cannot be read."""
        return self.path is None or self.lab.takes(self.path)


def held_images(labs: Iterable[tuple[TargetLab, LabFacts]], owned: Set[str]) -> tuple[HeldImage, ...]:
    """The factory's images in the labs, by lab and name: those tagged so, and those `owned` (`<label>/<name>`)."""
    names = {name.lower(): name for name in owned}
    held = (
        HeldImage(lab, image, (name or image.name).rpartition("/")[2], name is not None)
        for lab, facts in labs
        for image in facts.images
        for name in (names.get(f"{lab.label}/{image.name}".lower()),)
        if image.image_path is not None or name
    )
    return tuple(sorted(held, key=lambda one: (one.lab.label, one.image.name.lower(), one.image.id)))


def unsafe_deletions(catalog: Catalog, held: Iterable[HeldImage]) -> Iterator[tuple[Diagnostic, list[HeldImage]]]:
    """For each broken companion a warning, or an error with the images that labs hold of its VHD: they are kept.

    A VHD that was left out gets an error too, but only for images that were surely made from it.
    """
    readable = {image.name.lower() for image in catalog.images}
    at_risk = [one for one in held if one.image.name.lower() not in readable and one.wanted]
    for broken in sorted(catalog.broken, key=lambda broken: broken.vhd_name):
        threatened = [one for one in at_risk if one.source in {None, broken.vhd_name.lower()}]
        diagnostic = broken.diagnostic
        yield (
            _kept(diagnostic, threatened) if threatened else warning(*_parts(diagnostic), diagnostic.location),
            threatened,
        )
    for left_out in sorted(catalog.left_out, key=lambda left_out: left_out.name):
        if threatened := [one for one in at_risk if one.source == left_out.name.lower()]:
            yield _kept(left_out.reason, threatened), threatened


def _kept(reason: Diagnostic, threatened: list[HeldImage]) -> Diagnostic:
    subject, fact, _, remedy = _parts(reason)
    others = f" and {len(threatened) - 1} more" if len(threatened) > 1 else ""
    consequence = f"{threatened[0].subject}{others} may be made from its VHD, and no such image is deleted"
    return error(subject, fact, consequence, remedy, reason.location)


def _parts(diagnostic: Diagnostic) -> tuple[str, str, str, str]:
    return diagnostic.subject, diagnostic.fact, diagnostic.consequence, diagnostic.remedy
