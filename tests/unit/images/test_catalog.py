"""The catalog: which VHDs are images, and why the others are not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.images.catalog import Catalog, build_catalog, companions_to_read
from imagefactory.images.companions import companion_metadata
from tests.unit.builders import MIB, NOON, companion, image, in_any_case, vhd


def test_images_come_newest_first() -> None:
    """Independent of the order of the listing."""
    times = {"a": "3/13/2026 1:00 PM", "b": "2026-03-14T01:00:00Z", "c": "2026-03-13T09:00:00Z"}
    documents = {f"{name}.json": companion(f"{name}.vhd", timestamp=text) for name, text in times.items()}
    found = build_catalog([vhd(f"{name}.vhd") for name in times], documents)
    assert [one.vhd_name for one in found.images] == ["b.vhd", "a.vhd", "c.vhd"]


any_case = st.lists(st.sampled_from(["Win2016/Datacenter.json", "Büro/Straße.json"]).flatmap(in_any_case), max_size=5)


@given(any_case, any_case)
def test_image_paths_have_the_letter_case_of_the_golden_image(written: list[str], golden: list[str]) -> None:
    """If several differ only in case, that of the first one; without golden image, that of the companion."""
    found = Catalog(tuple(image(f"n{number}", path) for number, path in enumerate(written)))
    paths = [ImagePath.parse(path) for path in golden]
    for before, after in zip(found.images, found.in_case_of(paths).images, strict=True):
        own = next((path for path in paths if path == before.image_path), before.image_path)
        assert str(after.image_path) == str(own) and after == before


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"length": 512}, "too few"),
        ({"length": 0}, "too few"),
        ({"length": MIB + 1024}, "multiple of 1 MiB"),
        ({"blob_type": "BlockBlob"}, "only from page blobs"),
        ({"copy_status": "pending"}, "pending"),
        ({"copy_status": "failed"}, "failed"),
    ],
)
def test_an_incomplete_vhd_is_skipped_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    """Its companion is not downloaded, and is not reported as having no VHD."""
    blob = vhd(**changes)
    found = build_catalog([blob], {}, ["a.json"])
    assert found.images == ()
    assert [(left.name, reason in left.reason.text()) for left in found.left_out] == [("a.vhd", True)]
    assert companions_to_read([blob], ["a.json"]) == ()


@pytest.mark.parametrize("name", ["my image.vhd", "a%41.vhd", "ü.vhd", "folder/a.vhd", "a?b.vhd"])
def test_a_vhd_whose_name_would_be_escaped_in_a_url_is_skipped_with_the_reason(name: str) -> None:
    """A copy would request another blob, and Azure's response would not show the reason."""
    found = build_catalog([vhd(name)], {f"{name[:-4]}.json": companion(name)})
    assert found.images == () and "URL" in found.left_out[0].reason.text()


def test_a_vhd_without_companion_and_a_companion_without_vhd_are_skipped() -> None:
    """The first is an unfinished save, the second is orphaned."""
    found = build_catalog([vhd("a.vhd"), vhd("b.vhd")], {"a.json": companion()}, ["a.json", "c.json"])
    assert [one.vhd_name for one in found.images] == ["a.vhd"]
    told = {left.name: left.reason.text() for left in found.left_out}
    assert set(told) == {"b.vhd", "c.json"}
    assert "unfinished" in told["b.vhd"]
    assert "VHD is missing" in told["c.json"]


def test_a_companion_that_is_invalid_or_cannot_be_downloaded_is_broken_and_stops_no_other() -> None:
    """A broken companion matters more than a skipped VHD, because labs may have its image."""
    refused = error("companion c.json", "403", "nothing", "grant")
    documents: dict[str, bytes | Diagnostic] = {"a.json": companion(), "b.json": b"{", "c.json": refused, "d.json": b""}
    found = build_catalog([vhd(f"{name}.vhd") for name in "abcd"], documents)
    assert [one.vhd_name for one in found.images] == ["a.vhd"]
    assert [one.name for one in found.broken] == ["b.vhd", "c.vhd", "d.vhd"]
    assert all(f"{one.name[0]}.json" in one.reason.subject for one in found.broken)
    assert found.broken[1].reason == refused


def test_metadata_spares_the_companion_and_broken_metadata_does_not() -> None:
    """One listing reads the catalog; only companions with facts that it lacks are downloaded."""
    known = companion_metadata(image("known"))
    vhds = [vhd("a.vhd", metadata=known), vhd("b.vhd", metadata={**known, "ostype": "?"}), vhd("c.vhd")]
    assert companions_to_read(vhds, ["a.json", "b.json", "c.json", "d.json"]) == ("b.json", "c.json")
    found = build_catalog(vhds, {"b.json": companion("b.vhd"), "c.json": companion("c.vhd")}, ["a.json"])
    assert {one.vhd_name: one.name for one in found.images}["a.vhd"] == "known"
    assert len(found.images) == 3


def test_a_vhd_with_all_facts_and_no_companion_is_an_unfinished_save() -> None:
    """The companion is written last, so without it the save may still be undone or resumed."""
    found = build_catalog([vhd("a.vhd", metadata=companion_metadata(image("known")))], {})
    assert found.images == () and "unfinished" in found.left_out[0].reason.text()


def test_the_vhds_of_data_disks_belong_to_their_image() -> None:
    """They have no companions, and are reported as skipped only if no image lists them."""
    mine = companion("a.vhd", dataDisks=[{"lun": 1, "vhdFileName": "a.lun1.vhd"}])
    found = build_catalog([vhd("a.vhd"), vhd("a.lun1.vhd"), vhd("a.lun2.vhd")], {"a.json": mine})
    assert [(disk.lun, disk.vhd_name) for disk in found.images[0].data_disks] == [(1, "a.lun1.vhd")]
    assert [left.name for left in found.left_out] == ["a.lun2.vhd"]


def test_the_sizes_of_data_disks_are_those_of_the_listing() -> None:
    """Allocated bytes are known from a manifest only; a VHD that is missing has no length."""
    disks = [{"lun": lun, "vhdFileName": f"a.lun{lun}.vhd"} for lun in range(3)]
    vhds = [vhd("a.vhd"), vhd("a.lun0.vhd", length=64 * MIB, manifest={"allocated": "4096"}), vhd("a.lun1.vhd")]
    (found,) = build_catalog(vhds, {"a.json": companion("a.vhd", dataDisks=disks)}).images
    sizes = [(disk.length, disk.allocated) for disk in found.data_disks]
    assert sizes == [(64 * MIB, 4096), (64 * MIB + 512, None), (0, None)]


def test_a_date_from_last_modified_becomes_a_warning_of_the_catalog() -> None:
    """The catalog reports it."""
    found = build_catalog([vhd()], {"a.json": companion(timestamp="?")})
    assert ["Last-Modified" in diagnostic.text() for diagnostic in found.warnings] == [True]


kinds = st.sampled_from(["good", "junk", "no companion", "no vhd", "short", "metadata"])


@given(st.lists(kinds, max_size=8), st.randoms(use_true_random=False))
def test_every_blob_is_listed_exactly_once_in_any_order(drawn: list[str], random: Any) -> None:
    """Each blob is an image, has a broken companion, or is skipped."""
    vhds, documents = [], {}
    for index, kind in enumerate(drawn):
        metadata = companion_metadata(image(f"n{index}")) if kind == "metadata" else {}
        length = 1000 if kind == "short" else 64 * MIB + 512
        if kind != "no vhd":
            vhds.append(
                vhd(f"{index}.vhd", length=length, metadata=metadata, last_modified=NOON + timedelta(hours=index))
            )
        if kind not in {"no companion", "metadata"}:
            documents[f"{index}.json"] = b"junk" if kind == "junk" else companion(f"{index}.vhd")
    names = [f"{index}.json" for index, kind in enumerate(drawn) if kind == "metadata"]
    found = build_catalog(vhds, documents, names)
    told = [one.vhd_name for one in found.images] + [one.name for one in found.broken]
    told += [left.name for left in found.left_out]
    expected = [f"{index}.json" if kind == "no vhd" else f"{index}.vhd" for index, kind in enumerate(drawn)]
    assert sorted(told) == sorted(expected)
    random.shuffle(vhds)
    assert build_catalog(vhds, dict(reversed(documents.items())), names) == found
