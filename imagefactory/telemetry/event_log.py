"""Writes events as JSON lines: appended, one line per write, so that a reader and other processes see complete lines.

A file that can no longer be written ends the recording, not the run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from imagefactory.diagnostics import Diagnostic, error
from imagefactory.errors import ConfigurationError
from imagefactory.plain_text import json_line
from imagefactory.telemetry.copy_events import CopyEvent

VARIABLE = "IMAGEFACTORY_EVENTS"
"""Names the file."""


class EventLog:
    """A `CopyObserver` that appends to a file; `warn` receives the one warning if that fails later."""

    def __init__(self, path: str, warn: Callable[[str], object]) -> None:
        """Raises `ConfigurationError` if the file cannot be opened."""
        self._path, self._warn = path, warn
        try:
            self._file: int | None = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as problem:
            raise ConfigurationError([_problem(path, problem)]) from None

    def __call__(self, event: CopyEvent) -> None:
        """Append an event."""
        if self._file is None:
            return
        try:
            os.write(self._file, f"{json_line(event.to_dict())}\n".encode())
        except OSError as problem:
            self.close()
            self._warn(_problem(self._path, problem).message())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _problem(path: str, problem: OSError) -> Diagnostic:
    fact = f"cannot be written ({problem.strerror})"
    remedy = f"Set {VARIABLE} or --events to a file that can be written"
    return error(f"events file {Path(path).name}", fact, "events of copies are not recorded", remedy)
