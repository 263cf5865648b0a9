"""Tables of properties: the types of a resource's inputs and outputs, and what follows from them.

A property's type is `str`, `bool`, `int`, `float`, a table (a dict of properties), a list with the items' type,
`STRINGS`, or one of these in `Required` or `ReadOnly`. Pure functions over plain values (an unknown value is `UNKNOWN`,
numbers are floats, as on the wire). Like the genuine plugin, accepts properties that a table lacks; unlike it, does not
check lengths and patterns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Pulumi's sentinel for a value that is unknown in a preview."""

Values = dict[str, Any]
STRINGS: Values = {"*": str}
_TYPE_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number"}
_NO_LOCATION = ". Either set it explicitly or configure it with 'pulumi config set azure-native:location <value>'."


@dataclass(frozen=True)
class Required:
    """The type of an input that must be there if its parent is."""

    kind: Any


@dataclass(frozen=True)
class ReadOnly:
    """The type of an output that is no input."""

    kind: Any


def inputs_of(kind: Any) -> Any:
    """Return a type without what is read-only, with `Required`."""
    if isinstance(kind, dict):
        return {key: inputs_of(each) for key, each in kind.items() if not isinstance(each, ReadOnly)}
    if isinstance(kind, Required):
        return Required(inputs_of(kind.kind))
    return [inputs_of(kind[0])] if isinstance(kind, list) else kind


def outputs_of(kind: Any) -> Any:
    """Return a type with what is read-only, without `Required`."""
    if isinstance(kind, dict):
        return {key: outputs_of(each) for key, each in kind.items()}
    if isinstance(kind, (Required, ReadOnly)):
        return outputs_of(kind.kind)
    return [outputs_of(kind[0])] if isinstance(kind, list) else kind


def failures(kinds: Values, values: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Return the problems of a program's inputs, in the genuine plugin's words."""
    for name, kind in kinds.items():
        if isinstance(kind, Required) and name not in values:
            full = f"{where}.{name}" if where else name
            yield f"missing required property '{full}'{_NO_LOCATION if full == 'location' else ''}"
    for name, value in values.items():
        kind = kinds.get(name, kinds.get("*"))
        if kind is not None:
            yield from _mismatch(f"{where}.{name}" if where else name, _plain(kind), value)


def known(kinds: Values, values: Mapping[str, Any]) -> Values:
    """Return the values of the table's properties, recursively; null counts as absent."""
    return {
        key: _narrowed(_plain(kinds.get(key, kinds.get("*"))), value)
        for key, value in values.items()
        if value is not None and (key in kinds or "*" in kinds)
    }


def sent(kinds: Values, values: Mapping[str, Any]) -> Values:
    """Return the values as a request contains them: those of the table, whole numbers as such (`1`, not `1.0`)."""
    narrowed: Values = _whole(known(kinds, values))
    return narrowed


def without_empty(value: Any) -> Any:
    """Return a value without the empty collections in it; None if nothing is left."""
    if isinstance(value, dict):
        return {key: each for key, inner in value.items() if (each := without_empty(inner)) is not None} or None
    if isinstance(value, list):
        return [each for inner in value if (each := without_empty(inner)) is not None] or None
    return value


def previewed(kinds: Values, values: Mapping[str, Any]) -> Values:
    """Return the outputs that a preview can determine; the others are unknown."""
    if "*" in kinds:
        return dict(values)
    return {key: _preview_value(kind, values.get(key, UNKNOWN)) for key, kind in kinds.items()}


def schema_type(kind: Any) -> Values:
    """Return the package schema of a type."""
    kind = _plain(kind)
    if isinstance(kind, type):
        return {"type": _TYPE_NAMES[kind]}
    if isinstance(kind, list):
        return {"type": "array", "items": schema_type(kind[0])}
    return {"type": "object", "additionalProperties": {"$ref": "pulumi.json#/Any"}}


def _plain(kind: Any) -> Any:
    return kind.kind if isinstance(kind, Required) else kind


def _mismatch(where: str, kind: Any, value: Any) -> Iterator[str]:
    if value == UNKNOWN:
        return
    if isinstance(kind, dict) and isinstance(value, dict):
        yield from failures(kind, value, where)
    elif isinstance(kind, list) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _mismatch(f"{where}[{index}]", kind[0], item)
    elif kind is int and isinstance(value, float):
        if not value.is_integer():
            yield f"'{where}' must be an integer but got {value:f}"
    elif not (isinstance(kind, type) and isinstance(value, kind)):
        yield f"'{where}' should be of type '{_kind_name(kind)}' but got {_value_name(value)}"


def _kind_name(kind: Any) -> str:
    return _TYPE_NAMES[kind] if isinstance(kind, type) else "array" if isinstance(kind, list) else "object"


def _value_name(value: Any) -> str:
    names = {str: "a string", bool: "a boolean", float: "a number", list: "an array", dict: "an object"}
    return names[type(value)]


def _narrowed(kind: Any, value: Any) -> Any:
    if isinstance(kind, dict) and isinstance(value, dict):
        return known(kind, value)
    if isinstance(kind, list) and isinstance(value, list):
        return [_narrowed(kind[0], item) for item in value]
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _preview_value(kind: Any, value: Any) -> Any:
    if isinstance(kind, dict) and isinstance(value, dict):
        return previewed(kind, value)
    if isinstance(kind, list) and isinstance(value, list):
        return [_preview_value(kind[0], item) for item in value]
    expected = float if kind is int else kind
    return value if isinstance(expected, type) and isinstance(value, expected) else UNKNOWN
