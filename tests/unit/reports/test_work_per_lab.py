"""Plan, state and reports take as much work for each lab, however many labs there are. Counts lines, not seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest

from imagefactory.configuration.stack_settings import Settings
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.labs.plan import build_plan
from imagefactory.planning.stacks.adoption import adoption
from imagefactory.planning.stacks.adoption_rules import AdoptionRules
from imagefactory.reports.plan_comparison import InState, compare
from imagefactory.reports.status_matrix import status
from imagefactory.state.stack_state import COPY, CUSTOM_IMAGE, RELEASE, StackState
from tests.unit.builders import NOON, SUBSCRIPTION, catalog, configuration, facts, image, lab, standing
from tests.unit.reports.plan_worlds import settings

STACK = "imagefactory/dev"
KEPT, RETIRED = image("new"), image("old", age=1)
SMALL = 20


class World:
    """Labs with two images each, one of them retired by the next run, and the state that has both."""

    def __init__(self, labs: int) -> None:
        self.factory = catalog(KEPT, RETIRED)
        self.settings: Settings = settings(keep=1)
        self.labs = configuration(*(lab(f"team{number}") for number in range(labs)))
        self.facts = {each.key: _facts(each.name) for each in self.labs.labs}
        self.state = StackState.of(
            {
                "urn": f"urn:pulumi:dev::imagefactory::{kind}::{each.label}/{one.name}",
                "type": kind,
                "inputs": _inputs(one.name),
            }
            for each in self.labs.labs
            for one in (KEPT, RETIRED)
            for kind in (COPY, CUSTOM_IMAGE, RELEASE)
        )
        self.plan = self.planned()

    def planned(self) -> Any:
        """Plan the next run."""
        return build_plan(
            self.labs,
            self.factory,
            facts("factory"),
            self.facts,
            self.settings,
            self.state.images,
            self.state.recorded,
            STACK,
            now=NOON,
        )

    def compared(self) -> Any:
        """Report what it does."""
        return compare(self.plan, InState(self.state.recorded), self.factory, self.settings, STACK)

    def watched(self) -> Any:
        """Report what labs hold."""
        return status(self.plan, self.factory, self.settings, (), self.state.images, NOON, STACK, "factory")

    def adopted(self) -> Any:
        """Take over what the state has not."""
        images, rules = self.state.images, AdoptionRules(STACK)
        return adoption(self.plan, images, set(), set(), (), self.factory, self.settings, rules, NOON)

    def looked_up(self) -> Any:
        """Find the images of each lab in the state."""
        state = replace(self.state)  # without what it has cached
        return [state.of_lab(each.label) for each in self.labs.labs]


def _inputs(name: str) -> dict[str, str]:
    url = f"https://factory.blob.core.windows.net/imagefactoryvhds/{name}.vhd"
    return {"sourceUrl": url, "labName": "team", "resourceGroupName": "rg"}


def _facts(name: str) -> LabFacts:
    made = (standing(one.name, source_vhd=one.vhd_name) for one in (KEPT, RETIRED))
    return facts(name, *(replace(one, id=f"/subscriptions/{SUBSCRIPTION}/{name}/{one.name}") for one in made))


def _lines(act: Callable[[], object]) -> int:
    """Return how many lines of Python it runs, each round of a comprehension included."""
    count = 0

    def traced(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        count += event == "line"
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        act()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("act", [World.planned, World.compared, World.watched, World.adopted, World.looked_up])
def test_the_work_for_each_further_lab_does_not_grow_with_their_number(act: Callable[[World], object]) -> None:
    """20 labs more cost as much if there are 60 as if there are 20."""
    few, more, many = (World(times * SMALL) for times in (1, 2, 4))
    act(World(1))  # what is computed once per process
    first, second, third = (_lines(lambda world=world: act(world)) for world in (few, more, many))  # type: ignore[misc]
    assert (third - second) <= 2.05 * (second - first)
