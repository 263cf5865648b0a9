"""All commands, options and linked files in the documents exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_lines import ROOT, commands, unknown_words

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PLACEHOLDER = re.compile(r"<|\.\.\.|\w\|\w|…")
"""Marks of an abbreviation, which is not a command to type."""


def shown(document: Path) -> Iterator[list[str]]:
    """Yield the commands in the shell blocks and code spans of a document."""
    text = document.read_text("utf-8")
    for block in re.findall(r"^ *```(?:sh|bash|shell)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        yield from commands(block)
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`((?:pulumi|imagefactory|python3 dev\.py) [^`]+)`", prose):
        if not PLACEHOLDER.search(span):
            yield from commands(span.replace("\n", " "))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_of_a_document_exists(document: Path) -> None:
    """With each of its options."""
    assert {" ".join(command): unknown_words(command) for command in shown(document) if unknown_words(command)} == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_has_a_target(document: Path) -> None:
    """If it is a link within the project."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text("utf-8"))
    assert [link for link in links if ":" not in link and not (document.parent / link).exists()] == []


def test_the_operations_guide_shows_commands_of_every_program() -> None:
    """So the checks above find commands to check."""
    programs = {command[0] for command in shown(ROOT / "docs" / "operations.md")}
    assert {"pulumi", "imagefactory"} <= programs


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("pulumi up --yes --refesh", ["--refesh"]),
        ("A=1 pulumi stack inti --yes | tee log", ["inti", "--yes"]),
        ("pulumi stack init dev && pulumi stack select -x dev", ["-x"]),
        ("pulumi updat", ["updat"]),
        ("imagefactory validate --fromat azure", ["--fromat"]),
        ("imagefactory valdate", ["valdate"]),
        ("imagefactory --version && imagefactory --vresion", ["--vresion"]),
        ('eval "$(python3 dev.py evn)"', ["evn"]),
        ("python3 dev.py cloud start --sed x", ["--sed"]),
    ],
)
def test_an_unknown_command_or_option_is_found(line: str, unknown: list[str]) -> None:
    """Anywhere in a line."""
    assert [word for command in commands(line) for word in unknown_words(command)] == unknown
