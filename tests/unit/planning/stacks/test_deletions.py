"""A run that would delete more images than `maxDeletes` is stopped, with what it would delete, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.stack_settings import FactoryLab, Settings
from imagefactory.diagnostics import Diagnostic, Severity
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_labs import StandingImage
from imagefactory.planning.galleries.planned import RecordedGallery
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.planning.stacks.deletions import Deletion, deletions, too_many_deletions
from tests.unit.builders import SUBSCRIPTION, catalog, configuration, facts, image, lab, standing
from tests.unit.planning.galleries import test_any_gallery as any_gallery

STACK = "dev"
NO_GALLERY = RecordedGallery()
TEAM = lab("team")
GONE = "gone@00000000"
UNLISTED = "labs.json does not have the lab"


def settings(**changes: Any) -> Settings:
    """The settings of a stack."""
    return Settings(factory=FactoryLab(subscription_id=SUBSCRIPTION, lab_name="factory"), **changes)


def held(name: str, **changes: Any) -> StandingImage:
    """An image created from `<name>.vhd`."""
    return standing(name, **{"source_vhd": f"{name}.vhd", **changes})


def plan_of(
    found: Catalog, owned: frozenset[str], *there: StandingImage, by: Settings, target: TargetLab = TEAM
) -> Plan:
    """The plan for one lab, which has these images."""
    return build_plan(
        configuration(target), found, facts("factory"), {target.key: facts("team", *there)}, by, owned, {}, STACK
    )


def gone(count: int) -> frozenset[str]:
    """That many images in the state, all of a lab that labs.json does not list."""
    return frozenset(f"{GONE}/image{number:03}" for number in range(count))


def judged(owned: frozenset[str], **changes: Any) -> Diagnostic | None:
    """Whether a run may delete what the state has of labs that labs.json does not have; it keeps what `team` has."""
    by = settings(**changes)
    there = [held(name.rpartition("/")[2]) for name in owned if name.startswith(f"{TEAM.label}/")]
    found = catalog(*(image(one.name) for one in there))
    return too_many_deletions(plan_of(found, owned, *there, by=by), owned, NO_GALLERY, found, by, STACK)


@given(leaving=st.integers(0, 60), staying=st.integers(0, 120), limit=st.none() | st.integers(0, 60))
def test_no_run_deletes_more_than_it_may(leaving: int, staying: int, limit: int | None) -> None:
    """That is `maxDeletes`; without it 20, or a quarter of what the state has, whichever is more."""
    owned = gone(leaving) | {f"{TEAM.label}/kept{number}" for number in range(staying)}
    allowed = max(20, (leaving + staying) / 4) if limit is None else limit
    assert (judged(owned, max_deletes=limit) is not None) == (leaving > allowed)


@given(leaving=st.integers(21, 60))
def test_the_number_that_the_message_names_permits_the_run(leaving: int) -> None:
    """And one less does not."""
    stop = judged(gone(leaving))
    assert stop and f"pulumi config set imagefactory:maxDeletes {leaving} --stack dev" in stop.remedy
    assert judged(gone(leaving), max_deletes=leaving) is None
    assert judged(gone(leaving), max_deletes=leaving - 1)


@given(count=st.integers(21, 60))
def test_a_lab_that_the_stack_does_not_serve_any_more_leaves_like_one_that_labs_json_lost(count: int) -> None:
    """Under any label that it can have; the message names the setting, and how another stack takes the images over."""
    other, by = lab("gone"), settings()
    found = replace(configuration(TEAM), others=(replace(other, label=other.key.label("rg")),))
    for label in (other.label, other.key.label("rg")):
        owned = frozenset(f"{label}/image{number:03}" for number in range(count))
        planned = build_plan(found, catalog(), facts("factory"), {TEAM.key: facts()}, by, owned, {}, f"project/{STACK}")
        why = "labsMatching of stack dev does not match the lab"
        assert {(one.lab, one.why) for one in deletions(planned, owned, NO_GALLERY, catalog(), by)} == {(label, why)}
        stop = too_many_deletions(planned, owned, NO_GALLERY, catalog(), by, STACK)
        assert stop and f"because {why} ({count})" in stop.fact
        assert "to another stack, move them by its imagefactory adopt with --from dev; to delete" in stop.remedy


def test_the_message_says_how_many_of_how_many_where_why_and_what_to_set() -> None:
    """At most three labs and three reasons, those of the most images first; other labs and reasons by number."""
    labs = {GONE: 5, "b@00000000": 4, "c@00000000": 3, "d@00000000": 2, "e@00000000": 1}
    others = frozenset(f"{label}/{number}" for label, count in labs.items() for number in range(count))
    there = (
        held("older"),
        held("lost"),
        held("elsewhere", image_path="Ubuntu/Jammy.json"),
        held("untold", image_path="..", state="Failed"),
        held("new"),
    )
    owned = others | {f"{TEAM.label}/{one.name}" for one in there}
    found, by = catalog(image("new"), image("older", age=5)), settings(keep=1, max_deletes=3)
    stop = too_many_deletions(plan_of(found, owned, *there, by=by), owned, NO_GALLERY, found, by, STACK)
    assert stop and stop.severity is Severity.ERROR
    assert stop.message() == (
        "plan of stack dev: would delete 19 of 20 images, more than 3 (setting maxDeletes): from lab gone@00000000 "
        f"(5), lab b@00000000 (4), lab {TEAM.label} (4), other labs (6), because {UNLISTED} (15), its VHD is not in "
        "the factory (1), its tag ImagePath is invalid (1), other reasons (2); nothing is declared or deleted. Correct "
        "labs.json or the settings; to delete the images, run pulumi config set imagefactory:maxDeletes 19 --stack "
        "dev, pulumi up, and then pulumi config set imagefactory:maxDeletes 3 --stack dev."
    )


def test_without_the_setting_it_is_removed_again() -> None:
    """So that the next run is judged by the default."""
    stop = judged(gone(21))
    assert stop and stop.remedy.endswith("pulumi up, and then pulumi config rm imagefactory:maxDeletes --stack dev")


@pytest.mark.parametrize(
    ("changes", "there", "why"),
    [
        ({"keep": 1}, held("old"), "its VHD is not in the factory"),
        ({"keep": 1}, held("older"), "older than the newest 1 of its image path (setting keep)"),
        (
            {"pins": {"Win2016/Datacenter.json": "new"}},
            held("older"),
            "its image path is pinned to new (setting pins)",
        ),
        (
            {},
            held("other", image_path="Ubuntu/Jammy.json"),
            "labs.json does not give the lab Ubuntu/Jammy.json",
        ),
    ],
)
def test_each_image_that_leaves_a_lab_has_its_reason(changes: dict[str, Any], there: StandingImage, why: str) -> None:
    """Retired from the factory, by `keep` or by a pin, or its path was removed from the lab's entry."""
    found, by = catalog(image("new"), image("older", age=5)), settings(**changes)
    owned = frozenset({f"{TEAM.label}/{there.name}", f"{TEAM.label}/new"})
    plan = plan_of(found, owned, there, held("new"), by=by)
    assert deletions(plan, owned, NO_GALLERY, found, by) == (Deletion(TEAM.label, there.name, why),)


def test_what_a_lab_does_not_have_any_more_leaves_the_state_and_does_not_count() -> None:
    """No image of the lab is deleted by it."""
    by, owned = settings(max_deletes=0), frozenset({f"{TEAM.label}/old"})
    plan = plan_of(catalog(image("new")), owned, by=by)
    (one,) = deletions(plan, owned, NO_GALLERY, catalog(image("new")), by)
    assert (one.name, one.is_standing) == ("old", False)
    assert too_many_deletions(plan, owned, NO_GALLERY, catalog(image("new")), by, STACK) is None


@given(any_gallery.cases())
def test_a_gallery_version_that_is_neither_wanted_nor_kept_counts(case: any_gallery.Case) -> None:
    """One that is in the state, and that the plan of the gallery does not have."""
    by, plan = settings(keep=case.by.keep, max_deletes=0), Plan((), gallery=case.plan())
    found = deletions(plan, (), case.state, catalog(), by)
    assert plan.gallery
    stays = {one.key for one in plan.gallery.versions} | {one.key for one in plan.gallery.retained}
    assert {one.name for one in found} == {one.key for one in case.state.versions.values()} - stays
    assert all(one.lab == "" and one.why for one in found)
    stop = too_many_deletions(plan, (), case.state, catalog(), by, STACK)
    assert (stop is not None) == bool(found)
    assert stop is None or f"from the gallery ({len(found)})" in stop.fact
