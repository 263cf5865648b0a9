"""What an experiment is, and the list of all: each is a function with facts for the plan that is shown before a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from contract.bench import Bench


@dataclass(frozen=True)
class Experiment:
    """One experiment: what it creates and how long it takes on Azure, with its rough cost in US cents."""

    name: str
    run: Callable[[Bench], None]
    creates: str
    minutes: int
    cents: float
    not_modelled: str
    """Why the embedded cloud cannot answer; empty: it can."""

    @property
    def asks(self) -> str:
        """What is asked, and where the product relies on it: the docstring in one line."""
        return " ".join((inspect.getdoc(self.run) or "").split())


EXPERIMENTS: dict[str, Experiment] = {}
"""By name, in the order of the report."""


def experiment(
    name: str, *, creates: str, minutes: int = 1, cents: float = 0, not_modelled: str = ""
) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Register an experiment."""

    def register(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
        EXPERIMENTS[name] = Experiment(name, function, creates, minutes, cents, not_modelled)
        return function

    return register
