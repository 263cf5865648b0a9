"""docs/troubleshooting.md names messages that the product really has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.command_lines import ROOT

PRODUCT = ("imagefactory", "providers", "components")


def texts(node: ast.AST) -> Iterator[str]:
    """The strings in a syntax tree but for docstrings, formatted ones with a zero byte for each value in them."""
    docstrings = {id(each.value) for each in ast.walk(node) if isinstance(each, ast.Expr)}
    for each in ast.walk(node):
        if id(each) in docstrings:
            continue
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value
        elif isinstance(each, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in each.values)


def headings() -> list[str]:
    """The messages that have an entry, except those of other programs."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    sections = re.findall(r"^## Messages: .*\n((?:(?!## ).*\n)*)", text, re.MULTILINE)
    return [heading for section in sections for heading in re.findall(r"^### (.*)$", section, re.MULTILINE)]


@pytest.fixture(scope="module")
def messages() -> list[str]:
    """All strings of the product."""
    files = [path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")]
    return [text for file in files for text in texts(ast.parse(file.read_text("utf-8")))]


def occurs(heading: str, messages: list[str]) -> bool:
    """Whether a string of the product reads as the heading, with any text for each `...`, any value for a number."""
    parts = [re.sub(r"\d+", r"(?:\g<0>|\0)", re.escape(part)) for part in heading.strip("`").split("...")]
    pattern = re.compile(".*".join(parts), re.DOTALL)
    return any(pattern.search(message) for message in messages)


def test_every_message_with_an_entry_exists(messages: list[str]) -> None:
    """A reader who searches the page for a message finds it as it was printed."""
    found = headings()
    assert len(found) > 30 and len(set(found)) == len(found)
    assert [heading for heading in found if not re.fullmatch("`[^`]+`", heading)] == []
    assert [heading for heading in found if not occurs(heading, messages)] == []


def test_a_message_that_no_longer_exists_is_found(messages: list[str]) -> None:
    """One word that differs is enough."""
    assert occurs("`is in ..., the factory in ..., and ... is missing`", messages)
    assert not occurs("`is in ..., the factory in ..., and ... is absent`", messages)
