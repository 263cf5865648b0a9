"""What a role assignment permits, by the rules of Azure role definitions."""

from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from imagefactory.observed.permissions import Permission

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
