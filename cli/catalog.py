"""`imagefactory catalog`: what the factory holds, newest first, and what was left out and why.

Owns the table and the JSON of it; reading and judging are done by `imagefactory_azure` and `imagefactory.catalog`.
"""

from __future__ import annotations

import asyncio
import json
import sys

import typer
from rich.console import Console
from rich.table import Table

from cli.stack import AsJson, Stack, stack_settings
from imagefactory.catalog import Catalog
from imagefactory.faults import Fault

GIB = 1024**3


def catalog(
    stack: Stack,
    as_json: AsJson = False,
) -> None:
    """Show what the factory holds, newest first, and what was left out and why."""
    from imagefactory_azure.facts import gather_facts

    found = asyncio.run(gather_facts(stack_settings(stack), None)).catalog
    if as_json:
        typer.echo(json.dumps(_document(found), indent=2, ensure_ascii=False))
    else:
        _show(found)


def _document(found: Catalog) -> dict[str, object]:
    """The catalog as data: sizes in bytes, times in ISO 8601 UTC."""
    return {
        "images": [
            {
                "name": image.name,
                "imagePath": str(image.image_path),
                "description": image.description,
                "author": image.author,
                "osType": image.os_type,
                "osState": "Generalized" if image.generalized else "Specialized",
                "savedAt": image.saved_at.isoformat(),
                "savedAtSource": image.saved_at_source,
                "vhd": image.vhd_name,
                "length": image.length,
                "allocated": image.allocated,
                "digest": image.digest,
                "created": image.created.isoformat(),
            }
            for image in found.images
        ],
        "leftOut": [{"name": name, "reason": reason.message()} for name, reason in _left_out(found)],
        "warnings": [fault.message() for fault in found.warnings],
    }


def _left_out(found: Catalog) -> list[tuple[str, Fault]]:
    """Every blob that gives no image, by name, and why: also a VHD whose companion cannot be read."""
    left_out = [(left.name, left.reason) for left in found.left_out]
    return sorted((*left_out, *((broken.vhd_name, broken.fault) for broken in found.broken)), key=lambda one: one[0])


def _show(found: Catalog) -> None:
    # Logs and pipes have no width of their own; rich would take 80 columns and break the names.
    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table(title="The factory's images, newest first", title_justify="left")
    for column in ("Image", "Image path", "OS", "Saved (UTC)", "Size", "Allocated", "VHD"):
        table.add_column(column, overflow="fold")
    for image in found.images:
        state = "" if image.generalized else ", specialized"
        saved = f"{image.saved_at:%Y-%m-%d %H:%M}" + ("" if image.saved_at_source == "companion" else " (blob)")
        size = f"{image.length / GIB:.2f} GiB"
        held = "" if image.allocated is None else f"{image.allocated / GIB:.2f} GiB"
        table.add_row(image.name, str(image.image_path), image.os_type + state, saved, size, held, image.vhd_name)
    console.print(table)
    for fault in found.warnings:
        console.print(fault.text(), style="yellow", markup=False, soft_wrap=True)
    left_out = _left_out(found)
    if left_out:
        console.print(f"Left out: {len(left_out)}", style="bold")
    for _, reason in left_out:
        console.print(reason.text(), markup=False, soft_wrap=True)
