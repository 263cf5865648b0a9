"""`imagefactory status`: which stacks, what is shown, the page, and the exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import error
from imagefactory.reports.catalog_report import report_catalog
from imagefactory.reports.status import Cell, CellState, Dated, LabStatus, StackStatus
from imagefactory.state.status import Reading
from tests.unit.builders import NOON, SUBSCRIPTION, catalog, image
from tests.unit.cli.conftest import Verb
from tests.unit.reports.status_worlds import many_labs

PROBLEM = error("lab gone", "not found", "its images are kept", "Check it")


def status_of(*found: StackStatus, asked: list[Any] | None = None) -> dict[str, Callable[..., Any]]:
    """Replaces the reading by these results; `asked` gets the names of the stacks and the option `--state`."""
    Path("Pulumi.yaml").write_text("name: imagefactory\nruntime: python\n", "utf-8")

    async def read(project: str, stacks: Mapping[str, Settings], *, with_state: bool) -> list[Reading]:
        if asked is not None:
            asked.append((project, list(stacks), with_state))
        reports = report_catalog(catalog(image("golden")), "factory", NOON)
        return [Reading(one, reports) for one in found]

    return {"imagefactory.state.status.read": read}


def stack_with(*states: CellState, failures: tuple[Any, ...] = ()) -> StackStatus:
    """One lab with a path in each of these states."""
    cells = tuple(
        Cell(f"Win/{state}.json", state, 2 if state == "behind" else 0, Dated("old", None), Dated("new", NOON))
        for state in states
    )
    lab = LabStatus("team@1", "team", SUBSCRIPTION, "rg", "westeurope", cells)
    return StackStatus("dev", "factory", NOON, (lab,), failures=failures)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (stack_with("current", "creating", "held back", "foreign", "leaving", "no image"), 0),
        *((stack_with("current", state), 3) for state in ("revoked", "failed", "missing", "behind", "incomplete")),
        (stack_with("behind", failures=(PROBLEM,)), 1),
    ],
)
def test_the_exit_code_tells_whether_a_lab_lacks_an_image(verb: Verb, found: StackStatus, code: int) -> None:
    """3 for a nightly check; an error comes first."""
    assert verb("status", instead=status_of(found)).code == code


def test_the_table_has_what_is_not_current_with_signs_and_ages_and_the_counts(verb: Verb) -> None:
    """With --all everything."""
    instead = status_of(stack_with("current", "behind"))
    shown = verb("status", instead=instead).out
    assert "< behind by 2" in shown and "new, under an hour" in shown and "= current" not in shown
    assert "Stack dev: 1 lab, 2 image paths: 1 behind, 1 current." in shown
    assert "= current" in verb("status", "--all", instead=instead).out
    good = verb("status", instead=status_of(stack_with("current")))
    assert good.out == "Stack dev: 1 lab, 1 image path: 1 current.\n"


def test_all_stacks_of_the_folder_are_shown_unless_some_are_named(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of other projects, without a factory, are passed over."""
    Path("Pulumi.prod.yaml").write_bytes(Path("Pulumi.dev.yaml").read_bytes())
    Path("Pulumi.other.yaml").write_text("config: {}\n", "utf-8")
    asked: list[Any] = []
    instead = status_of(asked=asked)
    verb("status", instead=instead)
    monkeypatch.delenv("PULUMI_STACK")
    verb("status", instead=instead)
    verb("status", "-s", "prod", "--state", instead=instead)
    assert asked == [
        ("imagefactory", ["dev"], False),
        ("imagefactory", ["dev", "prod"], False),
        ("imagefactory", ["prod"], True),
    ]
    for file in ("Pulumi.dev.yaml", "Pulumi.prod.yaml"):
        Path(file).unlink()
    nothing = verb("status")
    assert nothing.code == 2 and "no stack file with a factory" in nothing.err


def test_the_page_has_the_labs_of_all_stacks_and_the_catalog(verb: Verb) -> None:
    """JSON can be printed beside it; without, only the counts, on standard error."""
    dev, prod = many_labs(4), replace(many_labs(2), stack="x<b>", failures=())
    instead = status_of(dev, prod)
    written = verb("status", "--html", "page.html", instead=instead)
    page = Path("page.html").read_text("utf-8")
    assert written.out == "" and written.err.startswith("page.html: stack prod: 4 labs, 40 image paths: ")
    assert page.count('class="stack"') == 2 and page.count('class="images"') == 2 and "x&lt;b&gt;" in page
    assert verb("status", "--html", "page.html", "--json", instead=instead).document["lacking"] is True
    assert verb("status", "--html", "none/page.html", instead=instead).code == 1
