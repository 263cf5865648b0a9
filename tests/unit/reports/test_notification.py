"""Messages about runs: when there is one, what it says of each lab, and that text from elsewhere stays text."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.notify_settings import Format
from imagefactory.reports.notification import LINES, is_news, notification
from imagefactory.reports.run_summary import Item, Outcome, Part, RunSummary

FORMS: tuple[Format, ...] = get_args(Format)
RUN = "https://dev.azure.com/contoso/Images/_build/results?buildId=17&view=logs"
RUNS = RunSummary(
    "prod",
    "failed",
    75,
    (
        Part("bad@1", (Item("Old", "failed", "is in use"),), ("lab bad: is locked",)),
        Part("web@1", (Item("New", "created"), Item("Newer", "replaced"), Item("Older", "deleted"), Item("X", "kept"))),
    ),
    Part("", (Item("Win2016/1.0.0", "updated"),)),
    ("the state is locked",),
)


def texts(document: object) -> list[str]:
    """All strings of a JSON document."""
    if isinstance(document, dict):
        return [text for value in document.values() for text in texts(value)]
    if isinstance(document, list):
        return [text for value in document for text in texts(value)]
    return [document] if isinstance(document, str) else []


@pytest.mark.parametrize("form", ["teams", "slack"])
def test_a_message_says_what_failed_then_what_each_lab_got_and_lost(form: Format) -> None:
    """One line each, with the run behind a link; what did not change is not told."""
    found = texts(notification(RUNS, form, RUN))
    lines = [
        "failed: the state is locked",
        "Lab bad@1: failed: lab bad: is locked",
        "Lab bad@1: failed: Old: is in use",
        "Lab web@1: distributed: New, Newer",
        "Lab web@1: retired: Older",
        "Compute Gallery: distributed: Win2016/1.0.0",
    ]
    assert [text for text in found if text in lines] == lines
    assert any(text.startswith("FAILED: Run of stack prod: failed after 75 s") for text in found)
    assert any("buildId=17" in text for text in found) and not any("X" in text.split() for text in found)


def test_the_form_for_teams_is_an_adaptive_card_for_a_workflow() -> None:
    """A message with one card; the texts are text runs, which are not Markdown."""
    message: Any = notification(RUNS, "teams", RUN)
    assert message["type"] == "message"
    (attachment,) = message["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert {run["type"] for block in card["body"] for run in block["inlines"]} == {"TextRun"}
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Open the run", "url": RUN}]


def test_the_form_for_slack_has_a_text_and_blocks_without_markup() -> None:
    """But for the link of the run."""
    message: Any = notification(RUNS, "slack", RUN)
    header, *sections, context = message["blocks"]
    assert message["text"].startswith("FAILED: Run of stack prod")
    assert header["type"] == "header" and header["text"]["type"] == "plain_text"
    assert {(each["type"], each["text"]["type"]) for each in sections} == {("section", "plain_text")}
    assert context["elements"] == [{"type": "mrkdwn", "text": f"<{RUN.replace('&', '&amp;')}|Open the run>"}]


def test_the_form_json_is_the_summary_with_the_run() -> None:
    """Complete, for own programs."""
    assert notification(RUNS, "json", RUN) == {**RUNS.to_dict(), "run": RUN}
    assert notification(RUNS, "json", "javascript:alert(1)")["run"] is None


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_a_channel_hears_of_changes_and_failures_only(outcome: Outcome) -> None:
    """A run that left everything as it was is no news."""
    summary = RunSummary("prod", "succeeded", 1, (Part("web@1", (Item("a", outcome),)),))
    assert is_news(summary) is (outcome not in {"left out", "kept", "unchanged"})
    assert is_news(RunSummary("prod", "failed", 1)) and not is_news(RunSummary("prod", "succeeded", 1))


@given(st.text(max_size=2000), st.integers(0, 200), st.sampled_from(FORMS[:2]))
def test_any_text_and_number_of_images_fits_and_stays_text(text: str, number: int, form: Format) -> None:
    """Within the limits of both services: 50 blocks, 150 characters in a header, 28 KB in all."""
    items = tuple(Item(f"image{each}", "failed", text) for each in range(number))
    message: Any = notification(RunSummary(text, "failed", 1, (Part("web@1", items),)), form, text)
    if form == "slack":
        assert len(message["blocks"]) <= 50 and len(message["blocks"][0]["text"]["text"]) <= 150
        assert all(each["text"]["type"] == "plain_text" for each in message["blocks"])
        assert "<" not in message["text"]
    else:
        assert "actions" not in message["attachments"][0]["content"]
        assert len(json.dumps(message, ensure_ascii=False).encode()) < 28 * 1024
    assert number <= LINES or any(re.fullmatch(r"\.\.\. and \d+ more", each) for each in texts(message))
