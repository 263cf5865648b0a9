"""One thing that is wrong, told so that a person can mend it.

Owns the text of errors and warnings and where they point. Refuses to print, log or raise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from imagefactory.plain_text import printable, redacted


class Severity(str, Enum):
    """How much a diagnostic weighs: an error stops or fails what it names, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Location:
    """A place in a file. Line and column count from 1, the column in characters; None where it is not known."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return printable(":".join(str(part) for part in (self.file, self.line, self.column) if part is not None))


@dataclass(frozen=True)
class Diagnostic:
    """Subject, fact, consequence and remedy of one thing that is wrong, each a phrase without a closing full stop."""

    severity: Severity
    subject: str
    fact: str
    consequence: str
    remedy: str
    location: Location | None = None

    def message(self) -> str:
        """The diagnostic on one line, without place and severity."""
        told = "; ".join(part for part in (self.fact, self.consequence) if part)
        return printable(redacted(f"{self.subject}: {told}. {self.remedy}")).rstrip(" .") + "."

    def placed(self) -> str:
        """Place and message, for a reader that shows the severity itself."""
        return f"{self.location}: {self.message()}" if self.location else self.message()

    def text(self) -> str:
        """The diagnostic on one line: `labs.json:3:5: error: <subject>: <fact>; <consequence>. <remedy>`."""
        place = f"{self.location}: " if self.location else ""
        return f"{place}{self.severity.value}: {self.message()}"

    def to_dict(self) -> dict[str, str | int | None]:
        """The diagnostic for JSON: `severity`, `file`, `line`, `column` (null where unknown), `subject`, `fact`,
        `consequence`, `remedy` and the whole `message`."""
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


def error(subject: str, fact: str, consequence: str, remedy: str, location: Location | None = None) -> Diagnostic:
    """A diagnostic of severity error."""
    return Diagnostic(Severity.ERROR, subject, fact, consequence, remedy, location)


def warning(subject: str, fact: str, consequence: str, remedy: str, location: Location | None = None) -> Diagnostic:
    """A diagnostic of severity warning."""
    return Diagnostic(Severity.WARNING, subject, fact, consequence, remedy, location)
