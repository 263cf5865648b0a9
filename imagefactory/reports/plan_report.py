"""The plan as people review it: what a run would do to each image of each lab and to each part of the gallery, and why.

Defines the values and their JSON. Does not compare: `imagefactory.reports.plan_comparison` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

from imagefactory.diagnostics import Diagnostic, Location
from imagefactory.reports.plan_totals import PlanTotals

Action = Literal[
    "delete",
    "replace",
    "create",
    "update",
    "not adopted",
    "foreign",
    "missing",
    "keep for now",
    "left out",
    "unchanged",
    "listed",
]
"""In the order in which they are shown: what leaves comes first. `listed` is all that is known without Azure."""
ORDER: tuple[Action, ...] = get_args(Action)
CHANGES: frozenset[Action] = frozenset({"delete", "replace", "create", "update"})
"""What a run does."""
_PUT_AGAIN: frozenset[Action] = frozenset({"update", "missing", "keep for now", "unchanged"})

Kind = Literal["custom image", "gallery", "definition", "version"]


@dataclass(frozen=True)
class Change:
    """An image of a lab or a part of the gallery, and what a run does to it."""

    kind: Kind
    action: Action
    name: str
    """In the state, else in Azure; empty: no image is known."""
    image_path: str
    why: str
    wanted: bool = False
    """Whether the plan contains it."""
    held: bool = False
    """Whether it exists, as far as could be read; if it could not, whether the state has it."""
    state: str | None = None
    """Its state in Azure; None: it does not exist, or was not read."""


@dataclass(frozen=True)
class LabReport:
    """One lab: an entry of labs.json, or a lab that only the state has."""

    label: str
    location: Location | None
    """The entry of labs.json; None: there is none, or the stack does not serve the lab."""
    images: tuple[Change, ...]
    """By action, then name."""
    offers: tuple[Change, ...] = ()
    """The definitions of the gallery that its users can use."""
    others: int = 0
    """Number of custom images that the factory did not create."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """Images, then offers."""
        return self.images + self.offers

    def names(self, *, wanted: bool, held: bool) -> list[str]:
        """Return the names of the images that are wanted and held, or not, sorted."""
        return sorted(one.name for one in self.images if one.name and (one.wanted, one.held) == (wanted, held))

    def to_dict(self) -> dict[str, object]:
        """Return the lab for JSON."""
        return {
            "lab": self.label,
            "file": self.location.file if self.location else None,
            "line": self.location.line if self.location else None,
            "images": [_change(one) for one in self.images],
            "gallery": [_change(one) for one in self.offers],
            "wantedAndHeld": self.names(wanted=True, held=True),
            "wantedNotHeld": self.names(wanted=True, held=False),
            "heldNotWanted": self.names(wanted=False, held=True),
            "otherImages": self.others,
        }


@dataclass(frozen=True)
class LeftOut:
    """A factory image that no lab gets, and why."""

    name: str
    image_path: str
    why: str


@dataclass(frozen=True)
class PlanReport:
    """What the next run of a stack would do."""

    stack: str
    """`project/stack`."""
    labs: tuple[LabReport, ...]
    """Those that lose something first, then by label."""
    gallery: tuple[Change, ...] = ()
    """The parts of the Compute Gallery."""
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    failures: tuple[Diagnostic, ...] = ()
    """What makes the run fail at its end."""
    totals: PlanTotals | None = None
    """None: Azure was not read."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """All of the labs and of the gallery."""
        return tuple(one for lab in self.labs for one in lab.changes) + self.gallery

    @property
    def has_changes(self) -> bool:
        """Whether a run would do anything."""
        return any(one.action in CHANGES for one in self.changes)

    def to_dict(self) -> dict[str, object]:
        """Return the report for JSON."""
        return {
            "stack": self.stack,
            "cloud": self.totals is not None,
            "changes": self.has_changes,
            "labs": [lab.to_dict() for lab in self.labs],
            "gallery": [_change(one) for one in self.gallery],
            "leftOut": [{"name": one.name, "imagePath": one.image_path, "why": one.why} for one in self.left_out],
            "totals": self.totals and self.totals.to_dict(),
            "warnings": [each.message() for each in self.warnings],
            "failures": [each.message() for each in self.failures],
        }


def in_order(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return the changes by action, then name."""
    return tuple(sorted(changes, key=lambda one: (ORDER.index(one.action), one.kind, one.name.lower(), one.name)))


def put_again(changes: Iterable[Change], unfinished: Collection[str], prefix: str = "") -> Iterator[Change]:
    """Yield the changes; the engine puts what an earlier run did not see finish, whatever is declared."""
    for one in changes:
        if f"{prefix}{one.name}" in unfinished and one.action in _PUT_AGAIN:
            yield replace(one, action="replace", why=f"{one.why}; an earlier run did not see Azure finish it")
        else:
            yield one


def counts(changes: Iterable[Change]) -> str:
    """Return how many there are of each action: `2 delete, 1 create`."""
    numbers = Counter(one.action for one in changes)
    return ", ".join(f"{numbers[action]} {action}" for action in ORDER if numbers[action])


def _change(one: Change) -> dict[str, object]:
    return {
        "kind": one.kind,
        "action": one.action,
        "name": one.name or None,
        "imagePath": one.image_path or None,
        "state": one.state,
        "wanted": one.wanted,
        "held": one.held,
        "why": one.why,
    }
