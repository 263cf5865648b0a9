"""The plan as Markdown for a comment of a pull request: what leaves comes first, in bold.

All text from elsewhere is shown as code, which is neither markup, a mention, a reference nor an emoji to the sites that
render it. Does not print.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from itertools import accumulate, takewhile

from imagefactory.plain_text import printable, redacted
from imagefactory.reports.plan_report import Change, LabReport, PlanReport, counts

LIMIT = 60_000
"""Characters; GitHub rejects a comment of more than 65,536 ("body is too long")."""
LONGEST = 500
"""Characters of a text in the summary."""
_SHARES = (0.5, 0.2, 0.3)
"""Of the room of a summary: what leaves, what fails, labs."""

_HEADER = "| Lab | Image | Why |\n| --- | --- | --- |"


def plan_markdown(report: PlanReport, limit: int = LIMIT) -> str:
    """Return the plan; above `limit` characters, a summary of each lab."""
    full = "\n\n".join(filter(None, [*_head(report), _leaving(report), *_details(report)]))
    return full if len(full) <= limit else _summary(report, limit)


def code(text: str, longest: int | None = None) -> str:
    """Return a text as code on one line, also within a table; empty if the text is."""
    shown = printable(redacted(text))
    if longest and len(shown) > longest:
        shown = f"{shown[:longest]}..."
    if "|" in shown:  # Markdown has no escape for it in code within a table
        inert = "".join(f"&#{ord(char)};" if char in string.punctuation else char for char in shown)
        return f"<code>{inert}</code>"
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    pad = " " if shown[:1] == "`" or shown[-1:] == "`" else ""
    return f"{fence}{pad}{shown}{pad}{fence}" if shown else ""


def _head(report: PlanReport) -> list[str]:
    totals = [*report.totals.lines()] if report.totals else ["Without Azure: only what the files say."]
    number = f"**{counts(report.changes) or 'nothing'}**"
    return [f"### Plan of stack {code(report.stack)}", "\n".join([f"{number}  ", *(f"{line}  " for line in totals)])]


def _leaving(report: PlanReport) -> str:
    rows = _leaving_rows(report)
    return "\n".join(["#### Leaves", "", _HEADER, *rows]) if rows else ""


def _leaving_rows(report: PlanReport, longest: int | None = None) -> list[str]:
    places = [(code(lab.label), lab.changes) for lab in report.labs] + [("Compute Gallery", report.gallery)]
    return [
        f"| {place} | **{code(_name(one), longest)}** | {code(one.why, longest)} |"
        for place, changes in places
        for one in changes
        if one.action == "delete"
    ]


def _details(report: PlanReport) -> Iterable[str]:
    yield _bullets("Fails", (each.text() for each in report.failures))
    for lab in report.labs:
        yield _lab(lab)
    if report.gallery:
        yield f"#### Compute Gallery: {counts(report.gallery)}\n\n{_table(report.gallery)}"
    yield _bullets("Left out", (f"{one.name or one.image_path}: {one.why}" for one in report.left_out))
    yield _bullets("Warnings", (each.text() for each in report.warnings))


def _lab(lab: LabReport) -> str:
    place = f" ({code(str(lab.location))})" if lab.location else ""
    title = f"#### Lab {code(lab.label)}{place}: {counts(lab.changes) or 'nothing'}"
    return f"{title}\n\n{_table(lab.changes)}" if lab.changes else title


def _table(changes: Iterable[Change]) -> str:
    rows = ["| Action | Image | State | Why |", "| --- | --- | --- | --- |"]
    for one in changes:
        cells = (one.action, code(_name(one)))
        action, name = (f"**{cell}**" for cell in cells) if one.action == "delete" else cells
        rows.append(f"| {action} | {name} | {code(one.state or '')} | {code(one.why)} |")
    return "\n".join(rows)


def _bullets(title: str, texts: Iterable[str], longest: int | None = None) -> str:
    rows = [f"* {code(text, longest)}" for text in texts]
    return "\n".join([f"#### {title}", "", *rows]) if rows else ""


def _name(one: Change) -> str:
    return one.name or one.image_path


def _summary(report: PlanReport, limit: int) -> str:
    head = "\n\n".join([*_head(report), "The complete plan is too long for a comment: run imagefactory plan."])
    labs = [f"| {code(lab.label)} | {counts(lab.changes) or 'nothing'} |" for lab in report.labs]
    labs += [f"| Compute Gallery | {counts(report.gallery)} |"] if report.gallery else []
    failures = [f"* {code(each.text(), LONGEST)}" for each in report.failures]
    sections = (
        (f"#### Leaves\n\n{_HEADER}", _leaving_rows(report, LONGEST)),
        ("#### Fails\n", failures),
        ("#### Labs\n\n| Lab | Images |\n| --- | --- |", labs),
    )
    room = limit - len(head) - 300
    parts = [fitting(title, rows, int(room * share)) for (title, rows), share in zip(sections, _SHARES, strict=True)]
    return "\n\n".join([head, *filter(None, parts)])


def fitting(title: str, rows: Sequence[str], room: int) -> str:
    """Return a section with as many rows as there is room for."""
    lengths = accumulate(len(row) + 1 for row in rows)
    fitting = len(list(takewhile(lambda length: length <= room, lengths)))
    more = [f"\n... and {len(rows) - fitting} more."] if fitting < len(rows) else []
    return "\n".join([title, *rows[:fitting], *more]) if rows else ""
