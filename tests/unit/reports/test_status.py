"""What labs hold, beside what the plan gives them; it agrees with the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given

from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.labs.plan import build_plan
from imagefactory.planning.labs.planned_images import Recorded
from imagefactory.reports.plan_comparison import InState, compare
from imagefactory.reports.status import Cell, LabStatus, StackStatus
from imagefactory.reports.status_matrix import status
from tests.unit.builders import NOON, catalog, configuration, facts, image, lab, standing
from tests.unit.planning.factory.galleries import gallery, offering, version
from tests.unit.reports.plan_worlds import STACK, TEAM, UNREADABLE, held, in_state, settings, worlds

PATH = "Win2016/Datacenter.json"
OLD, NEW = image("old", age=48), image("new", age=24)


def shown(
    found: Catalog,
    recorded: Mapping[str, Recorded],
    labs: Mapping[Any, Any],
    now: datetime | None = None,
    the_gallery: Any = None,
    **changes: Any,
) -> StackStatus:
    """The status of these labs and this state."""
    chosen, known = settings(**changes), {lab.key: there for lab, there in labs.items()}
    plan = build_plan(
        configuration(*labs), found, facts("factory"), known, chosen, recorded.keys(), recorded, STACK,
        gallery=the_gallery, now=now,
    )  # fmt: skip
    return status(plan, found, chosen, (), recorded.keys(), NOON, "dev", "factory")


def cell(found: Catalog, *there: StandingImage, recorded: Mapping[str, Recorded] | None = None, **changes: Any) -> Cell:
    """The one cell of the lab `team`, which has these images; by default all of them are in the state."""
    known = in_state(*(one.name for one in there)) if recorded is None else recorded
    (lab,) = shown(found, known, {TEAM: facts("team", *there)}, **changes).labs
    (one,) = lab.cells
    return one


@given(worlds())
def test_a_lab_lacks_an_image_if_and_only_if_the_plan_creates_one(
    world: tuple[Catalog, dict[str, Recorded], dict[Any, Any], int | None],
) -> None:
    """Creates, replaces, or would after a refresh or an adoption; what cannot be read is no such thing."""
    found, recorded, labs, keep = world
    chosen, known = settings(keep=keep), {lab.key: there for lab, there in labs.items()}
    plan = build_plan(configuration(*labs), found, facts("factory"), known, chosen, recorded.keys(), recorded, STACK)
    report = compare(plan, InState(recorded), found, chosen, STACK)
    one = status(plan, found, chosen, (), recorded.keys(), NOON, "dev", "factory")
    creates = [
        change
        for lab in report.labs
        for change in lab.images
        if change.action in {"create", "replace", "missing"}
        or (change.action == "not adopted" and change.state not in {"Succeeded", "Creating"})
    ]
    assert one.is_lacking == bool(creates)
    unread = {lab.label for lab in one.labs for each in lab.cells if each.state == "unread"}
    assert unread <= {lab.label for lab in labs if not isinstance(labs[lab], LabFacts)}
    assert sum(one.counts.values()) == sum(len(lab.cells) for lab in one.labs)
    assert all((each.state == "current") == (not each.why) for lab in one.labs for each in lab.cells)


@pytest.mark.parametrize(
    ("there", "state", "behind"),
    [
        ([held("old"), held("new")], "current", 0),
        ([held("new")], "incomplete", 0),
        ([held("old")], "behind", 1),
        ([], "missing", 2),
        ([held("old", state="Failed")], "failed", 2),
        ([held("old"), held("new", state="Failed")], "failed", 1),
        ([held("old"), held("new", state="Creating")], "creating", 1),
        ([held("old", state="Creating")], "missing", 2),
        ([held("old"), held("new", stack="imagefactory/other")], "foreign", 0),
        ([held("old"), held("new"), held("gone", stack="imagefactory/other")], "foreign", 0),
        ([held("old"), standing("new", image_path=None)], "foreign", 0),
    ],
)
def test_the_state_of_an_image_path(there: list[StandingImage], state: str, behind: int) -> None:
    """Of a lab that is to have two images; what needs attention most is shown."""
    own = in_state(*(one.name for one in there if one.stack is None and one.image_path))
    one = cell(catalog(OLD, NEW), *there, recorded=own)
    assert (one.path, one.state, one.behind) == (PATH, state, behind), one.why
    assert one.newest and one.newest.name == "new"


def test_a_cell_has_the_newest_image_that_users_can_use_with_its_age() -> None:
    """When its VHD was saved: by the factory, else by its tag, else when Azure created the image."""
    earlier = NOON - timedelta(days=9)
    known = cell(catalog(NEW), held("old", saved_at=earlier), held("failed", state="Failed", saved_at=NOON))
    assert known.holds and (known.holds.name, known.holds.saved_at) == ("old", earlier)
    assert known.newest and known.newest.saved_at == NEW.saved_at
    created = cell(catalog(NEW), standing("older", created=earlier))
    assert created.holds and (created.holds.name, created.holds.saved_at) == ("older", earlier)
    assert cell(catalog(NEW), standing("undated")).holds is not None


def test_a_revoked_image_that_a_lab_holds_comes_first() -> None:
    """It leaves in the next run, or stays if the settings say so; a lab without it is shown what it has."""
    found = catalog(OLD, NEW)
    one = cell(found, held("old"), held("new"), revoked={"new": "a leak"}, keep=1)
    assert one.state == "revoked" and "new is revoked: a leak" in one.why
    without = cell(found, held("old"), revoked={"new": "a leak"}, keep=1)
    assert without.state == "no image" and "revoked: a leak" in without.why and without.holds


def test_an_image_that_soaks_is_held_back() -> None:
    """The lab is to have the one before it, if there is one."""
    rule: dict[str, Any] = {"soak_days": 2, "now": NOON, "keep": 1}
    assert cell(catalog(OLD, NEW), held("old"), **rule).state == "held back"
    assert "new: soaks until" in cell(catalog(OLD, NEW), held("old"), **rule).why
    assert cell(catalog(NEW), **rule).state == "held back"
    assert cell(catalog(OLD, NEW), **rule).state == "missing"


def test_an_image_that_an_earlier_ring_must_have_first_is_held_back() -> None:
    """The labs of the earlier ring lack it."""
    later = lab("later")
    labs = {TEAM: facts("team", held("old")), later: facts("later", held("old"))}
    known = in_state("old") | {f"{later.label}/old": in_state("old")[f"{TEAM.label}/old"]}
    rings = [{"name": "pilot", "labs": ["team"]}, {"name": "broad", "labs": ["later"]}]
    found = {one.name: one.cells[0] for one in shown(catalog(OLD, NEW), known, labs, keep=1, rings=rings).labs}
    assert (found["team"].state, found["later"].state) == ("behind", "held back")
    assert found["later"].why.startswith("new: ring broad waits: lab team@")


def test_images_of_a_path_that_labs_json_does_not_give_the_lab_leave_or_are_foreign() -> None:
    """By what the state has."""
    other = held("Jammy", image_path="Ubuntu/Jammy.json")
    for known, state in ((in_state("Jammy", "new"), "leaving"), (in_state("new"), "foreign")):
        (lab,) = shown(catalog(NEW), known, {TEAM: facts("team", held("new"), other)}).labs
        assert [(one.path, one.state) for one in lab.cells] == [("Ubuntu/Jammy.json", state), (PATH, "current")]
        assert [one.state for one in lab.by_attention] == [state, "current"]


def test_a_made_image_that_no_state_has_is_foreign() -> None:
    """Wanted, it is to be adopted; not wanted, it stays."""
    wanted = cell(catalog(NEW), held("new"), recorded={})
    assert wanted.state == "foreign" and "imagefactory adopt" in wanted.why and wanted.behind == 0
    stays = cell(catalog(NEW), held("new"), held("gone"), recorded=in_state("new"))
    assert stays.state == "foreign" and stays.why == "gone: the state does not have it, so it stays"


def test_a_lab_that_labs_json_does_not_list_shows_the_images_of_the_stack() -> None:
    """What the state has leaves; of the rest, only what the stack created is shown, and whether it stays is known from
    the state only. A namesake of a lab of labs.json has its resource group in its label."""
    there = [held("new", stack=STACK), held("mine", stack="imagefactory/other"), standing("hers", image_path=None)]
    plan = build_plan(configuration(TEAM), catalog(NEW), facts("factory"), {TEAM.key: facts("team")}, settings())
    for owned, by_tags, name, state, why in (
        ((), False, "gone", "foreign", "new: the state does not have it, so it stays; to delete what stays, add"),
        ((), True, "gone", "foreign", "new: created by this stack, and perhaps not in the state"),
        (["gone@{}/new"], False, "gone", "leaving", "pulumi up deletes what the state has of it"),
        (["team@{}/new"], False, "team", "foreign", "new: the state does not have it"),
    ):
        unlisted = replace(facts(name, *there), resource_group="Other")
        known = [one.format(TEAM.label.partition("@")[2]) for one in owned]
        one = status(
            plan, catalog(NEW), settings(), (), known, NOON, STACK, "factory", [unlisted, facts("empty")],
            by_tags=by_tags,
        )  # fmt: skip
        shown, *rest = sorted(one.labs, key=lambda each: each.resource_group != "Other")
        assert [each.name for each in rest] == ["team"] and not shown.region
        assert shown.label.partition("@")[0] == ("team.other" if name == "team" else "gone")
        (found,) = shown.cells
        assert (found.path, found.state) == (PATH, state) and why in found.why
        assert found.holds and found.holds.name == "new"


def test_a_lab_that_cannot_be_read_shows_why_in_each_of_its_paths() -> None:
    """And what labs.json says of it."""
    one = shown(catalog(NEW), {}, {TEAM: UNREADABLE})
    (lab,) = one.labs
    assert (lab.name, lab.region, [each.state for each in lab.cells]) == ("team", "", ["unread"])
    assert "403" in lab.cells[0].why and one.failures and not one.is_lacking
    assert one.counts == {"unread": 1} and one.paths == (PATH,)


def test_a_path_without_images_is_said_to_have_none() -> None:
    """The lab lacks nothing."""
    (lab,) = shown(catalog(image("x", "Win2016/SQL.json"), NEW), in_state("new"), {TEAM: facts("team", held("new"))},
                   pins={PATH: "new", "Win2016/SQL.json": "gone"}).labs  # fmt: skip
    assert {one.path: one.state for one in lab.cells} == {PATH: "current", "Win2016/SQL.json": "no image"}
    assert "pinned to gone" in lab.cells[1].why


@pytest.mark.parametrize(
    ("state", "enabled", "expected"),
    [("Succeeded", True, "current"), ("Succeeded", False, "missing"), ("Creating", True, "creating"),
     ("Failed", True, "failed"), (None, True, "missing")],
)  # fmt: skip
def test_images_that_a_lab_gets_by_the_gallery_count_once_its_users_can_use_them(
    state: str | None, enabled: bool, expected: str
) -> None:
    """Finished in its region, and enabled."""
    there = gallery(*([version("new.vhd", state)] if state else []))
    lab = replace(offering(*(["d0"] if enabled else [])), name="team")
    options: dict[str, Any] = {"delivery": "gallery", "gallery": {"id": there.id}}
    (one,) = shown(catalog(NEW), {}, {TEAM: lab}, the_gallery=there, **options).labs[0].cells
    assert one.state == expected, one.why
    assert (one.holds is not None) == (expected == "current")


@pytest.mark.parametrize("states", [("Failed", "Creating"), ("Creating", "Failed")])
def test_a_failed_version_is_not_hidden_by_one_that_is_being_created(states: tuple[str, str]) -> None:
    """Of two versions of one VHD, the worse one counts."""
    there = gallery(*(version("new.vhd", state) for state in states))
    lab = replace(offering("d0"), name="team")
    options: dict[str, Any] = {"delivery": "gallery", "gallery": {"id": there.id}}
    (one,) = shown(catalog(NEW), {}, {TEAM: lab}, the_gallery=there, **options).labs[0].cells
    assert one.state == "failed" and "in state Failed" in one.why


def test_the_paths_of_a_lab_begin_with_those_that_are_furthest_behind() -> None:
    """Within one state."""
    cells = [Cell("a", "behind", 1), Cell("b", "current"), Cell("c", "behind", 3), Cell("d", "missing", 1)]
    order = LabStatus("team", "team@1", "", "", "", tuple(cells)).by_attention
    assert [cell.path for cell in order] == ["d", "c", "a", "b"]
