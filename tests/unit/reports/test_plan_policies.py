"""The report names the rules of the policy: what is revoked, soaks, or is young."""

from __future__ import annotations

from imagefactory.configuration.revocations import RevokedImage
from tests.unit.builders import NOON, catalog, facts, image
from tests.unit.reports.plan_worlds import TEAM, held, in_state, reported, row

NEW, OLD = image("new", age=24), image("old", age=240)
VIRUS = {RevokedImage("new"): "a virus"}
ENTRY = 'labs.json:7:22 "Win2016"'


def test_a_revoked_image_leaves_with_its_reason() -> None:
    """Also if the factory has its VHD no more; if it is only reported, it says so once."""
    there, state = {TEAM: facts("team", held("new"), held("old"))}, in_state("new", "old")
    for found in (catalog(NEW, OLD), catalog(OLD)):
        (lab,) = reported(found, state, there, keep=1, revoked=VIRUS).labs
        assert (row(lab, "new").action, row(lab, "new").why) == ("delete", "revoked: a virus")
    assert row(lab, "old").action == "unchanged"
    (lab,) = reported(catalog(NEW, OLD), state, there, keep=1, revoked=VIRUS, revoked_action="report").labs
    why = "revoked: a virus (setting revokedAction is report)"
    assert (row(lab, "new").action, row(lab, "new").why) == ("keep for now", why)


def test_an_image_that_soaks_is_left_out_until_then() -> None:
    """A lab that has it keeps it."""
    until = "soaks until 2026-03-20 12:00 UTC (setting soakDays)"
    report = reported(catalog(NEW, OLD), {}, {TEAM: facts("team")}, now=NOON, keep=1, soak_days=7)
    (lab,) = report.labs
    assert [(one.name, one.why) for one in report.left_out] == [("new", until)]
    why = f"{ENTRY}, the newest 1 of its path (setting keep), at least 7 days old (setting soakDays)"
    assert (row(lab, "old").action, row(lab, "old").why) == ("create", why)
    there = {TEAM: facts("team", held("new"))}
    (lab,) = reported(catalog(NEW, OLD), in_state("new"), there, now=NOON, keep=1, soak_days=7).labs
    assert (row(lab, "new").action, row(lab, "new").why) == ("keep for now", f"{until}, and the lab already has it")


def test_an_image_names_the_rule_that_keeps_it() -> None:
    """Its age, or a fall-back."""
    (lab,) = reported(catalog(NEW, OLD), {}, {TEAM: facts("team")}, now=NOON, keep=1, keep_days=30).labs
    assert row(lab, "old").why == f"{ENTRY}, younger than 30 days (setting keepDays)"
    pins, team = {NEW.image_path: "new"}, {TEAM: facts("team")}
    (lab,) = reported(catalog(NEW, OLD), {}, team, pins=pins, revoked=VIRUS, revoked_fallback="previous").labs
    assert row(lab, "old").why == f"{ENTRY}, in place of new, which is revoked (setting revokedFallback)"
