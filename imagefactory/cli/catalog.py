"""`imagefactory catalog`: what the factory holds, newest first, and what was left out and why.

Owns the look of table and JSON, and the writing of the page's file; `imagefactory.factory_lab.catalog` reads.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from imagefactory.cli.interruption import Ended, to_stderr
from imagefactory.cli.report import Lines, Part, Report, Table, finish
from imagefactory.cli.stack import AsJson, Stack, stack_settings
from imagefactory.diagnostics import error
from imagefactory.errors import ImageFactoryError
from imagefactory.images.lineage import Lineage, short_commit
from imagefactory.planning.deletion_guard import HeldImage
from imagefactory.reports.catalog_report import CatalogReport, ReportedImage, size_text


def catalog(
    stack: Stack,
    as_json: AsJson = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE", help="Write one self-contained page to this file, with the labs, and no table"
        ),
    ] = None,
    with_labs: Annotated[
        bool, typer.Option("--labs", help="Read the stack's labs too, and tell which of them hold each image")
    ] = False,
) -> None:
    """Show what the factory holds, newest first, and what was left out and why."""
    if html:
        _check_place(html)
    settings = stack_settings(stack)
    from imagefactory.factory_lab.catalog import read

    reading = read(settings, datetime.now(timezone.utc), with_labs=with_labs or html is not None)
    report = asyncio.run(reading)
    if html:
        from imagefactory.reports.catalog_page import catalog_page  # Jinja2 is wanted here alone

        _write(html, catalog_page(report))
        counts = [f"{len(report.images)} images", f"{len(report.left_out)} left out"]
        counts += [f"{len(report.unread_labs)} labs not read"] if report.unread_labs else []
        if not as_json:
            to_stderr(f"{html}: {', '.join(counts)}")
            return
    finish(Ended(report), _report, as_json=as_json)


# The page's file


def _check_place(file: Path) -> None:
    """Raises `ImageFactoryError` where no file can be: before anything is read from the cloud."""
    try:
        folder = file.resolve().parent
        if not folder.is_dir():
            raise _no_page(file, f"there is no folder {folder}", "Make it, or name a file elsewhere")
        if file.exists() and not file.is_file():
            raise _no_page(file, "is there already and is no file", "Name a file")
    except (OSError, RuntimeError) as problem:  # a name that is too long, links in a circle
        raise _no_page(file, f"cannot be a file ({_reason(problem)})", "Name another one") from problem


def _write(file: Path, page: str) -> None:
    """The page takes its place whole: a reader, or a run that is killed, never leaves half of one there."""
    place = file.resolve()
    unfinished = place.with_name(f".imagefactory-{uuid.uuid4().hex}.unfinished")
    try:
        with unfinished.open("xb") as stream:
            stream.write(page.encode())
        unfinished.replace(place)
    except OSError as problem:
        raise _no_page(
            file, f"cannot be written ({_reason(problem)})", "Check its folder's rights and room"
        ) from problem
    finally:
        unfinished.unlink(missing_ok=True)


def _reason(problem: Exception) -> str:
    return (problem.strerror if isinstance(problem, OSError) else None) or type(problem).__name__


def _no_page(file: Path, fact: str, remedy: str) -> ImageFactoryError:
    return ImageFactoryError(error(f"page {file}", fact, "no page is written", remedy).text())


# The report


def _report(report: CatalogReport) -> Report:
    return Report(_document(report), _text(report))


def _document(report: CatalogReport) -> dict[str, object]:
    """The catalog as data: sizes in bytes, times in ISO 8601 UTC."""
    document: dict[str, object] = {
        "images": [_image(one, report.labs is not None) for one in report.images],
        "leftOut": [{"name": left.name, "reason": left.reason.message()} for left in report.left_out],
        "warnings": [diagnostic.message() for diagnostic in report.warnings],
    }
    if report.labs is not None:
        document["unreadLabs"] = [
            {"lab": lab.name, "subscriptionId": lab.subscription_id, "reason": diagnostic.message()}
            for lab, diagnostic in report.unread_labs
        ]
    return document


def _image(one: ReportedImage, with_labs: bool) -> dict[str, object]:
    image = one.image
    told: dict[str, object] = {
        "name": image.name,
        "imagePath": str(image.image_path),
        "description": image.description,
        "author": image.author,
        "osType": image.os_type,
        "osState": "Generalized" if image.generalized else "Specialized",
        "generation": image.generation,
        "partitionTable": image.partition_table,
        "savedAt": image.saved_at.isoformat(),
        "savedAtSource": image.saved_at_source,
        "vhd": image.vhd_name,
        "length": image.length,
        "allocated": image.allocated,
        "digest": image.digest,
        "created": image.created.isoformat(),
        "dataDisks": [{"lun": disk.lun, "vhd": disk.vhd_name} for disk in image.data_disks],
        "lineage": image.lineage.facts(),
    }
    if with_labs:
        told["heldBy"] = [_holder(held) for held in one.held_by]
    return told


def _holder(held: HeldImage) -> dict[str, str]:
    return {
        "lab": held.lab.name,
        "subscriptionId": held.lab.subscription_id,
        "image": held.image.name,
        "state": held.image.state,
    }


def _text(report: CatalogReport) -> list[Part]:
    with_lineage = any(one.image.lineage != Lineage() for one in report.images)
    columns = ["Image", "Image path", "OS", "Saved (UTC)", "Size", "Allocated", "VHD"]
    columns += ["Made of"] * with_lineage + ["Labs"] * (report.labs is not None)
    rows = []
    for one in report.images:
        image = one.image
        state = ("" if image.generalized else ", specialized") + (", GPT" if image.partition_table == "GPT" else "")
        saved = f"{image.saved_at:%Y-%m-%d %H:%M}" + ("" if image.saved_at_source == "companion" else " (blob)")
        allocated = "" if image.allocated is None else size_text(image.allocated)
        row = [image.name, str(image.image_path), image.os_type + state, saved, size_text(image.length), allocated]
        row += [image.vhd_name, *([_made_of(image.lineage)] if with_lineage else [])]
        if report.labs is not None:
            row.append("\n".join(_in_lab(report, one, held) for held in one.held_by))
        rows.append(row)
    diagnostics = (*report.warnings, *(diagnostic for _, diagnostic in report.unread_labs))
    return [
        Table("The factory's images, newest first", columns, rows),
        Lines([diagnostic.text() for diagnostic in diagnostics], style="yellow"),
        Lines([f"Left out: {len(report.left_out)}" if report.left_out else ""], style="bold"),
        Lines([left.reason.text() for left in report.left_out]),
    ]


def _made_of(lineage: Lineage) -> str:
    """The chain in short; the whole of it is in JSON and page."""
    names = (lineage.vm.rpartition("/")[2], lineage.disk.rpartition("/")[2], short_commit(lineage.commit))
    return " > ".join(part for part in (*names, lineage.pipeline_run) if part)


def _in_lab(report: CatalogReport, one: ReportedImage, held: HeldImage) -> str:
    """The lab, and what is not as one expects: another name there, another state than Succeeded."""
    name = held.image.name if held.image.name.lower() != one.image.name.lower() else ""
    state = held.image.state if held.image.state != "Succeeded" else ""
    told = ", ".join(part for part in (name, state) if part)
    lab = report.lab_name(held.lab)
    return f"{lab}: {told}" if told else lab
