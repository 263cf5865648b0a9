"""Pulumi's property values: reads and writes protobuf structs, and compares them as the genuine plugin does.

Unwraps secrets and outputs: this plugin does not accept secrets, so the engine marks them again. Pure; independent of
resource types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from localcloud.azure_native.property_tables import UNKNOWN

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - Pulumi's constant signature of secrets
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_INDEX = re.compile(r"\[\d+\]")

Change = tuple[str, str]
"""The path of a changed property, and `ADD`, `DELETE` or `UPDATE`."""


def read(struct: Struct) -> dict[str, Any]:
    """Return a struct as plain values, without nulls."""
    return {key: _read(value) for key, value in struct.fields.items() if value.WhichOneof("kind") != "null_value"}


def write(values: Mapping[str, Any]) -> Struct:
    """Return plain values as a struct, without nulls."""
    struct = Struct()
    struct.update({key: value for key, value in values.items() if value is not None})
    return struct


def changes(
    old: Mapping[str, Any], new: Mapping[str, Any], identifiers: Mapping[str, str] | None = None, base: str = ""
) -> Iterator[Change]:
    """Return the differences by property, with paths such as `vhd.imageName` and `disks[0].lun`.

    Compares the items of an array by the property that `identifiers` names for its path (without indexes), whatever
    their order: indexes are those of the new array, of the old one for a deleted item. Skips keys that start with
    `__`, which belong to the provider.
    """
    for key in dict.fromkeys((*old, *new)):
        path = f"{base}.{key}" if base else key
        if key.startswith("__"):
            continue
        if key not in new:
            yield path, "DELETE"
        elif key not in old:
            yield path, "ADD"
        else:
            yield from _value_changes(old[key], new[key], identifiers or {}, path)


def apply_changes(values: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with the changes from `old` to `new` applied, and no other values of `new`."""
    result = {key: value for key, value in values.items() if key not in old or key in new}
    for key, value in new.items():
        if key not in old:
            result[key] = value
        elif old[key] != value:
            result[key] = _applied(values.get(key), old[key], value)
    return result


def _applied(value: Any, old: Any, new: Any) -> Any:
    if all(isinstance(each, dict) for each in (value, old, new)):
        return apply_changes(value, old, new)
    if all(isinstance(each, list) for each in (value, old, new)):
        common = min(len(value), len(old))
        return [_applied(value[index], old[index], each) if index < common else each for index, each in enumerate(new)]
    return new


def _value_changes(old: Any, new: Any, identifiers: Mapping[str, str], path: str) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from changes(old, new, identifiers, path)
    elif isinstance(old, list) and isinstance(new, list):
        if identifier := identifiers.get(_INDEX.sub("", path)):
            yield from _set_changes(old, new, identifier, identifiers, path)
            return
        common = min(len(old), len(new))
        for index in range(common):
            yield from _value_changes(old[index], new[index], identifiers, f"{path}[{index}]")
        for index in range(common, max(len(old), len(new))):
            yield f"{path}[{index}]", "ADD" if len(new) > common else "DELETE"
    elif old != new or UNKNOWN in (old, new):
        yield path, "UPDATE"


def _set_changes(
    old: list[Any], new: list[Any], identifier: str, identifiers: Mapping[str, str], path: str
) -> Iterator[Change]:
    olds, news = (
        {item.get(identifier): (index, item) for index, item in enumerate(items) if isinstance(item, dict)}
        for items in (old, new)
    )
    for key, (index, item) in news.items():
        if key in olds:
            yield from _value_changes(olds[key][1], item, identifiers, f"{path}[{index}]")
        else:
            yield f"{path}[{index}]", "ADD"
    yield from ((f"{path}[{index}]", "DELETE") for key, (index, _) in olds.items() if key not in news)


def _read(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        fields = value.struct_value.fields
        if _SIGNATURE in fields:
            return _unwrapped(value.struct_value)
        return read(value.struct_value)
    if kind == "list_value":
        return [_read(item) for item in value.list_value.values]
    return None if kind is None or kind == "null_value" else getattr(value, kind)


def _unwrapped(struct: Struct) -> Any:
    signature = struct.fields[_SIGNATURE].string_value
    if signature not in (_SECRET, _OUTPUT):
        return read(struct)
    return _read(struct.fields["value"]) if "value" in struct.fields else UNKNOWN
