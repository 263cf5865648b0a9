"""Edits of a state: parts of a gallery are added, finished and removed, and the rest stays and fits together."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.planning.galleries.inputs import GalleryInputs
from imagefactory.planning.stacks.gallery_adoption import GalleryAdoption, PartFinding
from imagefactory.state.gallery_edits import unfinished_parts, with_parts, without_parts
from imagefactory.state.stack_state import DEFINITION, GALLERY, LAB_GALLERY, VERSION, StackState, name_in, resources_of
from tests.unit.builders import SUBSCRIPTION, facts
from tests.unit.planning.galleries.builders import ACCOUNT, CONTAINER, definition, gallery, version
from tests.unit.state.test_edits import EMPTY, PROVIDER, STACK, whole

TAGS = {"ImagePath": "Win2016/Datacenter.json", "SourceVhd": "a.vhd", "Stack": "imagefactory/dev"}
STANDING = gallery(
    *(definition(name, TAGS, *(version(name, number, TAGS) for number in ("1.0.0", "2.0.0"))) for name in ("A", "B"))
)
INPUTS = GalleryInputs(STANDING, GallerySettings(name="Images", resource_group="rg"), CONTAINER, ACCOUNT)
NAMES = ("", "A", "B", "A/1.0.0", "A/2.0.0", "B/1.0.0", "B/2.0.0")


def finding(name: str, standing: GalleryFacts = STANDING) -> PartFinding:
    """The finding that a part is taken over; the name of the gallery itself is empty."""
    if not name:
        return PartFinding("take over", "gallery", "Images", standing, "")
    head, _, number = name.partition("/")
    one = next(each for each in standing.definitions if each.name == head)
    if not number:
        return PartFinding("take over", "definition", name, one, "")
    return PartFinding("take over", "version", name, next(each for each in one.versions if each.name == number), "")


def adopted(document: dict[str, Any], names: list[str], inputs: GalleryInputs = INPUTS) -> dict[str, Any]:
    """The state with these parts, in the order in which they are found."""
    return with_parts(document, STACK, PROVIDER, inputs, map(finding, sorted(names, key=NAMES.index)))


def found(document: dict[str, Any]) -> set[str]:
    """The parts that a state has."""
    kinds = {GALLERY, DEFINITION, VERSION}
    parts = (each for each in resources_of(document) if each["type"] in kinds)
    return {"" if each["type"] == GALLERY else name_in(each["urn"]) for each in parts}


some = st.lists(st.sampled_from(NAMES), unique=True)


@given(some, some)
def test_added_parts_are_in_the_state_once_and_it_fits_together(first: list[str], second: list[str]) -> None:
    """Whatever was there; adding the same again changes nothing, and no argument is changed."""
    before = adopted(EMPTY, first)
    untouched = deepcopy(before)
    after = adopted(before, second)
    assert before == untouched and whole(before) and whole(after)
    assert found(after) == {*first, *second}
    assert adopted(after, first) == adopted(after, second) == after
    state = StackState.of(resources_of(after))
    assert state.gallery_subscription == (SUBSCRIPTION if first or second else "")
    assert state.gallery_name == ("Images" if first or second else "")


@given(some)
def test_parts_depend_on_what_the_program_has_them_depend_on(names: list[str]) -> None:
    """A definition on the gallery, a version on its definition, as far as the state has them."""
    after = adopted(EMPTY, names)
    by_name = {"" if each["type"] == GALLERY else name_in(each["urn"]): each for each in resources_of(after)}
    for name in names:
        needed = {"": None, "A": "", "B": ""}.get(name, name.partition("/")[0])
        expected = [by_name[needed]["urn"]] if needed in names else []
        assert by_name[name]["dependencies"] == expected
        assert by_name[name]["parent"] == STACK.urn("imagefactory:galleries:ImageGallery", "gallery")
        assert f"::subscription-{SUBSCRIPTION}::" in by_name[name]["provider"]


@given(some, some)
def test_parts_that_another_stack_takes_over_leave_with_what_labs_offer_of_them(
    has: list[str], taken: list[str]
) -> None:
    """The rest stays and refers to nothing that left; a lab that the other stack does not serve keeps its gallery."""
    web, data = facts("web"), facts("data")
    state = adopted(EMPTY, has)
    for lab in (web, data):
        urn = STACK.urn(f"imagefactory:galleries:ImageGallery${LAB_GALLERY}", f"{lab.name}@1")
        needs = [each["urn"] for each in resources_of(state) if each["type"] == GALLERY]
        inputs = {"labId": lab.id, "galleryId": STANDING.id.upper().replace("/SUBSCRIPTIONS", "/subscriptions")}
        more: dict[str, Any] = {"dependencies": needs, "propertyDependencies": {"galleryId": needs, "labId": None}}
        more |= {"deletedWith": needs[0]} if needs else {}
        state["deployment"]["resources"].append(
            {"urn": urn, "type": LAB_GALLERY, "custom": True, "id": "x", "inputs": inputs, **more}
        )
    untouched = deepcopy(state)
    gone = GalleryAdoption(STANDING, tuple(map(finding, taken)), (web.id.lower(),))
    after = without_parts(state, gone)
    assert state == untouched and whole(after)
    assert found(after) == {*has} - {*taken}
    offers = {name_in(each["urn"]): each for each in resources_of(after) if each["type"] == LAB_GALLERY}
    assert offers.keys() == {"data@1"}
    there = {each["urn"] for each in resources_of(after)}
    assert (
        {*offers["data@1"]["propertyDependencies"]["galleryId"]}
        <= there
        >= {offers["data@1"].get("deletedWith")} - {None}
    )


def test_a_version_whose_creation_the_engine_did_not_see_finish_is_finished_in_the_state() -> None:
    """With what Azure has now; the inputs are those of the program that began it."""
    state = adopted(EMPTY, ["A", "A/1.0.0", "A/2.0.0"])
    begun, done = resources_of(state)[-2], deepcopy(resources_of(state)[-1])
    begun |= {
        "initErrors": ["context canceled"],
        "outputs": {},
        "id": "/asked/for",
        "inputs": {**begun["inputs"], "x": 1},
    }
    assert unfinished_parts(state) == {("version", "a/1.0.0"): "A/1.0.0"}
    after = adopted(state, ["A/1.0.0"])
    finished = resources_of(after)[-2]
    assert "initErrors" not in finished and finished["id"].endswith("/A/versions/1.0.0")
    assert finished["outputs"]["provisioningState"] == "Succeeded" and finished["inputs"]["x"] == 1
    assert resources_of(after)[-1] == done and unfinished_parts(after) == {}


def test_a_definition_in_another_letter_case_is_still_that_of_its_versions() -> None:
    """The state has the name that the engine knows."""
    state = adopted(EMPTY, ["A"])
    one = replace(finding("A/1.0.0"), name="a/1.0.0")
    after = with_parts(state, STACK, PROVIDER, INPUTS, [one])
    assert resources_of(after)[-1]["dependencies"] == [resources_of(state)[-1]["urn"]]
