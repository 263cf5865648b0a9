"""Labs also have young images, and the plan says which rule gives them an image."""

from __future__ import annotations

from typing import Any

import pytest

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.stack_settings import Policy
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.planning.retention import claims, retained
from tests.unit.builders import NOON, catalog, configuration, facts, image, lab

TEAM, PATH = lab("team", ["Win2016"]), ImagePath.parse("Win2016/Datacenter.json")
FACTORY = catalog(*(image(f"d{days}", age=24 * days) for days in (1, 2, 3, 9)))
"""Images that were saved so many days before noon."""


def plan_of(**changes: Any) -> Plan:
    """The plan at noon for an empty lab."""
    by = Policy(**{"keep": 1, "keep_days": 3, **changes})
    return build_plan(configuration(TEAM), FACTORY, facts("factory"), {TEAM.key: facts("team")}, by, now=NOON)


def test_young_images_are_delivered_although_enough_are_newer() -> None:
    """An image of exactly that age is not young any more. Each says which rule gives it."""
    plan = plan_of()
    assert [one.name for one in plan.labs[0].images] == ["d1", "d2"]
    assert plan.rules == {
        "d1.vhd": "among the newest 1 of its image path (setting keep)",
        "d2.vhd": "younger than 3 days (setting keepDays)",
    }
    assert "factory image d2: labs have it because it is younger than 3 days (setting keepDays)" in list(plan.notes())
    told = "older than the newest 1 of its image path (setting keep) and than 3 days (setting keepDays)"
    assert {one.image: one.reason for one in plan.omissions} == {"d3": told, "d9": told}


def test_the_newest_are_delivered_however_old_they_are() -> None:
    """Both rules count: one is enough."""
    assert [one.name for one in plan_of(keep=4).labs[0].images] == ["d1", "d2", "d3", "d9"]


def test_a_pin_is_the_only_rule_of_its_path() -> None:
    """Young images do not come beside it."""
    assert plan_of(pins={PATH: "d9"}).rules == {"d9.vhd": "pinned (setting pins)"}


def test_without_a_time_all_images_are_young() -> None:
    """What is not known deletes nothing."""
    assert [one.reason for one in retained(FACTORY, Policy(keep=1, keep_days=3))] == [""] * 4


def test_prune_keeps_young_images() -> None:
    """Of any stack, and says so."""
    told = claims(FACTORY, {"dev": Policy(keep=1), "prod": Policy(keep=1, keep_days=3)}, NOON)
    newest, young = "among the newest 1 of its image path", "younger than 3 days (setting keepDays)"
    assert [one.reason for one in told] == [newest, young, "", ""]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, None),
        ({"keep": None}, "without the setting keep labs have all images"),
        ({"soak_days": 2}, None),
        ({"soak_days": 3}, "an image soaks for 3 days (setting soakDays), and is no younger than 3 days then"),
    ],
)
def test_a_rule_without_effect_is_a_warning(changes: dict[str, Any], told: str | None) -> None:
    """It keeps nothing that it was meant to keep."""
    found = [one.fact for one in plan_of(**changes).warnings if one.subject == "setting imagefactory:keepDays"]
    assert len(found) == bool(told) and all(fact.endswith(str(told)) for fact in found)
