"""Standard output and standard error of all subcommands: lines, tables, one JSON document.

Text from elsewhere is printed as neither markup nor a command of a build agent. Does not know any report.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterable, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from imagefactory.plain_text import json_line, json_text, printable_lines

WIDTH = 160
"""Minimum columns of a table without a terminal: logs and pipes have no width, and rich would use 80."""


def plain_console(*, err: bool = False, width: int | None = None) -> Console:
    """Return a console that interprets no markup, emoji or syntax in text."""
    return Console(stderr=err, width=width, markup=False, highlight=False, emoji=False)


def say(*lines: str, err: bool = False, style: str = "", console: Console | None = None) -> None:
    """Print lines without markup or wrapping; skip empty lines."""
    console = console or plain_console(err=err)
    for line in filter(None, lines):
        console.print(printable_lines(line), style=style, soft_wrap=True)


def to_stderr(line: str) -> None:
    """Print a line that is not a result."""
    say(line, err=True)


def count(number: int, noun: str) -> str:
    """Return `1 image`, `2 images`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def command_agent(line: str) -> None:
    """Print a command to a build agent; the caller has escaped all text in it."""
    print(line)


def show_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Container[str] = (),
    bold: Container[int] = (),
) -> None:
    """Print a table; without a terminal no cell is wrapped. `right` names the right-aligned columns, `bold` has the
    numbers of the rows in bold."""
    table = Table(title=printable_lines(title), title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in right else "left")
    for number, row in enumerate(rows):
        table.add_row(*map(printable_lines, row), style="bold" if number in bold else None)
    console = plain_console(width=None if sys.stdout.isatty() else 10_000)
    if not sys.stdout.isatty():
        console.width = max(WIDTH, Measurement.get(console, console.options, table).maximum)
    console.print(table)


def show_document(value: object) -> None:
    """Print one JSON document."""
    print(json_text(value))


def show_line(value: object) -> None:
    """Print one JSON document on a line of its own, immediately."""
    print(json_line(value), flush=True)


def show_markdown(text: str) -> None:
    """Print Markdown, in which all text from elsewhere is harmless already."""
    print(text)
