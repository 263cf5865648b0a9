"""Labs get an image only after it has soaked: it was saved at least `soakDays` days ago."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.stack_settings import Policy
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_labs import StandingImage
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.planning.labs.vhd_checks import vhds_to_check
from imagefactory.planning.retention import claims
from tests.unit.builders import NOON, catalog, configuration, facts, image, lab, standing

TEAM, PATH = lab("team", ["Win2016"]), ImagePath.parse("Win2016/Datacenter.json")
NEW, OLD = image("new", age=24), image("old", age=24 * 9)
NOW = NOON
"""`old` was saved 9 days before, `new` 1 day before."""
UNTIL = "soaks until 2026-03-20 12:00 UTC (setting soakDays)"


def held(name: str, **changes: Any) -> StandingImage:
    """An image created from `<name>.vhd`."""
    return standing(name, **{"source_vhd": f"{name}.vhd", **changes})


def plan_of(found: Catalog, *there: StandingImage, now: datetime | None = NOW, **changes: Any) -> Plan:
    """The plan for the lab `team`, whose images are in the state; images soak for a week."""
    names = frozenset(f"{TEAM.label}/{one.name}" for one in there)
    by, labs = Policy(**{"keep": 1, "soak_days": 7, **changes}), {TEAM.key: facts("team", *there)}
    return build_plan(configuration(TEAM), found, facts("factory"), labs, by, names, now=now)


def wanted(plan: Plan) -> set[str]:
    """What the lab must have."""
    return {one.name for one in plan.labs[0].images}


def kept(plan: Plan) -> dict[str, str]:
    """What the lab keeps for now, and why."""
    return {one.name: one.reason for one in plan.labs[0].retained}


def test_a_lab_gets_the_newest_images_that_soaked() -> None:
    """The others do not count, and are listed with their time."""
    plan = plan_of(catalog(NEW, OLD))
    assert wanted(plan) == {"old"} and {one.image: one.reason for one in plan.omissions} == {"new": UNTIL}


def test_an_image_has_soaked_at_the_end_of_its_last_day() -> None:
    """To the second."""
    end = NEW.saved_at + timedelta(days=7)
    assert wanted(plan_of(catalog(NEW, OLD), now=end)) == {"new"}
    assert wanted(plan_of(catalog(NEW, OLD), now=end - timedelta(seconds=1))) == {"old"}


def test_an_image_that_a_lab_has_stays_and_replaces_none() -> None:
    """Also while Azure creates it. It is no reason to delete what the policy still gives."""
    for state in ("Succeeded", "Creating"):
        plan = plan_of(catalog(NEW, OLD), held("new", state=state), held("old"))
        assert wanted(plan) == {"old"} and kept(plan) == {"new": f"{UNTIL}, and the lab already has it"}
    older = plan_of(catalog(NEW, OLD), held("new"), held("older"))
    assert "older" in kept(older)


def test_an_image_without_a_usable_date_stays_where_it_is_and_is_not_delivered() -> None:
    """A missing date is never old enough, and never a reason to delete."""
    undated = replace(NEW, saved_at_source="last-modified")
    plan = plan_of(catalog(undated, OLD), now=NOW + timedelta(days=900))
    assert wanted(plan) == {"old"}
    assert "has no usable date, so it never soaks" in plan.omissions[0].reason
    assert set(kept(plan_of(catalog(undated, OLD), held("new"), held("old")))) == {"new"}


def test_a_pin_of_an_image_that_soaks_waits() -> None:
    """Which is a warning, not an error: it ends by itself."""
    plan = plan_of(catalog(NEW, OLD), held("old"), pins={PATH: "new"})
    assert wanted(plan) == set() and set(kept(plan)) == {"old"} and not plan.failures
    assert f"{PATH} is pinned to new, which {UNTIL}" in [one.fact for one in plan.warnings]


def test_prune_keeps_what_soaks_and_what_labs_get_until_then() -> None:
    """Both are claimed."""
    by = {"prod": Policy(keep=1, soak_days=7)}
    assert [one.is_newest for one in claims(catalog(NEW, OLD, image("gone", age=999)), by, NOW)] == [True, True, False]


def test_the_vhd_that_labs_get_meanwhile_is_checked() -> None:
    """Not the one that soaks."""
    by, team = Policy(keep=1, soak_days=7), {TEAM.key: facts("team")}
    found = vhds_to_check(catalog(NEW, OLD), by, facts("factory"), [TEAM], team, now=NOW)
    assert [one.name for one in found] == ["old"]
