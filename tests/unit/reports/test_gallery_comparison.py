"""What a run does to the parts of the gallery, and to what labs offer of it, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.images.companions import DataDisk, FactoryImage
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.planning.galleries.planned import GalleryLab, RecordedGallery
from imagefactory.planning.labs.plan import Plan
from imagefactory.planning.labs.planned_images import LabPlan, PlannedImage
from imagefactory.reports.gallery_comparison import GalleryComparison
from imagefactory.reports.plan_report import Action, Change
from imagefactory.reports.plan_totals import PlanTotals, totals_of
from tests.unit.builders import facts as lab_facts
from tests.unit.builders import lab
from tests.unit.planning.galleries.galleries import (
    definition,
    gallery,
    planned,
    policy,
    recorded,
    saved,
    served,
    version,
)
from tests.unit.reports.plan_worlds import settings

OLD, NEW = saved("old", 1), saved("new", 2)
NAME = "Win2016.Datacenter"
GALLERY = GallerySettings(name="images", resource_group="rg")


def key(image: FactoryImage) -> str:
    """The name of an image's version."""
    return f"{NAME}/{version(image).name}"


def compared(
    facts: GalleryFacts | None,
    *labs: GalleryLab,
    state: RecordedGallery | None = None,
    gallery: GallerySettings | None = GALLERY,
    absent: Mapping[str, str] | None = None,
    **changes: Any,
) -> GalleryComparison:
    """The comparison of a gallery (None: it could not be read); by default the state has all of it."""
    state = state or (recorded(facts, *labs) if facts else RecordedGallery())
    found = planned(facts, *labs, state=state, by=policy(keep=1))[0] if facts else None
    offers = {OLD.vhd_name: "older", NEW.vhd_name: ""}
    known: dict[str, Any] = {"again": frozenset(), "changed": frozenset(), **changes}
    plan = Plan((), gallery=found, absent=absent or {})
    return GalleryComparison(plan, state, settings(keep=1, gallery=gallery), offers, **known)


def row(changes: tuple[Change, ...], name: str) -> Change:
    """The change of the part of that name."""
    (one,) = (each for each in changes if each.name == name)
    return one


@pytest.mark.parametrize(
    ("facts", "changes", "action"),
    [
        (gallery(definition(NEW)), {}, "create"),
        (gallery(definition(NEW, version(NEW))), {}, "unchanged"),
        (gallery(definition(NEW, version(NEW, state="Creating"))), {}, "unchanged"),
        (gallery(definition(NEW, version(NEW, state="Failed"))), {}, "replace"),
        (gallery(definition(NEW, version(NEW))), {"changed": frozenset({key(NEW)})}, "update"),
        (gallery(definition(NEW, version(NEW))), {"again": frozenset({key(NEW)})}, "replace"),
        (gallery(definition(NEW, version(NEW))), {"state": RecordedGallery()}, "not adopted"),
    ],
)
def test_what_a_run_does_to_a_wanted_version(facts: GalleryFacts, changes: dict[str, Any], action: Action) -> None:
    """It depends on the gallery and on the state."""
    found = row(compared(facts, served("near", NEW), **changes).parts(), key(NEW))
    assert (found.action, found.wanted, found.held) == (action, True, action != "create")


def test_a_version_that_was_deleted_by_hand_is_missing() -> None:
    """Only a refresh notices that."""
    whole = gallery(definition(NEW, version(NEW)))
    found = compared(gallery(definition(NEW)), served("near", NEW), state=recorded(whole))
    assert row(found.parts(), key(NEW)).action == "missing"


def test_a_version_leaves_once_its_successor_is_finished() -> None:
    """Until then it is kept, with the reason."""
    waiting = gallery(definition(OLD, version(OLD), version(NEW, state="Creating")))
    kept = row(compared(waiting, served("near", NEW)).parts(), key(OLD))
    assert kept.action == "keep for now" and "must first have" in kept.why
    done = gallery(definition(OLD, version(OLD), version(NEW)))
    leaving = row(compared(done, served("near", NEW)).parts(), key(OLD))
    assert (leaving.action, leaving.why, leaving.wanted, leaving.held) == ("delete", "older", False, True)


def test_a_gallery_that_cannot_be_read_is_kept_whole() -> None:
    """So is what labs offer of it; without the setting and without images, the gallery itself leaves."""
    facts = gallery(definition(NEW, version(NEW)))
    state = recorded(facts, served("near", NEW, offers=[NAME]))
    unread = compared(None, state=state)
    assert {one.action for one in unread.parts()} == {"keep for now"} and len(unread.parts()) == 3
    assert [one.action for one in unread.offers("near", None)] == ["keep for now"]
    assert [one.action for one in compared(None, state=RecordedGallery(gallery=True)).parts()] == ["keep for now"]
    removed = compared(None, state=RecordedGallery(gallery=True), gallery=None)
    assert [one.action for one in removed.parts()] == ["delete"]


def test_what_a_lab_offers_appears_stays_and_leaves() -> None:
    """With the entry of labs.json; a lab that left labs.json, or the stack, offers nothing any more."""
    facts = gallery(definition(NEW, version(NEW)))
    new, same = served("new", NEW), served("same", NEW, offers=[NAME])
    left = (served("gone", offers=[NAME]), served("elsewhere", offers=[NAME]))
    absent = {"elsewhere": "labsMatching of stack dev does not match the lab"}
    found = compared(facts, new, same, state=recorded(facts, same, *left), absent=absent)
    appears, stays = row(found.offers("new", lab()), NAME), row(found.offers("same", lab()), NAME)
    assert (appears.action, stays.action, stays.held) == ("create", "unchanged", True)
    assert appears.why.startswith('labs.json:3:5 "Win2016", the newest 1 of its path')
    (gone,) = found.offers("gone", None)
    assert gone.action == "delete" and "labs.json does not have the lab" in gone.why
    (gone,) = found.offers("elsewhere", None)
    assert (gone.action, gone.why) == ("delete", absent["elsewhere"])


def test_totals_count_the_data_disks_of_a_version_in_each_region() -> None:
    """A custom image has none of them. What is not known of one disk makes the sum an upper bound."""
    gib = 1024**3
    disks = (
        DataDisk(0, "a.vhd", length=9 * gib, allocated=gib),
        DataDisk(1, "b.vhd", length=9 * gib, allocated=2 * gib),
    )
    image = replace(NEW, allocated=4 * gib, data_disks=disks)

    def totals(image: FactoryImage, *labs: GalleryLab) -> PlanTotals:
        found = planned(gallery(), *labs, served("near", image), served("far", image, region="eastus"))[0]
        return totals_of(Plan((), gallery=found), settings(gallery=GALLERY, rates={"egressPerGiB": 3}), {key(image)})

    known = totals(image)
    assert (known.copies, known.copied, known.crossing, known.stored) == (0, 0, 7 * gib, 14 * gib)
    assert (known.egress, known.at_most) == (21, False)
    unknown = totals(replace(image, data_disks=(disks[0], replace(disks[1], allocated=None))))
    assert (unknown.crossing, unknown.at_most) == (14 * gib, True)
    custom = LabPlan("near", lab(), lab_facts(), (PlannedImage(image, "new", "/id", standing=False, tags={}),))
    assert totals_of(Plan((custom,)), settings(), ()).stored == 4 * gib
