"""The resource type `azure-native:devtestlab:CustomImage`: its properties, id, request body and responses.

Pure functions over plain values (an unknown value is `UNKNOWN`). Names and types are those of the SDK's
`devtestlab.CustomImage`; only the path parameters force a replacement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Pulumi's sentinel for a value that is unknown in a preview."""

TYPE = "azure-native:devtestlab:CustomImage"
API_VERSION = "2018-09-15"
PATH_PARAMETERS = ("labName", "name", "resourceGroupName")
REPLACED_BY = frozenset({"subscriptionId", *PATH_PARAMETERS})

Values = dict[str, Any]

# A property's type: `str`, `bool`, `float`, a dict of properties, a list with the items' type, or `_STRINGS`.
_STRINGS: dict[str, Any] = {"*": str}
_NESTED: Values = {
    "author": str,
    "customImagePlan": {"id": str, "offer": str, "publisher": str},
    "dataDiskStorageInfo": [{"lun": str, "storageType": str}],
    "description": str,
    "isPlanAuthorized": bool,
    "managedImageId": str,
    "managedSnapshotId": str,
    "vhd": {"imageName": str, "osType": str, "sysPrep": bool},
    "vm": {"linuxOsInfo": {"linuxOsState": str}, "sourceVmId": str, "windowsOsInfo": {"windowsOsState": str}},
}
_BODY: Values = {**_NESTED, "location": str, "tags": _STRINGS}
_READ_ONLY_NESTED: Values = {"creationDate": str, "provisioningState": str, "uniqueIdentifier": str}
_OUTPUTS: Values = {
    **_BODY,
    **_READ_ONLY_NESTED,
    "azureApiVersion": str,
    "id": str,
    "name": str,
    "systemData": {"createdAt": str, "createdBy": str, "createdByType": str, "lastModifiedAt": str},
    "type": str,
}
_INPUTS: Values = {**_BODY, "azureApiVersion": str, **dict.fromkeys(PATH_PARAMETERS, str)}
_REQUIRED = {"": ("labName", "resourceGroupName", "name"), "vhd": ("osType",)}
_TYPE_NAMES = {str: "string", bool: "boolean", float: "number"}
_ID = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/(?P<resourceGroupName>[^/]+)/providers/Microsoft\.DevTestLab"
    r"/labs/(?P<labName>[^/]+)/customimages/(?P<name>[^/]+)",
    re.IGNORECASE,
)


def image_id(subscription: str, inputs: Mapping[str, Any]) -> str:
    """Return the ARM id for requests. The service returns it in another casing."""
    group, lab, name = (quote(str(inputs[key]), safe="") for key in ("resourceGroupName", "labName", "name"))
    return (
        f"/subscriptions/{subscription}/resourceGroups/{group}"
        f"/providers/Microsoft.DevTestLab/labs/{lab}/customimages/{name}"
    )


def failures(inputs: Mapping[str, Any]) -> list[str]:
    """Return the problems of a program's inputs, in the genuine plugin's words. Like it, accepts unknown properties."""
    return list(_failures("", _INPUTS, inputs))


def request_body(inputs: Mapping[str, Any]) -> Values:
    """Return the body of a PUT."""
    body = {key: inputs[key] for key in ("location", "tags") if key in inputs}
    return {**body, "properties": {key: inputs[key] for key in _NESTED if key in inputs}}


def outputs_of(response: Mapping[str, Any]) -> Values:
    """Return the outputs for the state from ARM's response."""
    flat = {**response.get("properties", {}), **response}
    return {**_known(_OUTPUTS, flat), "azureApiVersion": API_VERSION}


def inputs_of(outputs: Mapping[str, Any]) -> Values:
    """Return the outputs that a program can set as inputs, without the path parameters."""
    return _known(_BODY, outputs)


def imported_inputs(resource_id: str, response: Mapping[str, Any]) -> Values:
    """Return the inputs that would create an existing image. Path parameters are those of the id, in its casing.

    Raises ValueError for the id of another resource type.
    """
    match = _ID.fullmatch(resource_id)
    if match is None:
        raise ValueError(f"failed to parse '{resource_id}' against the path of {TYPE}")
    path = {name: unquote(value) for name, value in match.groupdict().items()}
    full = {key: value for key, value in inputs_of(outputs_of(response)).items() if value not in ({}, [])}
    return {**path, **full}


def preview(inputs: Mapping[str, Any]) -> Values:
    """Return the outputs that a preview can determine."""
    return {**_previewed(_OUTPUTS, inputs), "azureApiVersion": API_VERSION}


def schema(version: str) -> Values:
    """Return the package schema of the supported resource type."""
    resource = {
        "inputProperties": {key: _schema_type(kind) for key, kind in _INPUTS.items()},
        "requiredInputs": ["labName", "resourceGroupName"],
        "properties": {key: _schema_type(kind) for key, kind in _OUTPUTS.items() if key != "id"},
    }
    return {"name": "azure-native", "version": version, "resources": {TYPE: resource}}


def _failures(where: str, kinds: Values, values: Mapping[str, Any]) -> Iterator[str]:
    for name in _REQUIRED.get(where, ()):
        if name not in values:
            yield f"missing required property '{f'{where}.{name}' if where else name}'"
    for name, value in values.items():
        kind = kinds.get(name, kinds.get("*"))
        if kind is not None and value != UNKNOWN:
            yield from _mismatch(f"{where}.{name}" if where else name, kind, value)


def _mismatch(where: str, kind: Any, value: Any) -> Iterator[str]:
    if isinstance(kind, dict) and isinstance(value, dict):
        yield from _failures(where, kind, value)
    elif isinstance(kind, list) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _mismatch(f"{where}[{index}]", kind[0], item)
    elif not (isinstance(kind, type) and isinstance(value, kind)):
        yield f"'{where}' should be of type '{_kind_name(kind)}' but got {_value_name(value)}"


def _kind_name(kind: Any) -> str:
    return _TYPE_NAMES[kind] if isinstance(kind, type) else "array" if isinstance(kind, list) else "object"


def _value_name(value: Any) -> str:
    names = {str: "a string", bool: "a boolean", float: "a number", list: "an array", dict: "an object"}
    return names[type(value)]


def _known(kinds: Values, values: Mapping[str, Any]) -> Values:
    """Return the values of the type's properties, recursively; null counts as absent."""
    return {
        key: _narrowed(kinds.get(key, kinds.get("*")), value)
        for key, value in values.items()
        if value is not None and (key in kinds or "*" in kinds)
    }


def _narrowed(kind: Any, value: Any) -> Any:
    if isinstance(kind, dict) and isinstance(value, dict):
        return _known(kind, value)
    if isinstance(kind, list) and isinstance(value, list):
        return [_narrowed(kind[0], item) for item in value]
    return value


def _previewed(kinds: Values, values: Mapping[str, Any]) -> Values:
    if "*" in kinds:
        return dict(values)
    return {key: _preview_value(kind, values.get(key, UNKNOWN)) for key, kind in kinds.items()}


def _preview_value(kind: Any, value: Any) -> Any:
    if isinstance(kind, dict) and isinstance(value, dict):
        return _previewed(kind, value)
    if isinstance(kind, list) and isinstance(value, list):
        return [_preview_value(kind[0], item) for item in value]
    return value if isinstance(kind, type) and isinstance(value, kind) else UNKNOWN


def _schema_type(kind: Any) -> Values:
    if isinstance(kind, type):
        return {"type": _TYPE_NAMES[kind]}
    if isinstance(kind, list):
        return {"type": "array", "items": _schema_type(kind[0])}
    return {"type": "object", "additionalProperties": {"$ref": "pulumi.json#/Any"}}
