"""The part of a plan that the Compute Gallery delivers: what the labs need of it, and what they have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.labs_file import LabKey, TargetLab
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.plain_text import printable
from imagefactory.planning.delivery import Route, uses_gallery
from imagefactory.planning.galleries.lab_offers import available
from imagefactory.planning.galleries.plan import GalleryFindings, plan_gallery
from imagefactory.planning.galleries.planned import GalleryLab, GalleryPlan, RecordedGallery
from imagefactory.planning.labs.planned_images import LabPlan, Recorded
from imagefactory.planning.rings import Offering

NO_OFFERINGS: Mapping[LabKey, Offering] = MappingProxyType({})
"""Those of a stack without rings."""

NO_GALLERY = RecordedGallery()
"""The state of a stack without a gallery."""


def placed_labs(recorded: RecordedGallery) -> dict[str, Recorded]:
    """Return what the state has of the gallery in labs, in the form from which labs get their labels."""
    return {f"{label}/": Recorded(1, resource_group=lab.resource_group) for label, lab in recorded.labs.items()}


def available_by(gallery: GalleryFacts | Diagnostic | None, lab: LabFacts, ways: Iterable[Route]) -> frozenset[str]:
    """Return the file names of the VHDs whose images users of a lab can use by the gallery now."""
    if not isinstance(gallery, GalleryFacts):
        return frozenset()
    return frozenset(way.image.vhd_name for way in ways if available(gallery, lab, way.image))


def with_gallery(
    gallery: GalleryFacts | Diagnostic | None,
    targets: Iterable[TargetLab],
    plans: Sequence[LabPlan],
    ways: Mapping[str, Sequence[Route]],
    catalog: Catalog,
    policy: Policy,
    recorded: RecordedGallery,
    stack: str,
    now: datetime | None = None,
    by_lab: Mapping[LabKey, Offering] = NO_OFFERINGS,
) -> tuple[GalleryPlan | None, GalleryFindings]:
    """Return the plan of the gallery, and what it reports; None: there is none, or it could not be read."""
    if gallery is None and recorded.holds_images:
        gallery = _unnamed()
    if isinstance(gallery, GalleryFacts) and (others := recorded.places - {gallery.place}):
        gallery = _another(gallery, others)
    if gallery is None or isinstance(gallery, Diagnostic):
        return None, GalleryFindings(diagnostics=[gallery] if gallery else [])
    read = {plan.label: plan for plan in plans}
    labs = [
        GalleryLab(
            lab,
            plan.facts if (plan := read.get(lab.label)) else None,
            tuple(way.image for way in ways[lab.label] if way.by_gallery),
            _replaced(plan) if plan else frozenset(),
            uses_gallery(lab, policy),
            frozenset(by_lab[lab.key].closed) if lab.key in by_lab else frozenset(),
        )
        for lab in targets
    ]
    awaited = {vhd: why for each in by_lab.values() for vhd, why in each.awaited.items()}
    return plan_gallery(gallery, labs, policy, recorded, stack, catalog, now, awaited)


def deliveries(plans: Iterable[LabPlan]) -> Iterator[str]:
    """Yield for each lab a line for each way, with its images and the reason; none for what goes the default way."""
    for plan in plans:
        found: dict[str, list[str]] = {}
        for way in plan.routes:
            if way.as_custom_image and not way.by_gallery and not plan.lab.delivery:
                continue
            found.setdefault(f"{_WAYS[way.as_custom_image, way.by_gallery]} ({way.reason})", []).append(way.image.name)
        for way_and_why, names in found.items():
            yield printable(f"{plan.label}: {way_and_why}: {', '.join(names)}")


_WAYS = {
    (True, True): "as custom images and by the gallery",
    (True, False): "as custom images",
    (False, True): "by the gallery",
    (False, False): "not delivered",
}


def _replaced(plan: LabPlan) -> frozenset[ImagePath]:
    """Return the image paths whose wanted custom images all exist in state Succeeded."""
    ids = {image.id for image in plan.facts.images if image.state == "Succeeded"}
    there = {image.image.image_path for image in plan.images if image.image_id in ids}
    return frozenset(there - {image.image.image_path for image in plan.images if image.image_id not in ids})


def _another(gallery: GalleryFacts, others: Iterable[tuple[str, str, str]]) -> Diagnostic:
    named = " and ".join(_placed(other) for other in sorted(others))
    return error(
        "setting imagefactory:gallery",
        f"names gallery {_placed((gallery.subscription_id, gallery.resource_group, gallery.name))}, but the state has "
        f"{named}",
        "both galleries and what labs offer of them stay as they are",
        "Name that one; to change the gallery, first deliver all images as customImage and run pulumi up",
    )


def _placed(place: tuple[str, str, str]) -> str:
    subscription, group, name = place
    return f"{name} of resource group {group} in subscription {subscription}"


def _unnamed() -> Diagnostic:
    return error(
        "setting imagefactory:gallery",
        "is missing, but the state has a gallery with images",
        "the gallery and what labs offer of it stay as they are",
        "Set it again; to remove the gallery, first deliver all images as customImage and run pulumi up",
    )
