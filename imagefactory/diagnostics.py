"""Diagnostics: one problem each, with its remedy.

Defines the text and location of errors and warnings. Does not print, log or raise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from imagefactory.plain_text import printable, redacted


class Severity(str, Enum):
    """The weight of a diagnostic: an error stops or fails what it names, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Location:
    """A place in a file. Line and column count from 1, the column in characters; None if unknown."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return printable(":".join(str(part) for part in (self.file, self.line, self.column) if part is not None))


@dataclass(frozen=True)
class Diagnostic:
    """Subject, fact, consequence and remedy of one problem, each a phrase without a closing full stop."""

    severity: Severity
    subject: str
    fact: str
    consequence: str
    remedy: str
    location: Location | None = None

    def message(self) -> str:
        """Return the diagnostic on one line, without location and severity."""
        return self._line(self.subject)

    def placed(self) -> str:
        """Return location and message, for a reader that adds the severity itself."""
        return self._located("")

    def text(self) -> str:
        """Return the diagnostic on one line: `labs.json:3:5: error: <subject>: <fact>; <consequence>. <remedy>`."""
        return self._located(f"{self.severity.value}: ")

    def to_dict(self) -> dict[str, str | int | None]:
        """Return the diagnostic for JSON: `severity`, `file`, `line`, `column` (null if unknown), `subject`, `fact`,
        `consequence`, `remedy` and the complete `message`."""
        place = self.location or Location("")
        return {
            "severity": self.severity.value,
            "file": place.file or None,
            "line": place.line,
            "column": place.column,
            "subject": self.subject,
            "fact": self.fact,
            "consequence": self.consequence,
            "remedy": self.remedy,
            "message": self.message(),
        }

    def _located(self, severity: str) -> str:
        """Name the file once: a subject that ends with it (`companion x.json`) is shortened beside the location."""
        if self.location is None:
            return severity + self.message()
        words = [match.end() for match in re.finditer(r"^|\s", self.subject)]
        file = f"/{self.location.file}"
        named = next((start for start in words if file.endswith(f"/{self.subject[start:]}")), len(self.subject))
        return f"{self.location}: {severity}{self._line(self.subject[:named].rstrip())}"

    def _line(self, subject: str) -> str:
        facts = "; ".join(part for part in (self.fact, self.consequence) if part)
        problem = f"{subject}: {facts}" if subject else facts
        return printable(redacted(f"{problem}. {self.remedy}")).rstrip(" .") + "."


def error(subject: str, fact: str, consequence: str, remedy: str, location: Location | None = None) -> Diagnostic:
    """Return a diagnostic of severity error."""
    return Diagnostic(Severity.ERROR, subject, fact, consequence, remedy, location)


def warning(subject: str, fact: str, consequence: str, remedy: str, location: Location | None = None) -> Diagnostic:
    """Return a diagnostic of severity warning."""
    return Diagnostic(Severity.WARNING, subject, fact, consequence, remedy, location)
