"""Text from outside, made safe for terminals, logs and build agents.

Escapes characters that are not printable, breaks up commands that a build agent would run, and removes secrets from
URLs. Does not print.

The parsers of the agents define what a command is. Azure Pipelines: `##vso[` and `##[` anywhere in a line
(microsoft/azure-pipelines-agent, `Command.TryParse` and `Logging.cs`). GitHub Actions: `::` after leading blanks, and
`##[` anywhere (actions/runner, `ActionCommand.TryParseV2` and `TryParse`). Both search with .NET's culture-sensitive
comparison, which ignores characters without weight, such as variation selectors. So characters outside of ASCII do not
separate the signs of a command here.
"""

from __future__ import annotations

import json
import re

_SIGNS = re.compile(r"#(?=[^\x00-\x7f]*#)")
_COLONS = re.compile(r"^([^!-~]*:)(?=[^\x00-\x7f]*:)")

_HARMLESS = frozenset({"api-version", "buildid", "comp", "prefix", "restype", "snapshot", "view"})
"""Keys of a query whose values are no secrets, in lower case."""
_QUERY = re.compile(r"(https?://[^\s?'\"<>]*\?|\?(?=[^\s'\"<>]*=))([^\s'\"<>]*)", re.IGNORECASE)
_SIGNATURE = re.compile(r"(?<![a-z])(sig(?:=|%3d))[^\s&'\"<>]+", re.IGNORECASE)


def printable(text: str) -> str:
    """Return the text on one line, without agent commands and with what is not printable escaped."""
    return _inert(" ".join(text.split()))


def printable_lines(text: str) -> str:
    """Return the text as `printable` does, but keep its lines and spaces."""
    return "\n".join(map(_inert, text.splitlines()))


def json_text(value: object) -> str:
    """Return `value` as an equivalent, indented JSON document without agent commands."""
    return _harmless_json(json.dumps(value, indent=2, ensure_ascii=False))


def json_line(value: object) -> str:
    """Return the same on one line."""
    return _harmless_json(json.dumps(value, ensure_ascii=False))


def redacted(text: str) -> str:
    """Return `text` without the possible secrets in the queries of its URLs, such as a SAS, complete or cut."""
    return _SIGNATURE.sub(r"\1...", _QUERY.sub(_harmless, text))


def _harmless_json(text: str) -> str:
    shown = "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
    return _SIGNS.sub(r"\\u0023", shown)


def _inert(line: str) -> str:
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
    return _COLONS.sub(r"\1 ", _SIGNS.sub("# ", shown))


def _harmless(query: re.Match[str]) -> str:
    kept = [pair for pair in query[2].split("&") if pair.partition("=")[0].lower() in _HARMLESS]
    return query[1] + "&".join(kept) if kept else query[1][:-1]
