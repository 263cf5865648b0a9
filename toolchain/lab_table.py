"""Prints the last table of `dev.py up`, the images of each lab, from the stack's outputs (JSON on standard input)."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from imagefactory.plain_text import printable


def lab_table(labs: Mapping[str, Any], gallery: Mapping[str, Any] | None = None) -> Table:
    """Return a table with one row per image, and one row for a lab without images.

    The images that labs get by the Compute Gallery are the stack output `gallery`.
    """
    table = Table(title="Images in the target labs", title_justify="left")
    for column in ("Lab", "Image", "Image path", "State"):
        table.add_column(column, overflow="fold")
    for label in sorted({*labs, *(gallery or {})}):
        images = {**labs.get(label, {}), **(gallery or {}).get(label, {})}
        if not images:
            table.add_row(printable(label), "(none)")
        for number, (name, image) in enumerate(sorted(images.items())):
            row = (label if number == 0 else "", name, image.get("imagePath", ""), image.get("state", ""))
            table.add_row(*(printable(str(cell)) for cell in row))
        table.add_section()
    return table


if __name__ == "__main__":
    outputs = json.load(sys.stdin)
    if isinstance(outputs.get("labs"), dict):
        # For a log or pipe rich assumes 80 columns, which breaks image names.
        width = None if sys.stdout.isatty() else 120
        Console(width=width, markup=False, emoji=False).print(lab_table(outputs["labs"], outputs.get("gallery")))
