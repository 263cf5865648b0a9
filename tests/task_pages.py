"""What the pages docs/tasks/*.md show: the shell blocks of a section, as a reader copies them."""

from __future__ import annotations

import re
import textwrap

from tests.command_lines import FENCED, ROOT, shell_blocks


def blocks(page: str, heading: str) -> list[str]:
    """Return the shell blocks below a heading of a page, up to the next heading."""
    text = (ROOT / "docs" / "tasks" / f"{page}.md").read_text("utf-8")
    section = re.split(
        r"^#", re.split(rf"^#+ {re.escape(heading)}\n", text, flags=re.MULTILINE)[1], flags=re.MULTILINE
    )[0]
    return [textwrap.dedent(block) for block in shell_blocks(section)]


def sections() -> set[tuple[str, str]]:
    """Return page and heading of each section that shows a shell block."""
    found = set()
    for path in sorted((ROOT / "docs" / "tasks").glob("*.md")):
        headings = re.findall(r"^#+ (.*)$", FENCED.sub("", path.read_text("utf-8")), re.M)
        found |= {(path.stem, heading) for heading in headings if blocks(path.stem, heading)}
    return found
