"""The command `python -m benchmarks`: selects measurements, runs them and prints the results."""

from __future__ import annotations

import asyncio
import json
import sys
from enum import Enum
from subprocess import CalledProcessError
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.azcopy.comparison import run_beside_azcopy
from benchmarks.copies import run_copies
from benchmarks.delivery import compare_deliveries
from benchmarks.first_copy import run_first_copy
from benchmarks.kills import run_kills
from benchmarks.memory import run_memory
from benchmarks.ranges import run_ranges
from benchmarks.registration import compare
from benchmarks.sandbox import BenchmarkError, open_sandbox
from benchmarks.scale import Sizes, run_scale
from benchmarks.simulated_copies import run_simulation
from localcloud.client import CloudError
from toolchain.errors import SetupError

_err = Console(stderr=True, highlight=False, soft_wrap=True)


class Part(str, Enum):
    """The measurements."""

    registration = "registration"
    copies = "copies"
    ranges = "ranges"
    delivery = "delivery"
    first_copy = "first-copy"
    kills = "kills"
    memory = "memory"
    azcopy = "azcopy"
    simulation = "simulation"
    scale = "scale"


def run(
    part: Annotated[list[Part] | None, typer.Option(help="measure only this (repeatable)")] = None,
    lab_images: Annotated[
        list[int] | None, typer.Option(min=1, help="registration: images in all labs together (default: 100 and 500)")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="registration and delivery: rounds, in turn")] = 3,
    parallel: Annotated[int, typer.Option(min=1, help="registration and delivery: the engine's --parallel")] = 64,
    copies: Annotated[
        list[int] | None, typer.Option(min=1, help="copies: images to copy in one update (default: 100 and 200)")
    ] = None,
    copy_seconds: Annotated[float, typer.Option(min=0.1, help="copies: seconds that each simulated copy takes")] = 10.0,
    labs: Annotated[int, typer.Option(min=1, help="labs, each with the same number of images")] = 10,
    image_paths: Annotated[int, typer.Option(min=1, help="delivery: golden images, of one factory image each")] = 10,
    checkpoints: Annotated[bool, typer.Option(help="registration: let the engine write the state per step")] = True,
    lean: Annotated[
        bool, typer.Option("--lean", help="registration: no debug messages, little collecting in the bare program too")
    ] = False,
    small: Annotated[
        bool,
        typer.Option("--small", help="all but registration, copies, delivery: small, to test the benchmark"),
    ] = False,
    region_pair_gbps: Annotated[
        float | None, typer.Option(min=0.001, help="simulation: limit between two regions (default: none)")
    ] = None,
    scale_labs: Annotated[int, typer.Option(min=2, help="scale: labs, each with the same number of images")] = 60,
    scale_images: Annotated[int, typer.Option(min=1, help="scale: images of each lab")] = 85,
    subscriptions: Annotated[int, typer.Option(min=1, help="scale: subscriptions that have the labs")] = 12,
    stacks: Annotated[int, typer.Option(min=1, help="scale: stacks that divide the labs, after one stack")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Measure the product on a separate embedded cloud, with temporary projects, and print ratios.

    registration: time per resource of the first `pulumi up` (copies and images take no time) and of the next preview,
    compared with a bare program with as many resources whose provider does nothing. Medians; 500 lab images take
    minutes.

    copies: the maximum of concurrent copies, the wall time of one `pulumi up` compared with "20 at a time, polled every
    45 s", and the delay until a finished copy is noticed.

    ranges: bytes and requests of a copy compared with the minimum, the share of blob and account limits that copies
    reach, memory and CPU time; about 5 minutes.

    delivery: requests and time of the same images as custom images and by a Compute Gallery, without checkpoints.

    first-copy: time, CPU time and received bytes of comparing a copy with a source that has no ranges manifest (Linux).

    kills: bytes that a copy moves in all if it is killed in its middle and the next one ends it.

    memory: what a request in flight takes over TLS (Linux).

    azcopy: time, bytes and CPU time of copies beside AzCopy, which is downloaded (58 MB); only if it is named (Linux).

    simulation: hours of the copies to 60 labs with 40 images each, under Azure's published limits, in simulated time,
    compared with the least that these limits allow; a few seconds.
    scale: first and second up, preview, refresh, an image more and a lab less, with all labs in one stack and divided
    over stacks, without checkpoints: time, memory, size of the state, requests. Only if selected; about an hour.

    Example: python -m benchmarks --part registration --lab-images 100 --rounds 5
    """
    parts = part or [each for each in Part if each not in {Part.scale, Part.azcopy}]
    found: dict[str, list[dict[str, Any]]] = {each.value: [] for each in parts}
    if Part.simulation in parts:
        found["simulation"] = run_simulation(small=small, region_pair_gbps=region_pair_gbps)
    if set(parts) == {Part.simulation}:  # needs no cloud
        return _print(found, as_json=as_json)
    with open_sandbox() as sandbox:
        if Part.azcopy in parts:
            found["azcopy"] = run_beside_azcopy(sandbox, small=small)
        if Part.registration in parts:
            for count in lab_images or [100, 500]:
                sizes = (count, min(labs, count), rounds, parallel)
                results = compare(sandbox, *sizes, _err.print, checkpoints=checkpoints, lean=lean)
                found["registration"] += [each.to_json() for each in results]
        if Part.copies in parts:
            for count in copies or [100, 200]:
                _err.print(f"{count} copies of {copy_seconds:g} s")
                found["copies"].append(run_copies(sandbox, count, min(labs, count), copy_seconds).to_json())
        if Part.ranges in parts:
            found["ranges"] = run_ranges(sandbox, small=small)
        if Part.delivery in parts:
            both = compare_deliveries(sandbox, labs, image_paths, rounds, parallel, _err.print)
            found["delivery"] = [each.to_json() for each in both]
        if Part.first_copy in parts:
            found["first-copy"] = asyncio.run(run_first_copy(sandbox, small=small))
        if Part.kills in parts:
            found["kills"] = asyncio.run(run_kills(sandbox, small=small))
        if Part.memory in parts:
            found["memory"] = run_memory(small=small)
        if Part.scale in parts:
            scale = Sizes(scale_labs, scale_images, subscriptions, stacks, parallel, is_small=small)
            found["scale"] = [each.to_json() for each in run_scale(sandbox, scale, _err.print)]
    return _print(found, as_json=as_json)


def _print(found: dict[str, list[dict[str, Any]]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        for name, rows in found.items():
            if rows:
                _show(name, rows)


def _show(title: str, rows: list[dict[str, Any]]) -> None:
    kinds = list(dict.fromkeys(row.get("measured") for row in rows))
    if len(kinds) > 1:
        for kind in kinds:
            _show(f"{title}: {kind}", [row for row in rows if row.get("measured") == kind])
        return
    if title.startswith(Part.simulation.value):
        wide = Table(*(name.replace("_", " ") for name in rows[0] if name != "measured"), title=title)
        for row in rows:
            wide.add_row(*(str(value) for name, value in row.items() if name != "measured"))
        Console(highlight=False).print(wide)
        return
    table = Table("", *("" for _ in rows), title=title, show_header=False)
    for name in rows[0]:
        values = (row[name] for row in rows)
        shown = map(_text, values)
        table.add_row(name.replace("_", " "), *shown)
    Console(highlight=False).print(table)


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name} {_text(each)}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def main() -> None:
    """Run the command. On an error, print a message and exit with 1."""
    try:
        typer.run(run)
    except (BenchmarkError, CloudError, CalledProcessError, SetupError) as error:
        _err.print(f"error: {error}", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
