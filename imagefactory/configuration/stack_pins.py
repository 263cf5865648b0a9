"""Writes the setting `pins` into the text of a stack file: changes these values only, and keeps all else as it is.

PyYAML tells where each value is in the text, so comments, order, quotes and line breaks stay. Does not choose the
images: `imagefactory.planning.stacks.promotion` does.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.json_documents import decode_text, encode_as
from imagefactory.configuration.stack_settings import NAMESPACE
from imagefactory.configuration.whole_files import replace_whole
from imagefactory.diagnostics import Location, error
from imagefactory.errors import ConfigurationError

_KEYS = (f"{NAMESPACE}:pins", "pins")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9]*[-_./][-A-Za-z0-9_./]*")
"""What no reader of YAML takes for a number, a truth value, a date or a structure, without quotes."""

_Edit = tuple[int, int, str]
_Pair = tuple[yaml.Node, yaml.Node]


def write_pins(path: Path, pins: Mapping[ImagePath, str]) -> bool:
    """Set these pins in a stack file and keep its other ones; return whether the file changed.

    Replaces the file atomically and keeps its encoding and mode. Raises `ConfigurationError`, and leaves it as it is.
    """
    location, harm = Location(path.as_posix()), "no pin is written"
    try:
        content = path.read_bytes()
        text = decode_text(content)
        if (changed := with_pins(text, pins)) == text:
            return False
        replace_whole(path, encode_as(changed, content))
    except OSError as problem:
        fact, remedy = f"cannot be written ({problem.strerror})", "Check the permissions of the file and its folder"
        raise ConfigurationError([error("stack file", fact, harm, remedy, location)]) from None
    except (ValueError, yaml.YAMLError):
        fact = "has its pins in a form that the command does not edit, such as an anchor or a tag"
        named = ", ".join(f"{image_path}: {name}" for image_path, name in sorted(pins.items()))
        remedy = f"Write imagefactory:pins as a plain object, or write the pins yourself: {named}"
        raise ConfigurationError([error("stack file", fact, harm, remedy, location)]) from None
    return True


def with_pins(text: str, pins: Mapping[ImagePath, str]) -> str:
    """Return the text of a stack file with these pins.

    Raises `ValueError` or `yaml.YAMLError` if it is no stack file, or if the text would then say anything else, too.
    """
    if not pins:
        return text
    document = yaml.safe_load(text)
    config = _value(yaml.compose(text, Loader=yaml.SafeLoader), "config")
    if not isinstance(config, yaml.MappingNode):
        raise ValueError("it has no object named config")
    held = next((value for key in _KEYS if (value := _value(config, key))), None)
    if held is None:
        edits = [_added(text, config, [(_KEYS[0], pins)])]
    elif isinstance(held, yaml.MappingNode):
        edits = _in_mapping(text, held, pins)
    elif not isinstance(held, yaml.ScalarNode):
        raise ValueError("its pins are no object")
    else:  # as `pulumi config set` writes an object without --path
        said = json.dumps(_merged(json.loads(held.value), pins), ensure_ascii=False)
        edits = [(held.start_mark.index, _end(text, held), _scalar(said, held.style or "'"))]
    changed = text
    for start, end, words in sorted(edits, reverse=True):
        changed = changed[:start] + words + changed[end:]
    if yaml.safe_load(changed) != _expected(document, pins, is_text=isinstance(held, yaml.ScalarNode)):
        raise ValueError("the text would say something else")
    return changed


def _expected(document: Any, pins: Mapping[ImagePath, str], *, is_text: bool) -> Any:
    config = document["config"]
    key = next((key for key in _KEYS if key in config), _KEYS[0])
    before = json.loads(config[key]) if is_text else config.get(key, {})
    after = _merged(before, pins)
    return {**document, "config": {**config, key: json.dumps(after, ensure_ascii=False) if is_text else after}}


def _merged(before: Mapping[str, str], pins: Mapping[ImagePath, str]) -> dict[str, str]:
    """Return the pins by their keys as they are written, and then the new ones."""
    kept = {key: pins.get(path, name) if (path := ImagePath.read(key)) else name for key, name in before.items()}
    known = {ImagePath.read(key) for key in before}
    return kept | {str(path): name for path, name in sorted(pins.items()) if path not in known}


def _in_mapping(text: str, held: yaml.MappingNode, pins: Mapping[ImagePath, str]) -> list[_Edit]:
    written = {path for key, _ in held.value if (path := ImagePath.read(key.value))}
    edits = []
    for key, value in held.value:
        path = ImagePath.read(key.value)
        if path is None or path not in pins or value.value == pins[path]:
            continue
        if value.style in {"|", ">"}:
            raise ValueError("the name is a block of lines")
        edits.append((value.start_mark.index, value.end_mark.index, _scalar(pins[path], value.style)))
    new = [(str(path), name) for path, name in sorted(pins.items()) if path not in written]
    return [*edits, _added(text, held, new)] if new else edits


def _added(text: str, mapping: yaml.MappingNode, entries: list[tuple[str, Any]]) -> _Edit:
    """Return the edit that adds entries behind the last one, in its style."""
    if not mapping.value:
        place = mapping.end_mark.index - 1
        return place, place, ", ".join(_flow(name, entry, None) for name, entry in entries)
    key, value = mapping.value[-1]
    place = _pair_end(text, (key, value))
    if mapping.flow_style:
        return place, place, "".join(f", {_flow(name, entry, _style(key))}" for name, entry in entries)
    column = mapping.value[0][0].start_mark.column
    line_break = "\r\n" if "\r\n" in text else "\n"
    # Behind the comment in the line of the last entry, and comments below it that are indented deeper.
    behind = re.compile(rf"[^\r\n]*(?:\r?\n {{{column + 1},}}#[^\r\n]*)*")
    if found := behind.match(text, place):
        place = found.end()
    lines = [line for name, entry in entries for line in _block(name, entry, column, _style(key), _style(value))]
    return place, place, "".join(f"{line_break}{line}" for line in lines)


def _block(key: str, entry: Any, column: int, key_style: str | None, style: str | None) -> list[str]:
    indent = " " * column
    if isinstance(entry, str):
        return [f"{indent}{_scalar(key, key_style)}: {_scalar(entry, style)}"]
    inner = (_block(str(path), name, column + 2, None, None) for path, name in sorted(entry.items()))
    return [f"{indent}{key}:", *(line for lines in inner for line in lines)]


def _flow(key: str, entry: Any, style: str | None) -> str:
    if isinstance(entry, str):
        return f"{_scalar(key, style)}: {_scalar(entry, style)}"
    inner = ", ".join(_flow(str(path), name, style) for path, name in sorted(entry.items()))
    return f"{_scalar(key, style)}: {{{inner}}}"


def _scalar(text: str, style: str | None) -> str:
    """Return a string in YAML: in the quotes of `style`, else without quotes if it needs none."""
    if style not in {"'", '"'} and _PLAIN.fullmatch(text):
        return text
    quotes = style if style in {"'", '"'} else '"'
    return yaml.safe_dump(text, default_style=quotes, width=sys.maxsize, allow_unicode=True).rstrip("\n")


def _value(node: yaml.Node | None, name: str) -> yaml.Node | None:
    """Return the value of a key of an object, the last one if the key is written twice, as readers do."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for key, value in reversed(pairs) if key.value == name), None)


def _style(node: yaml.Node) -> str | None:
    return node.style if isinstance(node, yaml.ScalarNode) else None


def _pair_end(text: str, pair: _Pair) -> int:
    """Return where an entry ends; the value of an alias is where its anchor is, so before the key."""
    key, value = pair
    return max(_end(text, value), key.end_mark.index)


def _end(text: str, node: yaml.Node) -> int:
    """Return where a value ends, without the comments and line breaks behind it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _pair_end(text, last) if isinstance(last, tuple) else _end(text, last)
    start, end = node.start_mark.index, node.end_mark.index
    return start + len(text[start:end].rstrip())
