"""What of a role is missing at a scope, by all assignments there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imagefactory.doctor.roles import is_conditional, missing
from imagefactory.observed.permissions import Permission
from imagefactory.roles.actions import Place
from imagefactory.roles.purposes import role_of

ROLE = role_of(Place.LAB_STORAGE)
WANTED = (*ROLE.actions, *ROLE.data_actions)


@given(st.sets(st.sampled_from(WANTED)), st.booleans())
def test_what_is_missing_is_what_no_assignment_has(lacking: set[str], conditional: bool) -> None:
    """In the order of the role; an exception of one assignment takes nothing from another."""
    exceptions = tuple(sorted(lacking))
    everything = Permission(("*",), exceptions, ("*",), exceptions, conditional)
    assert missing(ROLE, [everything]) == [action for action in WANTED if action in lacking]
    assert missing(ROLE, [everything, Permission(("*",), (), ("*",))]) == []
    assert missing(ROLE, []) == [*WANTED]
    assert is_conditional(ROLE, [everything]) == (conditional or bool(lacking))
