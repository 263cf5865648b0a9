"""The export of a stack out of shape: the same state, or an error; an image that is overlooked could be deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.state.stack_state import COPY, CUSTOM_IMAGE, RELEASE, StateError, state_of
from tests.azure.mutations import bent_bodies

URN = "urn:pulumi:dev::imagefactory::imagefactory:labs:LabImages${kind}::web@05d17100/{name}"
INPUTS: dict[str, dict[str, Any]] = {
    COPY: {"sourceUrl": "https://x/a.vhd", "sourceLength": 5},
    CUSTOM_IMAGE: {"labName": "web", "resourceGroupName": "labs", "name": "a"},
    RELEASE: {"copyId": "1"},
}
EXPORT: dict[str, Any] = {
    "version": 3,
    "deployment": {
        "manifest": {"time": "2026-11-27T10:00:00Z"},
        "resources": [
            {
                "urn": "urn:pulumi:dev::imagefactory::pulumi:pulumi:Stack::imagefactory-dev",
                "type": "pulumi:pulumi:Stack",
            },
            *(
                {"urn": URN.format(kind=kind, name=name), "type": kind, "inputs": inputs, "custom": True}
                for name in ("a", "b")
                for kind, inputs in INPUTS.items()
            ),
        ],
    },
}
UNREAD = r"^state: cannot read which images the stack contains; nothing is declared or deleted: "


@given(data=st.data())
def test_an_export_out_of_shape_is_the_same_state_or_an_error(data: st.DataObject) -> None:
    """Never another exception, never fewer images; inputs that nothing depends on may be missing."""
    valid = state_of(json.dumps(EXPORT).encode())
    assert len(valid.images) == len(valid.recorded) == 2
    body = data.draw(bent_bodies(EXPORT, {"deployment", "resources"}))
    try:
        found = state_of(body)
    except StateError as error:
        assert str(error).startswith("state: cannot read which images the stack contains; nothing is declared")
    else:
        assert (found.images, found.recorded) == (valid.images, valid.recorded)


@pytest.mark.parametrize("export", [b'{"version": 3}', b'{"version": 3, "deployment": {"manifest": {}}}'])
def test_a_stack_that_never_ran_has_no_images(export: bytes) -> None:
    """The engine omits what is empty."""
    assert state_of(export).images == frozenset()


@pytest.mark.parametrize(
    "export",
    [
        b"<html>",
        b"{}",
        b'{"deployment": []}',
        b'{"deployment": {"resources": null}}',
        b'{"deployment": {"resources": {}}}',
        b'{"deployment": {"resources": [null]}}',
        b'{"deployment": {"resources": [{"urn": "urn:pulumi:a::b"}]}}',
    ],
)
def test_an_export_without_its_form_is_an_error(export: bytes) -> None:
    """Not a traceback, and not a stack without images."""
    with pytest.raises(StateError, match=UNREAD):
        state_of(export)
