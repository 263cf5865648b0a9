"""Diagnostics on one line: with their location, and with each file named once."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imagefactory.diagnostics import Location, error
from tests.unit.builders import image_paths


@pytest.mark.parametrize(
    ("file", "subject", "shown"),
    [
        ("x.json", "companion x.json", "x.json:1:2: error: companion: is wrong; so. Fix it."),
        ("Conf/GoldenImages/a b/c d.json", "golden image a b/c d.json", "c d.json:1:2: error: golden image: is wrong;"),
        ("Conf/labs.json", "labs.json", "Conf/labs.json:1:2: error: is wrong;"),
        ("labs.json", "Labs[0].LabName", "labs.json:1:2: error: Labs[0].LabName: is wrong;"),
        ("abs.json", "labs.json", "abs.json:1:2: error: labs.json: is wrong;"),
        ("labs.json", 'the "labs.json"', 'labs.json:1:2: error: the "labs.json": is wrong;'),
    ],
)
def test_a_subject_that_ends_with_the_file_of_the_location_is_shortened(file: str, subject: str, shown: str) -> None:
    """In the line only: the message without location, and JSON, keep the subject."""
    found = error(subject, "is wrong", "so", "Fix it", Location(file, 1, 2))
    assert shown in found.text()
    assert found.text().replace("error: ", "") == found.placed()
    assert found.message().startswith(f"{subject}: ") and found.to_dict()["subject"] == subject


@given(st.sampled_from(["companion", "golden image", "labs file"]), image_paths)
def test_a_file_that_location_and_subject_have_is_shown_once(kind: str, file: str) -> None:
    """Whatever the characters of its name, unless the kind ends with it."""
    assume(not kind.endswith(file))
    found = error(f"{kind} {file}", "is wrong", "", "", Location(f"root/{file}", 1))
    alone = error(kind, "is wrong", "", "", Location(f"root/{file}", 1))
    assert found.text() == alone.text()
