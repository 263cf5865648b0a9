"""What a person sees of long work: bars on a terminal, a line now and then in a log; all of it on standard error.

Owns the drawing. Standard output is for results.
"""

from __future__ import annotations

import os
from time import monotonic
from types import TracebackType

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from imagefactory.cli.output import plain_console, tell
from imagefactory.copying.copier import Progress as Copied
from imagefactory.copying.totals import describe
from imagefactory.plain_text import printable


class CopyProgress:
    """Progress of several copies, by name. Use as `with`."""

    def __init__(self) -> None:
        console = plain_console(err=True)
        self._live = console.is_terminal and not (os.environ.get("CI") or os.environ.get("TF_BUILD"))
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[told]}", markup=False),
            console=console,
            disable=not self._live,
        )
        self._rows: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}
        self._tenths: dict[str, int] = {}
        self._notes: dict[str, str] = {}

    def __enter__(self) -> CopyProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, name: str, copied: Copied) -> None:
        """Show how far a copy has come."""
        began = self._began.setdefault(name, monotonic())
        told = copied.note or describe(copied, monotonic() - began)
        if self._live:
            if name not in self._rows:
                self._rows[name] = self._bars.add_task(printable(name), total=copied.total, told="")
            self._bars.update(self._rows[name], completed=copied.done, total=copied.total, told=told)
            return
        if copied.note != self._notes.get(name, ""):
            self._notes[name] = copied.note
            if copied.note:
                self.say(f"{name}: {told}")
        if copied.note:
            return
        tenth = 10 * copied.done // max(copied.total, 1)
        if tenth > self._tenths.get(name, 0):
            self._tenths[name] = tenth
            self.say(f"{name}: {told}")

    def say(self, line: str) -> None:
        """A line that stays."""
        tell(line, console=self._bars.console)
