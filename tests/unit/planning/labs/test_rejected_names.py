"""Images with names that Azure would reject: no lab gets them, and a lab that has one keeps it."""

from __future__ import annotations

import pytest

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.stack_settings import Policy
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_labs import StandingImage
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.planning.retention import claims
from imagefactory.reports.catalog_report import report_catalog
from tests.unit.builders import NOON, catalog, configuration, facts, image, lab, standing

TEAM = lab("team", ["Win2016"])
REJECTED = "Win2016_(Core)-Mar-14-2026"
BAD, GOOD, OLD = image(REJECTED, vhd_name="bad.vhd"), image("good", age=1), image("old", age=2)


def planned(found: Catalog, *there: StandingImage, keep: int | None = None, pin: str = "") -> Plan:
    """The plan for the lab `team`, whose images are all in the state."""
    owned = frozenset(f"{TEAM.label}/{each.name}" for each in there)
    policy = Policy(keep=keep, pins={ImagePath.parse("Win2016/Datacenter.json"): pin} if pin else {})
    target = facts("team", *there)
    return build_plan(configuration(TEAM), found, facts("factory"), {TEAM.key: target}, policy, owned)


def names(plan: Plan) -> list[tuple[str, bool]]:
    """Name of each planned image, and whether it exists."""
    return [(each.name, each.standing) for each in plan.labs[0].images]


def test_a_lab_without_the_image_does_not_get_it_and_the_reason_is_reported() -> None:
    """The other images are distributed, and the run does not fail."""
    plan = planned(catalog(BAD, GOOD))
    assert names(plan) == [("good", False)] and plan.failures == ()
    ((where, which, reason),) = [(each.lab, each.image, each.reason) for each in plan.omissions]
    assert (where, which) == (TEAM.label, REJECTED) and "it contains '('" in reason
    (told,) = [each.text() for each in plan.warnings]
    assert told.startswith(f"warning: factory image {REJECTED}: Azure would reject") and "'('" in told


@pytest.mark.parametrize("source", ["bad.vhd", None])
@pytest.mark.parametrize("name", [REJECTED, REJECTED.lower()])
def test_a_lab_that_has_the_image_keeps_it_under_its_name(name: str, source: str | None) -> None:
    """Azure accepted it once; also an image of the older scripts, without the tag SourceVhd."""
    plan = planned(catalog(BAD, GOOD), standing(name, source_vhd=source))
    assert names(plan) == [(name, True), ("good", False)]
    assert plan.labs[0].retained == () and plan.omissions == () and plan.failures == ()


def test_it_does_not_count_among_the_newest() -> None:
    """Neither for labs, which would get one image less, nor for prune."""
    plan = planned(catalog(BAD, GOOD, OLD), keep=1)
    assert names(plan) == [("good", False)]
    found = claims(catalog(BAD, GOOD, OLD), {"dev": Policy(keep=1)})
    assert [each.is_newest for each in found] == [True, True, False]


def test_an_older_image_leaves_without_waiting_for_it() -> None:
    """Its successor is the newest image that the lab can get."""
    there = [standing(name, source_vhd=f"{name}.vhd") for name in ("good", "old")]
    plan = planned(catalog(BAD, GOOD, OLD), *there, keep=1)
    assert names(plan) == [("good", True)] and plan.labs[0].retained == ()


def test_an_older_image_stays_if_no_other_replaces_it() -> None:
    """The factory has no image of its path that the lab can get."""
    plan = planned(catalog(BAD), standing("gone", source_vhd="gone.vhd"))
    assert [each.name for each in plan.labs[0].retained] == ["gone"]


def test_a_pin_to_it_gives_labs_nothing_new() -> None:
    """And takes nothing from them."""
    plan = planned(catalog(BAD, GOOD), standing("good", source_vhd="good.vhd"), pin=REJECTED)
    assert names(plan) == [] and [each.name for each in plan.labs[0].retained] == ["good"]


def test_the_catalog_leaves_it_out_unless_a_lab_has_it() -> None:
    """With the reason, under the name of its VHD."""
    report = report_catalog(catalog(BAD, GOOD), "factory", NOON)
    assert [(each.image.name, each.version, each.versions) for each in report.images] == [("good", 1, 1)]
    assert [each.name for each in report.left_out] == ["bad.vhd"]
    assert "it contains '('" in report.left_out[0].reason.text()
    labs = {TEAM.key: facts("team", standing(REJECTED, source_vhd="bad.vhd"))}
    report = report_catalog(catalog(BAD, GOOD), "factory", NOON, [TEAM], labs)
    assert [each.image.name for each in report.images] == [REJECTED, "good"] and report.left_out == ()
