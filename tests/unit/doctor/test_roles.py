"""The least that must be permitted: what is missing of it, and that docs/operations.md shows the same lists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.doctor.roles import (
    ASKING,
    BLOB_CONTRIBUTOR,
    CUSTOM,
    DISK_OPERATIONS,
    GALLERY_OPERATIONS,
    READER,
    Role,
)
from imagefactory.observed.permissions import Permission

OPERATIONS = (Path(__file__).parents[3] / "docs" / "operations.md").read_text("utf-8")
SHOWN = {
    role["Name"]: role for role in map(json.loads, re.findall(r"^```json\n(.*?)^```", OPERATIONS, re.MULTILINE | re.S))
}


@pytest.mark.parametrize("role", CUSTOM, ids=lambda role: role.name)
def test_the_custom_roles_of_the_documents_are_those_that_are_checked(role: Role) -> None:
    """Action by action; the Reader can also ask what is permitted and denied."""
    asking = ASKING if role is READER else ()
    assert SHOWN[role.name]["Actions"] == [*role.actions, *asking] and not role.data_actions
    assert set(SHOWN) == {each.name for each in CUSTOM}


@given(st.sets(st.sampled_from((*BLOB_CONTRIBUTOR.actions, *BLOB_CONTRIBUTOR.data_actions))), st.booleans())
def test_what_is_missing_is_what_no_assignment_has(lacking: set[str], conditional: bool) -> None:
    """In the order of the role; an exception of one assignment takes nothing from another."""
    role, exceptions = BLOB_CONTRIBUTOR, tuple(sorted(lacking))
    everything = Permission(("*",), exceptions, ("*",), exceptions, conditional)
    assert role.missing([everything]) == [action for action in (*role.actions, *role.data_actions) if action in lacking]
    assert role.missing([everything, Permission(("*",), (), ("*",))]) == []
    assert role.missing([]) == [*role.actions, *role.data_actions]
    assert role.is_conditional([everything]) == (conditional or bool(lacking))


@pytest.mark.parametrize("role", CUSTOM, ids=lambda role: role.name)
def test_what_has_no_resource_group_is_in_the_roles_of_a_subscription(role: Role) -> None:
    """`locations/...` of a provider is a resource of the subscription, which a role at a lab does not permit."""
    of_subscriptions = {READER, DISK_OPERATIONS, GALLERY_OPERATIONS}
    assert role in of_subscriptions or not any("/locations/" in action for action in role.actions)
