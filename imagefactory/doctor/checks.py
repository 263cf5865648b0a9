"""Checks as values, and their order: first the stack and the factory, then the labs, the worst first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from imagefactory.diagnostics import Diagnostic, Severity
from imagefactory.plain_text import printable, redacted

Outcome = Literal["failure", "unknown", "warning", "ok"]
ORDER: tuple[Outcome, ...] = ("failure", "unknown", "warning", "ok")
"""The worst first."""
STACK, FACTORY = "stack", "factory"
"""The subjects that are no labs; a lab's is its label, which contains @."""
NAMED = 3
"""How many names a fact has, at most."""


@dataclass(frozen=True)
class Check:
    """One check of a subject (`STACK`, `FACTORY` or the label of a lab), with what was found, and what to do.

    `failure`: a run would fail, at least in part. `warning`: it would not. `unknown`: it could not be found out.
    """

    subject: str
    name: str
    result: Outcome
    fact: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str | None]:
        """Return the check for JSON."""
        return {
            "subject": self.subject,
            "check": self.name,
            "result": self.result,
            "fact": _plain(self.fact),
            "remedy": _plain(self.remedy) or None,
        }

    def text(self) -> str:
        """Return result and fact on one line."""
        return _plain(f"{self.result}: {self.fact}")


def of_diagnostic(subject: str, name: str, found: Diagnostic) -> Check:
    """Return a problem as a check; its place in a file is part of the fact."""
    result: Outcome = "failure" if found.severity is Severity.ERROR else "warning"
    about = f"{found.location}: {found.subject}" if found.location and found.location.line else found.subject
    facts = "; ".join(part for part in (found.fact, found.consequence) if part)
    return Check(subject, name, result, f"{about}: {facts}", found.remedy)


def unexpected(subject: str, name: str, problem: Exception) -> Check:
    """Return a mistake of the program as a check: it hides no other one."""
    fact = f"unexpected {type(problem).__name__} ({problem})"
    return Check(subject, name, "unknown", _plain(fact), "Run again; if the error persists, report it")


def too_late(subject: str, name: str, seconds: float) -> Check:
    """Return the check that was not done within so many seconds."""
    return Check(subject, name, "unknown", f"no answer within {seconds:g} s", "Run again")


def ordered(checks: Iterable[Check]) -> list[Check]:
    """Return the checks by subject, the stack and the factory first, then labs by their worst result and label.

    Within a subject the worst first, otherwise as given.
    """
    groups: dict[str, list[Check]] = {}
    for check in checks:
        groups.setdefault(check.subject, []).append(check)
    for group in groups.values():
        group.sort(key=_badness)

    def place(subject: str) -> tuple[bool, bool, int, str]:
        return subject != STACK, subject != FACTORY, _badness(groups[subject][0]), subject

    return [check for subject in sorted(groups, key=place) for check in groups[subject]]


def would_fail(checks: Iterable[Check]) -> bool:
    """Return whether a run would fail."""
    return any(check.result == "failure" for check in checks)


def summarized(checks: Iterable[Check]) -> Iterator[tuple[Check, int]]:
    """Yield each check that is not `ok` with 1, and after those of a subject one `ok` check with their number."""
    found = list(checks)
    for subject in dict.fromkeys(check.subject for check in found):
        own = [check for check in found if check.subject == subject]
        yield from ((check, 1) for check in own if check.result != "ok")
        fine = [check for check in own if check.result == "ok"]
        if fine:
            yield fine[0], len(fine)


def _badness(check: Check) -> int:
    return ORDER.index(check.result)


def _plain(text: str) -> str:
    return printable(redacted(text)).rstrip(" .")


def some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
