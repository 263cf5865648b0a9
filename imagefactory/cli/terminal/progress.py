"""Progress of copies, on standard error: bars on a terminal, a line for each tenth in a log.

Does not write to standard output, which is for results.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from imagefactory.cli.terminal.output import plain_console, say
from imagefactory.copying.copier import Progress as Copied
from imagefactory.copying.totals import describe
from imagefactory.plain_text import printable


@contextmanager
def copy_progress() -> Iterator[CopyProgress]:
    """Draw bars, on a terminal, until the block is left."""
    console = plain_console(err=True)
    live = console.is_terminal and not (os.environ.get("CI") or os.environ.get("TF_BUILD"))
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}", markup=False),
    )
    with Progress(*columns, console=console, disable=not live) as bars:
        yield CopyProgress(bars)


class CopyProgress:
    """Progress of several copies, by name."""

    def __init__(self, bars: Progress) -> None:
        """Without a terminal the bars are disabled, and lines are printed."""
        self._bars = bars
        self._rows: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._tenths: dict[str, int] = {}
        self._notes: dict[str, str] = {}

    def show(self, name: str, copied: Copied) -> None:
        """Show the progress of a copy."""
        started = self._started.setdefault(name, monotonic())
        amount = copied.note or describe(copied, monotonic() - started)
        if not self._bars.disable:
            if name not in self._rows:
                self._rows[name] = self._bars.add_task(printable(name), total=copied.total, amount="")
            self._bars.update(self._rows[name], completed=copied.done, total=copied.total, amount=amount)
            return
        if copied.note != self._notes.get(name, ""):
            self._notes[name] = copied.note
            if copied.note:
                self.say(f"{name}: {amount}")
        if copied.note:
            return
        tenth = 10 * copied.done // max(copied.total, 1)
        if tenth > self._tenths.get(name, 0):
            self._tenths[name] = tenth
            self.say(f"{name}: {amount}")

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        say(line, console=self._bars.console)
