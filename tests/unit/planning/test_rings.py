"""A later ring of labs takes an image only after all labs of the earlier one hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.labs_file import LabKey, TargetLab
from imagefactory.configuration.revocations import RevokedImage
from imagefactory.configuration.rings import Ring
from imagefactory.configuration.stack_settings import Policy, Settings
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.factory.prune_plan import PruneRules
from imagefactory.planning.factory.ring_needs import ring_needs
from imagefactory.planning.factory.staging_needs import StackPlan
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.planning.labs.vhd_checks import vhds_to_check
from imagefactory.planning.stacks.adoption import why_not_wanted
from imagefactory.reports.plan_reasons import why_listed
from tests.unit.builders import NOON, SUBSCRIPTION, catalog, configuration, facts, image, lab, standing
from tests.unit.planning.factory.prunes import files
from tests.unit.planning.factory.prunes import plan as prune

PATH = "Win2016/Datacenter.json"
FIRST, SECOND, THIRD = lab("first"), lab("second"), lab("third")
OTHER = lab("other", ["Ubuntu"])
OLD, NEW = image("old", age=24 * 9), image("new", age=24)
RINGS = [Ring(name="pilot", labs=["first"]), Ring(name="broad", labs=["second", "third"])]
UNREAD = error("lab 'first'", "GET was refused", "", "Fix it")


def held(name: str, **changes: Any) -> StandingImage:
    """An image created from `<name>.vhd` a day before noon."""
    return standing(name, **{"source_vhd": f"{name}.vhd", "created": NOON - timedelta(days=1), **changes})


def has(name: str, *images: StandingImage | str) -> LabFacts:
    """A lab with these images."""
    return facts(name, *(held(one) if isinstance(one, str) else one for one in images))


def plan_of(
    found: Mapping[TargetLab, LabFacts | Diagnostic],
    images: tuple[FactoryImage, ...] = (NEW, OLD),
    now: datetime | None = NOON,
    **changes: Any,
) -> Plan:
    """The plan of these labs, whose images are in the state."""
    by = Policy(**{"keep": 1, "rings": RINGS, **changes})
    labs: dict[LabKey, LabFacts | Diagnostic] = {target.key: each for target, each in found.items()}
    names = frozenset(f"{target.label}/{one.name}" for target, each in found.items() if isinstance(each, LabFacts)
                      for one in each.images)  # fmt: skip
    return build_plan(configuration(*found), catalog(*images), facts("factory"), labs, by, names, now=now)


def wanted(plan: Plan, target: TargetLab) -> set[str]:
    """What a lab must have."""
    (found,) = (each for each in plan.labs if each.label == target.label)
    return {one.name for one in found.images}


def kept(plan: Plan, target: TargetLab) -> dict[str, str]:
    """What a lab keeps for now, and why."""
    (found,) = (each for each in plan.labs if each.label == target.label)
    return {one.name: one.reason for one in found.retained}


def left_out(plan: Plan, target: TargetLab) -> dict[str | None, str]:
    """What a lab does not get, and why."""
    return {one.image: one.reason for one in plan.omissions if one.lab == target.label}


def test_a_later_ring_gets_an_image_after_all_labs_of_the_earlier_one_hold_it() -> None:
    """Until then it keeps and gets what it may have, and the plan names the lab that it waits for."""
    why = f"ring broad waits: lab {FIRST.label} of ring pilot does not hold it"
    before = plan_of({FIRST: has("first", "old"), SECOND: has("second", "old"), THIRD: has("third")})
    assert (wanted(before, FIRST), wanted(before, SECOND), wanted(before, THIRD)) == ({"new"}, {"old"}, {"old"})
    assert left_out(before, SECOND) == {"new": why} and before.waiting == {"new": [why]}
    assert f"factory image new: {why}" in list(before.notes()) and not before.warnings
    after = plan_of({FIRST: has("first", "old", "new"), SECOND: has("second", "old"), THIRD: has("third")})
    assert wanted(after, SECOND) == wanted(after, THIRD) == {"new"} and not after.waiting
    assert kept(after, SECOND) == {"old": "the lab must first have new in state Succeeded"}


def test_an_image_that_failed_or_is_being_created_holds_the_later_ring() -> None:
    """The reason has the state."""
    for state in ("Failed", "Creating"):
        plan = plan_of({FIRST: has("first", held("new", state=state)), SECOND: has("second", "old")})
        why = f"ring broad waits: lab {FIRST.label} of ring pilot does not hold it ({state})"
        assert left_out(plan, SECOND) == {"new": why} and wanted(plan, SECOND) == {"old"}


def test_a_lab_that_cannot_be_read_holds_the_later_ring() -> None:
    """It may lack the image. A lab of the later ring that has the image keeps it."""
    plan = plan_of({FIRST: UNREAD, SECOND: has("second", "old"), THIRD: has("third", "new")})
    assert wanted(plan, SECOND) == {"old"} and wanted(plan, THIRD) == {"new"}
    assert left_out(plan, SECOND)["new"] == f"ring broad waits: lab {FIRST.label} of ring pilot cannot be read"


def test_only_labs_that_take_the_path_decide() -> None:
    """If no lab of the ring before does, the ring before that one decides; if none does, nobody is waited for."""
    rings = [RINGS[0], Ring(name="middle", labs=["other"]), Ring(name="last", labs=["second"])]
    found = {FIRST: has("first"), OTHER: has("other"), SECOND: has("second")}
    plan = plan_of(found, rings=rings)
    assert "lab first@" in left_out(plan, SECOND)["new"] and "ring last waits" in left_out(plan, SECOND)["new"]
    assert wanted(plan_of({OTHER: has("other"), SECOND: has("second")}, rings=rings[1:]), SECOND) == {"new"}


def test_a_lab_that_no_ring_names_is_in_the_last_one() -> None:
    """So that a new lab gets nothing that was not tried."""
    plan = plan_of({FIRST: has("first"), SECOND: has("second"), lab("latest"): has("latest")})
    assert wanted(plan, lab("latest")) == set() and "new" in left_out(plan, lab("latest"))


def test_a_ring_soaks_from_the_day_that_the_last_lab_before_it_got_the_image() -> None:
    """By the creation dates that Azure tells; the time of saving does not count."""
    rings = [Ring(name="pilot", labs=["first", "third"]), Ring(name="broad", labs=["second"], soak_days=3)]
    end = NOON - timedelta(days=1) + timedelta(days=3)
    earlier = has("third", held("new", created=NOON - timedelta(days=7)))
    found = {FIRST: has("first", "new"), THIRD: earlier, SECOND: has("second", "old")}
    waits = plan_of(found, rings=rings, now=end - timedelta(seconds=1))
    told = "ring pilot holds it since 2026-03-13 12:00 UTC, and it soaks until 2026-03-16 12:00 UTC (its soakDays)"
    assert left_out(waits, SECOND) == {"new": f"ring broad waits: {told}"} and wanted(waits, SECOND) == {"old"}
    assert wanted(plan_of(found, rings=rings, now=end), SECOND) == {"new"}


def test_a_date_that_azure_does_not_tell_is_never_old_enough() -> None:
    """Without soakDays it does not matter."""
    found = {FIRST: has("first", held("new", created=None)), SECOND: has("second")}
    rings = [RINGS[0], Ring(name="broad", labs=["second"], soak_days=1)]
    plan = plan_of(found, rings=rings, now=NOON + timedelta(days=900))
    assert "Azure tells no date of it for lab first@" in left_out(plan, SECOND)["new"]
    assert wanted(plan_of(found), SECOND) == {"new"}


def test_a_waiting_lab_keeps_its_newest_images() -> None:
    """`keep` counts among those that its ring may have; what waits replaces none of them."""
    older, oldest = image("older", age=24 * 20), image("oldest", age=24 * 30)
    plan = plan_of(
        {FIRST: has("first", "old", "new"), SECOND: has("second", "old", "older", "oldest")},
        (image("newest"), NEW, OLD, older, oldest),
        keep=2,
        rings=[RINGS[0], Ring(name="broad", labs=["second"], soak_days=30)],
    )
    assert wanted(plan, FIRST) == {"newest", "new"} and wanted(plan, SECOND) == {"old", "older"}
    assert kept(plan, SECOND) == {} and set(plan.waiting) == {"newest", "new"}


def test_an_earlier_ring_keeps_an_image_until_the_later_one_has_it() -> None:
    """Otherwise an image that comes each day would never pass a ring that soaks. Not one that a lab of it lost."""
    rings = [Ring(name="pilot", labs=["first", "third"]), Ring(name="broad", labs=["second"], soak_days=30)]
    found = {FIRST: has("first", "old", "new"), THIRD: has("third", "old", "new"), SECOND: has("second")}
    plan = plan_of(found, rings=rings)
    assert kept(plan, FIRST) == kept(plan, THIRD) == {"old": "ring broad does not have it yet (setting rings)"}
    lost = plan_of({**found, THIRD: has("third", "new")}, rings=rings)
    assert kept(lost, FIRST) == {}
    passed = plan_of({**found, SECOND: has("second", "old")}, rings=rings, now=NOON + timedelta(days=30))
    assert kept(passed, FIRST) == {} and wanted(passed, SECOND) == {"new"}


def test_a_third_ring_waits_for_a_second_one_that_waits() -> None:
    """Both say so, and only the ring that holds the image keeps it."""
    rings = [RINGS[0], Ring(name="middle", labs=["third"], soak_days=9), Ring(name="last", labs=["second"])]
    found = {FIRST: has("first", "old", "new"), THIRD: has("third"), SECOND: has("second")}
    plan = plan_of(found, rings=rings)
    why = f"ring last waits: lab {THIRD.label} of ring middle does not hold it"
    assert plan.waiting["old"][0] == plan.waiting["new"][0] == why and "ring middle waits: " in plan.waiting["old"][1]
    assert kept(plan, FIRST) == {"old": "ring middle does not have it yet (setting rings)"}


def test_a_pin_waits_for_its_ring() -> None:
    """A pin says which image, a ring says when; the lab keeps what it has."""
    found = {FIRST: has("first", "old"), SECOND: has("second", "old")}
    plan = plan_of(found, pins={ImagePath.parse(PATH): "new"})
    assert wanted(plan, FIRST) == {"new"} and wanted(plan, SECOND) == set() and not plan.failures
    assert kept(plan, SECOND)["old"].startswith("its successor new is yet to come: ring broad waits: lab first@")
    passed = plan_of({**found, FIRST: has("first", "new")}, pins={ImagePath.parse(PATH): "new"})
    assert wanted(passed, SECOND) == {"new"}


def test_a_revoked_image_waits_for_no_ring() -> None:
    """It leaves each ring, and no older one takes its place in any."""
    found = {FIRST: has("first", "new", "old"), SECOND: has("second", "new")}
    plan = plan_of(found, revoked={RevokedImage("new"): "a virus"})
    assert wanted(plan, SECOND) == set() and not plan.waiting
    assert [one.name for each in plan.labs for one in each.revoked] == ["new", "new"]


def test_no_vhd_is_checked_before_its_ring_and_what_a_ring_gets_is() -> None:
    """The later ring gets the older image."""
    rings = [RINGS[0], Ring(name="broad", labs=["second"], soak_days=5)]
    first = has("first", held("old", created=NOON - timedelta(days=6)), held("new"))
    labs = {FIRST.key: first, SECOND.key: has("second")}
    by = Policy(keep=1, rings=rings)
    found = vhds_to_check(catalog(NEW, OLD), by, facts("factory"), [FIRST, SECOND], labs, now=NOON)
    assert [one.name for one in found] == ["old"]


def test_prune_keeps_what_a_ring_has_or_waits_for() -> None:
    """Both are older than the newest; without the ring they would be deleted."""
    newest, older = image("newest", age=12), image("older", age=24 * 20)
    images = (newest, NEW, OLD, older)
    rings = [RINGS[0], Ring(name="broad", labs=["second"], soak_days=30)]
    by = Policy(keep=1, rings=rings)
    labs: dict[LabKey, LabFacts | Diagnostic] = {
        FIRST.key: has("first", "new", "newest"),
        SECOND.key: has("second", "old"),
    }
    stack = StackPlan(configuration(FIRST, SECOND), labs, by)
    needs = ring_needs([stack], catalog(*images), NOON)
    assert needs == {
        "newest.vhd": f"lab {FIRST.label} of ring pilot is to have it (setting rings)",
        "new.vhd": "ring broad waits for it (setting rings)",
        "old.vhd": f"lab {SECOND.label} of ring broad is to have it (setting rings)",
    }
    for rings_need, gone in ((needs, ["older"]), ({}, ["new", "old", "older"])):
        found = prune(catalog(*images), files(*images), PruneRules({"prod": by}, rings=rings_need))
        assert [one.name for one in found.deletions if one.kind == "image"] == gone
    assert ring_needs([replace(stack, policy=Policy(keep=1))], catalog(*images), NOON) == {}


def test_a_failed_image_of_a_waiting_lab_is_told_with_its_ring() -> None:
    """`imagefactory plan` and adopt show why it is not wanted."""
    plan = plan_of({FIRST: has("first"), SECOND: has("second", held("new", state="Failed"))})
    (second,) = (each for each in plan.labs if each.label == SECOND.label)
    told = why_not_wanted(second, second.facts.images[0], {}, catalog(NEW, OLD))
    assert told.startswith("ring broad waits: lab first@")


def test_a_plan_tells_the_ring_of_each_lab() -> None:
    """Also the one without Azure; with the days that it soaks."""
    values: dict[str, Any] = {
        "factory": {"subscription_id": SUBSCRIPTION, "lab_name": "factory"},
        "rings": [RINGS[0], Ring(name="broad", labs=["second"], soak_days=7)],
    }
    whys = [why_listed(each, ImagePath.parse(PATH), Settings(**values)) for each in (FIRST, SECOND)]
    assert whys[0].endswith("all images of its path, ring pilot (setting rings)")
    assert whys[1].endswith("all images of its path, ring broad after ring pilot and 7 days (setting rings)")
