"""A prune never takes a VHD from a gallery version: Azure reads it where it is, until the version is finished."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.stack_settings import Policy
from imagefactory.images.catalog import newest_first
from imagefactory.images.companions import FactoryImage
from imagefactory.planning.factory.gallery_needs import gallery_needs
from imagefactory.planning.factory.last_good import last_good
from imagefactory.planning.factory.prune_plan import PruneRules
from imagefactory.planning.factory.staging_needs import StackPlan
from tests.unit.builders import catalog, configuration, image, lab
from tests.unit.planning.factory.galleries import LAB_UNREAD, UNREAD, gallery, offering, served, version
from tests.unit.planning.factory.prunes import blob, files, keeping, plan

STATES = ("Succeeded", "Creating", "Updating", "Failed", "Deleting")
GUID = "0f8fad5b-d9cb-469f-a165-70867728950a"


def gone(images: list[FactoryImage], *stacks: StackPlan) -> set[str]:
    """The VHDs that a prune deletes that keeps one image of each path."""
    found = catalog(*images)
    rules = PruneRules(keeping(1), last_good=last_good(stacks, found), galleries=gallery_needs(stacks, found))
    return {each.name for one in plan(found, files(*images), rules).deletions for each in one.vhds}


def kept(images: list[FactoryImage], *stacks: StackPlan) -> dict[str, str]:
    """The reasons of what such a prune keeps, by image."""
    found = catalog(*images)
    rules = PruneRules(keeping(1), last_good=last_good(stacks, found), galleries=gallery_needs(stacks, found))
    return {one.name: one.reason for one in plan(found, files(*images), rules).kept}


@given(
    st.lists(st.tuples(st.sampled_from(STATES), st.sampled_from(["westeurope", "northeurope"])), max_size=6),
    st.one_of(st.none(), st.integers(1, 6)),
)
def test_a_vhd_goes_only_if_no_version_reads_it_and_each_lab_that_is_to_get_it_has_it(
    found: list[tuple[str, str]], keep: int | None
) -> None:
    """Whatever the state of the version of each image, and however few images the prune keeps."""
    images = [image(f"n{age}", age=age) for age in range(len(found))]
    versions = [version(each.vhd_name, state, region) for each, (state, region) in zip(images, found, strict=True)]
    deleted = gone(images, served(gallery(*versions), lab(), offering(), keep))
    for rank, (each, (state, region)) in enumerate(zip(newest_first(images), found, strict=True)):
        is_finished = state == "Succeeded" and region == "westeurope"
        is_required = (keep is None or rank < keep) and not is_finished
        is_needed = rank == 0 or state in {"Creating", "Updating"} or is_required
        assert (each.vhd_name in deleted) == (not is_needed)


@pytest.mark.parametrize("state", ["Creating", "Updating"])
def test_a_save_stays_while_a_version_is_made_from_any_of_its_disks(state: str) -> None:
    """Also one without companion, and if only a data disk is being read; letter case does not count."""
    old, new = image("old", age=9), image("new")
    stack = served(
        gallery(version("OLD.vhd", state), version("x.vhd", state, data_disks=[f"{GUID}.LUN0.vhd"])),
        lab(),
        offering(),
        1,
    )
    needs = gallery_needs([stack], catalog(old, new))
    assert gone([old, new], stack) == set()
    assert (
        kept([old, new], stack)["old"] == "Azure is creating or replicating gallery version d0/2026.314.120000 from it"
    )
    remains = [*files(old, new), blob(f"{GUID}.vhd"), blob(f"{GUID}.lun0.vhd")]
    found = plan(catalog(old, new), remains, PruneRules(keeping(1), galleries=needs))
    assert found.deletions == () and any("version d1/" in one.reason for one in found.kept)
    finished = served(gallery(version("old.vhd"), version("x.vhd")), lab(), offering(), 1)
    again = PruneRules(keeping(1), galleries=gallery_needs([finished], catalog(old, new)))
    assert len(plan(catalog(old, new), remains, again).deletions) == 2


def test_a_gallery_or_a_lab_that_cannot_be_read_keeps_what_it_may_need() -> None:
    """An unread gallery may read any VHD; an unread lab may be in a region without the version."""
    old, new = image("old", age=9), image("new")
    assert gone([old, new], served(UNREAD, lab(), offering(), 1)) == set()
    assert "gallery 'images' could not be read" in kept([old, new], served(UNREAD, lab(), offering(), 1))["old"]
    standing = gallery(version("old.vhd"), version("new.vhd"))
    assert "for lab team@" in kept([old, new], served(standing, lab(), LAB_UNREAD, 2))["old"]
    assert gone([old, new], served(standing, lab(), offering(), 2)) == {"old.vhd"}


def test_stacks_and_labs_without_delivery_by_a_gallery_need_nothing_of_it() -> None:
    """But what it is making stays, whoever asked for it."""
    old, new = image("old", age=9), image("new")
    stack = served(gallery(version("new.vhd")), replace(lab(), delivery="customImage"), offering(), 2)
    assert gone([old, new], stack) == {"old.vhd"}
    making = replace(stack, gallery=gallery(version("old.vhd", "Creating")))
    assert gone([old, new], making) == set()
    assert gone([old, new], StackPlan(configuration(lab()), {lab().key: offering()}, Policy())) == {"old.vhd"}


def test_the_last_good_image_of_a_lab_can_be_a_version_that_its_users_can_use() -> None:
    """One that failed, is not enabled, or is not replicated to the lab's region does not count."""
    old, middle, new = image("old", age=9), image("middle", age=5), image("new")
    standing = gallery(version("old.vhd"), version("middle.vhd", "Failed"), version("new.vhd", "Failed"))
    assert gone([old, middle, new], served(standing, lab(), offering("d0", "d1", "d2"), 1)) == {"middle.vhd"}
    reason = kept([old, middle, new], served(standing, lab(), offering("d0"), 1))["old"]
    assert reason.startswith("it is the newest Succeeded image of its image path in lab team@")
    assert "old.vhd" in gone([old, middle, new], served(standing, lab(), offering("d1"), 1))
    elsewhere = served(standing, lab(), offering("d0", region="northeurope"), 1)
    assert "old.vhd" in gone([old, middle, new], elsewhere)
