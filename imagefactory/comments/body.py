"""The text of a comment: a marker that people do not see, a plan or what kept it from being made, and where it is from.

Has no I/O.
"""

from __future__ import annotations

from urllib.parse import quote

from imagefactory.reports.plan_markdown import code

LIMIT = 60_000
"""Characters of plan and errors; GitHub takes 65,536 in a comment, Azure Repos 150,000."""
_ERRORS = 20_000
"""Characters of the errors among them."""


def marker(stack: str) -> str:
    """Return the line by which a later run finds the comment: each stack has its own, none ends the comment."""
    return f"<!-- imagefactory plan: {quote(stack).replace('--', '-%2D')} -->"


def body(stack: str, plan: str, errors: str, commit: str, run: str) -> str:
    """Return the comment: `plan` is Markdown, `errors` are lines of any text; all may be empty."""
    parts = [plan.strip() or f"### No plan of stack {code(stack)}"]
    lines = [f"* {code(line, 1000)}" for line in errors.splitlines() if line.strip()]
    if lines:
        parts += ["#### Errors", _cut("\n".join(lines), _ERRORS)]
    elif not plan.strip():
        parts.append("The plan was not made, and no error says why: see the run.")
    origin = ", ".join(filter(None, [f"commit {code(commit)}" if commit else "", f"[run]({run})" if run else ""]))
    last = f"---\nFrom {origin}. The next run updates this comment." if origin else ""
    head = _cut(parts[0], LIMIT - sum(map(len, parts[1:])))
    return "\n\n".join(filter(None, [f"{marker(stack)}\n{head}", *parts[1:], last]))


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit].rpartition(chr(10))[0]}\n\n... The rest is too long for a comment: see the run."
