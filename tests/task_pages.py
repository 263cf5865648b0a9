"""What the pages docs/tasks/*.md show: the shell blocks of a section, as a reader copies them."""

from __future__ import annotations

import re
import textwrap

from tests.command_lines import FENCED, ROOT, shell_blocks

PAGES = ROOT / "docs" / "tasks"


def blocks(page: str, heading: str) -> list[str]:
    """Return the shell blocks below a heading of a page, up to the next heading."""
    return _blocks(page)[heading]


def sections() -> set[tuple[str, str]]:
    """Return page and heading of each section that shows a shell block."""
    return {
        (path.stem, heading) for path in PAGES.glob("*.md") for heading, found in _blocks(path.stem).items() if found
    }


def _blocks(page: str) -> dict[str, list[str]]:
    text = (PAGES / f"{page}.md").read_text("utf-8")
    # A comment in a block is no heading.
    headings = list(re.finditer(r"^#+ (.*)$", FENCED.sub(lambda block: " " * len(block[0]), text), re.MULTILINE))
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    return {
        heading[1]: [textwrap.dedent(block) for block in shell_blocks(text[heading.end() : end])]
        for heading, end in zip(headings, ends, strict=True)
    }
