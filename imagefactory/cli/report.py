"""What a verb tells at its end, and its exit code; a verb only says what stands in it.

Owns the choice between one JSON document and text, and the exit codes of success, failure and interruption.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import typer

from imagefactory.cli.interruption import Ended, to_stderr
from imagefactory.cli.output import show_document, show_table, tell

Result = TypeVar("Result")

GO_ON = "Interrupted; run the same command again to go on."


@dataclass(frozen=True)
class Table:
    """A table; `right` names the columns that are flush right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Container[str] = ()


@dataclass(frozen=True)
class Lines:
    """Lines of text, in a style of rich where there is a terminal; empty ones are passed over."""

    texts: Sequence[str]
    style: str = ""


Part = Table | Lines


@dataclass(frozen=True)
class Report:
    """What a verb tells: the document with --json, else the parts, one after the other."""

    document: object
    parts: Sequence[Part]
    failed: bool = False


def finish(ended: Ended[Result], report: Callable[[Result], Report], *, as_json: bool) -> NoReturn:
    """End a verb: show the report on its result, if there is one. Raises `typer.Exit` with the exit code."""
    code = 0
    if ended.result is not None:
        told = report(ended.result)
        code = int(told.failed)
        if as_json:
            show_document(told.document)
        else:
            show(*told.parts)
    completed(ended)
    raise typer.Exit(code)


def completed(ended: Ended[Result], interrupted: str = GO_ON) -> Result:
    """The result of a command that ran to its end. Raises `typer.Exit`, as shells count signals, if it was stopped."""
    if ended.signal is not None or ended.result is None:
        to_stderr(interrupted)
        raise typer.Exit(128 + (ended.signal or 0))
    return ended.result


def show(*parts: Part) -> None:
    """Print tables and lines."""
    for part in parts:
        if isinstance(part, Table):
            show_table(part.title, part.columns, part.rows, part.right)
        else:
            tell(*part.texts, style=part.style)
