"""What a run did, as Markdown for the page of a pipeline run: labs with failures come first, in bold.

All text from elsewhere is shown as code, as in `plan_markdown`. Does not print.
"""

from __future__ import annotations

from imagefactory.reports.plan_markdown import LIMIT, LONGEST, code, fitting
from imagefactory.reports.run_summary import PROBLEMS, Part, RunSummary

_SHARES = (0.4, 0.3)
"""Of the room: errors, labs; what remains is for what was done."""


def run_markdown(summary: RunSummary, limit: int = LIMIT) -> str:
    """Return the summary in at most `limit` characters: what does not fit is counted."""
    lines = "  \n".join(code(line) for line in summary.lines()[1:])
    head = f"### Run of stack {code(summary.stack)}: {summary.result}\n\n{code(summary.lines()[0])}"
    problems = [f"* {code(text, LONGEST)}" for text in summary.errors]
    for part in summary.parts:
        problems += [f"* **{_title(part)}**: {code(text, LONGEST)}" for text in part.errors]
        problems += [
            f"* **{_title(part)}**: {code(item.name)} {item.outcome}: {code(item.why, LONGEST)}"
            for item in part.items
            if item.outcome in PROBLEMS
        ]
    labs = [f"| {_bold(part, _title(part))} | {_bold(part, part.counts)} |" for part in summary.parts]
    rows = [
        f"| {_title(part)} | {item.outcome} | {code(item.name)} | {code(item.why, LONGEST)} |"
        for part in summary.parts
        for item in part.told
        if item.outcome not in PROBLEMS
    ]
    sections = (
        ("#### Not done\n", problems),
        ("#### Labs\n\n| Lab | Images |\n| --- | --- |", labs),
        ("#### Done, kept and left out\n\n| Lab | Outcome | Image | Why |\n| --- | --- | --- | --- |", rows),
    )
    parts = [head, lines]
    room = limit - len(head) - len(lines) - 300
    for (title, found), share in zip(sections, (*_SHARES, 1.0), strict=True):
        parts.append(fitting(title, found, int(room * share)))
        room -= len(parts[-1])
    return "\n\n".join(filter(None, parts))


def _title(part: Part) -> str:
    return code(part.label) if part.label else "Compute Gallery"


def _bold(part: Part, text: str) -> str:
    return f"**{text}**" if part.has_problems else text
