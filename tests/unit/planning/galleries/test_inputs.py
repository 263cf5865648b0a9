"""The inputs of a gallery's parts, declared by the program and written by adoption: the same for what is as wanted."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pulumi._types as types
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi_azure_native import compute

from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.images import tags
from imagefactory.planning.galleries import properties
from imagefactory.planning.galleries.inputs import GalleryInputs
from imagefactory.planning.galleries.planned import PlannedVersion
from localcloud.azure_native import galleries
from localcloud.azure_native.resource_type import ResourceType
from tests.unit.builders import image
from tests.unit.planning.galleries.builders import ACCOUNT, CONTAINER, definition, gallery, version

KINDS = [
    (compute.Gallery, properties.GALLERY_OUTPUTS, galleries.GALLERY),
    (compute.GalleryImage, properties.DEFINITION_OUTPUTS, galleries.GALLERY_IMAGE),
    (compute.GalleryImageVersion, properties.VERSION_OUTPUTS, galleries.GALLERY_IMAGE_VERSION),
]
WANTED = image("a", "Win2016/Datacenter.json")
TAGS = {**tags.write(WANTED, None, "images/dev"), "owner": "me"}
COMPARED = ("publishingProfile", "safetyProfile", "galleryName", "galleryImageName", "galleryImageVersionName")


def names(kind: Any, get: Any = types.output_type_types) -> dict[str, Any]:
    """The properties of a class of the SDK, recursively."""
    found = {}
    for name, hint in get(kind).items():
        inner = types.unwrap_type(hint)
        if typing.get_origin(inner) in {list, Sequence}:
            (inner,) = typing.get_args(inner)
        found[name] = names(inner) if types.is_output_type(inner) else None
    return found


def plain(table: properties.Table | None) -> Any:
    """A table as a dict of dicts."""
    return None if table is None else {key: plain(each) for key, each in table.items()}


@pytest.mark.parametrize(("kind", "table", "_"), KINDS, ids=lambda each: getattr(each, "__name__", ""))
def test_the_outputs_are_those_of_the_sdk(kind: Any, table: properties.Table, _: ResourceType) -> None:
    """Nested ones too; the SDK has the version as an output of its own."""
    assert {**plain(table), "azureApiVersion": None} == {"id": None, **names(kind, types.resource_types)}


def answers(table: properties.Table) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the properties of a table, with nulls, others, and without some."""
    fields = {key: st.none() | values(each) for key, each in table.items()}
    return st.fixed_dictionaries({}, optional={**fields, "strange": st.integers()})


def values(table: properties.Table | None) -> st.SearchStrategy[Any]:
    """A value of a property."""
    if table is None:
        return st.sampled_from(["x", 1.0, True])
    return answers(table) | st.lists(answers(table), max_size=2)


@pytest.mark.parametrize(("_", "table", "kind"), KINDS[1:], ids=lambda each: getattr(each, "__name__", ""))
@given(data=st.data())
def test_outputs_are_what_the_plugin_makes_of_the_same_answer(
    _: Any, table: properties.Table, kind: ResourceType, data: st.DataObject
) -> None:
    """Of objects in the places of objects, and of lists in the places of lists."""

    def shaped(own: Any, shape: Any) -> Any:
        inner = getattr(shape, "kind", shape)
        if isinstance(inner, list):
            return [shaped(each, inner[0]) for each in (own if isinstance(own, list) else [own])]
        if isinstance(inner, dict) and "*" not in inner:
            own = own[0] if isinstance(own, list) and own else own
            own = own if isinstance(own, dict) else {}
            return {key: value if value is None else shaped(value, inner.get(key)) for key, value in own.items()}
        return "x" if isinstance(inner, dict) else own

    drawn = shaped(data.draw(answers(table)), {**kind.nested, **kind.beside})
    beside = {key: drawn.pop(key) for key in list(drawn) if key in {*kind.beside, "id"}}
    beside["tags"] = {"a": "b"}
    answer = {**beside, "properties": drawn}
    assert properties.outputs(table, answer) == kind.outputs_of(answer)


def inputs(facts: Any, **more: Any) -> GalleryInputs:
    """Inputs for a gallery with these settings."""
    return GalleryInputs(facts, GallerySettings(name="Images", resource_group="rg", **more), CONTAINER, ACCOUNT)


def planned(*regions: str, name: str = "1.0.0") -> PlannedVersion:
    """The version of the image in these regions."""
    return PlannedVersion(WANTED, "Win", name, tuple(sorted(regions)), TAGS, standing=True)


places = st.lists(st.sampled_from(["West Europe", "northeurope", "East US"]), unique=True, min_size=1)


@given(
    places, places, st.integers(1, 2), st.sampled_from(["Standard_LRS", "Premium_LRS"]), st.sampled_from([None, 9000])
)
def test_a_version_is_in_the_state_as_the_program_declares_it_as_far_as_it_is_so(
    has: list[str], wants: list[str], replicas: int, storage: Any, days: int | None
) -> None:
    """Regions and the end of life are compared; the storage type of a region that it has cannot change."""
    end = {"endOfLifeDate": "2051-01-01T11:00:00.0000000+00:00"}
    standing = version("Win", "1.0.0", TAGS, *has, **end)
    given = inputs(
        gallery(definition("Win", TAGS, standing)), replicas=replicas, storage_type=storage, end_of_life_days=days
    )
    want = planned(*(each.replace(" ", "").lower() for each in wants))
    declared, adopted = given.version(want), given.standing_version("Win", standing, want)
    keys = {each.replace(" ", "").lower() for each in has}
    regions = {each["name"]: each for each in adopted["publishingProfile"]["targetRegions"]}
    assert regions.keys() == keys
    for region in declared["publishingProfile"]["targetRegions"]:
        assert region["storageAccountType"] == ("Standard_LRS" if region["name"] in keys else storage)
        if region["name"] in keys:
            assert (regions[region["name"]] == region) == (replicas == 1)
    assert ("endOfLifeDate" in adopted["publishingProfile"]) == (days is not None)
    if replicas == 1 and keys == set(want.regions) and days is None:
        assert [adopted[key] for key in COMPARED] == [declared[key] for key in COMPARED]
    assert adopted["tags"] == TAGS and adopted["storageProfile"]["osDiskImage"]["hostCaching"] == "ReadWrite"
    assert "sizeInGB" not in adopted["storageProfile"]["osDiskImage"], "it is no input"
    for each in (declared, adopted):
        assert galleries.GALLERY_IMAGE_VERSION.failures(each) == []


@pytest.mark.parametrize(
    ("days", "has", "end"),
    [
        (30, None, WANTED.saved_at + timedelta(days=30)),
        (3, None, None),
        (3, WANTED.saved_at + timedelta(days=2), WANTED.saved_at + timedelta(days=2)),
    ],
)
def test_no_new_end_of_life_is_in_the_past(days: int, has: datetime | None, end: datetime | None) -> None:
    """Azure refuses it, so an old image would never be delivered; a version keeps the one that it has."""
    told = {"endOfLifeDate": has.isoformat()} if has else {}
    facts = gallery(definition("Win", TAGS, version("Win", "1.0.0", TAGS, **told)))
    given = dataclasses.replace(inputs(facts, end_of_life_days=days), now=WANTED.saved_at + timedelta(days=10))
    written = given.version(planned("westeurope"))["publishingProfile"].get("endOfLifeDate")
    assert written == (end and end.strftime("%Y-%m-%dT%H:%M:%SZ"))


def test_what_azure_does_not_tell_of_a_version_is_as_the_program_declares_it() -> None:
    """An answer that has nothing but what every answer has."""
    standing = version("Win", "1.0.0", TAGS)
    bare: Mapping[str, Any] = {"id": standing.id, "name": "1.0.0", "tags": TAGS, "properties": {}}
    standing = dataclasses.replace(standing, answer=bare)
    given = inputs(gallery(definition("Win", TAGS, standing)))
    assert given.standing_version("Win", standing, planned("westeurope")) == given.version(planned("westeurope"))
    assert galleries.GALLERY_IMAGE_VERSION.failures(given.standing_version("Win", standing, None)) == []


def test_the_end_of_life_is_written_as_the_program_writes_it() -> None:
    """Azure adds decimals and writes the zone in its own way."""
    days = 10
    declared = inputs(gallery(), end_of_life_days=days).version(planned("westeurope"))["publishingProfile"][
        "endOfLifeDate"
    ]
    told = declared.replace("Z", ".0000000+00:00")
    standing = version("Win", "1.0.0", TAGS, endOfLifeDate=told)
    given = inputs(gallery(definition("Win", TAGS, standing)), end_of_life_days=days)
    for want in (planned("westeurope"), None):
        assert given.standing_version("Win", standing, want)["publishingProfile"]["endOfLifeDate"] == declared


def test_names_are_those_of_the_state() -> None:
    """Another letter case would be another gallery to the engine."""
    given = dataclasses.replace(inputs(gallery()), recorded_name="IMAGES")
    assert given.gallery()["galleryName"] == given.version(planned("westeurope"))["galleryName"] == "IMAGES"
    assert inputs(gallery()).gallery()["galleryName"] == "Images"
    standing = given.standing_definition("win", definition("Win", TAGS))
    assert (standing["galleryImageName"], standing["galleryName"], standing["tags"]) == ("win", "IMAGES", TAGS)
    assert galleries.GALLERY_IMAGE.failures(standing) == galleries.GALLERY.failures(given.gallery()) == []
