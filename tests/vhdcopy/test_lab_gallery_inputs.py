"""The inputs of `LabGallery`: what is stored, rejected, known at preview, and what a change does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.vhdcopy.lab_gallery import LabGallery, LabGalleryInputs
from providers.vhdcopy.resource import UNKNOWN, changed, check, replacing

SUBSCRIPTION = "/subscriptions/05d17100-0000-4000-8000-000000000000/resourceGroups/Rg/providers"
LAB = f"{SUBSCRIPTION}/Microsoft.DevTestLab/labs/Web"
GALLERY = f"{SUBSCRIPTION}/Microsoft.Compute/galleries/ImageFactory"


def definition(name: str, os_type: str = "Windows", image_type: str = "Generalized") -> dict[str, str]:
    return {"name": name, "osType": os_type, "imageType": image_type}


INPUTS: dict[str, Any] = {
    "labId": LAB,
    "location": "westeurope",
    "name": "ImageFactory",
    "galleryId": GALLERY,
    "definitions": [definition("Ubuntu.Server", "Linux", "Specialized"), definition("Win2016.Datacenter")],
}


def test_inputs_are_stored_as_given() -> None:
    """With the spelling of the ids: DevTest Labs shows the names in them."""
    assert check(LabGalleryInputs, INPUTS) == (INPUTS, {})


def test_the_attachment_is_named_after_the_gallery() -> None:
    """Unless the program names it."""
    unnamed = {name: value for name, value in INPUTS.items() if name != "name"}
    assert check(LabGalleryInputs, unnamed)[0]["name"] == "ImageFactory"
    assert check(LabGalleryInputs, {**unnamed, "name": ""})[0]["name"] == "ImageFactory"
    assert check(LabGalleryInputs, {**unnamed, "name": "own"})[0]["name"] == "own"


@given(st.permutations([definition(name) for name in ("a", "B", "c-gen2", "D.e_f")]))
def test_definitions_are_stored_sorted_by_name(shuffled: list[dict[str, str]]) -> None:
    """So another order of the program is no change."""
    stored, problems = check(LabGalleryInputs, {**INPUTS, "definitions": shuffled})
    assert [each["name"] for each in stored["definitions"]] == ["a", "B", "c-gen2", "D.e_f"] and not problems


@pytest.mark.parametrize(
    ("change", "named", "problem"),
    [
        ({"labId": GALLERY}, "labId", "is not an id of a Microsoft.DevTestLab/labs"),
        ({"galleryId": LAB}, "galleryId", "is not an id of a Microsoft.Compute/galleries"),
        ({"galleryId": ""}, "galleryId", "is missing"),
        ({"location": ""}, "location", "is missing"),
        ({"name": "a/b"}, "name", "is not a name"),
        ({"definitions": "all"}, "definitions", "is not a list"),
        ({"definitions": ["a"]}, "definitions[0]", "is not an object"),
        ({"definitions": [definition("a"), definition("A")]}, "definitions", "has a name twice"),
        ({"definitions": [definition("a?b")]}, "definitions[0].name", "is not a name"),
        ({"definitions": [definition("a" * 81)]}, "definitions[0].name", "is not a name"),
        ({"definitions": [definition("a", "BSD")]}, "definitions[0].osType", "'Windows' or 'Linux'"),
        ({"definitions": [definition("a", image_type="x")]}, "definitions[0].imageType", "'Generalized' or"),
        ({"definitions": [{**definition("a"), "more": 1}]}, "definitions[0].more", "is not an input"),
        ({"attachmentId": "x"}, "attachmentId", "is not an input"),
    ],
)
def test_each_problem_names_its_place(change: dict[str, Any], named: str, problem: str) -> None:
    """Down to the property of a definition; nothing is requested of Azure."""
    ((place, reason),) = check(LabGalleryInputs, {**INPUTS, **change})[1].items()
    assert place == named and problem in reason


def test_all_missing_inputs_are_reported_together() -> None:
    """The name of the attachment only without a gallery to take it from."""
    assert check(LabGalleryInputs, {})[1] == dict.fromkeys(INPUTS, "is missing")


@pytest.mark.parametrize("name", ["labId", "location", "name", "galleryId", "definitions"])
def test_an_unknown_input_is_accepted_at_preview_and_stays_unknown(name: str) -> None:
    """The gallery is not created yet at the first preview."""
    stored, problems = check(LabGalleryInputs, {**INPUTS, name: UNKNOWN})
    assert not problems and stored == {**INPUTS, name: UNKNOWN}


def test_what_follows_from_an_unknown_gallery_is_unknown_too() -> None:
    """The name of the attachment and its id."""
    unnamed = {name: value for name, value in INPUTS.items() if name != "name"} | {"galleryId": UNKNOWN}
    stored, problems = check(LabGalleryInputs, unnamed)
    assert stored == {**unnamed, "name": UNKNOWN} and not problems
    planned = LabGallery().planned(LabGalleryInputs.model_validate(stored))
    assert planned == {**stored, "attachmentId": UNKNOWN}


def test_unknown_parts_of_definitions_stay_unknown() -> None:
    """Known ones are still checked, and sorted before those without a name."""
    given = [definition(UNKNOWN), definition("b", UNKNOWN), definition("a", image_type=UNKNOWN), definition(UNKNOWN)]
    stored, problems = check(LabGalleryInputs, {**INPUTS, "definitions": given})
    assert stored["definitions"] == [given[2], given[1], given[0], given[3]] and not problems
    assert (
        "definitions[4].osType" in check(LabGalleryInputs, {**INPUTS, "definitions": [*given, definition("c", "x")]})[1]
    )


def test_all_outputs_are_known_at_preview() -> None:
    """The inputs, and the id of the attachment."""
    planned = LabGallery().planned(LabGalleryInputs.model_validate(INPUTS))
    assert planned == {**INPUTS, "attachmentId": f"{LAB}/sharedgalleries/ImageFactory"}


@pytest.mark.parametrize(
    ("change", "replaced"),
    [
        ({"definitions": []}, False),
        ({"location": "westus"}, False),
        ({"labId": f"{LAB}2"}, True),
        ({"galleryId": f"{GALLERY}2"}, True),
        ({"name": "other"}, True),
    ],
)
def test_another_lab_gallery_or_name_replaces_and_the_rest_updates(change: dict[str, Any], replaced: bool) -> None:
    """The old attachment is deleted first, because a lab has one gallery at a time."""
    names = changed(LabGalleryInputs, INPUTS, {**INPUTS, **change})
    assert names == list(change) and replacing(LabGallery(), names) == (names if replaced else [])
    assert LabGallery().deletes_first


@pytest.mark.parametrize("name", ["labId", "galleryId", "name", "location"])
def test_another_casing_is_no_change(name: str) -> None:
    """Azure lists ids in its own casing, which varies."""
    assert changed(LabGalleryInputs, INPUTS, {**INPUTS, name: INPUTS[name].upper()}) == []
