"""Galleries with any versions, for the rules of a prune. Contains nothing that a test asserts on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.observed.standing_gallery import AttachedGallery, GalleryFacts, StandingDefinition, StandingVersion
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.factory.staging_needs import StackPlan
from tests.unit.builders import SUBSCRIPTION, configuration, facts

GALLERY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute/galleries/images"
UNREAD = error("gallery 'images'", "Azure returned 403 AuthorizationFailed", "it stays", "Grant a role")
LAB_UNREAD = error("lab", "cannot be read", "it stays", "Fix it")


def version(vhd: str, state: str = "Succeeded", *regions: str, data_disks: Iterable[str] = ()) -> StandingVersion:
    """A version that the factory made of a VHD, in West Europe unless other regions are given."""
    name = "2026.314.120000"
    return StandingVersion(
        f"{GALLERY}/images/d/versions/{name}",
        name,
        state,
        "Win2016/Datacenter.json",
        vhd,
        frozenset(regions or ("westeurope",)),
        vhds=frozenset(each.lower() for each in (vhd, *data_disks)),
    )


def gallery(*versions: StandingVersion) -> GalleryFacts:
    """A gallery; each version has a definition of its own."""
    definitions = (
        StandingDefinition(
            f"{GALLERY}/images/d{number}",
            f"d{number}",
            "Windows",
            "Generalized",
            "V2",
            ("ImageFactory", f"d{number}", "gen2"),
            image_path=each.image_path,
            versions=(each,),
        )
        for number, each in enumerate(versions)
    )
    return GalleryFacts(GALLERY, "westeurope", definitions=tuple(definitions))


def offering(*definitions: str, region: str = "westeurope") -> LabFacts:
    """A lab that offers these definitions of the gallery."""
    attached = AttachedGallery(f"{GALLERY}/attached", GALLERY, frozenset(definitions))
    return replace(facts("team", region=region), galleries=(attached,))


def served(
    found: GalleryFacts | Diagnostic | None, target: TargetLab, lab: LabFacts | Diagnostic, keep: int | None = None
) -> StackPlan:
    """A stack whose lab gets images by the gallery."""
    policy = Policy(keep=keep, delivery="gallery", gallery=GallerySettings(id=GALLERY))
    return StackPlan(configuration(target), {target.key: lab}, policy, found)
