"""Phases: named, in the order in which they began, with concurrent parts counted once."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.telemetry.phases import Phases, duration, phases_in

spans = st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(lambda two: (min(two), max(two)))


@given(st.lists(spans, min_size=1))
def test_a_phase_lasts_from_its_first_start_to_its_last_end(parts: list[tuple[int, int]]) -> None:
    """However its parts overlap."""
    phases = Phases()
    for began, ended in parts:
        phases.add("copy", began, ended)
    assert phases.seconds == {"copy": max(end for _, end in parts) - min(start for start, _ in parts)}


def test_phases_are_listed_by_their_start_also_if_one_is_within_another_or_fails() -> None:
    """Each is a span as well."""
    entered: list[str] = []
    phases = Phases()

    def span(name: str) -> AbstractContextManager[object]:
        entered.append(name)
        return nullcontext()

    phases.spans = span
    with phases.phase("outer"), pytest.raises(ValueError), phases.phase("inner"):
        raise ValueError
    with phases.phase("last"):
        pass
    assert list(phases.seconds) == entered == ["outer", "inner", "last"]
    assert phases.text() == "phases: outer 0.0 s, inner 0.0 s, last 0.0 s"
    assert phases_in(f"{phases.text()}\n") == ["outer 0.0 s", "inner 0.0 s", "last 0.0 s"]
    assert Phases().text() == "" and phases_in("") == phases_in("the phases: none") == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7799, "2 h 09 min"),
    ],
)
def test_a_duration_has_the_unit_that_suits_it(seconds: float, text: str) -> None:
    """Tenths below ten seconds."""
    assert duration(seconds) == text
