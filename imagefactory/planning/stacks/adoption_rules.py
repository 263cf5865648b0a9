"""Whose the existing images and parts of the gallery are, for an adoption: what a stack may take over.

Does not decide what becomes of each: `adoption` and `gallery_adoption` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from imagefactory.planning.labs.ownership import Tagged, named

Action = Literal["take over", "move", "not wanted", "foreign", "gone"]


@dataclass(frozen=True)
class AdoptionRules:
    """Whose images a stack takes over. Stacks are named `project/stack`."""

    stack: str
    other: str | None = None
    """A stack whose images are taken over, too."""
    held: Mapping[str, str] = field(default_factory=dict)
    """Images and parts of galleries in the states of further stacks: their ids in lower case -> name of the stack."""
    retire: bool = False
    """Whether images of the factory that the plan lacks are taken over, so that the next run deletes them."""

    def own(self, part: Tagged) -> bool:
        """Return whether the tag says that this stack, or the other one, created it."""
        return part.stack in {self.stack, self.other} - {None}

    def foreign(self, part: Tagged) -> str:
        """Return why an image, definition or version is not this stack's; empty: it may be."""
        if part.image_path is None:
            return "it has no ImagePath tag, so the factory did not create it"
        if elsewhere := self.elsewhere(part.id):
            return elsewhere
        if part.stack is not None and not self.own(part):
            command = f"imagefactory adopt --from {named(part, self.stack)}"
            return f"it belongs to stack {part.stack}; `{command}` takes it over"
        return ""

    def elsewhere(self, id: str) -> str:
        """Return which further stack has the resource in its state; empty: none."""
        holder = self.held.get(id.lower())
        return (
            f"the state of stack {holder} has it; `imagefactory adopt --from {holder}` takes it over" if holder else ""
        )
