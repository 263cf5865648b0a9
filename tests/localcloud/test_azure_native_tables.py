"""The tables of the stand-in azure-native plugin: those of the SDK's classes, property by property."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Union, get_args, get_origin

import pulumi._types as sdk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.azure_native import property_tables, property_values
from localcloud.azure_native.custom_image import CUSTOM_IMAGE
from localcloud.azure_native.galleries import GALLERY, GALLERY_IMAGE, GALLERY_IMAGE_VERSION
from localcloud.azure_native.property_tables import Required
from localcloud.azure_native.resource_type import ResourceType
from localcloud.azure_native.resource_types import RESOURCE_TYPES, schema

_MISSING = {GALLERY: {"identity"}}
_TYPES = pytest.mark.parametrize("kind", RESOURCE_TYPES.values(), ids=lambda each: each.type_name.rpartition(":")[2])


@_TYPES
def test_the_inputs_are_those_of_the_sdk(kind: ResourceType) -> None:
    """Names, types and required ones, also of nested arguments: what a program can set is checked, sent and compared.
    The SDK leaves name and location to the plugin."""
    table = {key: each for key, each in kind.inputs.items() if key != "azureApiVersion"}
    for filled_in in {"location", kind.name_parameter} & table.keys():
        table[filled_in] = property_tables.outputs_of(table[filled_in])
    arguments = _table(_sdk_class(kind, "Args"))
    assert table == {key: each for key, each in arguments.items() if key not in _MISSING.get(kind, ())}


@_TYPES
def test_the_outputs_are_those_of_the_sdk(kind: ResourceType) -> None:
    """Names and types, also of nested values: what Azure answers is in the state where a program finds it."""
    outputs = {key: _kind(hint) for key, hint in sdk.resource_types(_sdk_class(kind)).items()}
    expected = {key: each for key, each in outputs.items() if key not in _MISSING.get(kind, ())}
    assert {key: each for key, each in kind.outputs.items() if key != "id"} == expected


@_TYPES
def test_the_schema_has_the_sdks_properties(kind: ResourceType) -> None:
    """Names of inputs, outputs and required inputs, and which of them replace the resource."""
    described = schema("3.29.0")["resources"][kind.type_name]
    arguments = _table(_sdk_class(kind, "Args"))
    required = sorted(key for key, each in arguments.items() if isinstance(each, Required))
    assert described["requiredInputs"] == required
    replacing = {key for key, each in described["inputProperties"].items() if each.get("willReplaceOnChanges")}
    assert replacing == {*kind.path_parameters, *({"location"} if kind is not CUSTOM_IMAGE else ())}
    assert described["properties"].keys() == kind.outputs.keys() - {"id"}


@pytest.mark.parametrize(
    ("kind", "path", "random"),
    [
        (CUSTOM_IMAGE, "/providers/Microsoft.DevTestLab/labs/a%20b/customimages/c", False),
        (GALLERY, "/providers/Microsoft.Compute/galleries/c", True),
        (GALLERY_IMAGE, "/providers/Microsoft.Compute/galleries/a%20b/images/c", False),
        (GALLERY_IMAGE_VERSION, "/providers/Microsoft.Compute/galleries/a%20b/images/d/versions/c", False),
    ],
    ids=lambda value: value.type_name.rpartition(":")[2] if isinstance(value, ResourceType) else "",
)
def test_an_id_is_made_of_the_inputs_and_read_back_in_any_casing(kind: ResourceType, path: str, random: bool) -> None:
    """Escaped as in a URL; only a resource without a parent gets a random name."""
    inputs = dict.fromkeys(kind.path_parameters, "a b") | {kind.name_parameter: "c", "resourceGroupName": "RG"}
    if "galleryImageName" in inputs and kind is GALLERY_IMAGE_VERSION:
        inputs["galleryImageName"] = "d"
    made = kind.resource_path("S", inputs)
    assert made == f"/subscriptions/S/resourceGroups/RG{path}"
    assert kind.has_random_name == random
    lower = made.replace("resourceGroups", "resourcegroups").replace("/Microsoft", "/microsoft")
    assert kind.imported_inputs(lower, {}) == inputs
    with pytest.raises(ValueError, match="failed to parse"):
        kind.imported_inputs(f"{made}/more/x", {})


def test_a_request_has_whole_numbers_and_only_properties_of_the_table() -> None:
    """On the wire of Pulumi all numbers are floats; Azure takes no `1.0` for an integer. Read-only properties and those
    that the table lacks are not sent."""
    disk = {"source": {"uri": "u", "storageAccountId": "a"}}
    inputs = {
        "galleryName": "g",
        "location": "westeurope",
        "storageProfile": {"osDiskImage": {**disk, "sizeInGB": 8.0}, "dataDiskImages": [{"lun": 0.0, **disk}]},
        "publishingProfile": {"targetRegions": [{"name": "westeurope", "regionalReplicaCount": 2.0}], "other": "x"},
        "tags": {"a": "b"},
        "provisioningState": "Failed",
        "__createBeforeDelete": True,
    }
    body = GALLERY_IMAGE_VERSION.request_body(inputs)
    assert body == {
        "location": "westeurope",
        "tags": {"a": "b"},
        "properties": {
            "storageProfile": {"osDiskImage": disk, "dataDiskImages": [{"lun": 0, **disk}]},
            "publishingProfile": {"targetRegions": [{"name": "westeurope", "regionalReplicaCount": 2}]},
        },
    }
    numbers = (
        body["properties"]["storageProfile"]["dataDiskImages"][0]["lun"],
        *(each["regionalReplicaCount"] for each in body["properties"]["publishingProfile"]["targetRegions"]),
    )
    assert [type(each) for each in numbers] == [int, int]


_JSON = st.recursive(
    st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(_JSON)
def test_nothing_empty_is_imported(value: Any) -> None:
    """Collections that are or become empty are left out; everything else stays."""
    left = property_tables.without_empty(value)
    assert left is None or _has_no_empty(left)
    assert list(_texts(left)) == list(_texts(value))


_ITEMS = st.dictionaries(st.text(max_size=2), st.integers(0, 2), max_size=4)


@given(_ITEMS, _ITEMS, st.data())
def test_the_items_of_a_set_are_compared_by_their_identifier(
    old: dict[str, int], new: dict[str, int], data: st.DataObject
) -> None:
    """In any order: the differences are the items that only one side has, and the values that differ. Applied to the
    old values, they give the new ones."""
    olds, news = (
        data.draw(st.permutations([{"name": name, "count": count} for name, count in items.items()]))
        for items in (old, new)
    )
    found = set(property_values.changes({"all": olds}, {"all": news}, {"all": "name"}))
    expected = {(f"all[{index}]", "ADD") for index, item in enumerate(news) if item["name"] not in old}
    expected |= {(f"all[{index}]", "DELETE") for index, item in enumerate(olds) if item["name"] not in new}
    expected |= {
        (f"all[{index}].count", "UPDATE")
        for index, item in enumerate(news)
        if item["count"] != old.get(str(item["name"]), item["count"])
    }
    assert found == expected
    assert property_values.apply_changes({"all": olds}, {"all": olds}, {"all": news}) == {"all": news}


def _has_no_empty(value: Any) -> bool:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is None or (bool(inner) and all(_has_no_empty(each) for each in inner))


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(each)


def _sdk_class(kind: ResourceType, suffix: str = "") -> Any:
    _, module, name = kind.type_name.split(":")
    return getattr(importlib.import_module(f"pulumi_azure_native.{module}"), f"{name}{suffix}")


def _table(cls: Any) -> dict[str, Any]:
    """Return the table of an arguments class; what its constructor needs is `Required`."""
    parameters, types = inspect.signature(cls.__init__).parameters, sdk.input_type_types(cls)
    table = {}
    for name, wire in sdk.input_type_py_to_pulumi_names(cls).items():
        kind = _kind(types[wire])
        table[wire] = Required(kind) if parameters[name].default is inspect.Parameter.empty else kind
    return table


def _kind(hint: Any) -> Any:
    """Return the type of a property by the hint in the SDK."""
    origin = get_origin(hint)
    if origin is Union:
        return _kind(get_args(hint)[0])
    if origin is not None and issubclass(origin, Mapping):
        return {"*": _kind(get_args(hint)[1])}
    if origin is not None and issubclass(origin, Sequence):
        return [_kind(get_args(hint)[0])]
    if sdk.is_input_type(hint):
        return _table(hint)
    if sdk.is_output_type(hint):
        return {key: _kind(each) for key, each in sdk.output_type_types(hint).items()}
    return str if issubclass(hint, Enum) else hint
