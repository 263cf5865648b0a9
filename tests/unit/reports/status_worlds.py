"""A status with labs in every state, as `imagefactory status` makes it."""

from __future__ import annotations

from datetime import timedelta

from imagefactory.diagnostics import error
from imagefactory.reports.status import STATES, Cell, CellState, Dated, LabStatus, StackStatus
from tests.unit.builders import NOON, SUBSCRIPTION

FOLDERS = ("Win2016", "Win2019", "Win2022", "Win11", "Ubuntu", "RedHat", "Debian", "Special-Purpose")
FILES = ("Datacenter.json", "SQL.json", "Developer.json", "Base.json", "BuildAgentWithVisualStudio.json")
PATHS = tuple(sorted(f"{folder}/{file}" for folder in FOLDERS for file in FILES))
TEAMS = ("web-team", "data_science", "payments", "developer-experience")
REASONS: dict[CellState, str] = {"unread": "lab: not found in subscription", "current": ""}


def many_labs(labs: int = 60, paths: tuple[str, ...] = PATHS) -> StackStatus:
    """A third of the labs is not current everywhere; with enough labs, each state occurs. The last one is unread."""
    found = [_lab(number, paths, is_unread=number == labs - 1) for number in range(labs)]
    failure = error("lab", "not found in subscription", "its images are kept", "Check LabName")
    return StackStatus("prod", "factory", NOON, tuple(found), failures=(failure,))


def _lab(number: int, paths: tuple[str, ...], *, is_unread: bool) -> LabStatus:
    name = f"{TEAMS[number % len(TEAMS)]}-{number:02}"
    cells = []
    for column, path in enumerate(paths):
        if (number + column) % 9 == 8:
            continue  # the lab does not get it
        odd = STATES[1 + (number + column) % (len(STATES) - 1)] if not (number % 3 or column % 8) else "current"
        cells.append(_cell(path, "unread" if is_unread else odd, column))
    return LabStatus(f"{name}@05d17100", name, SUBSCRIPTION, "labs", "" if is_unread else "westeurope", tuple(cells))


def _cell(path: str, state: CellState, column: int) -> Cell:
    stem = path.removesuffix(".json").replace("/", "_")
    old = Dated(f"{stem}-Feb-1-2026", NOON - timedelta(days=41 + column))
    new = Dated(f"{stem}-Mar-1-2026", NOON - timedelta(days=13))
    holds = None if state in {"unread", "missing", "no image"} else new if state == "current" else old
    newest = None if state in {"unread", "no image", "leaving"} else new
    why = REASONS.get(state, f"{new.name}: not in the lab")
    return Cell(path, state, column % 3 + 1 if state == "behind" else 0, holds, newest, why)
