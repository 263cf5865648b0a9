"""The catalog report: versions, ages, the labs that contain each image, and skipped blobs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.diagnostics import error
from imagefactory.images.catalog import BlobDiagnostic
from imagefactory.images.companions import DataDisk
from imagefactory.images.lineage import SHORT_COMMIT, short_commit
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.reports.catalog_report import CatalogReport, age_text, report_catalog, size_text, traits_text
from tests.unit.builders import NOON, catalog, facts, image, lab, paths, standing
from tests.unit.planning.factory.galleries import UNREAD, gallery, offering, version

PROBLEM = error("subject", "fact", "consequence", "remedy")


def of_lab(*images: StandingImage) -> CatalogReport:
    """Return the report of two images, `a` (a.vhd) and `B` (B.vhd), and one lab with these custom images."""
    team = lab()
    return report_catalog(
        catalog(image("a"), image("B", age=1)), "factory", NOON, [team], {team.key: facts("team", *images)}
    )


def holders(report: CatalogReport) -> dict[str, list[str]]:
    """Return the names of the custom images of each image, by its name."""
    return {one.image.name: [held.image.name for held in one.held_by] for one in report.images}


@given(st.lists(st.tuples(paths, st.integers(-50, 50)), max_size=12))
def test_the_versions_of_an_image_path_count_from_the_newest(made: list[tuple[str, int]]) -> None:
    """Without gaps, and next to each other."""
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


def test_a_custom_image_belongs_to_the_image_whose_vhd_its_tag_names() -> None:
    """Its own name does not matter: with the same name but another VHD, it is another image."""
    report = of_lab(standing("renamed", source_vhd="a.vhd"), standing("B", source_vhd="earlier.vhd"))
    assert holders(report) == {"a": ["renamed"], "B": []}


def test_a_custom_image_of_the_old_scripts_belongs_to_the_image_of_its_name() -> None:
    """Names are case-insensitive; without the tag ImagePath, the custom image was not created by the factory."""
    assert holders(of_lab(standing("A"), standing("b"))) == {"a": ["A"], "B": ["b"]}
    assert holders(of_lab(standing("a", image_path=None))) == {"a": [], "B": []}


def test_all_labs_with_an_image_are_listed_even_if_it_failed_there() -> None:
    """They are sorted by lab."""
    labs = [lab("web"), lab("data"), lab("gone")]
    found: dict[object, LabFacts | object] = {labs[0].key: facts("web", standing("a", state="Failed"))}
    found |= {labs[1].key: facts("data", standing("a")), labs[2].key: PROBLEM}
    report = report_catalog(catalog(image("a")), "factory", NOON, labs, found)  # type: ignore[arg-type] # as built
    listed = [(held.lab.name, held.image.state) for held in report.images[0].held_by]
    assert listed == [("data", "Succeeded"), ("web", "Failed")]
    assert report.unread_labs == ((labs[2], PROBLEM),)


def test_a_report_without_reading_labs_differs_from_one_without_labs() -> None:
    """None and an empty tuple."""
    assert report_catalog(catalog(), "factory", NOON).labs is None
    assert report_catalog(catalog(), "factory", NOON, [], {}).labs == ()


def test_labs_with_the_same_name_show_their_subscription() -> None:
    """Other labs show only their name."""
    labs = [lab("web"), lab("WEB", subscription_id="other"), lab("data")]
    report = report_catalog(catalog(), "factory", NOON, labs, {one.key: PROBLEM for one in labs})
    assert [report.lab_name(one) for one in labs] == [
        f"web ({labs[0].subscription_id})",
        "WEB (other)",
        "data",
    ]


def test_labs_with_the_same_name_and_subscription_show_their_resource_group() -> None:
    """With the subscription, if a third lab of the name is in another one."""
    twins = [replace(lab("web"), resource_group=group) for group in ("red", "Blue")]
    report = report_catalog(catalog(), "factory", NOON, twins, {one.key: PROBLEM for one in twins})
    assert [report.lab_name(one) for one in twins] == ["web (red)", "web (Blue)"]
    labs = [*twins, replace(lab("web", subscription_id="other"), resource_group="green")]
    report = report_catalog(catalog(), "factory", NOON, labs, {one.key: PROBLEM for one in labs})
    own = twins[0].subscription_id
    assert [report.lab_name(one) for one in labs] == [f"web ({own}, red)", f"web ({own}, Blue)", "web (other)"]


def test_skipped_blobs_include_vhds_with_broken_companions_and_warnings_come_from_the_images() -> None:
    """Skipped blobs are sorted by name."""
    noted = replace(image("a"), note=PROBLEM)
    held = catalog(noted, left_out=(BlobDiagnostic("z.vhd", PROBLEM),), broken=(BlobDiagnostic("b.vhd", PROBLEM),))
    report = report_catalog(held, "factory", NOON)
    assert [left.name for left in report.left_out] == ["b.vhd", "z.vhd"]
    assert report.warnings == (PROBLEM,)


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(minutes=59), "under an hour"),
        (timedelta(minutes=-59), "under an hour"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=23, minutes=59), "23 hours"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=171, hours=5), "171 days"),
        (timedelta(days=-2), "2 days in the future"),
    ],
)
def test_an_age_is_shown_in_words(age: timedelta, words: str) -> None:
    """It is rounded down; a timestamp in the future does not count as age 0."""
    assert age_text(age) == words


def test_sizes_are_in_gib() -> None:
    """With two decimals."""
    assert (size_text(0), size_text(127 * 1024**3 + 512)) == ("0.00 GiB", "127.00 GiB")


@given(st.text())
def test_only_a_hash_is_shortened(commit: str) -> None:
    """Tags, branches and other values are kept complete."""
    assert short_commit(commit) == commit or set(commit.lower()) <= set("0123456789abcdef")
    assert short_commit("0123456789ABCDEF" * 2) == "0123456789ABCDEF"[:SHORT_COMMIT]


def test_a_lab_whose_users_can_use_a_version_is_listed_as_offering_its_image() -> None:
    """Succeeded, enabled there, and in the lab's region; an image that no custom image can have is listed for it."""
    named, labs = image("a", vhd_name="a.vhd"), [lab("web"), lab("data"), lab("far")]
    odd = replace(image("-", vhd_name="odd.vhd"))
    found = {
        labs[0].key: offering("d0", "d1"),
        labs[1].key: offering(),
        labs[2].key: offering("d0", region="elsewhere"),
    }
    standing_ones = gallery(version("a.vhd"), version("odd.vhd"))
    report = report_catalog(catalog(named, odd), "factory", NOON, labs, found, standing_ones)
    assert {one.image.name: one.offered_by for one in report.images} == {"a": (labs[0],), "-": (labs[0],)}
    failed = report_catalog(catalog(named, odd), "factory", NOON, labs, found, gallery(version("a.vhd", "Failed")))
    assert [one.offered_by for one in failed.images] == [()] and [one.name for one in failed.left_out] == ["odd.vhd"]


def test_a_gallery_that_cannot_be_read_is_a_warning() -> None:
    """Which labs offer its versions is unknown."""
    report = report_catalog(catalog(image("a")), "factory", NOON, [], {}, UNREAD)
    assert UNREAD in report.warnings and report.images[0].offered_by == ()


def test_the_traits_of_a_disk_are_said_only_if_they_are_special() -> None:
    """Generation 1 without data disks is nothing special."""
    disks = (DataDisk(0, "x.vhd"), DataDisk(1, "y.vhd"))
    special = replace(image("a"), generation="V2", security_type="TrustedLaunch", data_disks=disks)
    assert traits_text(special) == "generation 2, Trusted Launch, 2 data disks"
    assert traits_text(replace(image("a"), generation="V1", data_disks=disks[:1])) == "1 data disk"
    assert traits_text(image("a")) == ""
