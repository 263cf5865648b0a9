"""The form of an answer: what stays the same in every run and every cloud, so that answers can be compared.

Replaces names, ids, times, digests and signatures by their form, keeps codes, states and the casing of ids. Nothing
secret passes: an unknown text of more than a few words is only `{text}`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree

from contract.wire import Answer

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_FORMS = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?"), "time"),
    (re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "HTTP date"),
    (re.compile(r'(?:W/)?"?0x[0-9A-F]+"?', re.IGNORECASE), "ETag"),
    (re.compile(r"[A-Za-z0-9+/]{11}="), "8 bytes, base64"),
    (re.compile(r"[A-Za-z0-9+/]{22}=="), "16 bytes, base64"),
)
_PLAIN = re.compile(r"[\w.,:;=/{}()'\"+$?&*<>\[\]-]{0,400}|[\w .,:;=/{}()'\"+$?&*<>-]{0,100}")
_LONG = re.compile(r"(?=[A-Za-z+=]*\d)[A-Za-z0-9+=]{24,}|[A-Za-z0-9+/]{20,}=")
"""What no name, state or code has, but signatures and keys."""
_PEOPLE = frozenset(("author", "createdbyuser", "createdbyuserid", "ownerobjectid", "owneruserprincipalname"))
_SECRET = re.compile(r"sas|key|token|signature|secret|value$", re.IGNORECASE)
_TEXTS = frozenset(("message", "Message"))
_NOISE = re.compile(r"x-ms-(version|ratelimit-.*|operation-identifier|(.*-)?request-id)")
"""Headers that differ in every answer, or are not the subject of an experiment."""
_SHOWN = re.compile(
    r"azure-asyncoperation|location|retry-after(-ms)?|etag|content-(md5|range|type)|last-modified|www-authenticate"
)
_NUMBERS = frozenset(("retry-after", "retry-after-ms", "x-ms-blob-content-length"))
_KEPT_PARAMETERS = frozenset(("api-version", "monitor", "$top"))


class Forms:
    """Forms, given the names of one place (actual text -> placeholder) and the start of all names of one run."""

    def __init__(self, names: Mapping[str, str], run: str) -> None:
        ordered = sorted(names.items(), key=lambda each: -len(each[0]))
        self._names = [
            (re.compile(rf"(?<![\w-]){re.escape(actual)}(?![\w-])", re.IGNORECASE), actual, shown)
            for actual, shown in ordered
            if actual
        ]
        for form in (run, run.replace("-", "_")):  # the names of galleries have no dash
            self._names.insert(0, (re.compile(re.escape(form), re.IGNORECASE), form, "{run}"))

    def of(self, answer: Answer, *, body: bool = True) -> dict[str, Any]:
        """Return status, code, headers and, if wanted, body of an answer."""
        shown: dict[str, Any] = {"status": answer.status}
        if answer.code:
            shown["code"] = answer.code
        headers = {
            name: self.header(name, value)
            for name, value in sorted(answer.headers.items())
            if _SHOWN.fullmatch(name) or (name.startswith("x-ms-") and not _NOISE.fullmatch(name))
        }
        shown["headers"] = headers
        if body and answer.content:
            shown["body"] = self.body(answer)
        return shown

    def body(self, answer: Answer) -> Any:
        """Return the form of a body in JSON or XML; of another body only that it is there."""
        if answer.json is not None:
            return self.value(answer.json)
        if answer.xml is not None:
            return self.value({answer.xml.tag: _tree(answer.xml)})
        return "{bytes}"

    def header(self, name: str, value: str) -> str:
        """Return the form of a header."""
        if name == "www-authenticate":
            scheme, _, parameters = value.partition(" ")
            return " ".join([scheme, *re.findall(r"(\w+)=", parameters)])
        return "{number}" if name in _NUMBERS and value.isdigit() else self.text(value)

    def value(self, value: Any, key: str = "") -> Any:
        """Return the form of a value of JSON; `key` is its name."""
        if isinstance(value, dict):
            return {self.text(each): self.value(inner, each) for each, inner in value.items()}
        if isinstance(value, list):
            return [self.value(each, key) for each in value]
        if not isinstance(value, str) or not value:
            return value
        if key.lower() in _PEOPLE:
            return "{person}"
        if key in _TEXTS:
            return "{text}"
        if urlsplit(value).scheme in ("http", "https"):
            return self.text(value)
        return "{secret}" if _SECRET.search(key) else self.text(value)

    def text(self, text: str) -> str:
        """Return the form of a text."""
        if urlsplit(text).scheme in ("http", "https") and " " not in text:
            return self._url(text)
        for pattern, name in _FORMS:
            if match := pattern.fullmatch(text):
                if name != "time":
                    return f"{{{name}}}"
                zone = match[2] or "no zone"
                return f"{{time, {len(match[1] or '')} decimals, {'offset' if zone[0] in '+-' else zone}}}"
        shown = self._replaced(text)
        return shown if _PLAIN.fullmatch(shown) and not _LONG.search(shown) else "{text}"

    def message(self, text: str) -> str:
        """Return a message of this project with the names replaced; it contains nothing that must not be shown."""
        return self._replaced(text)

    def _url(self, url: str) -> str:
        path, _, query = url.partition("?")
        shown = self._replaced(path)
        if shown.startswith("http"):
            shown = "{URL}"
        parameters = (
            f"{name}={self._replaced(value)}" if name in _KEPT_PARAMETERS else name
            for name, value in parse_qsl(query, keep_blank_values=True)
        )
        return f"{shown}?{'&'.join(parameters)}" if query else shown

    def _replaced(self, text: str) -> str:
        for pattern, actual, shown in self._names:
            text = pattern.sub(partial(_placeholder, actual, shown), text)
        text = _GUID.sub("{guid}", text)
        return re.sub(r"\b\d{8}-\{guid\}", "{date}-{guid}", text)


def _placeholder(actual: str, shown: str, found: re.Match[str]) -> str:
    return shown if found[0] == actual else f"{shown[:-1]}, other case}}"


def _tree(element: ElementTree.Element) -> Any:
    """Return an element as JSON: its text, or its children by tag, in a list where a tag occurs more than once."""
    if not len(element):
        return element.text or ""
    children: dict[str, Any] = {}
    for child in element:
        children.setdefault(child.tag, []).append(_tree(child))
    return {tag: found[0] if len(found) == 1 else found for tag, found in children.items()}
