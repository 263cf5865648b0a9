"""`imagefactory status`: what the labs hold, beside what the plan gives them, for a screen or a nightly check.

Parses the options and renders table, JSON and page. Does not compare: `imagefactory.reports.status_matrix` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagefactory.cli.stack import AsJson, complete_stack, factory_stacks, project_name, stack_settings
from imagefactory.cli.terminal.interruption import run
from imagefactory.cli.terminal.output import count, show_document, to_stderr
from imagefactory.cli.terminal.page_file import check_page_file, write_page
from imagefactory.cli.terminal.report import Lines, Part, Table, completed, show
from imagefactory.reports.catalog_report import age_text

if TYPE_CHECKING:
    from imagefactory.reports.status import Cell, CellState, Dated, StackStatus
    from imagefactory.state.status import Reading

BEHIND = 3
"""The exit code if a lab does not hold what the plan gives it."""

_INTERRUPTED = "Interrupted; nothing was written."


def status(
    stacks: Annotated[
        list[str] | None,
        typer.Option(
            "--stack",
            "-s",
            metavar="NAME",
            envvar="PULUMI_STACK",
            help="Stack to show (repeatable): NAME in Pulumi.NAME.yaml [default: all stacks in this folder]",
            autocompletion=complete_stack,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also show what is current")] = False,
    with_state: Annotated[
        bool, typer.Option("--state", help="Tell by the state of each stack what it manages, instead of by tags")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a self-contained page to this file instead of the table"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List which labs hold the images that they should have, and which are behind.

    For each lab and image path: current, behind by how many images, missing, incomplete, failed, revoked, being
    created, held back, foreign or leaving, with the newest image that the lab holds, the newest that the plan gives it,
    and their ages. Also shows labs that labs.json does not list and that have images of the stack. Reads Azure and
    writes nothing there.

    Exit codes: 0 each lab holds what the plan gives it, 1 something cannot be read or a run would fail, 2 wrong usage
    or configuration, 3 a lab lacks an image, or holds one that failed or is revoked.
    """
    if html:
        check_page_file(html)
    known = {name: stack_settings(name) for name in stacks or factory_stacks()}
    from imagefactory.state.status import read

    readings = completed(run(read(project_name(), known, with_state=with_state)), _INTERRUPTED)
    found = [reading.status for reading in readings]
    if html:
        write_status_page(html, readings)
    if as_json:
        show_document(_document(found))
    elif not html:
        show(*(part for one in found for part in _text(one, everything=everything)))
    failed, lacking = any(one.failures for one in found), any(one.is_lacking for one in found)
    raise typer.Exit(1 if failed else BEHIND if lacking else 0)


def write_status_page(file: Path, readings: list[Reading]) -> None:
    """Write the page, and print what it tells."""
    from imagefactory.reports.catalog_page import status_page  # only the page needs Jinja2

    catalogs = [(one.status.stack, one.catalog) for one in readings if one.catalog]
    write_page(file, status_page([one.status for one in readings], catalogs))
    for one in readings:
        to_stderr(f"{file}: stack {one.status.stack}: {_counts(one.status)}")


def _counts(one: StackStatus) -> str:
    counts = ", ".join(f"{number} {state}" for state, number in one.counts.items())
    return f"{count(len(one.labs), 'lab')}, {count(len(one.paths), 'image path')}: {counts or 'nothing'}"


_SIGNS: dict[CellState, str] = {
    "unread": "?",
    "revoked": "!",
    "failed": "!",
    "missing": "x",
    "behind": "<",
    "incomplete": "<",
    "foreign": "*",
    "leaving": "-",
    "creating": "~",
    "held back": "~",
    "no image": "-",
    "current": "=",
}


def _text(one: StackStatus, *, everything: bool) -> list[Part]:
    rows = []
    for lab in one.labs:
        if lab.unread:
            row = (f"{_SIGNS['unread']} unread", lab.label, count(len(lab.cells), "image path"), "", "", lab.unread)
            rows.append(row)
        rows += [
            (f"{_SIGNS[cell.state]} {cell.words}", lab.label, cell.path, _dated(one, cell.holds), *_given(one, cell))
            for cell in lab.by_attention
            if cell.state != "unread" and (everything or cell.state != "current")
        ]
    columns = ("Status", "Lab", "Image path", "Holds", "Newest", "Why")
    title = f"Stack {one.stack}, as of {one.made_at:%Y-%m-%d %H:%M} UTC"
    lines = [f"Stack {one.stack}: {_counts(one)}."]
    problems = [each.text() for each in (*one.warnings, *one.failures)]
    table: list[Part] = [Table(title, columns, rows)] if rows else []
    return [*table, Lines(problems, style="yellow"), Lines(lines, style="bold")]


def _given(one: StackStatus, cell: Cell) -> tuple[str, str]:
    return "" if cell.newest == cell.holds else _dated(one, cell.newest), cell.why


def _dated(one: StackStatus, image: Dated | None) -> str:
    if image is None:
        return ""
    return f"{image.name}, {age_text(one.made_at - image.saved_at)}" if image.saved_at else image.name


def _document(found: list[StackStatus]) -> dict[str, object]:
    """Return the status as data: times in ISO 8601 UTC, ages in whole days."""
    return {
        "lacking": any(one.is_lacking for one in found),
        "stacks": [
            {
                "stack": one.stack,
                "factory": one.factory,
                "madeAt": one.made_at.isoformat(),
                "counts": [{"state": state, "count": number} for state, number in one.counts.items()],
                "labs": [
                    {
                        "lab": lab.label,
                        "name": lab.name,
                        "subscriptionId": lab.subscription_id,
                        "resourceGroup": lab.resource_group or None,
                        "region": lab.region or None,
                        "paths": [_cell(one, cell) for cell in lab.cells],
                    }
                    for lab in one.labs
                ],
                "warnings": [each.message() for each in one.warnings],
                "failures": [each.message() for each in one.failures],
            }
            for one in found
        ],
    }


def _cell(one: StackStatus, cell: Cell) -> dict[str, object]:
    return {
        "imagePath": cell.path,
        "state": cell.state,
        "behind": cell.behind,
        "holds": _image(one, cell.holds),
        "newest": _image(one, cell.newest),
        "why": cell.why or None,
    }


def _image(one: StackStatus, image: Dated | None) -> dict[str, object] | None:
    if image is None:
        return None
    saved_at = image.saved_at
    days = (one.made_at - saved_at).days if saved_at else None
    return {"name": image.name, "savedAt": saved_at.isoformat() if saved_at else None, "ageDays": days}
