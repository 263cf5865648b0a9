"""The plan: which images each lab must contain, and why others are skipped."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.labs_file import LabKey, TargetLab
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, Severity, error, warning
from imagefactory.images.catalog import BlobDiagnostic, Catalog
from imagefactory.images.companions import DataDisk
from imagefactory.images.lineage import Lineage
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.planning.labs.planned_images import PlannedImage, Recorded
from tests.unit.builders import catalog, configuration, facts, image, in_any_case, lab, paths, standing

UNREADABLE = error("lab team", "403", "", "grant")


def planned(
    found: Catalog, *there: StandingImage, target: TargetLab | None = None, policy: Policy | None = None, **changes: Any
) -> Plan:
    """The plan for the lab `team`, which has these images; they are all in the state."""
    target = target or lab()
    return build_plan(
        configuration(target),
        found,
        facts("factory"),
        {target.key: facts("team", *there, **changes)},
        policy or Policy(),
        owned(target, *there),
    )


def owned(target: TargetLab, *there: StandingImage) -> frozenset[str]:
    """The names in the state of the images that the factory made."""
    return frozenset(f"{target.label}/{each.name}" for each in there if each.image_path)


def only(plan: Plan) -> PlannedImage:
    """The one image of the one lab."""
    ((found,),) = (one.images for one in plan.labs)
    return found


def decided(plan: Plan) -> Plan:
    """The plan without what depends on the order of the facts."""
    return replace(plan, labs=tuple(replace(one, facts=replace(one.facts, images=())) for one in plan.labs))


def texts(diagnostics: tuple[Diagnostic, ...]) -> str:
    """All diagnostics as one string."""
    return "\n".join(diagnostic.text() for diagnostic in diagnostics)


@given(in_any_case("Win2016/Datacenter.json"), st.sampled_from([None, "Succeeded", "Failed"]))
def test_the_tag_of_an_image_in_the_state_changes_only_if_the_image_is_created_again(
    tag: str, state: str | None
) -> None:
    """An image that was deleted by hand is not updated, because its staged VHD is deleted."""
    target, there = lab(), [standing(state=state)] if state else []
    before = {f"{target.label}/image": Recorded(1, "image.vhd", "rg", image_path=ImagePath.parse(tag))}
    labs = {target.key: facts("team", *there)}
    plan = build_plan(configuration(target), catalog(image()), facts("factory"), labs, Policy(), before.keys(), before)
    own = "Win2016/Datacenter.json"
    assert only(plan).tags["ImagePath"] == (own if state == "Failed" else tag)
    assert str(only(plan).image.image_path) == own


@given(st.integers(1, 5), st.integers(1, 5))
def test_a_failed_image_gets_a_tag_that_neither_the_lab_nor_the_state_has(there: int, before: int) -> None:
    """Else the engine would find no difference: Azure may have an older tag than the state, or a newer one."""
    target, failed = lab(), standing(state="Failed", attempt=there)
    labs = {target.key: facts("team", failed)}
    name = f"{target.label}/{failed.name}"
    recorded = {name: Recorded(before)}
    arguments = configuration(target), catalog(image()), facts("factory"), labs, Policy(), {name}, recorded
    assert int(only(build_plan(*arguments)).tags["Attempt"]) > max(there, before)


def test_a_lab_gets_what_its_selectors_match() -> None:
    """With an id in the lab, and tags that record the source of the image."""
    plan = planned(catalog(image("a"), image("b", "Ubuntu/Jammy.json"), image("c", "Win2016Core/x.json")))
    found = only(plan)
    assert (found.name, found.standing) == ("a", False)
    assert found.image_id == f"{facts().id}/customimages/a"
    assert found.tags == {
        "ImagePath": "Win2016/Datacenter.json", "SourceVhd": "a.vhd", "SavedAt": "2026-03-14T12:00:00Z"}  # fmt: skip
    assert {(one.lab, one.image, one.reason) for one in plan.omissions} == {
        (None, "b", "no lab uses its image path"), (None, "c", "no lab uses its image path")}  # fmt: skip
    assert plan.failures == ()


def test_keep_takes_the_newest_of_each_image_path() -> None:
    """The others are omitted for every lab, with the reason."""
    images = [image("old", age=2), image("new", age=1), image("sql", "Win2016/SQL.json", age=9)]
    plan = planned(catalog(*images), policy=Policy(keep=1))
    assert [one.name for one in plan.labs[0].images] == ["new", "sql"]
    assert [(one.lab, one.image) for one in plan.omissions] == [(None, "old")]
    assert "newest 1" in plan.omissions[0].reason


def test_a_pin_selects_one_image_of_its_path_even_if_there_are_newer_ones() -> None:
    """Other paths are not affected; names are compared case-insensitively."""
    images = [image("old", age=9), image("new", age=1), image("sql", "Win2016/SQL.json")]
    plan = planned(catalog(*images), policy=Policy(keep=1, pins={images[0].image_path: "OLD"}))
    assert [one.name for one in plan.labs[0].images] == ["sql", "old"]
    assert [(one.image, "pinned to OLD" in one.reason) for one in plan.omissions] == [("new", True)]


def test_a_pin_that_is_not_in_the_factory_fails_the_run_and_deletes_nothing() -> None:
    """A typo must not delete the images of an image path from the labs."""
    found = image("new")
    plan = planned(catalog(found), standing("gone"), policy=Policy(pins={found.image_path: "typo"}))
    assert plan.labs[0].images == ()
    assert "pinned to typo, which is not in the factory; labs keep their images" in texts(plan.failures)


def test_what_devtest_labs_ignores_is_a_warning_if_a_lab_gets_the_image() -> None:
    """Generation 2 and data disks; a Linux image is still distributed."""
    odd = replace(image("odd"), os_type="Linux", generation="V2", data_disks=(DataDisk(0, "odd.lun0.vhd"),))
    plan = planned(catalog(odd))
    assert only(plan).name == "odd"
    told = texts(plan.warnings)
    assert "generation 2" in told and "labs get only its OS disk" in told
    elsewhere = planned(catalog(replace(odd, image_path=ImagePath.parse("Ubuntu/Jammy.json"))))
    assert elsewhere.warnings == ()


def test_the_tags_record_the_lineage() -> None:
    """Unknown parts have no tag."""
    made = Lineage(vm="/labs/factory/virtualmachines/golden", disk="/disks/golden", commit="abc")
    tags = only(planned(catalog(replace(image("a"), lineage=made)))).tags
    assert (tags["SourceVm"], tags["SourceDisk"], tags["Commit"]) == ("golden", "/disks/golden", "abc")
    assert "PipelineRun" not in tags


def test_of_two_images_of_one_name_the_newest_is_distributed_with_a_warning() -> None:
    """Names are compared case-insensitively, as in Azure."""
    plan = planned(catalog(image("A", age=5, vhd_name="1.vhd"), image("a", age=1, vhd_name="2.vhd")))
    assert only(plan).image.vhd_name == "2.vhd"
    assert [one.image for one in plan.omissions] == ["A"]
    assert "1.vhd" in texts(plan.warnings)


def test_an_existing_image_of_the_state_is_planned_with_the_id_and_name_that_azure_lists() -> None:
    """Also without the tag SourceVhd (older scripts), and while it is being created."""
    for changes in ({}, {"source_vhd": "image.vhd"}, {"state": "Creating"}, {"state": "Updating"}):
        there = standing("IMAGE", **changes)
        found = only(planned(catalog(image("image")), there))
        assert (found.standing, found.image_id, found.name) == (True, there.id, "IMAGE")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"source_vhd": "other.vhd"}, "created as image-"),
        ({"state": "Failed"}, "is in state Failed; it is created again"),
        ({"state": "Deleting"}, "Deleting"),
    ],
)
def test_an_image_of_another_vhd_or_in_a_bad_state_is_recreated(changes: dict[str, str], told: str) -> None:
    """It is planned as one that does not exist."""
    plan = planned(catalog(image("image")), standing("image", **changes))
    assert only(plan).standing is False
    assert told in texts(plan.warnings)
    assert plan.failures == ()


def test_an_image_that_the_factory_did_not_create_is_a_failure_and_is_not_changed() -> None:
    """Its name is taken; the other images are distributed."""
    plan = planned(catalog(image("mine"), image("other")), standing("Mine", image_path=None))
    assert [one.name for one in plan.labs[0].images] == ["other"]
    assert [(one.lab, one.image) for one in plan.omissions] == [(lab().label, "mine")]
    assert "Mine of lab" in texts(plan.failures)
    assert "Rename or delete it" in texts(plan.failures)


def test_an_image_in_the_state_counts_even_without_its_tag() -> None:
    """If a user removed the tags, the engine would still delete it, so an empty factory is a failure."""
    there = facts("team", standing("Mine", image_path=None))
    worlds = [
        build_plan(configuration(lab()), catalog(), facts("factory"), {lab().key: there}, Policy(), names)
        for names in (frozenset(), frozenset({f"{lab().label}/Mine"}))
    ]
    assert worlds[0].failures == ()
    assert "allowEmptyFactory" in texts(worlds[1].failures)


@pytest.mark.parametrize(
    "answer", [UNREADABLE, replace(UNREADABLE, severity=Severity.WARNING), facts(storage_account_id=None)]
)
def test_a_lab_that_cannot_be_updated_is_a_failure_and_stops_no_other(answer: LabFacts | Diagnostic) -> None:
    """A lab that is denied, not found or without storage does not count as empty, which would delete its images."""
    good, bad = lab("good"), lab("team")
    known: dict[LabKey, LabFacts | Diagnostic] = {good.key: facts("good"), bad.key: answer}
    plan = build_plan(configuration(bad, good), catalog(image()), facts("factory"), known, Policy())
    assert [one.label for one in plan.labs] == [good.label]
    assert len(plan.failures) == 1
    assert plan.failures[0].severity is Severity.ERROR
    assert plan.failures[0].consequence, "what follows is said by the plan"
    assert plan.failures[0].location == bad.location, "the entry of labs.json can be found"
    assert [(one.lab, one.image) for one in plan.omissions] == [(bad.label, "image")]


def test_cross_region_copies_are_reported() -> None:
    """Both spellings of a region are the same region."""
    (crossing,) = planned(catalog(image()), region="eastus").crossings
    assert crossing.text() == ("eastus: 1 image for 1 lab: up to 0.1 GiB copied from westeurope (once per image)")
    assert planned(catalog(image()), region="West Europe").crossings == ()
    assert planned(catalog(image()), standing(), region="eastus").crossings == (), "what stands is not copied"


def test_an_empty_factory_never_empties_labs_unless_the_user_says_so() -> None:
    """A missing container or a wrong account is an error while a lab has an image of the factory."""
    plan = planned(catalog(), standing())
    assert "labs keep their newest Succeeded images" in texts(plan.failures)
    assert "allowEmptyFactory" in texts(plan.failures)
    assert planned(catalog(), standing(), policy=Policy(allow_empty_factory=True)).failures == ()
    nothing_held = planned(catalog(), standing(image_path=None))
    assert nothing_held.failures == ()
    assert "has no image to distribute; nothing is distributed" in texts(nothing_held.warnings)


BROKEN = BlobDiagnostic("lost.vhd", error("companion lost.json", "junk", "left out", "Fix it"))


@pytest.mark.parametrize(
    ("there", "fails"),
    [
        (standing("gone", source_vhd="lost.vhd"), True),
        (standing("gone", source_vhd="LOST.vhd"), True),
        (standing("gone", vhd_url="https://x.blob/imagefactoryvhds/lost.vhd?x"), True),
        (standing("gone"), True),
        (standing("gone", source_vhd="other.vhd"), False),
        (standing("gone", vhd_url="https://x.blob/imagefactoryvhds/other.vhd"), False),
        (standing("image"), False),
        (standing("gone", image_path=None), False),
        (standing("gone", image_path="Ubuntu/Jammy.json", source_vhd="lost.vhd"), False),
    ],
)
def test_a_broken_companion_fails_the_run_only_if_an_image_would_be_lost(there: StandingImage, fails: bool) -> None:
    """An image is at risk if labs.json lists it, no readable image has its name, and it may be from that VHD."""
    plan = planned(catalog(image("image"), broken=(BROKEN,)), there)
    assert bool(plan.failures) is fails
    assert "companion lost.json: junk" in texts(plan.failures if fails else plan.warnings)


def test_a_vhd_without_companion_keeps_the_images_created_from_it() -> None:
    """Only images that are certainly from it: an unfinished save is not a reason to fail."""
    left_out = BlobDiagnostic("lost.vhd", warning("VHD lost.vhd", "has no companion", "left out", "Wait"))
    found = catalog(image("image"), left_out=(left_out,))
    assert "has no companion" in texts(planned(found, standing("gone", source_vhd="lost.vhd")).failures)
    assert planned(found, standing("gone")).failures == ()
    assert "has no companion" in texts(planned(found, standing("gone")).warnings)


names = st.sampled_from(["a", "B", "b", "c", "d", "e"])
images = st.builds(image, names, paths, st.integers(0, 3), st.sampled_from([f"{number}.vhd" for number in range(20)]))
catalogs = st.lists(images, max_size=8, unique_by=lambda one: one.vhd_name)
selectors = st.lists(
    st.sampled_from(["Win2016", "win2016/sql.json", "Ubuntu", "Win2016Core/Base.json"]), min_size=1, max_size=3
)
stood = st.lists(
    st.builds(
        standing,
        names,
        state=st.sampled_from(["Succeeded", "Creating", "Failed"]),
        image_path=st.none() | paths,
        source_vhd=st.none() | st.sampled_from(["1.vhd", "2.vhd"]),
    ),
    max_size=4,
    unique_by=lambda one: one.name.lower(),
)
answers = st.just(UNREADABLE) | st.builds(lambda there: facts("team", *there), stood)
worlds = st.lists(st.tuples(selectors, answers), min_size=1, max_size=4)
policies = st.builds(Policy, keep=st.none() | st.integers(1, 3), allow_empty_factory=st.booleans())


@given(catalogs, worlds, policies, st.randoms(use_true_random=False))
def test_the_rules_hold_in_every_world(
    found: list[Any], world: list[tuple[list[str], LabFacts | Diagnostic]], policy: Policy, shuffler: random.Random
) -> None:
    """Never an image outside of a lab's selectors; nothing lost without a reason; keep is a bound; names are unique;
    an unreadable lab is a failure; the order of inputs does not matter."""
    targets = [lab(f"lab{index}", chosen) for index, (chosen, _) in enumerate(world)]
    known = {target.key: answer for target, (_, answer) in zip(targets, world, strict=True)}
    plan = build_plan(configuration(*targets), catalog(*found), facts("factory"), known, policy)

    readable = {one.label: one for one in plan.labs}
    omitted = {(one.lab, one.image, one.image_path) for one in plan.omissions}
    for target, (_, answer) in zip(targets, world, strict=True):
        assert (target.label in readable) is isinstance(answer, LabFacts)
        assert isinstance(answer, LabFacts) or any(
            diagnostic.severity is Severity.ERROR for diagnostic in plan.failures
        )
        plans = [readable[target.label]] if target.label in readable else []
        got = [one for each in plans for one in (*each.images, *(left.planned for left in each.unadopted))]
        assert all(target.takes(one.image.image_path) for one in got)
        assert len({one.name.lower() for one in got}) == len(got)
        for path in {one.image.image_path for one in got}:
            assert policy.keep is None or sum(one.image.image_path == path for one in got) <= policy.keep
        for one in found:
            if target.takes(one.image_path):
                told = {(label, one.name, str(one.image_path)) for label in (None, target.label)}
                assert any(planned.image == one for planned in got) or told & omitted
        untouchable = (
            {there.name.lower() for there in answer.images if there.image_path is None}
            if isinstance(answer, LabFacts)
            else set()
        )
        assert not untouchable & {one.name.lower() for one in got}
    shuffler.shuffle(targets)
    shuffler.shuffle(found)
    again = Catalog(tuple(found))
    shuffled = {
        key: replace(value, images=tuple(reversed(value.images))) if isinstance(value, LabFacts) else value
        for key, value in reversed(known.items())
    }
    other = build_plan(configuration(*targets), again, facts("factory"), shuffled, policy)
    assert decided(other) == decided(plan)
