"""The command `python -m benchmarks`: which measurements, and how they are shown."""

from __future__ import annotations

import json
import sys
from enum import Enum
from subprocess import CalledProcessError
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.copies import run_copies
from benchmarks.ranges import run_ranges
from benchmarks.registration import compare
from benchmarks.stage import BenchmarkError, open_stage
from localcloud.client import CloudError

_err = Console(stderr=True, highlight=False, soft_wrap=True)


class Part(str, Enum):
    """What can be measured."""

    registration = "registration"
    copies = "copies"
    ranges = "ranges"


def run(
    part: Annotated[list[Part] | None, typer.Option(help="measure only this; may be repeated")] = None,
    lab_images: Annotated[
        list[int] | None, typer.Option(min=1, help="registration: images in all labs together; default 100 and 500")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="registration: how often, product and bare by turns")] = 3,
    parallel: Annotated[int, typer.Option(min=1, help="registration: the engine's --parallel")] = 64,
    copies: Annotated[
        list[int] | None, typer.Option(min=1, help="copies: images to copy in one up; default 100 and 200")
    ] = None,
    copy_seconds: Annotated[float, typer.Option(min=0.1, help="copies: how long each simulated copy takes")] = 10.0,
    labs: Annotated[int, typer.Option(min=1, help="labs that the images are spread over evenly")] = 10,
    small: Annotated[
        bool, typer.Option("--small", help="ranges: run everything, with numbers that tell nothing")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Measure the product on an embedded cloud of its own, with throw-away projects; print ratios.

    registration: time per resource of a first `pulumi up` (copies and images take no time) and of the preview after it,
    against a bare program with as many resources whose provider does nothing. Medians; 500 lab images take minutes.

    copies: copies in flight at one moment, wall time of one `up` against "20 at a time, polled every 45 s", and how
    late the end of a copy is noticed.

    ranges: bytes and requests of a copy against the least that it could be, how near copies come to limits of blobs and
    accounts, memory and CPU time; about five minutes.

    Example: python -m benchmarks --part registration --lab-images 100 --rounds 5
    """
    parts = part or list(Part)
    found: dict[str, list[dict[str, Any]]] = {each.value: [] for each in parts}
    with open_stage() as stage:
        if Part.registration in parts:
            for count in lab_images or [100, 500]:
                results = compare(stage, count, min(labs, count), rounds, parallel, _err.print)
                found["registration"] += [each.to_json() for each in results]
        if Part.copies in parts:
            for count in copies or [100, 200]:
                _err.print(f"{count} copies of {copy_seconds:g} s")
                found["copies"].append(run_copies(stage, count, min(labs, count), copy_seconds).to_json())
        if Part.ranges in parts:
            found["ranges"] = run_ranges(stage, small=small)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        for name, rows in found.items():
            _show(name, rows)


def _show(title: str, rows: list[dict[str, Any]]) -> None:
    kinds = list(dict.fromkeys(row.get("measured") for row in rows))
    if len(kinds) > 1:
        for kind in kinds:
            _show(f"{title}: {kind}", [row for row in rows if row.get("measured") == kind])
        return
    table = Table("", *("" for _ in rows), title=title, show_header=False)
    for name in rows[0]:
        values = (row[name] for row in rows)
        shown = (", ".join(map(str, each)) if isinstance(each, list) else str(each) for each in values)
        table.add_row(name.replace("_", " "), *shown)
    Console(highlight=False).print(table)


def main() -> None:
    """Run the command; an error is a message and exit code 1."""
    try:
        typer.run(run)
    except (BenchmarkError, CloudError, CalledProcessError) as error:
        _err.print(f"error: {error}", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
