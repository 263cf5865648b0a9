"""Which versions and definitions that left the plan are kept in the gallery, and for how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from imagefactory.configuration.revocations import RevokedImage
from imagefactory.diagnostics import error
from imagefactory.observed.lab_machines import LabMachine
from tests.unit.planning.galleries.galleries import (
    HOME,
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

OLD, NEW, NEXT = saved("old", 1), saved("new", 2), saved("next", 3)
KEY = f"Win2016.Datacenter/{version(OLD).name}"
FAR = frozenset({HOME, "eastus"})


@pytest.mark.parametrize(
    ("state", "kept"), [("Succeeded", False), ("Failed", True), ("Creating", True), ("Updating", True)]
)
def test_a_version_goes_once_its_successor_is_finished(state: str, kept: bool) -> None:
    """Until then it stays, with the reason."""
    facts = gallery(definition(OLD, version(OLD), version(NEW, state=state)))
    plan, _ = planned(facts, served("near", NEW), by=policy(keep=1))
    assert [(each.key, each.reason) for each in plan.retained] == [
        (KEY, f"the gallery must first have Win2016.Datacenter/{version(NEW).name} in state Succeeded")
    ] * kept


@pytest.mark.parametrize(("regions", "kept"), [(FAR, False), (frozenset({HOME}), True)])
def test_a_successor_is_finished_where_all_labs_are(regions: frozenset[str], kept: bool) -> None:
    """A version that is not yet in the region of each lab replaces none."""
    facts = gallery(definition(OLD, version(OLD, regions=FAR), version(NEW, regions=regions)))
    plan, _ = planned(facts, served("near", NEW), served("far", NEW, region="eastus"), by=policy(keep=1))
    assert [each.key for each in plan.retained] == [KEY] * kept


@pytest.mark.parametrize(("keep", "kept"), [(1, False), (2, True)])
def test_keep_counts_finished_versions_only(keep: int, kept: bool) -> None:
    """As custom images are counted: one that fails does not hold back older ones than `keep` allows."""
    facts = gallery(definition(OLD, version(OLD), version(NEW), version(NEXT, state="Failed")))
    offered = (NEXT, NEW)[:keep]
    plan, _ = planned(facts, served("near", *offered), by=policy(keep=keep))
    assert (KEY in {each.key for each in plan.retained}) is kept


@pytest.mark.parametrize(("others", "kept"), [([], True), (["Win2016.Datacenter-gen2"], False)])
def test_keep_counts_only_versions_that_the_same_labs_offer(others: list[str], kept: bool) -> None:
    """A newer version of another definition replaces nothing for a lab that does not offer that definition."""
    second = saved("second", 2, generation="V2")
    facts = gallery(definition(OLD, version(OLD)), definition(second, version(second)))
    lab = served("near", NEXT, offers=["Win2016.Datacenter", *others])
    plan, _ = planned(facts, lab, by=policy(keep=1), more=[OLD, second])
    assert (KEY in {each.key for each in plan.retained}) is kept


def test_a_pin_counts_no_versions() -> None:
    """The pinned image must be there, however many newer ones are."""
    facts = gallery(definition(OLD, version(OLD, state="Failed"), version(NEW), version(NEXT)))
    by = policy(keep=1, pins={OLD.image_path: "old"})
    plan, _ = planned(facts, served("near", OLD), by=by)
    assert {each.key for each in plan.retained} == {f"Win2016.Datacenter/{version(each).name}" for each in (NEW, NEXT)}
    there = gallery(definition(OLD, version(OLD), version(NEW), version(NEXT)))
    assert not planned(there, served("near", OLD), by=by)[0].retained


def test_the_last_version_of_a_path_stays_without_a_successor() -> None:
    """A factory without images of the path retires nothing that labs get."""
    facts = gallery(definition(OLD, version(OLD)))
    plan, _ = planned(facts, served("near", offers=["Win2016.Datacenter"]))
    assert [each.key for each in plan.retained] == [KEY] and plan.kept == ("Win2016.Datacenter",)
    (offer,) = plan.labs
    assert [each.name for each in offer.definitions] == ["Win2016.Datacenter"]


@pytest.mark.parametrize("regions", [frozenset({HOME}), frozenset()])
def test_a_version_that_failed_stays_only_where_it_serves_a_lab(regions: frozenset[str]) -> None:
    """Replication to a region that was added failed: the labs of the other regions use it until there is another. One
    without a replica serves nobody."""
    facts = gallery(definition(OLD, version(OLD, state="Failed", regions=regions), version(NEW, state="Creating")))
    plan, _ = planned(facts, served("near", NEW), by=policy(keep=1))
    assert [each.key for each in plan.retained] == [KEY] * len(regions)


def test_what_no_lab_takes_any_more_goes_at_once() -> None:
    """A path that left labs.json: its versions and its definition."""
    facts = gallery(definition(OLD, version(OLD)))
    near = served("near", offers=["Win2016.Datacenter"])
    other = replace(near, lab=replace(near.lab, selectors=()))
    plan, _ = planned(facts, other, state=recorded(facts, near))
    assert not plan.retained and not plan.kept and not plan.labs


@pytest.mark.parametrize("unsafe", ["old.vhd", "another.vhd"])
def test_a_version_of_an_unreadable_companion_stays(unsafe: str) -> None:
    """Also one of an unknown VHD, while any companion cannot be read; never one that Azure works on."""
    made = version(OLD, source_vhd="" if unsafe == "another.vhd" else "old.vhd")
    facts = gallery(definition(OLD, made, version(NEW)))
    plan, _ = planned(facts, served("near", NEW), by=policy(keep=1), unsafe=[unsafe])
    assert [each.key for each in plan.retained] == [KEY]
    busy = gallery(definition(OLD, version(OLD, state="Updating"), version(NEW)))
    assert [each.key for each in planned(busy, by=policy(keep=1))[0].retained][:1] == [KEY]


def test_a_lab_that_cannot_be_read_keeps_what_it_offers() -> None:
    """Unless a successor in the same definition is where it was."""
    gen2 = replace(NEW, generation="V2")
    lost = served("lost", gen2, offers=["Win2016.Datacenter"])
    facts = gallery(definition(OLD, version(OLD)), definition(gen2, version(gen2)))
    plan, _ = planned(facts, unread(lost), served("near", gen2), state=recorded(facts, lost), by=policy(keep=1))
    assert [each.reason for each in plan.retained] == ["lab lost could not be read, and may still offer it"]
    assert plan.kept == ("Win2016.Datacenter",)
    same = gallery(definition(OLD, version(OLD), version(NEW)))
    lost = served("lost", NEW, offers=["Win2016.Datacenter"])
    plan, _ = planned(same, unread(lost), served("near", NEW), state=recorded(same, lost), by=policy(keep=1))
    assert not plan.retained


def test_a_revoked_version_goes_even_if_it_is_the_last_one() -> None:
    """Not while Azure works on it, and not if it is only to be named. Its successor counts as missing."""
    by = policy(keep=1, revoked={RevokedImage("new"): "a virus"})
    facts = gallery(definition(OLD, version(OLD), version(NEW)))
    newer = f"Win2016.Datacenter/{version(NEW).name}"
    plan, _ = planned(facts, served("near"), by=by, more=[OLD, NEW])
    assert [(one.key, one.reason) for one in plan.retained] == [(KEY, "new, which would replace it, is revoked")]
    assert [(one.key, one.reason) for one in plan.revoked] == [(newer, "revoked: a virus")]
    alone = gallery(definition(NEW, version(NEW)))
    assert not planned(alone, served("near"), by=by, more=[NEW])[0].retained
    busy = gallery(definition(NEW, version(NEW, state="Updating")))
    assert [one.key for one in planned(busy, served("near"), by=by, more=[NEW])[0].retained] == [newer]
    report = by.model_copy(update={"revoked_action": "report"})
    plan, found = planned(alone, served("near"), by=report, more=[NEW])
    (told,) = found.diagnostics
    assert (told.subject, told.fact) == (f"gallery version {newer}", "is revoked: a virus")
    assert [one.reason for one in plan.retained] == ["revoked: a virus (setting revokedAction is report)"]
    assert not plan.revoked
    _, found = planned(alone, served("near"), state=recorded(gallery()), by=by, more=[NEW])
    assert "it stays in the gallery, because the state does not contain it" in [
        one.consequence for one in found.diagnostics
    ]


def test_a_version_whose_image_soaks_stays_and_replaces_none() -> None:
    """It was created before the setting was; labs are still to get the older image."""
    facts = gallery(definition(OLD, version(OLD), version(NEW)))
    until = f"soaks until {NEW.saved_at + timedelta(days=7):%Y-%m-%d %H:%M} UTC (setting soakDays)"
    by, now = policy(keep=1, soak_days=7), NEW.saved_at + timedelta(days=1)
    plan, _ = planned(facts, served("near"), by=by, more=[NEW], now=now)
    assert [(one.key, one.reason) for one in plan.retained] == [
        (KEY, "the factory has no image of its path to replace it"),
        (f"Win2016.Datacenter/{version(NEW).name}", f"{until}, and the gallery already has it"),
    ]


@pytest.mark.parametrize(
    ("told", "days", "published", "kept"),
    [
        ("own", 1, {}, True),
        ("own", 30, {}, False),
        ("other", 1, {}, False),
        ("", 1, {}, True),
        ("", 1, {"old": 2}, True),
        ("", 3, {"old": 2}, False),
        ("", 3, {"old": 9, "new": 4}, False),
        ("", 3, {"old": 9, "new": 3.5}, True),
        ("", None, {"old": 2, "new": 9}, True),
    ],
)
def test_a_version_that_vms_were_created_from_lately_stays(
    told: str, days: float | None, published: dict[str, float], kept: bool
) -> None:
    """In any lab that takes its path. A VM that names no version was created from the newest one that was published
    then; up to a day later, that may not have been in the region of the lab."""
    now = NEXT.saved_at
    at = {name: f"{now - timedelta(days=ago):%Y-%m-%dT%H:%M:%SZ}" for name, ago in published.items()}
    answers = {name: {"properties": {"publishingProfile": {"publishedDate": day}}} for name, day in at.items()}
    old, new = (version(each, answer=answers.get(each.name, {})) for each in (OLD, NEW))
    facts = gallery(definition(OLD, old, new))
    created = None if days is None else now - timedelta(days=days)
    names = {"own": old.name, "other": new.name}
    machine = LabMachine("vm", created, definition="win2016.datacenter", version=names.get(told, ""))
    far = served("far", is_served=False)
    assert far.facts
    far, near = replace(far, facts=replace(far.facts, machines=(machine,))), served("near", NEW)
    assert near.facts
    labs = (replace(near, facts=replace(near.facts, machines=())), far)
    plan, _ = planned(facts, *labs, by=policy(keep=1, keep_used_days=30), now=now)
    when = "at an unknown time" if days is None else "less than 30 days ago"
    reason = f"VM vm of lab far was created from it {when} (setting keepUsedDays)"
    assert [(each.key, each.reason) for each in plan.retained] == [(KEY, reason)] * kept
    revoking = policy(keep=1, keep_used_days=30, revoked={RevokedImage("old"): "a virus"})
    plan, found = planned(facts, *labs, by=revoking, now=now, more=[OLD])
    told_all = [(one.fact, one.consequence) for one in found.diagnostics]
    leaves = "it leaves the gallery all the same, because it is revoked: a virus"
    assert told_all == [(reason, leaves)] * kept and not plan.retained
    assert plan.kept == () and not planned(facts, *labs, by=policy(keep=1), now=now)[0].retained


def test_versions_stay_while_the_vms_of_a_lab_are_unknown() -> None:
    """Of one whose VMs could not be listed, and of one that could not be read."""
    facts = gallery(definition(OLD, version(OLD), version(NEW)))
    near = served("near", NEW)
    assert near.facts
    unlisted = replace(near, facts=replace(near.facts, machines=error("VMs", "403", "", "Grant it")))
    for each in (unlisted, unread(near)):
        plan, _ = planned(facts, each, state=recorded(facts, near), by=policy(keep=1, keep_used_days=30))
        told = "the VMs of lab near could not be listed, and may be created from it (setting keepUsedDays)"
        assert [(one.key, one.reason) for one in plan.retained] == [(KEY, told)]
