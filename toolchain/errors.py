"""The errors that end a command of dev.py with a message instead of a traceback."""

from __future__ import annotations

from collections.abc import Sequence


class SetupError(Exception):
    """A step that failed. The text names subject, fact and remedy; `output` has a failed tool's last lines."""

    def __init__(self, subject: str, fact: str, remedy: str, output: Sequence[str] = ()) -> None:
        super().__init__(f"{subject}: {fact}. {remedy}")
        self.output = tuple(output)

    def with_output(self) -> str:
        """Return the message, then the tool's last lines."""
        return "\n".join([str(self), *(f"  | {line}" for line in self.output)])
