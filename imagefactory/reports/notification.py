"""What a run did, as a message to a channel: what was distributed, retired and what failed, per lab.

Forms: Microsoft Teams (an Adaptive Card for a workflow, learn.microsoft.com, "Create an Incoming Webhook"), Slack
(Block Kit, docs.slack.dev), and the JSON of `imagefactory summary`. Text from elsewhere is text only: it can neither
mention people nor look like a link. Does not send: `imagefactory.telemetry.webhook` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate

from imagefactory.configuration.notify_settings import Format
from imagefactory.reports.run_summary import DONE, PROBLEMS, Part, RunSummary, safe

LONGEST_LINE = 300
"""Characters of a line; a longer one is cut."""
LINES, ROOM = 40, 12_000
"""Lines below the title, and their bytes in UTF-8; a message of Teams has up to 28 KB, in which a character may be two,
one of Slack up to 50 blocks of 3,000 characters."""
_TITLE = 150
"""Characters of a title: the limit of a header in Slack."""
_LINK = re.compile(r"https://[^\s|<>\"]+")


def is_news(summary: RunSummary) -> bool:
    """Return whether the run changed something or failed; a channel hears of nothing else."""
    return summary.failed or any(item.outcome in DONE for part in summary.parts for item in part.items)


def notification(summary: RunSummary, form: Format, run: str = "") -> dict[str, object]:
    """Return the body of the message; `run` is the URL of the pipeline run."""
    link = run if _LINK.fullmatch(run) else ""
    title = _cut(f"{'FAILED: ' if summary.failed else ''}{summary.lines()[0]}", _TITLE)
    lines = [_cut(line) for line in _lines(summary)]
    sizes = accumulate(len(line.encode()) for line in lines)
    fitting = min(LINES, sum(size <= ROOM for size in sizes))
    if fitting < len(lines):
        lines = [*lines[:fitting], f"... and {len(lines) - fitting} more"]
    if form == "json":
        return {**summary.to_dict(), "run": link or None}
    return _teams(title, lines, link) if form == "teams" else _slack(title, lines, link)


def _lines(summary: RunSummary) -> Iterator[str]:
    """Yield a line for each failure, then for each lab with what it got and what it lost."""
    for text in summary.errors:
        yield f"failed: {text}"
    for part in summary.parts:
        yield from (f"{part.title}: failed: {text}" for text in part.errors)
        for item in part.items:
            if item.outcome in PROBLEMS:
                yield f"{part.title}: {item.outcome}: {item.name}{item.why and f': {item.why}'}"
    for part in summary.parts:
        for title, outcomes in (("distributed", DONE - {"deleted"}), ("retired", {"deleted"})):
            if names := _names(part, outcomes):
                yield f"{part.title}: {title}: {names}"


def _names(part: Part, outcomes: frozenset[str] | set[str]) -> str:
    return ", ".join(item.name for item in part.items if item.outcome in outcomes)


def _cut(text: str, longest: int = LONGEST_LINE) -> str:
    shown = safe(text)
    return shown if len(shown) <= longest else f"{shown[: longest - 3]}..."


def _teams(title: str, lines: list[str], link: str) -> dict[str, object]:
    """A text run is not read as Markdown, unlike a text block."""
    texts = [{"type": "TextRun", "text": title, "weight": "Bolder", "size": "Medium"}], *([run] for run in _runs(lines))
    card: dict[str, object] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [{"type": "RichTextBlock", "inlines": inlines} for inlines in texts],
        "msteams": {"width": "Full"},
    }
    if link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open the run", "url": link}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _runs(lines: list[str]) -> Iterator[dict[str, object]]:
    for line in lines:
        yield {"type": "TextRun", "text": line}


def _slack(title: str, lines: list[str], link: str) -> dict[str, object]:
    """A plain text has no markup; `text` is what notifications show."""
    blocks: list[dict[str, object]] = [{"type": "header", "text": _plain(title)}]
    blocks += ({"type": "section", "text": _plain(line)} for line in lines)
    if link:
        shown = link.replace("&", "&amp;")
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": f"<{shown}|Open the run>"}]})
    fallback = title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": fallback, "blocks": blocks}


def _plain(text: str) -> dict[str, object]:
    return {"type": "plain_text", "text": text, "emoji": False}
