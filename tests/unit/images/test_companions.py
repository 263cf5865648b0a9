"""Companions as PowerShell wrote them, and the same facts as metadata."""

from __future__ import annotations

import codecs
from dataclasses import replace
from datetime import timedelta, timezone
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.image_names import is_listable
from imagefactory.configuration.image_paths import ImagePath
from imagefactory.diagnostics import Diagnostic
from imagefactory.images.catalog import build_catalog, companions_to_read
from imagefactory.images.companions import (
    AHEAD,
    DataDisk,
    FactoryImage,
    companion_bytes,
    companion_metadata,
    metadata_image,
    parse_companion,
)
from imagefactory.images.lineage import Lineage
from tests.unit.builders import NOON, companion, image, image_paths, json_values, names_file_once, vhd, words


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_every_encoding_of_powershell_is_read(encoding: str) -> None:
    """UTF-16 with a byte order mark of either order, UTF-8 with and without."""
    content = companion(encoding=encoding, description="Büro, 日本")
    if encoding == "utf-16-be":
        content = codecs.BOM_UTF16_BE + content
    read = parse_companion(content, vhd())
    assert isinstance(read, FactoryImage)
    assert read.description == "Büro, 日本"
    assert read.image_path == ImagePath.parse("Win2016/Datacenter.json")
    assert str(read.image_path) == "Win2016/Datacenter.json"
    assert (read.os_type, read.generalized, read.author) == ("Windows", True, "")
    assert (read.saved_at, read.saved_at_source) == (NOON.replace(hour=11, minute=50), "companion")


@pytest.mark.parametrize(
    ("changes", "attribute", "expected"),
    [
        ({"osType": "linux"}, "os_type", "Linux"),
        ({"osState": "SPECIALIZED"}, "generalized", False),
        ({"osState": "generalized"}, "generalized", True),
        ({"author": "Ada"}, "author", "Ada"),
        ({"description": None}, "description", ""),
    ],
)
def test_choices_are_read_in_any_case_and_optional_facts_have_defaults(
    changes: dict[str, Any], attribute: str, expected: object
) -> None:
    """Each fact in turn."""
    assert getattr(parse_companion(companion(**changes), vhd()), attribute) == expected


DIGEST = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    ("manifest", "allocated", "digest"),
    [
        ({}, None, None),
        ({"allocated": "1024", "digest": DIGEST}, 1024, DIGEST),
        ({"allocated": "0"}, 0, None),
        ({"allocated": str(vhd().length), "digest": DIGEST.upper()}, vhd().length, None),
        ({"allocated": str(vhd().length + 1), "digest": f"{DIGEST}0"}, None, None),
        ({"allocated": "-1", "digest": "md5:00"}, None, None),
        ({"allocated": "1.5"}, None, None),
        ({"allocated": "\u0663"}, None, None),
        ({"allocated": "9" * 5000, "digest": "9" * 5000}, None, None),
    ],
)
def test_valid_facts_of_a_ranges_manifest_are_used_and_invalid_ones_are_not(
    manifest: dict[str, str], allocated: int | None, digest: str | None
) -> None:
    """Impossible numbers and other digests count as unknown, and the image is kept."""
    for read in (parse_companion(companion(), vhd(manifest=manifest)), carried(manifest)):
        assert isinstance(read, FactoryImage)
        assert (read.allocated, read.digest) == (allocated, digest)


def carried(manifest: dict[str, str]) -> FactoryImage | None:
    """The image of a VHD with all facts in its metadata."""
    image = parse_companion(companion(), vhd())
    assert isinstance(image, FactoryImage)
    return metadata_image(vhd(metadata=companion_metadata(image), manifest=manifest))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"imageName": None}, "imageName is missing"),
        ({"imageName": "a/b"}, "is not a valid name of a custom image"),
        ({"imageName": "a" * 97}, "it has 97 characters, more than 80"),
        ({"imageName": ""}, "it is empty"),
        ({"imageName": 5}, "imageName is not a string"),
        ({"imagePath": "..\\x.json"}, "leaves the image root"),
        ({"imagePath": "a/" * 150 + "b"}, "256"),
        ({"osType": "Solaris"}, "neither Windows nor Linux"),
        ({"osState": "half"}, "neither Generalized nor Specialized"),
        ({"vhdFileName": "b.vhd"}, "is not the VHD of this companion"),
        ({"vhdFileName": "x/a.vhd"}, "is not the VHD of this companion"),
        ({"vhdFileName": None}, "vhdFileName is missing"),
    ],
)
def test_invalid_facts_are_a_diagnostic_that_names_them(changes: dict[str, Any], named: str) -> None:
    """Invalid values are reported, not guessed."""
    diagnostic = parse_companion(companion(**changes), vhd())
    assert isinstance(diagnostic, Diagnostic)
    assert diagnostic.text().startswith("a.json: error: companion: ") and named in diagnostic.text()
    assert names_file_once(diagnostic)


SAVED = {"value": "/Date(1773488400000)/", "DisplayHint": 2, "DateTime": "Saturday, March 14, 2026 11:40:00 AM"}


@pytest.mark.parametrize(
    ("timestamp", "told"),
    [
        (None, "timestamp is missing"),
        ("soon", 'timestamp "soon" is invalid'),
        (1623247200, "timestamp 1623247200 is invalid"),
        (1.5e3, "timestamp 1500.0 is invalid"),
        (True, "timestamp true is invalid"),
        ("3/4/2020 10:00", 'timestamp "3/4/2020 10:00" is invalid'),
        ([SAVED["value"]], 'timestamp ["/Date(1773488400000)/"] is invalid'),
        ({"DisplayHint": 2}, 'timestamp {"DisplayHint": 2} is invalid'),
        ({"value": 5}, 'timestamp {"value": 5} is invalid'),
        ({"value": "soon"}, 'timestamp {"value": "soon"} is invalid'),
        ({"value": None}, 'timestamp {"value": null} is invalid'),
    ],
)
def test_a_timestamp_without_one_reading_is_replaced_by_last_modified_with_a_warning(
    timestamp: object, told: str
) -> None:
    """The date is not guessed: the image records where it comes from, and has a warning with the text of the file."""
    read = parse_companion(companion(timestamp=timestamp), vhd())
    assert isinstance(read, FactoryImage)
    assert (read.saved_at, read.saved_at_source) == (NOON, "last-modified")
    assert read.note is not None
    assert told in read.note.text() and "Last-Modified" in read.note.text()


@pytest.mark.parametrize("changes", [{}, {"value": "\\/Date(1773488400000)\\/"}, {"value": "2026-03-14T11:40:00Z"}])
@pytest.mark.parametrize("key", ["value", "Value"])
def test_a_timestamp_that_powershell_saved_again_is_read(changes: dict[str, str], key: str) -> None:
    """As an object, and with slashes that Windows PowerShell escapes."""
    timestamp = {key if name == "value" else name: value for name, value in {**SAVED, **changes}.items()}
    content = companion(timestamp=timestamp).replace(b"\\\\/", b"\\/")
    read = parse_companion(content, vhd())
    assert isinstance(read, FactoryImage) and read.note is None
    assert read.saved_at == NOON.replace(hour=11, minute=40)


def test_a_companion_may_have_what_powershell_accepts() -> None:
    """Comments, and a comma after the last value, of a user who edited it."""
    content = companion().replace(b"{", b"{ // edited\n").replace(b"}", b", /* done */ }")
    assert parse_companion(content, vhd()) == parse_companion(companion(), vhd())


@pytest.mark.parametrize("name", ["Win2019-(Core)-Mar-14-2026", "_a", "C++", "Büro", "a-"])
def test_a_name_that_azure_would_reject_is_read_with_the_problem(name: str) -> None:
    """A lab may have its image, and so be able to keep it."""
    read = parse_companion(companion(imageName=name), vhd())
    assert isinstance(read, FactoryImage) and read.name == name and read.name_problem
    assert image().name_problem is None


@pytest.mark.parametrize("late", [timedelta(), AHEAD])
def test_a_timestamp_up_to_a_day_after_the_last_write_is_used(late: timedelta) -> None:
    """Clocks and time zones differ; the metadata alone is sufficient."""
    metadata = companion_metadata(replace(image(), saved_at=NOON + late))
    read = metadata_image(vhd(metadata=metadata))
    assert read is not None and (read.saved_at, read.note) == (NOON + late, None)


def test_a_timestamp_further_ahead_is_replaced_by_last_modified_with_a_warning() -> None:
    """Otherwise its image would always be the newest; the companion is read, because it may be correct."""
    far = replace(image(), saved_at=NOON + AHEAD + timedelta(seconds=1))
    for source in (companion_bytes(far), companion_metadata(far)):
        read = parse_companion(source, vhd("image.vhd"))
        assert isinstance(read, FactoryImage) and read.note is not None
        assert (read.saved_at, read.saved_at_source) == (NOON, "last-modified")
        assert "2026-03-15T12:00:01+00:00" in read.note.text() and "more than 1 day after" in read.note.text()
    blob = vhd("image.vhd", metadata=companion_metadata(far))
    assert metadata_image(blob) is None and companions_to_read([blob], ["image.json"]) == ("image.json",)
    corrected = build_catalog([blob], {"image.json": companion_bytes(replace(far, saved_at=NOON))}).images
    assert [(one.saved_at, one.saved_at_source) for one in corrected] == [(NOON, "companion")]


@given(
    st.one_of(
        st.binary(), st.text().map(str.encode), st.text().map(lambda text: text.encode("utf-16", "surrogatepass"))
    )
)
def test_any_bytes_are_an_image_or_a_diagnostic(content: bytes) -> None:
    """Junk in the container never raises, and its diagnostic names the companion once."""
    found = parse_companion(content, vhd())
    assert isinstance(found, FactoryImage) or names_file_once(found)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "imageName",
                "imagePath",
                "osType",
                "osState",
                "timestamp",
                "author",
                "hyperVGeneration",
                "vm",
                "dataDisks",
            ]
        ),
        json_values,
    )
)
def test_any_json_values_are_an_image_or_a_diagnostic(changes: dict[str, Any]) -> None:
    """Valid keys with invalid values do not raise."""
    assert isinstance(parse_companion(companion(**changes), vhd()), FactoryImage | Diagnostic)


@given(
    st.dictionaries(
        st.sampled_from(["imagename", "ImagePath", "ostype", "timestamp", "osstate", "datadisks"]), st.text()
    )
)
def test_any_metadata_is_an_image_or_a_diagnostic(metadata: dict[str, str]) -> None:
    """Metadata from other sources does not raise."""
    assert isinstance(parse_companion(metadata, vhd()), FactoryImage | Diagnostic)
    metadata_image(vhd(metadata=metadata))


@given(
    words.filter(is_listable),
    image_paths,
    st.text(st.characters(exclude_categories=["Cs"])),
    words,
    st.booleans(),
    st.datetimes(timezones=st.just(timezone.utc)),
    st.sampled_from([None, "V1", "V2"]),
    st.builds(Lineage, words, words, words, words, words, words),
    st.dictionaries(st.integers(0, 63), st.tuples(words, words), max_size=3),
)
def test_metadata_and_companion_carry_every_fact_there_and_back(
    name: str,
    path: str,
    description: str,
    author: str,
    generalized: bool,
    saved_at: Any,
    generation: Any,
    lineage: Lineage,
    disks: dict[int, tuple[str, str]],
) -> None:
    """All facts are read as written, in any script; they are stored in ASCII, and no metadata is empty."""
    start = parse_companion(companion(), vhd())
    assert isinstance(start, FactoryImage)
    written = partial(vhd, last_modified=saved_at)
    facts = {**vars(start), "name": name, "image_path": ImagePath.parse(path), "description": description}
    facts |= {"author": author, "generalized": generalized, "saved_at": saved_at, "generation": generation}
    data_disks = tuple(DataDisk(lun, *disks[lun]) for lun in sorted(disks))
    wanted = FactoryImage(**{**facts, "lineage": lineage, "data_disks": data_disks})
    metadata = companion_metadata(wanted)
    assert all(
        value and value.isascii() and value == value.strip() and value.isprintable() for value in metadata.values()
    )
    assert metadata_image(written(metadata={key.upper(): value for key, value in metadata.items()})) == wanted
    document = companion_bytes(wanted)
    assert document.isascii() and parse_companion(document, written()) == wanted


def test_metadata_keep_what_exists_but_no_fact_of_an_earlier_image() -> None:
    """Otherwise the next image would have the facts of an unfinished save."""
    image = parse_companion(companion(), vhd())
    assert isinstance(image, FactoryImage)
    earlier = replace(image, name="earlier", data_disks=(DataDisk(1, "a.lun1.vhd"),), author="somebody")
    there = {"imagefactorystate": "whole", **{key.title(): value for key, value in companion_metadata(earlier).items()}}
    metadata = companion_metadata(image, there)
    assert metadata == {"imagefactorystate": "whole", **companion_metadata(image)}
    assert metadata_image(vhd(metadata=metadata)) == image


def test_facts_that_are_too_long_for_metadata_are_read_from_the_companion() -> None:
    """Azure's limit is 8 KiB; the name is kept, so that other saves see that it is taken."""
    image = parse_companion(companion(), vhd())
    assert isinstance(image, FactoryImage)
    disks = tuple(DataDisk(lun, f"{'a' * 36}.lun{lun}.vhd", "2026-03-14T10:11:12.1234567+00:00") for lun in range(64))
    image = replace(image, data_disks=disks)
    metadata = companion_metadata(image, {"imagefactorystate": "whole"})
    assert metadata == {"imagefactorystate": "whole", "imagename": image.name}
    assert metadata_image(vhd(metadata=metadata)) is None
    assert parse_companion(companion_bytes(image), vhd()) == image
