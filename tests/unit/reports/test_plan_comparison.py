"""What a run does to each image, and why, with the line of labs.json."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from imagefactory.configuration.golden_images import GoldenImage
from imagefactory.configuration.rings import Ring
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.reports.declared_plan import declared_plan
from imagefactory.reports.plan_report import CHANGES, Action
from tests.unit.builders import catalog, configuration, facts, image, lab, standing
from tests.unit.reports.plan_worlds import (
    STACK,
    TEAM,
    UNREADABLE,
    held,
    in_state,
    of_team,
    reported,
    row,
    settings,
    worlds,
)

OLD, NEW = image("old", age=9), image("new", age=1)
ENTRY = 'labs.json:7:22 "Win2016"'


@pytest.mark.parametrize(
    ("recorded", "there", "action"),
    [
        ([], [], "create"),
        (["new"], [held("new")], "unchanged"),
        (["new"], [held("new", state="Creating")], "unchanged"),
        (["new"], [held("new", state="Failed")], "replace"),
        (["new"], [], "missing"),
        ([], [held("new")], "not adopted"),
        ([], [held("new", stack="imagefactory/other")], "foreign"),
    ],
)
def test_what_a_run_does_to_a_wanted_image(recorded: list[str], there: list[StandingImage], action: Action) -> None:
    """It depends on the lab and on the state; the entry of labs.json and the rule are in the reason."""
    found = row(of_team(catalog(NEW), in_state(*recorded), *there, keep=2), "new")
    assert (found.action, found.held, found.state) == (action, bool(there), there[0].state if there else None)
    if action == "foreign":
        assert not found.wanted and "belongs to stack imagefactory/other" in found.why
    else:
        assert found.wanted and found.why.startswith(f"{ENTRY}, the newest 2 of its path (setting keep)")


@pytest.mark.parametrize(
    ("images", "changes", "why"),
    [
        ([NEW, OLD], {"keep": 1}, "older than the newest 1 of its image path (setting keep)"),
        ([NEW], {}, "its VHD is not in the factory"),
        ([NEW, OLD], {"pins": {NEW.image_path: "new"}}, "its image path is pinned to new (setting pins)"),
    ],
)
def test_an_image_leaves_once_its_successor_succeeded_and_is_kept_until_then(
    images: list[FactoryImage], changes: dict[str, Any], why: str
) -> None:
    """With the rule that retires it, and what it waits for."""
    there, recorded = [held("old"), held("new")], in_state("old", "new")
    leaving = row(of_team(catalog(*images), recorded, *there, **changes), "old")
    assert (leaving.action, leaving.why, leaving.wanted, leaving.held) == ("delete", why, False, True)
    kept = row(of_team(catalog(*images), in_state("old"), held("old"), **changes), "old")
    assert kept.action == "keep for now" and kept.why == f"{why}; the lab must first have new in state Succeeded"


def test_a_custom_image_that_goes_another_way_names_the_delivery() -> None:
    """Its image is wanted, but not as a custom image; it stays until users can get it the other way."""
    kept = row(of_team(catalog(NEW), in_state("new"), held("new"), delivery="gallery"), "new")
    why = "setting delivery is gallery, and the stack has no setting gallery"
    assert kept.action == "keep for now" and kept.why == f"{why}; the lab must first have new in state Succeeded"


def test_the_three_sets_of_a_lab() -> None:
    """Wanted and held, wanted and not held, held and not wanted; images of users are only counted."""
    there = [held("old"), held("new"), standing("mine", image_path=None)]
    team = of_team(catalog(NEW, image("newer")), in_state("old", "new"), *there)
    assert team.names(wanted=True, held=True) == ["new"]
    assert team.names(wanted=True, held=False) == ["newer"]
    assert team.names(wanted=False, held=True) == ["old"]
    assert team.others == 1 and team.location == TEAM.location


@pytest.mark.parametrize(
    ("stack", "why"),
    [
        (None, "its VHD is not in the factory; the state does not have it; it stays"),
        (STACK, "its VHD is not in the factory; the state does not have it; it stays"),
        ("imagefactory/other", "custom image stray of the lab belongs to stack imagefactory/other; it stays"),
    ],
)
def test_an_image_that_is_neither_wanted_nor_in_the_state_stays(stack: str | None, why: str) -> None:
    """Whoever made it."""
    team = of_team(catalog(NEW), in_state("new"), held("new"), held("stray", stack=stack))
    found = row(team, "stray")
    assert (found.action, found.why, found.wanted, found.held) == ("foreign", why, False, True)


def test_what_leaves_is_shown_first() -> None:
    """In the order of all actions."""
    there = [held("a-stays"), held("z-leaves"), held("failed", state="Failed")]
    found = catalog(image("a-stays"), image("failed", "Win2016/Core.json"), image("b-appears", "Win2016/SQL.json"))
    changes = of_team(found, in_state("a-stays", "z-leaves", "failed"), *there).images
    assert [one.action for one in changes] == ["delete", "replace", "create", "unchanged"]


def test_a_lab_that_left_labs_json_loses_its_images_and_one_that_cannot_be_read_keeps_them() -> None:
    """The state has them; neither lab was read."""
    other = lab("other")
    report = reported(catalog(NEW), in_state("new"), {other: facts("other")})
    gone = next(each for each in report.labs if each.label == TEAM.label)
    assert [(one.action, one.why) for one in gone.images] == [("delete", "labs.json does not have the lab")]
    unread = reported(catalog(NEW), in_state("new"), {TEAM: UNREADABLE})
    assert row(unread.labs[0], "new").action == "keep for now"
    assert unread.failures and unread.labs[0].location == TEAM.location


def test_a_run_that_would_delete_too_many_images_is_told_as_a_failure() -> None:
    """With what it would delete; nothing else of the report changes."""
    lost = reported(catalog(), in_state("old"), {}, max_deletes=0)
    (stop,) = lost.failures
    assert "would delete 1 of 1 images, more than 0" in stop.fact and "maxDeletes 1 --stack dev" in stop.remedy
    permitted = reported(catalog(), in_state("old"), {}, max_deletes=1)
    assert replace(lost, failures=()) == replace(permitted, failures=())


def test_an_image_that_an_earlier_run_did_not_see_finish_is_put_again() -> None:
    """The engine does so whatever is declared."""
    both = frozenset({f"{TEAM.label}/{name}" for name in ("new", "old")})
    team = of_team(catalog(NEW), in_state("new", "old"), held("new"), unfinished=both)
    assert row(team, "new").action == "replace" and "did not see Azure finish" in row(team, "new").why
    assert row(team, "old").action == "delete"
    unread = reported(catalog(NEW), in_state("new"), {TEAM: UNREADABLE}, unfinished=both).labs[0]
    assert row(unread, "new").action == "replace"


def test_totals_count_a_vhd_once_per_account_and_region() -> None:
    """Two labs share an account, one is in another region; what is not known is counted whole."""
    west, shared, east = lab("west"), lab("shared"), lab("east")
    one = replace(NEW, allocated=2 * 1024**3)
    where = {
        west: facts("west"),
        shared: facts("shared"),
        east: facts("east", storage_account_id="/storage/east", region="eastus"),
    }
    totals = reported(catalog(one), {}, where, rates={"copyMiBPerSecond": 4, "egressPerGiB": 3}).totals
    assert totals and (totals.copies, totals.copied, totals.crossing) == (2, 4 * 1024**3, 2 * 1024**3)
    assert (totals.seconds, totals.egress, totals.at_most) == (1024, 6, False)
    assert totals.stored == 6 * 1024**3 and totals.per_month == pytest.approx(0.3)
    unknown = reported(catalog(NEW), {}, where).totals
    assert unknown and unknown.at_most and "up to" in "\n".join(unknown.lines())


@given(worlds())
def test_every_image_of_state_and_lab_is_told_once(world: Any) -> None:
    """Nothing is deleted that the state lacks, or of a lab that could not be read; each has a reason."""
    catalog, recorded, labs, keep = world
    report = reported(catalog, recorded, labs, keep=keep)
    unread = {lab.label for lab, found in labs.items() if not isinstance(found, LabFacts)}
    for one in report.labs:
        told = [each for each in one.images if each.action != "left out"]
        assert len({each.name for each in told}) == len(told)
        assert {each.name for each in told}.isdisjoint(each.name for each in one.images if each.action == "left out")
        assert all(each.why for each in one.images)
        names = {name.rpartition("/")[2] for name in recorded if name.startswith(f"{one.label}/")}
        again = {each.name for each in told if each.action in {"delete", "replace", "missing", "unchanged"}}
        assert again <= names and {each.name for each in told if each.action == "create"}.isdisjoint(names)
        assert names <= {each.name for each in told}
        assert one.label not in unread or not any(each.action in CHANGES for each in one.images)
    assert {name.rpartition("/")[0] for name in recorded} <= {one.label for one in report.labs}


@given(worlds())
def test_the_report_does_not_depend_on_the_order_of_its_inputs(world: Any) -> None:
    """Of labs, of images in labs and in the factory, and of the state."""
    catalog, recorded, labs, keep = world

    def reverse(found: Any) -> Any:
        return replace(found, images=found.images[::-1]) if isinstance(found, LabFacts) else found

    other = {lab: reverse(found) for lab, found in reversed(labs.items())}
    mirrored = replace(catalog, images=catalog.images[::-1])
    again = reported(mirrored, dict(reversed(recorded.items())), other, keep=keep)
    assert again.to_dict() == reported(catalog, recorded, labs, keep=keep).to_dict()


def test_without_azure_each_image_path_of_a_lab_is_listed_with_its_way() -> None:
    """From the files and the settings alone."""
    files = replace(configuration(TEAM), golden_images=(GoldenImage(NEW.image_path, Path()),))
    report = declared_plan(files, settings(keep=3, delivery="both"), "imagefactory/dev")
    (one,) = report.labs[0].images
    why = f"{ENTRY}, the newest 3 of its path (setting keep), as custom images and by the gallery"
    assert (one.action, one.image_path, one.why) == ("listed", "Win2016/Datacenter.json", why)
    assert report.totals is None and not report.has_changes
    assert "the stack has no gallery" in report.failures[0].text()


def test_without_azure_each_image_path_names_the_ring_of_its_lab() -> None:
    """And what the ring waits for."""
    rings = [Ring(name="pilot", labs=["pilot-*"]), Ring(name="broad", labs=["*"], soak_days=1)]
    files = replace(configuration(TEAM), golden_images=(GoldenImage(NEW.image_path, Path()),))
    (one,) = declared_plan(files, settings(rings=rings), "imagefactory/dev").labs[0].images
    ring = "ring broad after ring pilot and 1 day (setting rings)"
    assert one.why == f"{ENTRY}, all images of its path, {ring}, as custom images"
