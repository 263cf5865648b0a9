"""What a run did to each lab and to the gallery, and what it did not: a value, its JSON and its counts.

Does not read the log of a run: `imagefactory.state.run_log` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from imagefactory.plain_text import printable, redacted
from imagefactory.telemetry.phases import listed

Outcome = Literal[
    "failed", "interrupted", "not done", "left out", "deleted", "replaced", "created", "updated", "kept", "unchanged"
]
ORDER: tuple[Outcome, ...] = get_args(Outcome)
PROBLEMS = frozenset({"failed", "interrupted", "not done"})
DONE = frozenset({"created", "updated", "deleted", "replaced"})

Result = Literal["succeeded", "failed", "canceled", "interrupted"]
"""`interrupted`: the log has no end, because the run was killed or still runs."""


@dataclass(frozen=True)
class Item:
    """A custom image, an image of the gallery, or the attachment of the gallery to a lab, after a run."""

    name: str
    outcome: Outcome
    why: str = ""
    """The error, or the reason of the plan; empty if there is none."""

    def to_dict(self) -> dict[str, str]:
        """Return the item for JSON."""
        return {"image": safe(self.name), "outcome": self.outcome, "why": safe(self.why)}


@dataclass(frozen=True)
class Part:
    """A lab (its label), or the gallery (empty), after a run."""

    label: str
    items: tuple[Item, ...] = ()
    errors: tuple[str, ...] = ()
    """Errors that name the lab and none of its images."""

    @property
    def title(self) -> str:
        """What the part is called in texts."""
        return f"Lab {self.label}" if self.label else "Compute Gallery"

    @property
    def has_problems(self) -> bool:
        """Whether something was not done."""
        return bool(self.errors) or any(item.outcome in PROBLEMS for item in self.items)

    @property
    def counts(self) -> str:
        """How many items ended how."""
        number = Counter(item.outcome for item in self.items)
        found = [f"{number[outcome]} {outcome}" for outcome in ORDER if number[outcome]]
        if self.errors:
            found.append("1 error" if len(self.errors) == 1 else f"{len(self.errors)} errors")
        return ", ".join(found) or "nothing"

    @property
    def told(self) -> tuple[Item, ...]:
        """The items about which there is something to tell."""
        return tuple(item for item in self.items if item.outcome != "unchanged")

    def to_dict(self) -> dict[str, object]:
        """Return the part for JSON."""
        return {
            "lab": self.label or None,
            "done": not self.has_problems,
            "images": [item.to_dict() for item in self.items],
            "errors": [safe(text) for text in self.errors],
        }


@dataclass(frozen=True)
class RunSummary:
    """What one run, or several runs one after the other, did to the labs and the gallery of a stack."""

    stack: str
    result: Result
    seconds: int
    labs: tuple[Part, ...] = ()
    """Those with problems first, then by label."""
    gallery: Part | None = None
    """None: the run had nothing to do with a gallery."""
    errors: tuple[str, ...] = ()
    """Errors that name no lab."""
    phases: tuple[str, ...] = ()
    """Each with its duration."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The labs, then the gallery."""
        return (*self.labs, *([self.gallery] if self.gallery else []))

    @property
    def failed(self) -> bool:
        """Whether something that the run was to do is not done."""
        return self.result != "succeeded" or bool(self.errors) or any(part.has_problems for part in self.parts)

    def lines(self) -> list[str]:
        """Return how the run ended, in a line or some."""
        problems = sum(part.has_problems for part in self.labs)
        labs = f"labs: {len(self.labs)}, with failures: {problems}"
        first = f"Run of stack {self.stack}: {self.result} after {self.seconds} s; {labs}."
        lines = [first, listed(self.phases)]
        if self.result in {"canceled", "interrupted"}:
            missing = "What it had not begun is not in the log."
            lines.append(f"{missing} To list it, run imagefactory plan --stack {self.stack}; to go on, pulumi up.")
        return [line for line in lines if line]

    def to_dict(self) -> dict[str, object]:
        """Return the summary for JSON."""
        return {
            "stack": safe(self.stack),
            "result": self.result,
            "done": not self.failed,
            "durationSeconds": self.seconds,
            "labs": [lab.to_dict() for lab in self.labs],
            "gallery": self.gallery and self.gallery.to_dict(),
            "errors": [safe(text) for text in self.errors],
            "phases": [safe(text) for text in self.phases],
        }


def safe(text: str) -> str:
    """Return a text of the cloud on one line, without secrets and agent commands."""
    return printable(redacted(text))


def by_need(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return the parts with problems first, then by label."""
    return tuple(sorted(parts, key=lambda part: (not part.has_problems, part.label)))
