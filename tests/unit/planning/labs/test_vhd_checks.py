"""Which VHDs are checked before a plan, and what follows from what was found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import warning
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import FactoryImage
from imagefactory.images.disk_layout import DiskLayout
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.planning.labs.vhd_checks import vhds_to_check
from tests.unit.builders import catalog, configuration, facts, image, lab, standing

FACTORY = facts("factory")
DYNAMIC = DiskLayout("is a VHD of the dynamic type, and Azure accepts only fixed VHDs")


def names(found: Iterable[FactoryImage]) -> list[str]:
    """The names of images."""
    return [each.name for each in found]


def checked(
    found: Catalog, *labs: tuple[TargetLab, LabFacts | None], policy: Policy | None = None, factory: LabFacts = FACTORY
) -> list[str]:
    """The names of the images that are checked for these labs; facts None: the lab could not be read."""
    unread = warning("lab", "403", "", "")
    answers = {target.key: one or unread for target, one in labs}
    return names(vhds_to_check(found, policy or Policy(), factory, [target for target, _ in labs], answers))


def plan(found: Catalog, facts_of_team: LabFacts, owned: Iterable[str] = (), policy: Policy | None = None) -> Plan:
    """The plan for the lab `team`."""
    team = lab()
    answers = {team.key: facts_of_team}
    return build_plan(configuration(team), found, FACTORY, answers, policy or Policy(), frozenset(owned))


def test_a_vhd_is_checked_if_a_lab_is_yet_to_get_it() -> None:
    """Not one that all labs have, nor one of an image path that no lab uses."""
    found = catalog(image("new"), image("everywhere", age=1), image("unused", "Ubuntu/Jammy.json"))
    here = standing("everywhere", source_vhd="everywhere.vhd")
    assert checked(found, (lab(), facts("team", here))) == ["new"]
    assert checked(found, (lab(), facts("team", here)), (lab("other"), facts("other"))) == ["new", "everywhere"]


def test_a_vhd_with_a_fitting_manifest_is_not_checked() -> None:
    """Its digest is known, and whoever wrote it had read the footer."""
    known = replace(image("known"), digest=f"sha256:{'0' * 64}")
    assert checked(catalog(known, image("old", age=1)), (lab(), facts())) == ["old"]


def test_an_image_whose_name_azure_would_reject_is_not_checked() -> None:
    """No lab is yet to get it."""
    found = catalog(image("C++", vhd_name="a.vhd"), image("good", age=1))
    assert checked(found, (lab(), facts())) == ["good"]
    assert names(vhds_to_check(found, Policy(), FACTORY, None, {})) == ["good"]


@pytest.mark.parametrize("state", ["Creating", "Updating", "Succeeded", "Failed"])
def test_an_image_that_failed_in_the_lab_is_copied_again_so_its_vhd_is_checked(state: str) -> None:
    """One that exists or is being created is not."""
    there = standing("image", source_vhd="image.vhd", state=state)
    assert checked(catalog(image()), (lab(), facts("team", there))) == (["image"] if state == "Failed" else [])


def test_a_lab_that_gets_nothing_has_no_vhd_checked() -> None:
    """One that could not be read, has no storage account, or is in a region to which nothing is copied."""
    far = facts("team", region="westus2")
    assert checked(catalog(image()), (lab(), None)) == []
    assert checked(catalog(image()), (lab(), facts("team", storage_account_id=None))) == []
    assert checked(catalog(image()), (lab(), far), policy=Policy(cross_region="refuse")) == []
    assert checked(catalog(image()), (lab(), far), policy=Policy(cross_region="relay")) == ["image"]


def test_what_the_policy_keeps_from_labs_is_not_checked() -> None:
    """Also if no lab was read, where everything else is."""
    found = catalog(image("a"), image("b", age=1), image("c", age=2))
    assert names(vhds_to_check(found, Policy(keep=2), FACTORY, None, {})) == ["a", "b"]


def test_without_an_invalid_vhd_labs_get_the_image_before_it_which_is_checked_too() -> None:
    """So a broken newest image never leaves a lab without one."""
    found, policy = catalog(image("new"), image("old", age=1)), Policy(keep=1)
    assert checked(found, (lab(), facts()), policy=policy) == ["new"]
    without = found.with_layouts({"new.vhd": DYNAMIC})
    assert checked(without, (lab(), facts()), policy=policy) == ["old"]
    assert [one.name for one in plan(without, facts(), policy=policy).labs[0].images] == ["old"]


def test_an_invalid_vhd_is_left_out_with_its_reason_and_fails_no_run() -> None:
    """As a warning and as an omission; other images are distributed."""
    found = plan(catalog(image("bad"), image("good", age=1)).with_layouts({"bad.vhd": DYNAMIC}), facts())
    assert [one.name for one in found.labs[0].images] == ["good"] and found.failures == ()
    (told,) = found.warnings
    assert told.text() == (
        "warning: VHD bad.vhd: is a VHD of the dynamic type, and Azure accepts only fixed VHDs; its image bad is not"
        " distributed. Save the image again, or upload a fixed VHD."
    )
    (omission,) = found.omissions
    assert (omission.lab, omission.image) == (None, "bad") and "dynamic" in omission.reason


@pytest.mark.parametrize("vhd", ["bad.vhd", None])
def test_a_lab_that_has_the_image_of_an_invalid_vhd_keeps_it(vhd: str | None) -> None:
    """Whether its tag names the VHD or, as an image of the older scripts, only its name does."""
    there = facts("team", standing("bad", source_vhd=vhd))
    found = catalog(image("bad"), image("good", age=1)).with_layouts({"bad.vhd": DYNAMIC})
    made = plan(found, there, ["team@22222222/bad", f"{lab().label}/bad"])
    assert names_kept(made) == ["bad"]
    assert [diagnostic.subject for diagnostic in made.failures] == ["VHD bad.vhd"]


def names_kept(made: Plan) -> list[str]:
    """The images that are kept although the plan does not contain them."""
    return [one.name for each in made.labs for one in each.retained]


def test_a_pin_to_an_invalid_vhd_fails_and_does_not_call_it_missing() -> None:
    """The lab keeps what it has of that path."""
    pinned = Policy(pins={image().image_path: "bad"})
    found = catalog(image("bad"), image("good", age=1)).with_layouts({"bad.vhd": DYNAMIC})
    made = plan(found, facts(), policy=pinned)
    assert ["pinned to bad, whose VHD is invalid" in one.fact for one in made.failures] == [True]
    assert made.labs[0].images == ()


def test_a_vhd_that_cannot_be_read_is_distributed_with_a_warning() -> None:
    """It is not known to be broken; the copy says."""
    unread = warning("VHD image.vhd", "403", "its footer is unknown", "Grant")
    found = plan(catalog(image()).with_layouts({"image.vhd": unread}), facts())
    assert [one.name for one in found.labs[0].images] == ["image"] and found.warnings == (unread,)


systems = st.sampled_from(["Windows", "Linux"])
generations = st.sampled_from([None, "V1", "V2"])
tables = st.sampled_from([None, "MBR", "GPT"])


@given(systems, generations, tables)
def test_windows_on_a_gpt_is_generation_2_and_otherwise_the_companion_is_believed(
    system: Literal["Windows", "Linux"],
    generation: Literal["V1", "V2"] | None,
    table: Literal["MBR", "GPT"] | None,
) -> None:
    """A Linux disk may boot either way: what was found is said, and its generation is what was recorded."""
    drawn = replace(image(), os_type=system, generation=generation)
    made = plan(catalog(drawn).with_layouts({"image.vhd": DiskLayout(None, table)}), facts())
    ((route,),) = (one.routes for one in made.labs)
    planned = route.image
    is_v2 = generation == "V2" or (system, table) == ("Windows", "GPT")
    assert planned.generation == ("V2" if is_v2 else generation) and planned.partition_table == table
    told = [diagnostic.fact for diagnostic in made.warnings]
    named = f" and has a partition table of type {table}" if table else ""
    wanted = f"its disk is Hyper-V generation 2{named}, which DevTest Labs cannot set for a VHD"
    assert told == ([wanted] if is_v2 else [])
    assert route.as_custom_image == (system == "Linux" or not is_v2)
    assert any("its Linux disk has a GPT" in note for note in made.notes()) == (table == "GPT" and not is_v2)
