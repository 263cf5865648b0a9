"""A command of `imagefactory` with a terminal for its three streams: reads what it shows, types, and presses Ctrl-C."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class Terminal:
    """A running command at a terminal of 200 columns."""

    def __init__(self, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> None:
        self._here, there = pty.openpty()
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, "TERM": "xterm-256color", "COLUMNS": "200", "LINES": "40"},
            stdin=there,
            stdout=there,
            stderr=there,
            start_new_session=True,
        )
        os.close(there)
        self.shown = ""

    def read_until(self, text: str) -> None:
        """Read until the command has shown a text."""
        while text not in self.shown:
            ready, _, _ = select.select([self._here], [], [], 30)
            assert ready, self.shown
            self.shown += os.read(self._here, 65536).decode(errors="replace")

    def answer(self, text: str) -> None:
        """Type a line."""
        os.write(self._here, f"{text}\n".encode())

    def press_ctrl_c(self) -> None:
        """Send the signal of Ctrl-C to all processes of the terminal."""
        os.killpg(self._process.pid, signal.SIGINT)

    def end(self) -> int:
        """Read until the command exits; return its exit code."""
        while True:
            try:
                read = os.read(self._here, 65536)
            except OSError:  # Linux: the other side is closed
                break
            if not read:
                break
            self.shown += read.decode(errors="replace")
        os.close(self._here)
        return self._process.wait(timeout=30)
