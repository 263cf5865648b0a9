"""JSON documents as people and PowerShell write them: encodings, syntax errors, and the position of each value.

Decodes and parses them, and reports duplicate keys. Does not interpret the content.
"""

from __future__ import annotations

import codecs
import json.decoder
import json.scanner
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imagefactory.diagnostics import Diagnostic, Location, error

Steps = tuple["str | int", ...]
"""The place of a value in a document: keys and indexes from the root, as pydantic's `loc`."""

_BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_SURROGATE = re.compile("[\ud800-\udfff]")
# Parts of the standard library's pure Python decoder that its type stubs omit.
_SCANNER: Any = vars(json.scanner)["py_make_scanner"]
_OBJECT: Any = vars(json.decoder)["JSONObject"]
_ARRAY: Any = vars(json.decoder)["JSONArray"]
_NOT_JSON = ("NaN", "Infinity", "-Infinity")
_TRAILING_COMMA = {
    "Illegal trailing comma before end of object": ("Expecting property name enclosed in double quotes", "}"),
    "Illegal trailing comma before end of array": ("Expecting value", "]"),
}
"""What Python 3.13 and newer report at the comma: the message of older versions, and the character that they report."""


class JsonError(ValueError):
    """A document that cannot be parsed; `diagnostic` has the reason."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        self.diagnostic = diagnostic
        super().__init__(diagnostic.text())


@dataclass(frozen=True)
class _Node:
    value: Any
    start: int
    end: int
    key_starts: tuple[tuple[str, int], ...] = ()


class _Decoder(json.JSONDecoder):
    """The decoder of the standard library, with each value wrapped in a node that has its position."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=list, parse_int=float)  # int() rejects very long numbers
        self.parse_object = lambda text_at, strict, _scan, *rest: _OBJECT(text_at, strict, self._node, *rest)
        self.parse_array = lambda text_at, _scan: _ARRAY(text_at, self._node)
        self._scan: Callable[[str, int], tuple[Any, int]] = _SCANNER(self)
        self.scan_once = self._node

    def _node(self, text: str, start: int) -> tuple[_Node, int]:
        if text.startswith(_NOT_JSON, start):
            raise StopIteration(start)
        value, end = self._scan(text, start)
        keys: list[tuple[str, int]] = []
        if text.startswith("{", start):
            before = start
            for key, node in value:
                keys.append((key, text.index('"', before + 1)))
                before = node.end
        if any(_SURROGATE.search(name) for name in ([value] if isinstance(value, str) else dict(keys))):
            raise json.JSONDecodeError("Half of a surrogate pair, which is not text", text, start)
        return _Node(value, start, end, tuple(keys)), end


@dataclass(frozen=True)
class JsonDocument:
    """A parsed document: plain values, and their positions."""

    file: str
    text: str
    value: Any
    starts: dict[Steps, int]
    key_starts: dict[Steps, int]
    duplicates: tuple[Diagnostic, ...]

    def location(self, steps: Steps = (), of_key: bool = False) -> Location:
        """Return the location of the value (or of its key); for a missing value, that of its nearest parent."""
        start = self.key_starts.get(steps) if of_key else None
        while start is None:
            start = self.starts.get(steps)
            steps = steps[:-1]
        return _location(self.file, self.text, start)


def _location(file: str, text: str, index: int) -> Location:
    line_start = text.rfind("\n", 0, index) + 1
    return Location(file, text.count("\n", 0, index) + 1, index - line_start + 1)


def decode_text(content: bytes) -> str:
    """Decode UTF-8 with or without a byte order mark, or UTF-16 with one. Raises UnicodeDecodeError."""
    for bom, encoding in _BOMS.items():
        if content.startswith(bom):
            return content[len(bom) :].decode(encoding)
    return content.decode("utf-8")


def parse_json(content: bytes, file: str, consequence: str) -> JsonDocument:
    """Parse a document. Raises JsonError, whose diagnostic has `consequence`, if it is not text or not JSON."""

    def unusable(fact: str, remedy: str, location: Location | None = None) -> JsonError:
        return JsonError(error(file.replace("\\", "/").rsplit("/", 1)[-1], fact, consequence, remedy, location))

    try:
        text = decode_text(content)
    except UnicodeDecodeError as problem:
        fact = f"byte {problem.start} is not {problem.encoding.upper()} text"
        raise unusable(fact, "Save the file as UTF-8", Location(file)) from None
    try:
        root: _Node = _Decoder().decode(text)
    except json.JSONDecodeError as problem:
        message, closer = _TRAILING_COMMA.get(problem.msg, (problem.msg, ""))
        at = text.index(closer, problem.pos)
        found = repr(text[at]) if at < len(text) else "the end of the file"
        problem_text = message[0].lower() + message[1:].removesuffix(" starting at")
        fact = f"not valid JSON: {problem_text}, found {found}"
        remedy = "Fix the syntax there (JSON has no comments and no comma after the last value)"
        raise unusable(fact, remedy, _location(file, text, at)) from None
    except RecursionError:
        raise unusable("nested too deeply", "Flatten the document", Location(file, 1, 1)) from None

    starts: dict[Steps, int] = {}
    key_starts: dict[Steps, int] = {}
    duplicates: list[Diagnostic] = []

    def plain(node: _Node, steps: Steps) -> Any:
        starts[steps] = node.start
        if text.startswith("[", node.start):
            return [plain(item, (*steps, index)) for index, item in enumerate(node.value)]
        if not text.startswith("{", node.start):
            return node.value
        members: dict[str, Any] = {}
        for (key, key_start), (_, item) in zip(node.key_starts, node.value, strict=True):
            inner = (*steps, key)
            if key in members:
                first = _location(file, text, key_starts[inner])
                duplicates.append(
                    error(
                        f'"{key}"',
                        f"the key is written twice, first in line {first.line}",
                        "it is unknown which of them applies",
                        "Remove one",
                        _location(file, text, key_start),
                    )
                )
                continue
            key_starts[inner] = key_start
            members[key] = plain(item, inner)
        return members

    return JsonDocument(file, text, plain(root, ()), starts, key_starts, tuple(duplicates))
