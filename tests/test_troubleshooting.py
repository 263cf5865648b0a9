"""docs/messages.md is what the source says, and docs/troubleshooting.md names messages that are there."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from tests.command_lines import ROOT
from toolchain.messages.page import PAGE, anchor, has_heading, message_headings, page, product
from toolchain.messages.reading import Message

TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")


@pytest.fixture(scope="module")
def found() -> Sequence[Message]:
    """All messages of the product."""
    return product(ROOT)[1]


def without_entry(headings: list[str], found: Sequence[Message]) -> list[str]:
    """The headings that no message has."""
    return [heading for heading in headings if not any(has_heading(message, heading) for message in found)]


def test_the_page_of_messages_is_what_the_source_says() -> None:
    """Who changes a message writes the page again."""
    assert (ROOT / PAGE).read_text("utf-8") == page(ROOT), "run: python -m toolchain.messages"


def test_every_entry_is_about_a_message(found: Sequence[Message]) -> None:
    """A reader who searches the page for a message finds it as it was printed."""
    headings = message_headings(TROUBLESHOOTING)
    assert len(headings) > 30 and len(set(headings)) == len(headings)
    assert [heading for heading in headings if not re.fullmatch("`[^`]+`", heading)] == []
    assert without_entry(headings, found) == []


def test_every_section_of_entries_is_of_the_product_or_of_pulumi() -> None:
    """No entry is left out of the comparison because of the name of its section."""
    sections = re.findall(r"^## (.*)$", TROUBLESHOOTING, re.MULTILINE)
    others = [section for section in sections if not section.startswith("Messages: ")]
    assert others == ["What a failure keeps", "Messages of Pulumi", "Symptoms"]


def test_a_message_that_no_longer_exists_is_found(found: Sequence[Message]) -> None:
    """One word that differs is enough, and words of a comment or a log are no message."""
    assert without_entry(["`is in ..., the factory in ..., and ... is missing`"], found) == []
    assert without_entry(["`is in ..., the factory in ..., and ... is absent`", "`vhdcopy`"], found) != []


def test_every_check_of_doctor_has_a_remedy(found: Sequence[Message]) -> None:
    """What cannot be found out has one, too."""
    checks = [message for message in found if message.module.startswith("imagefactory.doctor") and message.subject]
    assert len(checks) > 30
    assert [message for message in checks if not message.remedy] == []


def test_every_entry_is_linked_from_its_messages() -> None:
    """A message leads to what one line cannot say."""
    linked = set(re.findall(r"\(troubleshooting\.md#([^)]+)\)", (ROOT / PAGE).read_text("utf-8")))
    assert linked == set(map(anchor, message_headings(TROUBLESHOOTING)))
