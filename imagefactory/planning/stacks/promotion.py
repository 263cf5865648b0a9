"""Promotion: which image of each image path the labs of one stack have proven, so that another stack may pin it.

An image is proven if all labs of the stack that take its path hold it: as a custom image in state Succeeded, or by the
gallery. Pure. Does not write the pins: `imagefactory.configuration.stack_pins` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from imagefactory.configuration.image_paths import ImagePath, Selector, fold, own_case
from imagefactory.configuration.labs_file import LabKey, TargetLab
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, Severity
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.delivery import uses_gallery
from imagefactory.planning.galleries.lab_offers import available
from imagefactory.planning.retention import Offer, retained

Action = Literal["pin", "unchanged", "not promoted"]


@dataclass(frozen=True)
class Source:
    """The stack whose labs hold images."""

    name: str
    labs: Sequence[TargetLab]
    image_paths: Sequence[ImagePath]
    """Those of the golden images."""
    policy: Policy
    catalog: Catalog
    facts: Mapping[LabKey, LabFacts | Diagnostic]
    gallery: GalleryFacts | Diagnostic | None = None
    """Its gallery, or why it cannot be read; None: it has none."""


@dataclass(frozen=True)
class Target:
    """The stack whose pins are written."""

    name: str
    labs: Sequence[TargetLab]
    policy: Policy
    catalog: Catalog


@dataclass(frozen=True)
class Promoted:
    """What becomes of the pin of one image path."""

    path: ImagePath
    before: str | None
    now: str | None
    """The name that the path is pinned to afterwards; None: none."""
    action: Action
    reason: str = ""
    """Why the pin stays, or why it is not that of a newer image; empty: nothing to tell."""
    labs: tuple[str, ...] = ()
    """The labels of the labs that hold the image; empty if the pin stays because no image is proven."""

    def to_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return {
            "imagePath": str(self.path),
            "before": self.before,
            "now": self.now,
            "action": self.action,
            "reason": self.reason or None,
            "labs": list(self.labs),
        }


@dataclass(frozen=True)
class Promotion:
    """The image paths in order, and why labs or the gallery cannot be read."""

    paths: tuple[Promoted, ...]
    failures: tuple[Diagnostic, ...] = ()

    @property
    def pins(self) -> dict[ImagePath, str]:
        """The pins to write."""
        return {one.path: one.now for one in self.paths if one.action == "pin" and one.now}


@dataclass(frozen=True)
class _Choice:
    path: ImagePath
    image: FactoryImage | None
    reason: str = ""
    labs: tuple[str, ...] = ()


def promotion(source: Source, target: Target, only: Sequence[Selector] = ()) -> Promotion:
    """Return the pins for the image paths that labs of both stacks take; `only`: those that an entry of it matches."""
    paths = own_case((*source.image_paths, *(image.image_path for image in source.catalog.images)))
    taken = [
        path
        for path in sorted(paths)
        if any(lab.takes(path) for lab in source.labs) and (not only or any(each.matches(path) for each in only))
    ]
    unpinned = Policy(revoked=source.policy.revoked)
    offered = [offer.image for offer in retained(source.catalog, unpinned) if not offer.reason]
    choices = [_choice(source, path, [image for image in offered if image.image_path == path]) for path in taken]
    pins = {choice.path: choice.image.name for choice in choices if choice.image}
    policy = target.policy.model_copy(update={"pins": {**target.policy.pins, **pins}})
    offers = retained(target.catalog, policy)
    return Promotion(tuple(_promoted(choice, target, offers) for choice in choices), tuple(_failures(source, taken)))


def _choice(source: Source, path: ImagePath, images: Iterable[FactoryImage]) -> _Choice:
    """Return the first one of the images, newest first, that all labs hold."""
    labs = sorted((lab for lab in source.labs if lab.takes(path)), key=lambda lab: lab.label)
    if unread := [lab.label for lab in labs if _unread(source, lab)]:
        return _Choice(path, None, f"{_named(unread)} cannot be read")
    newer = ""
    for image in images:
        lacking = [lab.label for lab in labs if not _holds(source, lab, image)]
        if not lacking:
            return _Choice(path, image, newer, tuple(lab.label for lab in labs))
        newer = newer or f"{image.name} is not in {_named(lacking)}"
    return _Choice(path, None, newer or f"the factory of stack {source.name} has no image of it")


def _promoted(choice: _Choice, target: Target, offers: Iterable[Offer]) -> Promoted:
    path, image = choice.path, choice.image
    before = target.policy.pins.get(path)
    stays = Promoted(path, before, before, "not promoted", choice.reason)
    if not any(lab.takes(path) for lab in target.labs):
        return replace(stays, reason=f"no lab of stack {target.name} takes it")
    if image is None:
        return stays
    mine = [each for each in offers if each.image.image_path == path]
    same = [each for each in mine if fold(each.image.name) == fold(image.name)]
    found = next((each.image for each in same if not each.reason), None)
    if found is None:
        reason = same[0].reason if same else f"is not in the factory of stack {target.name}"
        return replace(stays, reason=f"{image.name}: {reason}")
    if found.name_problem:
        return replace(stays, reason=f"{image.name}: Azure would reject the name: {found.name_problem}")
    if not _is_same(found, image):
        return replace(stays, reason=f"{image.name}: the factory of stack {target.name} has another image of that name")
    if before is not None and fold(before) == fold(found.name):
        return replace(stays, action="unchanged", labs=choice.labs)
    later = [each.image.name for each in mine if each.image.saved_at > found.saved_at]
    older = f"older than {before}" if fold(before or "") in map(fold, later) else ""
    reason = "; ".join(part for part in (older, choice.reason) if part)
    return Promoted(path, before, found.name, "pin", reason, choice.labs)


def _is_same(one: FactoryImage, other: FactoryImage) -> bool:
    """Return whether images of two factories have the same content: by their digests, else by their VHDs' names."""
    if one.digest and other.digest:
        return one.digest == other.digest
    return one.vhd_name == other.vhd_name


def _holds(source: Source, lab: TargetLab, image: FactoryImage) -> bool:
    facts = source.facts[lab.key]
    if not isinstance(facts, LabFacts):
        return False
    if any(one.state == "Succeeded" and one.holds(image.vhd_name, image.name) for one in facts.images):
        return True
    return isinstance(source.gallery, GalleryFacts) and available(source.gallery, facts, image)


def _unread(source: Source, lab: TargetLab) -> Diagnostic | None:
    """Return why it is unknown what a lab holds."""
    if isinstance(facts := source.facts[lab.key], Diagnostic):
        return replace(facts, location=facts.location or lab.location)
    gallery = source.gallery
    return gallery if isinstance(gallery, Diagnostic) and uses_gallery(lab, source.policy) else None


def _failures(source: Source, paths: Iterable[ImagePath]) -> Iterable[Diagnostic]:
    taken = tuple(paths)
    labs = (lab for lab in source.labs if any(lab.takes(path) for path in taken))
    found = dict.fromkeys(each for lab in labs if (each := _unread(source, lab)))
    for each in found:
        yield replace(each, severity=Severity.ERROR, consequence="the image paths of its labs are not promoted")


def _named(labels: Sequence[str]) -> str:
    return f"lab{'s' * (len(labels) > 1)} {', '.join(labels)}"
