"""JSON documents as people and PowerShell write them: encodings, syntax errors, and the position of each value.

Decodes and parses them, and reports duplicate keys. Reads what PowerShell reads too: comments, a comma after the last
value, and keys in any case. Blanks comments and such commas and then uses the decoder of the standard library, so that
positions are kept: the maintained readers of wider dialects keep no positions of values (json5, pyjson5), or read all
of JSON5 (json-five). Does not interpret the content.
"""

from __future__ import annotations

import codecs
import json.decoder
import json.scanner
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from imagefactory.diagnostics import Diagnostic, Location, error, warning

Steps = tuple["str | int", ...]
"""The place of a value in a document: keys and indexes from the root, as pydantic's `loc`."""

_BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_SURROGATE = re.compile("[\ud800-\udfff]")
# Parts of the standard library's pure Python decoder that its type stubs omit.
_SCANNER: Any = vars(json.scanner)["py_make_scanner"]
_OBJECT: Any = vars(json.decoder)["JSONObject"]
_ARRAY: Any = vars(json.decoder)["JSONArray"]
_STRING: Any = vars(json.decoder)["scanstring"]
_NOT_JSON = ("NaN", "Infinity", "-Infinity")
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"?|//[^\r\n]*|/\*.*?(?:\*/|\Z)|[ \t\r\n]+|[^"/,\]} \t\r\n]+|.', re.DOTALL)
_VISIBLE = re.compile(r"[^\r\n]")
_REMOVED = "\0"
"""Marks a removed comment. No valid document contains it: strict JSON has no control characters."""
_REMOVED_LINE = re.compile(r"^[ \t]*(?:\0[ \t]*)+(?:\r\n|\r|\n|\Z)", re.MULTILINE)
_REMOVED_END = re.compile(r"[ \t]*(?:\0[ \t]*)+(?=\r|\n|\Z)|\0[ \t]*")


class JsonError(ValueError):
    """A document that cannot be parsed; `diagnostic` has the reason."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        self.diagnostic = diagnostic
        super().__init__(diagnostic.text())


@dataclass(frozen=True)
class Tolerated:
    """A place that strict JSON or the format rejects and PowerShell accepts: a warning, and the correction."""

    diagnostic: Diagnostic
    start: int
    end: int
    correction: str


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
    spans: dict[Steps, tuple[int, int]]
    key_starts: dict[Steps, int]
    duplicates: tuple[Diagnostic, ...]
    extras: tuple[tuple[int, int], ...]
    """Start and end of each comment, and of each comma after a last value, in the order of the text."""
    recased: tuple[tuple[int, int, str], ...]
    """Start and end of each key that is written in another case, and the key."""

    def location(self, steps: Steps = (), of_key: bool = False) -> Location:
        """Return the location of the value (or of its key); for a missing value, that of its nearest parent."""
        start = self.key_starts.get(steps) if of_key else None
        while start is None:
            start, _ = self.spans.get(steps, (None, None))
            steps = steps[:-1]
        return _location(self.file, self.text, start)

    def written(self, steps: Steps) -> str | None:
        """Return the value as the file has it; None if it is missing."""
        start, end = self.spans.get(steps, (0, 0))
        return self.text[start:end] or None

    def tolerated(self) -> list[Tolerated]:
        """Return the places that are read although JSON does not allow them, and the keys in another case."""
        subject = _subject(self.file)
        found = []
        for start, end in self.extras:
            comma = self.text[start] == ","
            fact = "a comma after the last value is not JSON" if comma else "a comment is not JSON"
            harm = "it is ignored here, but strict readers reject the file"
            diagnostic = warning(subject, fact, harm, "Remove it", _location(self.file, self.text, start))
            found.append(Tolerated(diagnostic, start, end, "" if comma else _REMOVED))
        for start, end, key in self.recased:
            fact = f"the key is written {self.text[start:end]}"
            harm = f'it is read as "{key}", but editors mark it as unknown'
            diagnostic = warning(subject, fact, harm, f'Write "{key}"', _location(self.file, self.text, start))
            found.append(Tolerated(diagnostic, start, end, json.dumps(key)))
        return found

    def corrected(self, places: Iterable[Tolerated]) -> str:
        """Return the text with these places corrected; a line with nothing but comments is removed."""
        text = _replaced(self.text, ((place.start, place.end, place.correction) for place in places))
        return _REMOVED_END.sub("", _REMOVED_LINE.sub("", text))


def _replaced(text: str, places: Iterable[tuple[int, int, str]]) -> str:
    pieces, at = [], 0
    for start, end, correction in sorted(places):
        pieces += [text[at:start], correction]
        at = end
    return "".join([*pieces, text[at:]])


def _subject(file: str) -> str:
    return file.replace("\\", "/").rsplit("/", 1)[-1]


def _location(file: str, text: str, index: int) -> Location:
    line_start = text.rfind("\n", 0, index) + 1
    return Location(file, text.count("\n", 0, index) + 1, index - line_start + 1)


def decode_text(content: bytes) -> str:
    """Decode UTF-8 with or without a byte order mark, or UTF-16 with one. Raises UnicodeDecodeError."""
    for bom, encoding in _BOMS.items():
        if content.startswith(bom):
            return content[len(bom) :].decode(encoding)
    return content.decode("utf-8")


def encode_as(text: str, content: bytes) -> bytes:
    """Encode a text in the encoding of a document, with its byte order mark."""
    for bom, encoding in _BOMS.items():
        if content.startswith(bom):
            return bom + text.encode(encoding)
    return text.encode("utf-8")


def parse_json(content: bytes, file: str, consequence: str, keys: Iterable[str] = ()) -> JsonDocument:
    """Parse a document. Raises JsonError, whose diagnostic has `consequence`, if it is not text or not JSON.

    `keys` are read case-insensitively, in any object of the document, and get this case in the value.
    """
    cases = {key.lower(): key for key in keys}

    def unusable(fact: str, remedy: str, location: Location | None = None) -> JsonError:
        return JsonError(error(_subject(file), fact, consequence, remedy, location))

    try:
        text = decode_text(content)
    except UnicodeDecodeError as problem:
        fact = f"byte {problem.start} is not {problem.encoding.upper()} text"
        raise unusable(fact, "Save the file as UTF-8", Location(file)) from None
    extras = tuple(sorted(_extras(text)))
    blanks = ((start, end, _VISIBLE.sub(" ", text[start:end])) for start, end in extras)
    try:
        root: _Node = _Decoder().decode(_replaced(text, blanks))
    except json.JSONDecodeError as problem:
        found = repr(text[problem.pos]) if problem.pos < len(text) else "the end of the file"
        problem_text = problem.msg[0].lower() + problem.msg[1:].removesuffix(" starting at")
        fact = f"not valid JSON: {problem_text}, found {found}"
        raise unusable(fact, "Fix the syntax there", _location(file, text, problem.pos)) from None
    except RecursionError:
        raise unusable("nested too deeply", "Flatten the document", Location(file, 1, 1)) from None

    spans: dict[Steps, tuple[int, int]] = {}
    key_starts: dict[Steps, int] = {}
    duplicates: list[Diagnostic] = []
    recased: list[tuple[int, int, str]] = []

    def plain(node: _Node, steps: Steps) -> Any:
        spans[steps] = (node.start, node.end)
        if text.startswith("[", node.start):
            return [plain(item, (*steps, index)) for index, item in enumerate(node.value)]
        if not text.startswith("{", node.start):
            return node.value
        members: dict[str, Any] = {}
        for (written, key_start), (_, item) in zip(node.key_starts, node.value, strict=True):
            key = cases.get(written.lower(), written)
            inner = (*steps, key)
            if key in members:
                first = _location(file, text, key_starts[inner])
                duplicates.append(
                    error(
                        f'"{written}"',
                        f"the key is written twice, first in line {first.line}",
                        "it is unknown which of them applies",
                        "Remove one",
                        _location(file, text, key_start),
                    )
                )
                continue
            if written != key:
                recased.append((key_start, _STRING(text, key_start + 1)[1], key))
            key_starts[inner] = key_start
            members[key] = plain(item, inner)
        return members

    value = plain(root, ())
    return JsonDocument(file, text, value, spans, key_starts, tuple(duplicates), extras, tuple(recased))


def _extras(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each comment, and of each comma between a value and a closing bracket."""
    last = before = ""
    comma = 0
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word.startswith("/*") and not word.endswith("*/", 2):
            return  # it has no end, so the decoder reports it
        if word.startswith(("//", "/*")):
            yield token.span()
        elif word.strip(" \t\r\n"):
            if word in "]}" and last == "," and before not in ("", "[", "{", ",", ":"):
                yield comma, comma + 1
            last, before, comma = word[-1], last, token.start()
