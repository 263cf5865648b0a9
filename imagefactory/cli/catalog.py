"""`imagefactory catalog`: lists the factory images, and the blobs of the factory that are skipped.

Parses the options and renders table, JSON and page. Does not read the catalog: `imagefactory.factory_lab.catalog` does.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from imagefactory.cli.stack import AsJson, Stack, stack_settings
from imagefactory.cli.terminal.interruption import run
from imagefactory.cli.terminal.output import count, to_stderr
from imagefactory.cli.terminal.page_file import check_page_file, write_page
from imagefactory.cli.terminal.report import Lines, Part, Report, Table, completed, finish
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.images.lineage import Lineage, short_commit
from imagefactory.planning.labs.deletion_guard import HeldImage
from imagefactory.reports.catalog_report import CatalogReport, ReportedImage, size_text, traits_text

_INTERRUPTED = "Interrupted; nothing was written."


def catalog(
    stack: Stack,
    as_json: AsJson = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE", help="Write a self-contained page with labs to this file instead of the table"
        ),
    ] = None,
    with_labs: Annotated[
        bool, typer.Option("--labs", help="Also read the stack's labs and show which of them contain each image")
    ] = False,
) -> None:
    """List the factory images, newest first, and the blobs that are skipped.

    Prints size, allocated bytes and lineage of each image, and for each skipped blob why it is not distributed. A lab
    that cannot be read is reported.

    Exit codes: 0 the catalog is shown, 1 it cannot be read or the page cannot be written, 2 wrong usage or
    configuration.
    """
    if html:
        check_page_file(html)
    settings = stack_settings(stack)
    from imagefactory.factory_lab.catalog import read

    reading = read(settings, datetime.now(timezone.utc), with_labs=with_labs or html is not None)
    ended = run(reading)
    if html:
        from imagefactory.reports.catalog_page import catalog_page  # only the page needs Jinja2

        report = completed(ended, _INTERRUPTED)
        write_page(html, catalog_page(report))
        if not as_json:
            to_stderr(f"{html}: {_counts(report)}")
            return
    finish(ended, _report, as_json=as_json, interrupted=_INTERRUPTED)


def _counts(report: CatalogReport) -> str:
    counts = [count(len(report.images), "image"), f"{len(report.left_out)} skipped"]
    counts += [f"{count(len(report.unread_labs), 'lab')} not read"] if report.unread_labs else []
    return ", ".join(counts)


def _report(report: CatalogReport) -> Report:
    return Report(_document(report), _text(report))


def _document(report: CatalogReport) -> dict[str, object]:
    """Return the catalog as data: sizes in bytes, times in ISO 8601 UTC."""
    document: dict[str, object] = {
        "images": [_image(one, report.labs is not None) for one in report.images],
        "leftOut": [{"name": left.name, "reason": left.reason.message()} for left in report.left_out],
        "warnings": [diagnostic.message() for diagnostic in report.warnings],
    }
    if report.labs is not None:
        document["unreadLabs"] = [
            {**_lab(lab), "reason": diagnostic.message()} for lab, diagnostic in report.unread_labs
        ]
    return document


def _image(one: ReportedImage, with_labs: bool) -> dict[str, object]:
    image = one.image
    document: dict[str, object] = {
        "name": image.name,
        "imagePath": str(image.image_path),
        "description": image.description,
        "author": image.author,
        "osType": image.os_type,
        "osState": "Generalized" if image.generalized else "Specialized",
        "generation": image.generation,
        "securityType": image.security_type,
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
        document["heldBy"] = [_holder(held) for held in one.held_by]
        document["offeredBy"] = [_lab(lab) for lab in one.offered_by]
    return document


def _holder(held: HeldImage) -> dict[str, str | None]:
    return {**_lab(held.lab), "image": held.image.name, "state": held.image.state}


def _lab(lab: TargetLab) -> dict[str, str | None]:
    return {"lab": lab.name, "subscriptionId": lab.subscription_id, "resourceGroup": lab.resource_group}


def _text(report: CatalogReport) -> list[Part]:
    with_lineage = any(one.image.lineage != Lineage() for one in report.images)
    columns = ["Image", "Image path", "OS", "Saved (UTC)", "Size", "Allocated", "VHD"]
    columns += ["Lineage"] * with_lineage + ["Labs"] * (report.labs is not None)
    rows = []
    for one in report.images:
        image = one.image
        state = ("" if image.generalized else ", specialized") + (", GPT" if image.partition_table == "GPT" else "")
        state += f", {traits}" if (traits := traits_text(image)) else ""
        saved = f"{image.saved_at:%Y-%m-%d %H:%M}" + ("" if image.saved_at_source == "companion" else " (blob)")
        allocated = "" if image.allocated is None else size_text(image.allocated)
        row = [image.name, str(image.image_path), image.os_type + state, saved, size_text(image.length), allocated]
        row += [image.vhd_name, *([_short(image.lineage)] if with_lineage else [])]
        if report.labs is not None:
            offered = (f"{report.lab_name(lab)}: by the gallery" for lab in one.offered_by)
            row.append("\n".join([*(_in_lab(report, one, held) for held in one.held_by), *offered]))
        rows.append(row)
    diagnostics = (*report.warnings, *(diagnostic for _, diagnostic in report.unread_labs))
    return [
        Table("Factory images, newest first", columns, rows),
        Lines([diagnostic.text() for diagnostic in diagnostics], style="yellow"),
        Lines([f"Skipped: {len(report.left_out)}" if report.left_out else ""], style="bold"),
        Lines([left.reason.text() for left in report.left_out]),
    ]


def _short(lineage: Lineage) -> str:
    """Return names without paths; JSON and page have the complete lineage."""
    names = (lineage.vm.rpartition("/")[2], lineage.disk.rpartition("/")[2], short_commit(lineage.commit))
    return " > ".join(part for part in (*names, lineage.pipeline_run) if part)


def _in_lab(report: CatalogReport, one: ReportedImage, held: HeldImage) -> str:
    """Return the lab, with the custom image's name if it differs and its state if it is not Succeeded."""
    name = held.image.name if held.image.name.lower() != one.image.name.lower() else ""
    state = held.image.state if held.image.state != "Succeeded" else ""
    differences = ", ".join(part for part in (name, state) if part)
    lab = report.lab_name(held.lab)
    return f"{lab}: {differences}" if differences else lab
