"""The way from commands to standard output and standard error: lines, tables, one JSON document.

Owns that the texts of others are neither markup nor commands of a build agent, and the width of tables.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterable, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from imagefactory.plain_text import json_text, printable_lines

WIDTH = 160
"""Columns of a table without a terminal, at least: logs and pipes have no width, and rich would take 80."""


def plain_console(*, err: bool = False, width: int | None = None) -> Console:
    """A console that reads no markup, no emoji and no syntax into a text."""
    return Console(stderr=err, width=width, markup=False, highlight=False, emoji=False)


def tell(*lines: str, err: bool = False, style: str = "", console: Console | None = None) -> None:
    """Print lines, never folded; empty ones are passed over."""
    console = console or plain_console(err=err)
    for line in filter(None, lines):
        console.print(printable_lines(line), style=style, soft_wrap=True)


def command_agent(line: str) -> None:
    """Print a command that is meant for a build agent; whoever made it has escaped the texts in it."""
    print(line)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], right: Container[str] = ()) -> None:
    """Print a table; without a terminal no cell is folded. `right` names the columns that are flush right."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in right else "left")
    for row in rows:
        table.add_row(*map(printable_lines, row))
    console = plain_console(width=None if sys.stdout.isatty() else 10_000)
    if not sys.stdout.isatty():
        console.width = max(WIDTH, Measurement.get(console, console.options, table).maximum)
    console.print(table)


def show_document(value: object) -> None:
    """Print one JSON document."""
    print(json_text(value))
