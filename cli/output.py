"""What commands write for people: one console on standard output, and lines that stand as they are.

Owns its width. Data for machines does not pass through here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console


def report_console() -> Console:
    """Logs and pipes have no width of their own; rich would take 80 columns and break the names."""
    return Console(width=None if sys.stdout.isatty() else 160)


def tell(console: Console, lines: Iterable[str]) -> None:
    """Lines without markup, and never folded; empty ones are passed over."""
    for line in lines:
        if line:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
