"""What labs hold, beside what the plan gives them: a matrix of labs and image paths.

Does not derive it, `status_matrix` does, and does not format: table, JSON and page are rendered from this one value.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from imagefactory.configuration.image_paths import fold
from imagefactory.diagnostics import Diagnostic

CellState = Literal[
    "unread",
    "revoked",
    "failed",
    "missing",
    "behind",
    "incomplete",
    "foreign",
    "leaving",
    "creating",
    "held back",
    "no image",
    "current",
]
"""In the order in which they need attention."""
STATES: tuple[CellState, ...] = get_args(CellState)
LACKING: frozenset[CellState] = frozenset({"revoked", "failed", "missing", "behind", "incomplete"})
"""What a nightly check reports: the lab does not hold what the plan gives it, or holds what is revoked."""


@dataclass(frozen=True)
class Dated:
    """An image by name, and when its VHD was saved, in UTC; None: unknown."""

    name: str
    saved_at: datetime | None


@dataclass(frozen=True)
class Cell:
    """One image path of one lab."""

    path: str
    state: CellState
    behind: int = 0
    """How many images the plan gives the lab that it does not hold, newer than the newest that its users can use."""
    holds: Dated | None = None
    """The newest image of the path that its users can use; None: there is none, or the lab could not be read."""
    newest: Dated | None = None
    """The newest image that the plan gives the lab; None: none."""
    why: str = ""
    """Why it is not current; empty if it is."""

    @property
    def words(self) -> str:
        """Its state, for people: `behind by 2`."""
        return f"behind by {self.behind}" if self.state == "behind" and self.behind else self.state


@dataclass(frozen=True)
class LabStatus:
    """One lab of labs.json, or one that labs.json does not list and that has images of the stack."""

    label: str
    name: str
    subscription_id: str
    resource_group: str
    """Empty: unknown."""
    region: str
    """Empty: the lab could not be read."""
    cells: tuple[Cell, ...]
    """The image paths that labs.json lists for it, and others that its images of a factory have, by path; of a lab that
    labs.json does not list, those of the stack's images."""

    @property
    def unread(self) -> str:
        """Why it could not be read; empty if it could."""
        return next((cell.why for cell in self.cells if cell.state == "unread"), "")

    @property
    def by_attention(self) -> tuple[Cell, ...]:
        """The cells, those that need attention first."""
        return tuple(sorted(self.cells, key=lambda cell: (STATES.index(cell.state), -cell.behind)))

    @property
    def attention(self) -> tuple[int, ...]:
        """How much attention it needs, to sort by: the number of its cells in each state, negative."""
        numbers = Counter(cell.state for cell in self.cells)
        return tuple(-numbers[state] for state in STATES)

    @property
    def by_path(self) -> dict[str, Cell]:
        """The cells by image path."""
        return {cell.path: cell for cell in self.cells}

    def cells_in(self, state: CellState) -> tuple[Cell, ...]:
        """Return the cells in a state, by image path."""
        return tuple(cell for cell in self.cells if cell.state == state)


@dataclass(frozen=True)
class StackStatus:
    """All labs of one stack at a time."""

    stack: str
    """Without its project."""
    factory: str
    """Name of the factory lab."""
    made_at: datetime
    """UTC."""
    labs: tuple[LabStatus, ...]
    """By label."""
    warnings: tuple[Diagnostic, ...] = ()
    failures: tuple[Diagnostic, ...] = ()

    @property
    def counts(self) -> dict[CellState, int]:
        """How many cells are in each state, in the order of attention; none without cells."""
        numbers = Counter(cell.state for lab in self.labs for cell in lab.cells)
        return {state: numbers[state] for state in STATES if numbers[state]}

    @property
    def by_attention(self) -> tuple[LabStatus, ...]:
        """The labs, those that need attention first, then by name."""
        return tuple(sorted(self.labs, key=lambda lab: (lab.attention, fold(lab.name), lab.label)))

    @property
    def paths(self) -> tuple[str, ...]:
        """The image paths of all cells, sorted."""
        return tuple(
            sorted({cell.path for lab in self.labs for cell in lab.cells}, key=lambda path: (fold(path), path))
        )

    @property
    def is_lacking(self) -> bool:
        """Whether a lab does not hold what the plan gives it."""
        return any(cell.state in LACKING for lab in self.labs for cell in lab.cells)
