"""The rules of the policy pack: subscriptions, age, mandatory tags."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules import missing_tags, subscription_of, too_old, wrong_subscription

NOW = datetime(2026, 11, 28, tzinfo=timezone.utc)


@given(st.uuids(), st.lists(st.uuids()), st.booleans())
def test_a_subscription_is_right_if_and_only_if_it_is_listed(
    one: uuid.UUID, others: list[uuid.UUID], listed: bool
) -> None:
    """In any case of its letters; an unknown one never is."""
    allowed = [str(each).upper() for each in [*others, *[one] * listed]]
    assert (wrong_subscription(str(one), allowed) is None) == (one in others or listed)
    assert wrong_subscription(None, allowed)


def test_the_lab_says_the_subscription_and_else_the_provider() -> None:
    """A resource of the stack's own provider has the id of its lab; one of azure-native has its provider."""
    lab = {"labId": "/subscriptions/of-lab/resourceGroups/a/providers/Microsoft.DevTestLab/labs/b"}
    assert subscription_of(lab, {"subscriptionId": "of-provider"}) == "of-lab"
    assert subscription_of({}, {"subscriptionId": "of-provider"}) == "of-provider"
    assert subscription_of({"labId": "?"}, {}) is None


@given(st.integers(0, 3650), st.integers(0, 3650))
def test_an_image_is_too_old_if_and_only_if_it_was_saved_before_the_days(age: int, days: int) -> None:
    """By its tag SavedAt."""
    saved = (NOW - timedelta(days=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (too_old(saved, days, NOW) is None) == (age <= days)


@pytest.mark.parametrize("saved_at", [None, "", "yesterday", "2026-11-28T00:00:00"])
def test_an_image_of_unknown_age_is_too_old(saved_at: str | None) -> None:
    """A rule that cannot be checked is not met."""
    assert too_old(saved_at, 3650, NOW)


@given(st.sets(st.text()), st.sets(st.text()))
def test_the_tags_that_an_image_lacks_are_named(tags: set[str], mandatory: set[str]) -> None:
    """All of them, and only if there are any."""
    wrong = missing_tags(tags, sorted(mandatory))
    assert (wrong is None) == (mandatory <= tags)
    assert all(name in (wrong or "") for name in mandatory - tags)
