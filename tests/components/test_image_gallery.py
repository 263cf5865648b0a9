"""The gallery under Pulumi's mocks: what is kept is declared as the state has it."""

from __future__ import annotations

from typing import Any

import pytest

from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.configuration.stack_settings import FactoryLab, Settings
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.planning.galleries.planned import GalleryPlan, RetainedVersion
from imagefactory.planning.labs.plan import Plan
from imagefactory.state.stack_state import DEFINITION, GALLERY, LAB_GALLERY, VERSION, StackState
from tests.components.test_lab_images import SUBSCRIPTION, Recorder, declared

GALLERY_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute/galleries/images"
PLACE = {"galleryName": "images", "resourceGroupName": "rg"}
IMAGE = {**PLACE, "galleryImageName": "Win.A", "osType": "Windows"}
REGIONS = [{"name": "West Europe", "regionalReplicaCount": 1}, {"name": "eastus", "regionalReplicaCount": 1}]
MADE = {**IMAGE, "galleryImageVersionName": "1.0.0", "publishingProfile": {"targetRegions": REGIONS}}
OFFER = {"labId": "/labs/web", "galleryId": GALLERY_ID, "definitions": []}
STATE: dict[str, dict[str, dict[str, Any]]] = {
    GALLERY: {"images": PLACE},
    DEFINITION: {"Win.A": IMAGE},
    VERSION: {"Win.A/1.0.0": MADE},
    LAB_GALLERY: {"web": OFFER},
}


def kept(plan: Plan, state: dict[str, dict[str, dict[str, Any]]], *, named: bool) -> Recorder:
    """What a run declares; `named`: the settings have a gallery."""
    gallery = GallerySettings(name="images", resource_group="rg") if named else None
    factory = FactoryLab(subscription_id=SUBSCRIPTION, lab_name="factory")
    return declared(plan, StackState({}, state, SUBSCRIPTION), Settings(factory=factory, gallery=gallery))


@pytest.mark.parametrize("named", [True, False])
def test_all_of_a_gallery_that_cannot_be_judged_is_declared_as_the_state_has_it(named: bool) -> None:
    """It could not be read, or the settings do not name it: nothing of it may be changed or deleted."""
    recorder = kept(Plan(()), STATE, named=named)
    assert {kind: recorder.of(kind) for kind in STATE} == STATE


@pytest.mark.parametrize("named", [True, False])
def test_a_gallery_of_which_nothing_is_left_goes_when_the_settings_lack_it(named: bool) -> None:
    """While they name it, one that could not be read stays."""
    alone = {GALLERY: STATE[GALLERY]}
    assert kept(Plan(()), alone, named=named).of(GALLERY) == (STATE[GALLERY] if named else {})


def test_a_version_is_reduced_to_the_regions_that_have_it() -> None:
    """One that is kept although its replication to others failed; the engine would try those again in every run."""
    facts = GalleryFacts(GALLERY_ID, "westeurope")
    retained = RetainedVersion("Win.A/1.0.0", "Win/A.json", "a reason", frozenset({"westeurope"}))
    plan = Plan((), gallery=GalleryPlan(facts, is_managed=True, retained=(retained,), kept=("Win.A",)))
    recorder = kept(plan, STATE, named=True)
    assert recorder.of(VERSION) == {
        "Win.A/1.0.0": {**MADE, "publishingProfile": {"targetRegions": REGIONS[:1]}},
    }
