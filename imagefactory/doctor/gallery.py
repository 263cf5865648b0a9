"""Checks of the Compute Gallery of a stack: gallery, permissions, source of its versions, and what labs have attached.

Of what the plan says of its parts, reports only those that the state does not contain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from imagefactory.azure.compute_galleries import gallery_id
from imagefactory.azure.core.answers import Answer
from imagefactory.azure.observe import read_galleries
from imagefactory.configuration.labs_file import LabKey, TargetLab
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.doctor.access import Probes, guarded
from imagefactory.doctor.checks import FACTORY, STACK, Check, of_diagnostic, some
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.delivery import uses_gallery
from imagefactory.planning.galleries.lab_offers import foreign_gallery
from imagefactory.planning.galleries.planned import GalleryPlan, attached_of
from imagefactory.roles.actions import Place
from imagefactory.roles.purposes import role_of

GALLERY, ATTACHED, PARTS = "gallery", "attached gallery", "parts of the gallery not in the state"

_IN_LABS = "permissions on galleries of the lab"
_READ_SECONDS = 20.0
"""How long reading the gallery and what labs have attached may take."""
_GROUPS_VERSION = "2021-04-01"

Labs = Mapping[LabKey, "LabFacts | Diagnostic"]
_Asked = tuple[str, str, Callable[[], Awaitable[Check]]]
"""Subject, name and request of a check."""


@dataclass(frozen=True)
class GallerySeen:
    """The checks of the gallery, and what was read for the plan."""

    checks: tuple[Check, ...]
    gallery: GalleryFacts | Diagnostic | None
    labs: Labs
    """With the galleries that they have attached."""


async def examine_gallery(
    probes: Probes, settings: Settings, factory: LabFacts | Diagnostic, targets: Iterable[TargetLab], labs: Labs
) -> GallerySeen:
    """Return the checks of the gallery that the settings name; none if they name none."""
    if settings.gallery is None or isinstance(factory, Diagnostic):
        return GallerySeen((), None, labs)
    targets = [lab for lab in targets if uses_gallery(lab, settings) and isinstance(labs[lab.key], LabFacts)]
    in_labs = role_of(Place.LAB_GALLERIES)
    gallery, seen = await _read(probes, settings, factory, labs)
    asked: list[_Asked] = [
        *_permissions(probes, settings, factory, gallery),
        *(
            (lab.label, _IN_LABS, partial(probes.permission, lab.label, _IN_LABS, facts.id, in_labs))
            for lab in targets
            if isinstance(facts := labs[lab.key], LabFacts)
        ),
    ]
    found = await asyncio.gather(
        _gallery(probes, settings, gallery), *(guarded(subject, name, ask()) for subject, name, ask in asked)
    )
    attached = (_attached(lab, seen[lab.key], gallery) for lab in targets)
    return GallerySeen((*found, *(each for each in attached if each)), gallery, seen)


def parts_checks(plan: GalleryPlan | None, command: str) -> Iterator[Check]:
    """Yield whether parts of the gallery exist that the state does not contain; `command` adopts them."""
    if plan is None:
        return
    names = [part.key or f"gallery {plan.facts.name}" for part in plan.unadopted]
    if names:
        fact = f"{some(names)} exist and are not in the state, so a run neither changes them nor ends well"
        yield Check(STACK, PARTS, "failure", fact, f"Run {command}")
    else:
        yield Check(STACK, PARTS, "ok", "none")


async def _read(
    probes: Probes, settings: Settings, factory: LabFacts, labs: Labs
) -> tuple[GalleryFacts | Diagnostic | None, Labs]:
    reading = read_galleries(probes.arm, settings, factory, labs)
    try:
        return await asyncio.wait_for(reading, _READ_SECONDS)
    except asyncio.TimeoutError:
        subject = f"gallery '{_id(settings, factory).rpartition('/')[2]}'"
        return error(subject, f"no answer within {_READ_SECONDS:g} s", "it is not checked", "Run again"), labs


async def _gallery(probes: Probes, settings: Settings, gallery: GalleryFacts | Diagnostic | None) -> Check:
    if not isinstance(gallery, GalleryFacts):
        return of_diagnostic(STACK, GALLERY, gallery) if gallery else Check(STACK, GALLERY, "ok", "none")
    place = f"{gallery.name} of resource group {gallery.resource_group}, {gallery.region}"
    if not gallery.exists:
        group = await guarded(STACK, GALLERY, _group(probes, gallery))
        if group.result != "ok":
            return group
        place = f"pulumi up creates {place}"
    if gallery.region_key == gallery.version_region:
        return Check(STACK, GALLERY, "ok", place)
    fact = f"{place}; its versions are in {gallery.version_region}, where the factory's VHDs are, as Azure requires"
    remedy = "None needed; Microsoft recommends a gallery in the region of its versions"
    return Check(STACK, GALLERY, "warning", fact, remedy)


async def _group(probes: Probes, gallery: GalleryFacts) -> Check:
    """Return whether the resource group of a gallery that is to be created exists. Raises `CloudError`."""
    group, subscription = gallery.resource_group, gallery.subscription_id
    subject, path = f"resource group '{group}'", f"/subscriptions/{subscription}/resourceGroups/{group}"
    if await probes.arm.get(path, _GROUPS_VERSION, Answer, subject=subject) is not None:
        return Check(STACK, GALLERY, "ok", "its resource group exists")
    create = f"az group create --name {group} --location {gallery.region} --subscription {subscription}"
    fact = f"{subject} of gallery {gallery.name} does not exist, or this identity cannot see it"
    return Check(STACK, GALLERY, "failure", fact, f"Create it: {create}")


def _permissions(
    probes: Probes, settings: Settings, factory: LabFacts, gallery: GalleryFacts | Diagnostic | None
) -> Iterator[_Asked]:
    """Yield subject, name and request of each permission that a run needs outside of labs."""
    id = _id(settings, factory)
    group, is_there = id.partition("/providers/")[0], not isinstance(gallery, GalleryFacts) or gallery.exists
    roles = {
        "permissions on the gallery": (id if is_there else group, role_of(Place.GALLERY)),
        "permission to read operations of the gallery": (
            group.partition("/resourceGroups/")[0],
            role_of(Place.GALLERY_SUBSCRIPTION),
        ),
    }
    if settings.gallery and settings.gallery.id is None:
        roles["permissions to create the gallery"] = (group, role_of(Place.GALLERY_GROUP))
    for name, (scope, role) in roles.items():
        yield STACK, name, partial(probes.permission, STACK, name, scope, role)
    account = factory.storage_account_id
    if account and not probes.uses_keys:  # with keys, it is checked anyway
        name = "permission to create versions from its VHDs"
        yield FACTORY, name, partial(probes.permission, FACTORY, name, account, role_of(Place.FACTORY_KEYS))


def _attached(lab: TargetLab, facts: LabFacts | Diagnostic, gallery: GalleryFacts | Diagnostic | None) -> Check | None:
    if isinstance(facts, Diagnostic):
        return of_diagnostic(lab.label, ATTACHED, facts)
    if not isinstance(gallery, GalleryFacts):
        return None
    if foreign := foreign_gallery(lab, facts, gallery.id):
        return of_diagnostic(lab.label, ATTACHED, foreign)
    fact = f"{gallery.name} is attached" if attached_of(facts, gallery.id) else "none yet"
    return Check(lab.label, ATTACHED, "ok", fact)


def _id(settings: Settings, factory: LabFacts) -> str:
    return gallery_id(settings.gallery, factory) if settings.gallery else ""
