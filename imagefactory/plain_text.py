"""Texts that others wrote, as they may reach terminals, logs and build agents.

Owns what becomes of characters that do not print, of lines that a build agent would run, and of secrets in URLs.
Refuses to print.

What an agent runs is told by its own parser. Azure Pipelines: `##vso[` and `##[` anywhere in a line
(microsoft/azure-pipelines-agent, `Command.TryParse` and `Logging.cs`). GitHub Actions: `::` after leading blanks, and
`##[` anywhere (actions/runner, `ActionCommand.TryParseV2` and `TryParse`). Both search as .NET compares by culture,
which skips characters without weight, such as variation selectors: so nothing outside of ASCII separates the signs
of a command here.
"""

from __future__ import annotations

import json
import re

_SIGNS = re.compile(r"#(?=[^\x00-\x7f]*#)")
_COLONS = re.compile(r"^([^!-~]*:)(?=[^\x00-\x7f]*:)")

_HARMLESS = frozenset({"api-version", "buildid", "comp", "prefix", "restype", "snapshot", "view"})
"""Keys of a query that hold no secret, in lower case."""
_QUERY = re.compile(r"(https?://[^\s?'\"<>]*\?|\?(?=[^\s'\"<>]*=))([^\s'\"<>]*)", re.IGNORECASE)
_SIGNATURE = re.compile(r"(?<![a-z])(sig(?:=|%3d))[^\s&'\"<>]+", re.IGNORECASE)


def printable(text: str) -> str:
    """The text on one line that no agent runs, whatever is not printable escaped."""
    return _inert(" ".join(text.split()))


def printable_lines(text: str) -> str:
    """As `printable`, with its lines and its spaces."""
    return "\n".join(map(_inert, text.splitlines()))


def json_text(value: object) -> str:
    """`value` as an indented JSON document of the same meaning, none of whose lines an agent runs."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    shown = "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
    return _SIGNS.sub(r"\\u0023", shown)


def redacted(text: str) -> str:
    """`text` without what may be secret in the queries of its URLs, whole or in part: a SAS is there."""
    return _SIGNATURE.sub(r"\1...", _QUERY.sub(_harmless, text))


def _inert(line: str) -> str:
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
    return _COLONS.sub(r"\1 ", _SIGNS.sub("# ", shown))


def _harmless(query: re.Match[str]) -> str:
    kept = [pair for pair in query[2].split("&") if pair.partition("=")[0].lower() in _HARMLESS]
    return query[1] + "&".join(kept) if kept else query[1][:-1]
