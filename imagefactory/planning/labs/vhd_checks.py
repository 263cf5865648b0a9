"""Which VHDs of the factory are checked before a plan: those that a lab is yet to get and nothing vouches for.

A ranges manifest that fits its VHD vouches for it: it is written after a copy, which checks the footer. Does not read
VHDs: `imagefactory.azure.storage.vhd_checks` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from imagefactory.configuration.labs_file import LabKey, TargetLab
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic
from imagefactory.images.catalog import Catalog, newest_first
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.delivery import delivery_of, uses_gallery
from imagefactory.planning.retention import retained
from imagefactory.planning.rings import offerings


def vhds_to_check(
    catalog: Catalog,
    policy: Policy,
    factory: LabFacts,
    targets: Iterable[TargetLab] | None,
    labs: Mapping[LabKey, LabFacts | Diagnostic],
    gallery: GalleryFacts | Diagnostic | None = None,
    now: datetime | None = None,
) -> tuple[FactoryImage, ...]:
    """Return the images to check. `targets` None: no lab was read, so all that labs can get.

    Leaving one out can make an older image one that labs get: ask again with the catalog without it.
    """
    if targets is None:
        offered = (offer.image for offer in retained(catalog, policy, now) if not offer.reason)
        return tuple(filter(_is_unvouched, offered))
    targets = tuple(targets)
    by_lab = offerings(targets, catalog, policy, labs, gallery, now)
    taken = {lab.key: frozenset(image.vhd_name for image in by_lab[lab.key].of_lab(lab)) for lab in targets}
    getting = [
        (lab, facts)
        for lab in targets
        if delivery_of(lab, policy) != "gallery" and (facts := _getting(labs[lab.key], factory, policy))
    ]
    by_gallery = [lab for lab in targets if uses_gallery(lab, policy) and isinstance(gallery, GalleryFacts)]
    made = gallery.sources if isinstance(gallery, GalleryFacts) else frozenset()
    return tuple(
        image
        for image in filter(_is_unvouched, newest_first(catalog.images))
        if any(image.vhd_name in taken[lab.key] and not _has(facts, image) for lab, facts in getting)
        or (image.vhd_name not in made and any(image.vhd_name in taken[lab.key] for lab in by_gallery))
    )


def _is_unvouched(image: FactoryImage) -> bool:
    return image.digest is None and image.name_problem is None


def _getting(found: LabFacts | Diagnostic, factory: LabFacts, policy: Policy) -> LabFacts | None:
    """Return the facts of a lab that can get images; None if it cannot."""
    if isinstance(found, Diagnostic) or found.storage_account_id is None:
        return None
    return None if policy.cross_region == "refuse" and found.region_key != factory.region_key else found


def _has(facts: LabFacts, image: FactoryImage) -> bool:
    return any(each.usable and each.holds(image.vhd_name, image.name) for each in facts.images)
