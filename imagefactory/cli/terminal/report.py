"""Reports of all subcommands: text or one JSON document, and the exit codes of success, failure and interruption.

Does not know what a subcommand reports. Errors and wrong usage get their exit codes in `imagefactory.cli.main`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import typer

from imagefactory.cli.terminal.interruption import Ended
from imagefactory.cli.terminal.output import say, show_document, show_table, to_stderr

Result = TypeVar("Result")

RESUME = "Interrupted; run the same command again to resume."


@dataclass(frozen=True)
class Table:
    """A table; `right` names the right-aligned columns, `bold` has the numbers of the rows in bold, from 0."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Container[str] = ()
    bold: Container[int] = ()


@dataclass(frozen=True)
class Lines:
    """Lines of text, in a style of rich on a terminal; empty ones are skipped."""

    texts: Sequence[str]
    style: str = ""


Part = Table | Lines


@dataclass(frozen=True)
class Report:
    """What a subcommand prints: the document with --json, else the parts in order."""

    document: object
    parts: Sequence[Part]
    failed: bool = False


def finish(
    ended: Ended[Result], report: Callable[[Result], Report], *, as_json: bool, interrupted: str = RESUME
) -> NoReturn:
    """Print the report on the result, if there is one. Raises `typer.Exit` with the exit code."""
    code = 0
    if ended.result is not None:
        shown = report(ended.result)
        code = int(shown.failed)
        if as_json:
            show_document(shown.document)
        else:
            show(*shown.parts)
    completed(ended, interrupted)
    raise typer.Exit(code)


def completed(ended: Ended[Result], interrupted: str) -> Result:
    """Return the result of a command that finished. If it was interrupted, see `interrupt`."""
    if ended.signal is not None or ended.result is None:
        interrupt(interrupted, ended.signal or 0)
    return ended.result


def interrupt(message: str, number: int = signal.SIGINT) -> NoReturn:
    """Print a message and raise `typer.Exit` with the exit code that shells use for a signal."""
    to_stderr(message)
    raise typer.Exit(128 + number)


def show(*parts: Part) -> None:
    """Print tables and lines."""
    for part in parts:
        if isinstance(part, Table):
            show_table(part.title, part.columns, part.rows, part.right, part.bold)
        else:
            say(*part.texts, style=part.style)
