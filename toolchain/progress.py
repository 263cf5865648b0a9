"""Progress of long steps on standard error: a live line on a terminal, else a line now and then.

Owns what the user sees of a step that takes longer than two seconds; a quicker one prints nothing. Standard output
stays free for results.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from types import TracebackType

QUIET_SECONDS = 2.0
"""A step that is done sooner is not worth a line."""
LINE_SECONDS = 15.0
"""Between two lines of a step where there is no terminal."""
NOTE_CHARACTERS = 100


def say(text: str) -> None:
    """One line to the user."""
    print(text, file=sys.stderr, flush=True)


class Step:
    """A running step: `with Step("Build the engine") as step: ... step.note = "what it does now"`."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.note = ""
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._ended = threading.Event()
        self._shown = False

    def __enter__(self) -> Step:
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self._shown or kind is not None:
            self._line(f"{self.title}: {'done' if kind is None else 'not done'} ({self._elapsed()})", last=True)

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self._began)
        return f"{seconds // 60} min {seconds % 60:02} s" if seconds >= 60 else f"{seconds} s"

    def _show(self) -> None:
        wait = QUIET_SECONDS
        while not self._ended.wait(wait):
            self._shown = True
            note = f"  {self.note[:NOTE_CHARACTERS]}" if self.note else ""
            self._line(f"{self.title} ... {self._elapsed()}{note}")
            wait = 0.5 if self._live else LINE_SECONDS

    def _line(self, text: str, last: bool = False) -> None:
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            text = f"\r\x1b[K{text[:width]}{chr(10) if last else ''}"
        else:
            text += "\n"
        sys.stderr.write(text)
        sys.stderr.flush()
