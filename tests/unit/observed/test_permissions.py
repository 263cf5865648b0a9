"""What a role assignment permits and a deny assignment takes away, by the rules of Azure."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.observed.permissions import EVERYONE, Denial, Identity, Permission, Principal

WORDS = ("Microsoft.DevTestLab", "labs", "customImages", "read", "write")
ACTIONS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map("/".join)
PATTERNS = st.lists(st.sampled_from((*WORDS, "*", "la*s", "R*")), min_size=1, max_size=4).map("/".join)


@given(ACTIONS, st.lists(PATTERNS, max_size=4), st.lists(PATTERNS, max_size=4))
def test_an_action_is_permitted_if_a_pattern_has_it_and_no_exception_does(
    action: str, given: list[str], taken: list[str]
) -> None:
    """`*` is any text, slashes included; case does not matter. Data actions have the same rules, and are apart."""

    def matches(patterns: list[str]) -> bool:
        return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)

    expected = matches(given) and not matches(taken)
    control = Permission(actions=tuple(given), not_actions=tuple(taken))
    data = Permission(data_actions=tuple(given), not_data_actions=tuple(taken))
    assert (control.permits(action), control.permits(action, on_data=True)) == (expected, False)
    assert (data.permits(action), data.permits(action, on_data=True)) == (False, expected)


@given(ACTIONS)
def test_what_is_special_in_other_patterns_is_not_special_here(action: str) -> None:
    """A dot, a question mark and brackets are themselves."""
    assert not Permission(actions=(action.replace("/", "."),)).permits("a/" + action)
    assert not Permission(actions=("?" * len(action), f"[{action}]", ".*")).permits(action)
    assert Permission(actions=(action.upper(),)).permits(action)


KINDS = st.sampled_from(("User", "Group", "ServicePrincipal", "", "New"))
PRINCIPALS = st.lists(st.builds(Principal, st.sampled_from(("a", "B", "g")), KINDS), max_size=3).map(tuple)
NAMED = st.one_of(PRINCIPALS, st.just((Principal(EVERYONE, "SystemDefined"),)))
ALL = (Permission(("*",)),)


@given(NAMED, PRINCIPALS, st.sampled_from(("A", "b", "")), st.sets(st.sampled_from("aBgx")).map(frozenset))
def test_a_denial_is_certain_only_if_groups_could_not_change_it(
    named: tuple[Principal, ...], excluded: tuple[Principal, ...], who: str, groups: frozenset[str]
) -> None:
    """With the groups known, it concerns those named and not excluded; without, it says so, or that it is not known."""
    denial = Denial("d", "/", ALL, named, excluded)

    def has(given: tuple[Principal, ...]) -> bool:
        own = {who.lower(), *(each.lower() for each in groups)}
        return any(each.id == EVERYONE or each.id.lower() in own for each in given)

    exact = denial.concerns(Identity(who, groups))
    if who:
        assert exact == (has(named) and not has(excluded))
    kinds_fit = all(
        each.may_be_group or each.id.lower() not in {group.lower() for group in groups} for each in named + excluded
    )
    guessed = denial.concerns(Identity(who, None))
    if kinds_fit and guessed is not None:
        assert guessed == exact or exact is None


@pytest.mark.parametrize(
    ("scope", "only", "counts"),
    [
        ("/subscriptions/s", False, True),
        ("/SUBSCRIPTIONS/S/resourcegroups/G/", False, True),
        ("/subscriptions/s/resourceGroups/g/providers/p/t/lab", True, True),
        ("/subscriptions/s/resourceGroups/g", True, False),
        ("/subscriptions/s/resourceGroups/g/providers/p/t/la", False, False),
        ("/subscriptions/s/resourceGroups/g/providers/p/t/lab/images/i", False, False),
        ("/providers/Microsoft.Management/managementGroups/all", False, True),
        ("/providers/Microsoft.Management/managementGroups/all", True, False),
        ("/", False, True),
    ],
)
def test_a_denial_counts_at_its_scope_and_below(scope: str, only: bool, counts: bool) -> None:
    """Unless it does not apply to child scopes; a management group is above the subscription that shows it."""
    lab = "/subscriptions/s/resourceGroups/g/providers/p/t/lab"
    assert Denial("d", scope, ALL, (), (), only).is_at(lab) == counts


def test_a_condition_makes_a_denial_uncertain() -> None:
    """Unless another permission of it denies the same without one."""
    everyone = (Principal(EVERYONE, "SystemDefined"),)
    perhaps = Permission(("a/*",), conditional=True)
    assert Denial("d", "/", (perhaps,), everyone).denies("a/b", Identity("x")) is None
    assert Denial("d", "/", (perhaps, Permission(("*/b",))), everyone).denies("a/b", Identity("x")) is True
    assert Denial("d", "/", (perhaps,), everyone).denies("b", Identity("x")) is False
