"""The report of the catalog: versions, ages, the labs that hold each image, and what was left out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.diagnostics import error
from imagefactory.images.catalog import BlobDiagnostic
from imagefactory.images.lineage import SHORT_COMMIT, short_commit
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.reports.catalog_report import CatalogReport, age_text, report_catalog, size_text
from tests.unit.builders import NOON, catalog, facts, image, lab, paths, standing

FAULT = error("subject", "fact", "consequence", "remedy")


def of_lab(*images: StandingImage) -> CatalogReport:
    """The report of two images, `a` (a.vhd) and `B` (B.vhd), and one lab with these custom images."""
    team = lab()
    return report_catalog(
        catalog(image("a"), image("B", age=1)), "factory", NOON, [team], {team.key: facts("team", *images)}
    )


def holders(report: CatalogReport) -> dict[str, list[str]]:
    """Image name -> names of the custom images that count as it."""
    return {one.image.name: [held.image.name for held in one.held_by] for one in report.images}


@given(st.lists(st.tuples(paths, st.integers(-50, 50)), max_size=12))
def test_the_versions_of_an_image_path_count_from_the_newest(made: list[tuple[str, int]]) -> None:
    """Without a gap, never an older one before a newer one, and those of one path side by side."""
    images = [image(f"image{number}", path, age) for number, (path, age) in enumerate(made)]
    report = report_catalog(catalog(*images), "factory", NOON)
    assert report.image_paths == len({path for path, _ in made})
    assert sorted(one.image.name for one in report.by_image_path) == sorted(one.name for one in images)
    rows = [(one.image.image_path, one.version, one.versions, one.age) for one in report.by_image_path]
    assert [path for path, *_ in rows] == sorted(path for path, *_ in rows)
    for path in {path for path, *_ in rows}:
        own = [row for row in rows if row[0] == path]
        assert [row[1] for row in own] == list(range(1, len(own) + 1))
        assert {row[2] for row in own} == {len(own)}
        assert [row[3] for row in own] == sorted(row[3] for row in own)


def test_an_image_is_held_where_the_tag_names_its_vhd_under_whatever_name() -> None:
    """And not by one of its own name that was made from another VHD."""
    report = of_lab(standing("renamed", source_vhd="a.vhd"), standing("B", source_vhd="earlier.vhd"))
    assert holders(report) == {"a": ["renamed"], "B": []}


def test_an_image_that_the_old_scripts_made_is_known_by_its_name() -> None:
    """Azure compares names without regard to case; without the tag ImagePath it is somebody's own image."""
    assert holders(of_lab(standing("A"), standing("b"))) == {"a": ["A"], "B": ["b"]}
    assert holders(of_lab(standing("a", image_path=None))) == {"a": [], "B": []}


def test_every_lab_that_holds_an_image_is_told_also_one_that_failed() -> None:
    """By lab."""
    labs = [lab("web"), lab("data"), lab("gone")]
    found: dict[object, LabFacts | object] = {labs[0].key: facts("web", standing("a", state="Failed"))}
    found |= {labs[1].key: facts("data", standing("a")), labs[2].key: FAULT}
    report = report_catalog(catalog(image("a")), "factory", NOON, labs, found)  # type: ignore[arg-type] # as built
    told = [(held.lab.name, held.image.state) for held in report.images[0].held_by]
    assert told == [("data", "Succeeded"), ("web", "Failed")]
    assert report.unread_labs == ((labs[2], FAULT),)


def test_no_lab_read_and_no_lab_there_are_different_things() -> None:
    """None, and an empty tuple."""
    assert report_catalog(catalog(), "factory", NOON).labs is None
    assert report_catalog(catalog(), "factory", NOON, [], {}).labs == ()


def test_labs_of_one_name_are_told_apart_by_their_subscription() -> None:
    """Only they are."""
    twins = [lab("web"), lab("WEB", subscription_id="other"), lab("data")]
    report = report_catalog(catalog(), "factory", NOON, twins, {one.key: FAULT for one in twins})
    assert [report.lab_name(one) for one in twins] == [f"web ({twins[0].subscription_id})", "WEB (other)", "data"]


def test_what_is_left_out_holds_broken_companions_too_and_warnings_are_those_of_the_images() -> None:
    """By name."""
    noted = replace(image("a"), note=FAULT)
    held = catalog(noted, left_out=(BlobDiagnostic("z.vhd", FAULT),), broken=(BlobDiagnostic("b.vhd", FAULT),))
    report = report_catalog(held, "factory", NOON)
    assert [left.name for left in report.left_out] == ["b.vhd", "z.vhd"]
    assert report.warnings == (FAULT,)


@pytest.mark.parametrize(
    ("age", "told"),
    [
        (timedelta(minutes=59), "under an hour"),
        (timedelta(minutes=-59), "under an hour"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=23, minutes=59), "23 hours"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=171, hours=5), "171 days"),
        (timedelta(days=-2), "2 days ahead"),
    ],
)
def test_an_age_is_told_in_words(age: timedelta, told: str) -> None:
    """Rounded down; a timestamp ahead of the clock is no age of zero."""
    assert age_text(age) == told


def test_sizes_are_in_gib() -> None:
    """With two digits."""
    assert (size_text(0), size_text(127 * 1024**3 + 512)) == ("0.00 GiB", "127.00 GiB")


@given(st.text())
def test_only_a_hash_is_cut_short(commit: str) -> None:
    """A tag, a branch or anything else stays whole."""
    assert short_commit(commit) == commit or set(commit.lower()) <= set("0123456789abcdef")
    assert short_commit("0123456789ABCDEF" * 2) == "0123456789ABCDEF"[:SHORT_COMMIT]
