"""What is wrong with the rules of the settings: pins and revocations of something that does not exist, revoked images
that stay in labs, images in use that leave them, and rules without effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.configuration.labs_file import LabKey
from imagefactory.configuration.pydantic_findings import nearest
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, error, warning
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import FactoryImage, stem
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.labs.deletion_guard import HeldImage
from imagefactory.planning.labs.lab_labels import grouped
from imagefactory.planning.labs.ownership import Ownership
from imagefactory.planning.labs.planned_images import LabPlan
from imagefactory.planning.retention import soaking
from imagefactory.planning.revocations import Revocations
from imagefactory.planning.used_images import Uses

_LIST = "`imagefactory catalog` lists them"


def rule_findings(policy: Policy) -> Iterator[Diagnostic]:
    """Yield a warning about each rule that gives labs no image that they would not get without it."""
    subject, days = "setting imagefactory:keepDays", policy.keep_days
    if days is None:
        return
    if policy.keep is None:
        fact = "has no effect, because without the setting keep labs have all images"
        yield warning(subject, fact, "labs have all images", "Set imagefactory:keep, or remove keepDays")
    elif policy.soak_days is not None and policy.soak_days >= days:
        soak = f"an image soaks for {policy.soak_days} days (setting soakDays)"
        fact = f"has no effect: {soak}, and is no younger than {days} days then"
        yield warning(subject, fact, "labs have only the newest images (setting keep)", "Set it to more than soakDays")


def pin_findings(
    policy: Policy, offered: Iterable[FactoryImage], catalog: Catalog, now: datetime | None
) -> Iterator[Diagnostic]:
    """Yield a failure for each pin that gives labs no image, and a warning if it will once the image has soaked."""
    held = {image.image_path for image in offered}
    invalid = {fold(left_out.image.name) for left_out in catalog.left_out if left_out.image}
    revocations = Revocations(catalog, policy)
    for path, name in sorted(policy.pins.items()):
        if path in held:
            continue
        of_path = {image.name: image for image in catalog.images if image.image_path == path}
        there = next((image for image in of_path.values() if fold(image.name) == fold(name)), None)
        if there and (soaks := soaking(catalog, policy, now).get(there.vhd_name)):
            fact = f"{path} is pinned to {name}, which {soaks}"
            consequence = "labs keep their images of that path until then"
            yield warning("setting imagefactory:pins", fact, consequence, "No action needed if this is intended")
            continue
        fact = f"{path} is pinned to {name}, which is not in the factory"
        remedy = "Fix the name (see `imagefactory catalog`), or remove the pin"
        if fold(name) in invalid:
            fact = f"{path} is pinned to {name}, whose VHD is invalid"
        elif there and (revoked := revocations.of_image(there)):
            fact = f"{path} is pinned to {name}, which is {revoked}"
            remedy = "Pin another image, or remove the pin"
        elif meant := nearest(name, of_path):
            remedy = f"Write {meant}, or remove the pin ({_LIST})"
        consequence = "labs keep their images of that path and get no other one"
        yield error("setting imagefactory:pins", fact, consequence, remedy)


def revocation_findings(
    policy: Policy,
    catalog: Catalog,
    labs: Mapping[LabKey, LabFacts | Diagnostic],
    gallery: GalleryFacts | Diagnostic | None,
) -> Iterator[Diagnostic]:
    """Yield a failure for each revocation of an image that neither the factory nor a lab nor the gallery has."""
    if not policy.revoked:
        return
    known = set(_known(catalog, labs, gallery))
    for one in sorted(policy.revoked):
        if any(one.is_of(path, name) for path, name in known):
            continue
        of_path = {name for path, name in known if path == one.path}
        names = {name: f"{path}@{name}" if one.path else name for path, name in sorted(known, key=str) if path and name}
        meant = nearest(one.name, sorted(of_path or names))
        remedy = f"Write {names.get(meant, meant)}" if meant else f"Fix the name ({_LIST})"
        fact = f"{one} is revoked, but neither the factory nor a lab that could be read has such an image"
        yield error("setting imagefactory:revoked", fact, "nothing leaves for it", f"{remedy}, or remove it")


def _known(
    catalog: Catalog, labs: Mapping[LabKey, LabFacts | Diagnostic], gallery: GalleryFacts | Diagnostic | None
) -> Iterator[tuple[ImagePath | None, str]]:
    for image in (*catalog.images, *(each.image for each in catalog.left_out if each.image)):
        yield image.image_path, image.name
    for facts in labs.values():
        for standing in facts.images if isinstance(facts, LabFacts) else ():
            if standing.image_path is not None:
                yield standing.path, standing.name
                yield standing.path, stem(standing.source_vhd or "")
    for definition in gallery.definitions if isinstance(gallery, GalleryFacts) else ():
        for version in definition.versions:
            if version.image_path is not None:
                yield version.path, stem(version.source_vhd)


def standing_revoked(plans: Iterable[LabPlan], revocations: Revocations, ownership: Ownership) -> Iterator[Diagnostic]:
    """Yield a warning about each revoked image that stays in a lab."""
    for plan in plans:
        leaving = {fold(one.name) for one in plan.revoked}
        for image in sorted(plan.facts.images, key=lambda each: (fold(each.name), each.id)):
            reason = revocations.of_standing(image)
            if not reason or fold(image.name) in leaving:
                continue
            subject = f"custom image {image.name} of lab {plan.label}"
            if ownership.name_of(plan.lab, image.name):
                consequence = "it stays in the lab (setting revokedAction is report), and VMs can be created from it"
                remedy = "Set imagefactory:revokedAction to remove to delete it"
            else:
                consequence = "it stays in the lab, because the state does not contain it"
                remedy = "Delete it in the lab"
            yield warning(subject, f"is {reason}", consequence, remedy)


def used_leaving(
    plans: Iterable[LabPlan], held: Iterable[HeldImage], uses: Uses, revocations: Revocations
) -> Iterator[Diagnostic]:
    """Yield a warning about each image that leaves its lab although `keepUsedDays` was meant to keep it."""
    by_label = grouped((one.lab.label, one) for one in held)
    for plan in plans:
        stay = {fold(name) for name in (*(one.name for one in plan.images), *(one.name for one in plan.retained))}
        for one in by_label.get(plan.label, ()):
            if one.lab is not plan.lab or not one.owned or fold(one.name) in stay:
                continue
            if used := uses.of_image(plan.facts, one.image):
                why = "allowEmptyFactory is true" if one.wanted else "labs.json does not give the lab its image path"
                if revoked := revocations.of_standing(one.image):
                    why = f"it is {revoked}"
                consequence = f"it leaves the lab all the same, because {why}"
                yield warning(f"custom image {one.subject}", used, consequence, "No action needed if this is intended")
