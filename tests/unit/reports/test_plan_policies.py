"""The report names the rules of the policy: what is revoked, soaks, or is young."""

from __future__ import annotations

import json
from dataclasses import replace

from imagefactory.cli.plan import _text
from imagefactory.cli.terminal.report import Table
from imagefactory.configuration.revocations import RevokedImage
from imagefactory.configuration.rings import Ring
from imagefactory.configuration.stack_settings import Policy
from imagefactory.observed.lab_machines import LabMachine
from imagefactory.reports.plan_markdown import plan_markdown
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


def test_an_image_that_waits_for_its_ring_is_left_out_with_the_lab_that_it_waits_for() -> None:
    """Each image names the ring of its lab; what the earlier ring keeps for the later one says so."""
    pilot = replace(TEAM, name="pilot", label="")
    rings = [Ring(name="first", labs=["pilot"]), Ring(name="rest", labs=["*"], soak_days=7)]
    there = {pilot: facts("pilot", held("old", created=NOON)), TEAM: facts("team", held("old"))}
    first, team = sorted(reported(catalog(NEW, OLD), in_state("old"), there, now=NOON, keep=1, rings=rings).labs,
                         key=lambda lab: lab.label)  # fmt: skip
    ranked = "the newest 1 of its path (setting keep)"
    assert row(first, "new").why == f"{ENTRY}, {ranked}, ring first (setting rings)"
    assert row(team, "old").action == "unchanged"
    assert row(team, "old").why == f"{ENTRY}, {ranked}, ring rest after ring first and 7 days (setting rings)"
    why = f"ring rest waits: lab {pilot.label} of ring first does not hold it"
    assert (row(team, "new").action, row(team, "new").why) == ("left out", why)


def test_an_image_names_the_rule_that_keeps_it() -> None:
    """Which of several: its rank, its age, or a fall-back."""
    (lab,) = reported(catalog(NEW, OLD), {}, {TEAM: facts("team")}, now=NOON, keep=1, keep_days=30).labs
    assert row(lab, "new").why == f"{ENTRY}, among the newest 1 of its image path (setting keep)"
    assert row(lab, "old").why == f"{ENTRY}, younger than 30 days (setting keepDays)"
    pins, team = {NEW.image_path: "new"}, {TEAM: facts("team")}
    (lab,) = reported(catalog(NEW, OLD), {}, team, pins=pins, revoked=VIRUS, revoked_fallback="previous").labs
    assert row(lab, "old").why == f"{ENTRY}, in place of new, which is revoked (setting revokedFallback)"


def test_every_format_says_which_rule_keeps_an_image() -> None:
    """`keep`, `keepDays` and `keepUsedDays`, each with its image: as text, JSON and Markdown."""
    used = image("used", age=2400)
    there = facts("team", held("new"), held("old"), held("used"), machines=(LabMachine("vm", NOON, "used"),))
    recorded, rules = in_state("new", "old", "used"), Policy(keep=1, keep_days=30, keep_used_days=7)
    report = reported(catalog(NEW, OLD, used), recorded, {TEAM: there}, now=NOON, **dict(rules))
    expected = {
        "new": "among the newest 1 of its image path (setting keep)",
        "old": "younger than 30 days (setting keepDays)",
        "used": "older than the newest 1 of its image path (setting keep) and than 30 days (setting keepDays); "
        "VM vm was created from it less than 7 days ago (setting keepUsedDays)",
    }
    (lab,) = report.labs
    (shown,) = (each for each in _text(report) if isinstance(each, Table))
    rows = [line for line in plan_markdown(report).splitlines() if line.startswith("| ")]
    (json_lab,) = json.loads(json.dumps(report.to_dict()))["labs"]
    for name, why in expected.items():
        assert row(lab, name).why.endswith(why)
        assert [cells[-1].endswith(why) for cells in shown.rows if cells[1] == name] == [True]
        assert [one["why"].endswith(why) for one in json_lab["images"] if one["name"] == name] == [True]
        assert [why in line for line in rows if f"`{name}`" in line] == [True]
