"""Rings and the Compute Gallery: what a gallery lab holds, which regions get a version, and which versions stay."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from imagefactory.configuration.labs_file import LabKey
from imagefactory.configuration.rings import Ring
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.observed.standing_gallery import AttachedGallery, StandingVersion
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.rings import offerings, ring_warnings
from tests.unit.builders import NOON, catalog, facts, lab
from tests.unit.planning.galleries.galleries import (
    HOME,
    ID,
    definition,
    gallery,
    planned,
    policy,
    recorded,
    saved,
    served,
    unread,
    version,
)
from tests.unit.planning.ring_worlds import published

OLD, NEW = saved("old", 1), saved("new", 2)
NAME = definition(NEW).name
FIRST, SECOND = replace(lab("first"), delivery="gallery"), replace(lab("second"), delivery="customImage")
RINGS = [Ring(name="pilot", labs=["first"]), Ring(name="broad", labs=["second"], soak_days=2)]
UNREAD = error("gallery images", "GET was refused", "", "Fix it")


def offering_of(made: StandingVersion | Diagnostic, *, enabled: bool = True, days: int = 2) -> tuple[bool, str]:
    """Whether the second ring gets `new` so many days after noon, and why not; the first one has it as given."""
    attached = AttachedGallery("/lab/sharedgalleries/images", ID, frozenset({NAME.lower()} if enabled else ()))
    labs: dict[LabKey, LabFacts | Diagnostic] = {
        FIRST.key: facts("first", region=HOME, galleries=(attached,)),
        SECOND.key: facts("second"),
    }
    there = made if isinstance(made, Diagnostic) else gallery(definition(NEW, made))
    now = NOON + timedelta(days=days)
    found = offerings([FIRST, SECOND], catalog(NEW), policy(rings=RINGS), labs, there, now)[SECOND.key]
    return bool(found.of_lab(SECOND)), found.waiting.get(NEW.vhd_name, "")


def test_a_lab_holds_what_it_offers_by_the_gallery() -> None:
    """In its region, finished, since it was published, and enabled."""
    good = published(version(NEW), NOON)
    assert offering_of(good) == (True, "")
    waits = f"ring broad waits: lab {FIRST.label} of ring pilot "
    assert offering_of(good, enabled=False) == (False, f"{waits}does not hold it")
    assert offering_of(replace(good, regions=frozenset({"eastus"}))) == (False, f"{waits}does not hold it")
    assert offering_of(replace(good, state="Failed")) == (False, f"{waits}does not hold it (Failed)")
    assert offering_of(replace(good, state="Updating")) == (False, f"{waits}does not hold it (Updating)")
    unseen = f"{waits}may not hold it, because the gallery cannot be read"
    assert offering_of(UNREAD) == (False, unseen)
    assert "it soaks until 2026-03-16 12:00 UTC (its soakDays)" in offering_of(good, days=1)[1]
    undated = published(version(NEW), None)
    assert "Azure tells no date of it for lab first@" in offering_of(undated)[1]


def test_a_version_is_not_replicated_to_a_lab_whose_ring_does_not_take_it() -> None:
    """Also not as long as another lab cannot be read, whose region is unknown."""
    early, late = served("early", NEW, region="eastus"), served("late", OLD, region="westus", offers=[NAME])
    late = replace(late, closed=frozenset({NEW.vhd_name}))
    there = gallery(definition(OLD, version(OLD, regions=frozenset({HOME, "westus"}))))
    plan, _ = planned(there, early, late)
    assert {one.image.name: one.regions for one in plan.versions} == {
        "new": ("eastus", HOME),
        "old": ("eastus", HOME, "westus"),
    }
    plan, _ = planned(there, early, unread(replace(late, images=())), more=[OLD])
    assert {one.image.name: one.regions for one in plan.versions} == {"new": ("eastus", HOME)}


def test_a_version_stays_while_a_later_ring_or_a_lab_that_cannot_be_read_needs_it() -> None:
    """Although the newer one is finished: the waiting lab cannot use that."""
    made = [version(each, regions=frozenset({HOME, "westus"})) for each in (OLD, NEW)]
    there = gallery(definition(NEW, *made))
    early = served("early", NEW, offers=[NAME])
    assert planned(there, early, by=policy(keep=1), more=[OLD])[0].retained == ()
    awaited = {OLD.vhd_name: "ring broad does not have it yet (setting rings)"}
    plan, _ = planned(there, early, by=policy(keep=1), more=[OLD], awaited=awaited)
    assert [one.reason for one in plan.retained] == list(awaited.values())
    late = replace(served("late", region="westus", offers=[NAME]), closed=frozenset({NEW.vhd_name}))
    lost = unread(late)
    state_of_both = planned(there, early, lost, by=policy(keep=1), more=[OLD], state=recorded(there, early, late))[0]
    assert [one.reason for one in state_of_both.retained] == ["lab late could not be read, and may still offer it"]


def test_a_warning_names_the_rings_whose_gallery_labs_share_a_region() -> None:
    """A version serves all labs of a region. Not if one of them gets custom images, or another path."""
    other = replace(lab("second"), delivery="gallery")
    near = {FIRST.key: facts("first"), other.key: facts("second")}
    by = policy(rings=RINGS)
    (told,) = ring_warnings([other, FIRST], catalog(NEW), by, near)
    assert "labs of the rings pilot and broad get images by the gallery in westeurope" in told.fact
    assert not list(ring_warnings([FIRST, SECOND], catalog(NEW), by, {**near, SECOND.key: facts("second")}))
    apart = {FIRST.key: facts("first"), other.key: facts("second", region="eastus")}
    assert not list(ring_warnings([FIRST, other], catalog(NEW), by, apart))
    elsewhere = replace(lab("second", ["Ubuntu"]), delivery="gallery")
    assert not list(ring_warnings([FIRST, elsewhere], catalog(NEW), by, near))
    assert not list(ring_warnings([FIRST, other], catalog(NEW), policy(), near))
