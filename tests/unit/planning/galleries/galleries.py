"""Galleries with their definitions and versions, and the labs that they serve, with sensible defaults."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import error
from imagefactory.images.catalog import BlobDiagnostic
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_gallery import (
    AttachedGallery,
    GalleryFacts,
    StandingDefinition,
    StandingVersion,
)
from imagefactory.planning.galleries.plan import GalleryFindings, plan_gallery
from imagefactory.planning.galleries.planned import (
    GalleryLab,
    GalleryPlan,
    RecordedGallery,
    RecordedLab,
    RecordedVersion,
    Traits,
    definition_name,
    identifier,
    version_name,
)
from tests.unit.builders import catalog, image, lab
from tests.unit.builders import facts as lab_facts

STACK = "imagefactory/test"
ID = "/subscriptions/1/resourceGroups/rg/providers/Microsoft.Compute/galleries/images"
HOME = "westeurope"
PATH = "Win2016/Datacenter.json"


def policy(**changes: Any) -> Policy:
    """The policy of a stack that creates the gallery `images` and delivers by it."""
    values: dict[str, Any] = {
        "delivery": "gallery",
        "gallery": GallerySettings(name="images", resource_group="rg"),
        **changes,
    }
    return Policy(**values)


def version(of: FactoryImage, **changes: Any) -> StandingVersion:
    """A finished version of an image, in the gallery's region, made by this stack."""
    values: dict[str, Any] = {
        "name": version_name(of),
        "state": "Succeeded",
        "image_path": str(of.image_path),
        "source_vhd": of.vhd_name,
        "regions": frozenset({HOME}),
        "stack": STACK,
        **changes,
    }
    name = definition_name(of.image_path, Traits.of(of))
    return StandingVersion(f"{ID}/images/{name}/versions/{values['name']}", **values)


def definition(of: FactoryImage, *versions: StandingVersion, **changes: Any) -> StandingDefinition:
    """The definition of an image with these versions, made by this stack."""
    traits = Traits.of(of)
    name = changes.pop("name", definition_name(of.image_path, traits))
    values: dict[str, Any] = {
        "os_type": traits.os_type,
        "os_state": traits.os_state,
        "generation": traits.generation,
        "identifier": identifier("ImageFactory", name, traits),
        "security_type": "TrustedLaunchSupported" if traits.trusted_launch else "",
        "image_path": str(of.image_path),
        "stack": STACK,
        **changes,
    }
    return StandingDefinition(f"{ID}/images/{name}", name, versions=versions, **values)


def gallery(*definitions: StandingDefinition, **changes: Any) -> GalleryFacts:
    """The gallery with these definitions."""
    return GalleryFacts(ID, HOME, definitions=definitions, **changes)


def recorded(facts: GalleryFacts, *labs: GalleryLab, outside: Collection[str] = ()) -> RecordedGallery:
    """The state that made all of a gallery and what labs offer of it, but for what is `outside` of it."""
    found = {
        f"{one.name}/{each.name}": each
        for one in facts.definitions
        for each in one.versions
        if f"{one.name}/{each.name}" not in outside
    }
    return RecordedGallery(
        facts.exists,
        {fold(one.name): one.name for one in facts.definitions if one.name not in outside},
        {fold(key): RecordedVersion(key, each.attempt, each.stack, each.path) for key, each in found.items()},
        {
            each.lab.label: RecordedLab("rg", attached.enabled)
            for each in labs
            if each.facts
            for attached in each.facts.galleries
        },
        frozenset({facts.place}),
    )


def served(
    name: str, *images: FactoryImage, region: str = HOME, offers: Iterable[str] = (), **changes: Any
) -> GalleryLab:
    """A lab that gets all images of `Win2016` by the gallery, and offers the definitions of these names now."""
    attached = (AttachedGallery("/lab/sharedgalleries/images", ID, frozenset(fold(each) for each in offers)),)
    found = lab_facts(name, region=region, galleries=attached if offers else ())
    values: dict[str, Any] = {"facts": found, "images": images, **changes}
    return GalleryLab(replace(lab(name), label=name), **values)


def unread(one: GalleryLab) -> GalleryLab:
    """The same lab, when it cannot be read."""
    return replace(one, facts=None, replaced=frozenset())


def planned(
    facts: GalleryFacts,
    *labs: GalleryLab,
    state: RecordedGallery | None = None,
    by: Policy | None = None,
    unsafe: Collection[str] = (),
    more: Collection[FactoryImage] = (),
    now: datetime | None = None,
    awaited: Mapping[str, str] | None = None,
) -> tuple[GalleryPlan, GalleryFindings]:
    """The plan of a gallery; by default the state has all of it. The factory has `more` than what labs get."""
    state = recorded(facts, *labs) if state is None else state
    broken = tuple(BlobDiagnostic(name, error("companion", "is junk", "left out", "Fix it")) for name in unsafe)
    images = {each.vhd_name: each for each in (*more, *(each for one in labs for each in one.images))}
    found = catalog(*images.values(), broken=broken)
    return plan_gallery(facts, labs, by or policy(), state, STACK, found, now, awaited or {})


def saved(name: str, day: int = 1, path: str = PATH, **changes: Any) -> FactoryImage:
    """A factory image saved `day` days after the first of the tests."""
    return replace(image(name, path, age=-24 * day), **changes)
