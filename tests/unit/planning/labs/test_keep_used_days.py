"""A lab keeps images that its VMs were created from lately; the plan says which VM, and what leaves all the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.revocations import RevokedImage
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, Severity, error
from imagefactory.observed.lab_machines import LabMachine
from imagefactory.planning.labs.plan import Plan, build_plan
from tests.unit.builders import NOON, catalog, configuration, examples, facts, image, lab, standing
from tests.unit.planning.labs.test_any_policy import TEAM as ANY_TEAM
from tests.unit.planning.labs.test_any_policy import World, worlds

TEAM = lab("team", ["Win2016"])
FACTORY = catalog(image("new"), image("old", age=24), image("older", age=48))
THERE = tuple(standing(name, source_vhd=f"{name}.vhd") for name in ("new", "old", "older"))
UNLISTED = error("VMs of lab 'team'", "403 AuthorizationFailed", "", "Grant it")
DAY = timedelta(days=1)
USED = "VM web was created from it less than 30 days ago (setting keepUsedDays)"


def vm(name: str = "web", of: str = "old", days: float | None = 1) -> LabMachine:
    """A VM that was created from an image so many days before noon; None: Azure does not say when."""
    return LabMachine(name, None if days is None else NOON - timedelta(days=days), of)


def plan_of(
    *machines: LabMachine,
    unread: Diagnostic | None = None,
    now: datetime | None = NOON,
    target: Any = TEAM,
    found: Any = FACTORY,
    **changes: Any,
) -> Plan:
    """The plan at noon of a stack that has all images of `THERE`, with `keep: 1`."""
    by = Policy(**{"keep": 1, "keep_used_days": 30, **changes})
    about = facts("team", *THERE, machines=unread or machines)
    owned = frozenset(f"{target.label}/{one.name}" for one in THERE)
    return build_plan(configuration(target), found, facts("factory"), {target.key: about}, by, owned, now=now)


def kept(plan: Plan) -> dict[str, str]:
    """What the lab keeps for now, and why."""
    return {one.name: one.reason for one in plan.labs[0].retained}


def test_an_image_stays_while_a_vm_that_was_created_from_it_is_young() -> None:
    """The preview names the VM; the other old image leaves."""
    plan = plan_of(vm())
    assert [one.name for one in plan.labs[0].images] == ["new"] and kept(plan) == {"old": USED}
    assert f"{TEAM.label}: keeps old: {USED}" in list(plan.notes())
    assert not plan.failures and not plan.warnings


@pytest.mark.parametrize(
    ("days", "told"),
    [(29.9, USED), (30, ""), (-1, USED), (None, USED.replace("less than 30 days ago", "at an unknown time"))],
)
def test_a_vm_is_young_below_the_days_or_without_a_readable_date(days: float | None, told: str) -> None:
    """If in doubt, it is young."""
    assert kept(plan_of(vm(days=days))) == ({"old": told} if told else {})


def test_several_vms_are_told_as_one_reason() -> None:
    """The first one by name of those with a date, and how many more there are."""
    told = kept(plan_of(vm("zoo"), vm("app"), vm("a", days=None), vm("gone", days=99), keep_used_days=2))
    assert told == {"old": "VM app and 2 more were created from it less than 2 days ago (setting keepUsedDays)"}
    assert "1 day ago" in kept(plan_of(vm(days=0), keep_used_days=1))["old"]


def test_the_image_is_found_by_its_name_in_any_case() -> None:
    """The service answers ids in its own casing, and a lab that was moved has others."""
    there = replace(THERE[1], name="OLD", id=THERE[1].id.upper())
    about = facts("team", THERE[0], there, machines=(vm(),))
    by, owned = Policy(keep=1, keep_used_days=30), frozenset({f"{TEAM.label}/OLD"})
    found = build_plan(configuration(TEAM), FACTORY, facts("factory"), {TEAM.key: about}, by, owned, now=NOON)
    assert list(kept(found)) == ["OLD"]


def test_without_the_setting_vms_keep_nothing() -> None:
    """They are not even listed; without a time, all of them are young."""
    assert not kept(plan_of(vm(), keep_used_days=None))
    assert list(kept(plan_of(vm(days=3000), now=None))) == ["old"]


def test_vms_that_cannot_be_listed_keep_all_images_of_their_lab() -> None:
    """The lab gets its images, and the run fails at its end with the reason."""
    plan = plan_of(unread=UNLISTED)
    told = "the VMs of the lab could not be listed, and may be created from it (setting keepUsedDays)"
    assert kept(plan) == {"old": told, "older": told} and [one.name for one in plan.labs[0].images] == ["new"]
    (failure,) = plan.failures
    assert (failure.severity, failure.fact, failure.location) == (Severity.ERROR, UNLISTED.fact, TEAM.location)
    assert failure.consequence.startswith("the lab gets its images, and keeps all that may be in use")
    assert not plan_of(unread=UNLISTED, keep_used_days=None).failures


def test_an_image_that_the_factory_lost_stays_without_its_vhd() -> None:
    """A custom image needs its VHD no more; so the setting has an effect without `keep`, too."""
    plan = plan_of(vm(), found=catalog(image("new")), keep=None)
    assert kept(plan) == {"old": USED} and not plan.warnings


def test_all_rules_that_keep_an_image_are_told() -> None:
    """Its successor is missing, and a VM was created from it."""
    plan = plan_of(vm(), found=catalog(image("next", age=-1), *FACTORY.images), keep=2)
    assert kept(plan)["old"] == f"the lab must first have next in state Succeeded; {USED}"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"revoked": {RevokedImage("old"): "a virus"}}, "it is revoked: a virus"),
        ({"target": lab("team", ["Ubuntu"])}, "labs.json does not give the lab its image path"),
        ({"found": catalog(), "allow_empty_factory": True}, "allowEmptyFactory is true"),
    ],
)
def test_what_leaves_although_vms_were_created_from_it_is_a_warning(changes: dict[str, Any], why: str) -> None:
    """The rule keeps only what `keep` would retire: what it was meant to keep and does not is named."""
    plan = plan_of(vm(), **changes)
    assert "old" not in kept(plan)
    (told,) = (one for one in plan.warnings if one.subject.startswith("custom image old of lab"))
    assert (told.fact, told.consequence) == (USED, f"it leaves the lab all the same, because {why}")


@examples(200)
@given(
    worlds(), st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.none() | st.integers(-1, 9)), max_size=6)
)
def test_the_plan_loses_no_image_in_use_unless_it_is_revoked(
    world: World, drawn: list[tuple[str, int, int | None]]
) -> None:
    """For any factory, policy and history; and the setting changes nothing else: what it keeps beside is in use."""
    machines = tuple(vm(name, f"n{number}", days) for name, number, days in drawn)
    used = {one.image for one in machines if one.created is None or NOON - one.created < 4 * DAY}
    plans = [_plan(world, machines, days) for days in (None, 4)]
    before, after = ({one.name for one in plan.labs[0].retained} for plan in plans)
    assert plans[0].labs[0].images == plans[1].labs[0].images
    assert after - before <= used and before <= after
    if world.images:
        stay = after | {one.name for one in plans[1].labs[0].images}
        lost = {one.name for one in world.there} & used - stay
        assert all(world.is_revoked(one.name, one.path) for one in world.there if one.name in lost)


def _plan(world: World, machines: tuple[LabMachine, ...], days: int | None) -> Plan:
    policy = world.policy.model_copy(update={"keep_used_days": days})
    owned = frozenset(f"{ANY_TEAM.label}/{one.name}" for one in world.there)
    about = facts("team", *world.there, machines=machines)
    args = (configuration(ANY_TEAM), catalog(*world.images), facts("factory"), {ANY_TEAM.key: about})
    return build_plan(*args, policy, owned, now=NOON)
