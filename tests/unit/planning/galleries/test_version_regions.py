"""Where versions are: created in the region of their VHDs, replicated to those of the labs that need them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.configuration.stack_settings import Policy
from imagefactory.observed.standing_gallery import StandingVersion, region_key
from imagefactory.planning.galleries.inputs import GalleryInputs
from imagefactory.planning.galleries.planned import PlannedVersion
from imagefactory.planning.labs.plan import build_plan
from tests.unit.builders import catalog, configuration, facts, image, lab
from tests.unit.planning.factory.galleries import GALLERY, gallery, version

REGIONS = st.sampled_from(["westeurope", "North Europe", "eastus"])
SETTINGS = GallerySettings(id=GALLERY)


def planned(place: str, source: str, of_lab: str, *standing: StandingVersion) -> tuple[PlannedVersion, GalleryInputs]:
    """The version of one image for one lab, and the inputs from a gallery in `place` with VHDs in `source`."""
    found = replace(gallery(*standing), region=place, source_region=source)
    policy = Policy(delivery="gallery", gallery=SETTINGS)
    target = lab()
    labs = {target.key: facts("team", region=of_lab)}
    plan = build_plan(configuration(target), catalog(image("a")), facts("f"), labs, policy, gallery=found).gallery
    assert plan
    ((one),) = (*plan.versions, *(each.planned for each in plan.unadopted if isinstance(each.planned, PlannedVersion)))
    return one, GalleryInputs(found, SETTINGS, "https://account/vhds", "/storage/account")


@given(REGIONS, REGIONS, REGIONS)
def test_a_new_version_is_created_where_its_vhd_is_and_replicated_to_the_lab(place: str, vhd: str, of_lab: str) -> None:
    """Wherever the gallery is, which needs no replica; its definitions are where it is."""
    one, inputs = planned(place, vhd, of_lab)
    assert set(one.regions) == {region_key(vhd), region_key(of_lab)}
    assert inputs.version(one)["location"] == region_key(vhd)
    assert inputs.gallery()["location"] == place


@given(REGIONS, REGIONS, REGIONS)
def test_an_existing_version_keeps_a_replica_where_it_was_created(place: str, vhd: str, created: str) -> None:
    """Azure requires it there, even if the factory's storage account has moved."""
    there = replace(version("a.vhd", "Succeeded", region_key(created)), answer={"location": created})
    one, _ = planned(place, vhd, "uksouth", there)
    assert set(one.regions) == {region_key(created), "uksouth"}
