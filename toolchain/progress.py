"""Progress of long steps on standard error: a live line on a terminal, otherwise a line every 15 s.

Steps of up to 2 s print nothing. Does not write to standard output, which is for results.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

QUIET_SECONDS = 2.0
"""A step that finishes sooner prints no line."""
LINE_SECONDS = 15.0
"""Between two lines of a step without a terminal."""
NOTE_CHARACTERS = 100

_terminal = threading.RLock()


def say(text: str) -> None:
    """Print one line to standard error."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def above_live_line() -> Iterator[None]:
    """Clear the live line of a running step; it is not drawn again before the block ends."""
    with _terminal:
        if _is_live():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        yield


def _is_live() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class Step:
    """A running step: `with Step("Build the engine") as step: ... step.note = "current action"`."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.note = ""
        self._live = _is_live()
        self._finished = threading.Event()
        self._shown = False

    def __enter__(self) -> Step:
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finished.set()
        self._thread.join()
        if self._shown or kind is not None:
            outcome = "done" if kind is None else "failed" if issubclass(kind, Exception) else "interrupted"
            self._line(f"{self.title}: {outcome} ({self._elapsed()})", last=True)

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self._started)
        return f"{seconds // 60} min {seconds % 60:02} s" if seconds >= 60 else f"{seconds} s"

    def _show(self) -> None:
        wait = QUIET_SECONDS
        while not self._finished.wait(wait):
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
        with _terminal:
            sys.stderr.write(text)
            sys.stderr.flush()
