"""`imagefactory plan`: formats, exit codes, and what needs no network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagefactory.diagnostics import error
from imagefactory.errors import ImageFactoryError
from imagefactory.reports.plan_report import Change, LabReport, PlanReport
from tests.unit.builders import entry, write_configuration
from tests.unit.cli.conftest import Verb
from tests.unit.reports.plan_worlds import TEAM

PATH = "Win2016/Datacenter.json"
PROBLEM = error("lab team", "cannot be read", "it is kept", "Grant the role")
STAYS = Change("custom image", "unchanged", "stays", PATH, "why it stays", True, True, "Succeeded")
LEAVES = Change("custom image", "delete", "leaves", PATH, "why it leaves", False, True, "Succeeded")


def reviewed(*changes: Change, **others: Any) -> dict[str, Callable[..., Any]]:
    """A replacement for the review, which returns one lab with these changes."""

    async def review(*_: Any) -> PlanReport:
        return PlanReport("imagefactory/dev", (LabReport("team@1", TEAM.location, changes),), **others)

    Path("Pulumi.yaml").write_text("name: imagefactory\nruntime: python\n", "utf-8")
    return {"imagefactory.state.review.review": review}


def test_the_plan_is_shown_as_tables_json_and_markdown(verb: Verb) -> None:
    """What leaves is first in each, with its reason and the place of the lab's entry."""
    text = verb("plan", instead=reviewed(LEAVES, STAYS)).out
    assert "Lab team@1 (labs.json:3:5): 1 delete, 1 unchanged" in text
    assert text.index("why it leaves") < text.index("why it stays") and "Total: 1 delete, 1 unchanged." in text
    document = verb("plan", "--format", "json").document
    assert [one["name"] for one in document["labs"][0]["images"]] == ["leaves", "stays"]
    assert document["labs"][0]["heldNotWanted"] == ["leaves"] and document["labs"][0]["line"] == 3
    assert "| **delete** | **`leaves`** |" in verb("plan", "--format", "markdown").out


def test_what_leaves_is_bold_on_a_terminal(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what stays is not."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    lines = verb("plan", instead=reviewed(LEAVES, STAYS)).out.splitlines()
    bold = {name for name in ("why it leaves", "why it stays") for line in lines if name in line and "\x1b[1m" in line}
    assert bold == {"why it leaves"}


@pytest.mark.parametrize(
    ("changes", "others", "code", "detailed"),
    [
        ([STAYS], {}, 0, 0),
        ([LEAVES, STAYS], {}, 0, 2),
        ([STAYS], {"failures": (PROBLEM,)}, 1, 1),
        ([LEAVES], {"failures": (PROBLEM,)}, 1, 1),
    ],
)
def test_the_exit_code_tells_failures_and_on_demand_changes(
    verb: Verb, changes: list[Change], others: dict[str, Any], code: int, detailed: int
) -> None:
    """A plan with failures is shown, too."""
    shown = verb("plan", instead=reviewed(*changes, **others))
    assert shown.code == code and all(one.why in shown.out for one in changes)
    assert (PROBLEM.text() in shown.out) is bool(others)
    assert verb("plan", "--detailed-exitcode").code == detailed


def test_a_plan_that_cannot_be_made_exits_with_1(verb: Verb) -> None:
    """With one line on standard error."""

    async def review(*_: Any) -> PlanReport:
        raise ImageFactoryError("Azure refuses")

    shown = verb("plan", instead={**reviewed(), "imagefactory.state.review.review": review})
    assert (shown.code, shown.out, shown.err) == (1, "", "Azure refuses\n")


def test_an_invalid_configuration_is_not_taken_for_changes(verb: Verb) -> None:
    """2, as for all commands; but 1 if 2 means changes."""
    reviewed()
    assert verb("plan", "--no-cloud").code == 2
    shown = verb("plan", "--no-cloud", "--detailed-exitcode")
    assert shown.code == 1 and "configuration folder" in shown.err and "Traceback" not in shown.err


def test_without_cloud_nothing_is_connected_and_no_command_runs(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    """labs.json, golden images and settings are enough."""

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("connects")

    reviewed()
    for name in ("imagefactory.azure.connect.connect", "asyncio.create_subprocess_exec", "socket.socket.connect"):
        monkeypatch.setattr(name, forbidden)
    Path("Configuration").mkdir()
    write_configuration(Path("Configuration"), {"Labs": [entry(Delivery="both")]}, PATH, "Ubuntu/Jammy.json")
    shown = verb("plan", "--no-cloud", "--format", "json")
    (lab,) = shown.document["labs"]
    assert shown.code == 1 and "has no gallery" in shown.document["failures"][0]
    assert "no lab uses it" in shown.document["warnings"][0]
    (image,) = lab["images"]
    assert image["imagePath"] == PATH and image["action"] == "listed"
    why = '"Win2016", all images of its path, as custom images and by the gallery'
    assert image["why"].endswith(why) and image["why"].startswith("Configuration/labs.json:7:")
    assert json.loads(shown.out)["cloud"] is False
    assert PATH in verb("plan", "--no-cloud").out and "listed" in verb("plan", "--no-cloud", "--format", "markdown").out
