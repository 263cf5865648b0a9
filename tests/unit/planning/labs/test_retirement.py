"""An image is deleted from a lab only after its successors exist there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.golden_images import GoldenImage
from imagefactory.configuration.image_names import name_beside
from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.loading import Configuration
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import error
from imagefactory.images.catalog import BlobDiagnostic, Catalog
from imagefactory.observed.standing_labs import StandingImage
from imagefactory.planning.labs.plan import Plan, build_plan
from tests.unit.builders import NOON, catalog, configuration, facts, image, lab, standing

TEAM = lab("team", ["Win2016"])
PATH = "Win2016/Datacenter.json"


def plan_of(found: Catalog, *there: StandingImage, policy: Policy | None = None, owned: bool = True) -> Plan:
    """The plan for the lab `team`, whose images are all in the state."""
    names = frozenset(f"{TEAM.label}/{one.name}" for one in there) if owned else frozenset()
    target = facts("team", *there)
    return build_plan(configuration(TEAM), found, facts("factory"), {TEAM.key: target}, policy or Policy(keep=1), names)


def kept(plan: Plan) -> dict[str, str]:
    """Name and reason of what is retained."""
    return {one.name: one.reason for one in plan.labs[0].retained}


def held(name: str, **changes: Any) -> StandingImage:
    """An image created from `<name>.vhd`."""
    return standing(name, **{"source_vhd": f"{name}.vhd", **changes})


OLD, NEW = image("old", age=9), image("new", age=1)


def test_a_retained_image_is_told_with_the_path_of_its_golden_image() -> None:
    """In its letter case; without golden image, as its tag has it."""
    there = {TEAM.key: facts("team", held("old", image_path="win2016\\DATACENTER.json"))}
    golden, state = GoldenImage(ImagePath.parse(PATH), Path("x")), {f"{TEAM.label}/old"}
    for defined, told in (((), "win2016\\DATACENTER.json"), ((golden,), PATH)):
        configured = Configuration((TEAM,), defined)
        plan = build_plan(configured, catalog(NEW), facts("factory"), there, Policy(keep=1), state)
        assert [one["imagePath"] for one in plan.retained()] == [told]


def test_the_image_that_an_empty_factory_is_said_to_keep_is_kept() -> None:
    """Not an image that failed, whose image path is no longer in labs.json, or that exceeds `keep`."""
    there = held("a", state="Failed"), held("b", image_path="Ubuntu/Jammy.json"), held("c"), held("d", created=NOON)
    plan = plan_of(catalog(), *there)
    (failure,) = plan.failures
    assert set(kept(plan)) == {"d"} and "(such as d of lab team@" in failure.consequence
    plan = plan_of(catalog(), *there[:2])
    (failure,) = plan.failures
    assert kept(plan) == {} and "such as" not in failure.consequence


@pytest.mark.parametrize(
    ("there", "stays"),
    [
        ([held("old")], True),
        ([held("old"), held("new", state="Creating")], True),
        ([held("old"), held("new", state="Failed")], True),
        ([held("old"), held("new")], False),
        ([held("old", state="Failed")], False),
        ([held("old"), held("new", image_path=None)], True),
    ],
)
def test_an_image_beyond_keep_leaves_after_the_newer_one_succeeded(there: list[StandingImage], stays: bool) -> None:
    """It is not sufficient that the factory has the newer image, or that Azure is creating it."""
    plan = plan_of(catalog(OLD, NEW), *there)
    assert ("old" in kept(plan)) is stays
    if stays:
        assert kept(plan)["old"] == "the lab must first have new in state Succeeded"
        assert plan.retained()[0]["lab"] == TEAM.label and any("keeps old" in line for line in plan.notes())


def test_what_the_state_does_not_contain_is_not_declared() -> None:
    """The engine deletes only what is in the state."""
    assert kept(plan_of(catalog(OLD, NEW), held("old"), owned=False)) == {}


def test_an_image_of_a_path_that_the_lab_no_longer_lists_is_deleted() -> None:
    """The user removed the path from labs.json."""
    assert kept(plan_of(catalog(), held("old", image_path="Ubuntu/Jammy.json"), policy=Policy())) == {}


def test_a_path_that_the_factory_no_longer_has_keeps_its_images() -> None:
    """Only the newest `keep` images, by the tag SavedAt or the date of creation."""
    dates = {name: image(name, age=age).saved_at for name, age in (("a", 5), ("b", 3), ("c", 1))}
    there = [
        held("a", saved_at=dates["a"]),
        held("b", source_vhd=None, created=dates["b"]),
        held("c", saved_at=dates["c"]),
    ]
    other = catalog(image("else", "Ubuntu/Jammy.json"))
    assert set(kept(plan_of(other, *there, policy=Policy(keep=2)))) == {"b", "c"}
    assert set(kept(plan_of(other, *there, policy=Policy()))) == {"a", "b", "c"}
    assert set(kept(plan_of(catalog(), *there, policy=Policy(keep=2, allow_empty_factory=True)))) == set()


def test_a_date_after_the_creation_of_the_image_makes_it_no_newer() -> None:
    """A tag SavedAt of next century, whose VHD the factory no longer has, displaces no image."""
    dates = {name: image(name, age=age).saved_at for name, age in (("far", 7), ("a", 5), ("b", 3))}
    far = held("far", saved_at=dates["far"].replace(year=2099), created=dates["far"])
    there = [far, *(held(name, saved_at=dates[name], created=dates[name]) for name in ("a", "b"))]
    other = catalog(image("else", "Ubuntu/Jammy.json"))
    assert set(kept(plan_of(other, *there, policy=Policy(keep=2)))) == {"a", "b"}


def test_a_newer_image_that_never_succeeds_does_not_keep_more_than_keep() -> None:
    """`keep` newer images succeeded, although not those of the plan."""
    found = catalog(*(image(name, age=age) for name, age in (("n1", 9), ("n2", 7), ("n3", 5), ("n4", 3))))
    there = [held("n1"), held("n2"), held("n4")]
    assert set(kept(plan_of(found, *there, policy=Policy(keep=2)))) == {"n2"}


def test_an_image_leaves_although_its_lab_cannot_get_the_newest_one() -> None:
    """No lab gets Windows on a generation 2 disk as a custom image. If that is all there is, the old one stays."""
    newest, everything = replace(image("gen2"), generation="V2"), Policy()
    assert kept(plan_of(catalog(NEW, newest), held("old"), held("new"), policy=everything)) == {}
    assert set(kept(plan_of(catalog(newest), held("old"), policy=everything))) == {"old"}


def test_a_changed_pin_keeps_the_image_before_it() -> None:
    """Also if the new one is older."""
    policy = Policy(keep=1, pins={ImagePath.parse(PATH): "old"})
    assert set(kept(plan_of(catalog(OLD, NEW), held("new"), policy=policy))) == {"new"}
    assert kept(plan_of(catalog(OLD, NEW), held("new"), held("old"), policy=policy)) == {}


def test_a_pin_of_something_that_does_not_exist_keeps_all_of_its_path() -> None:
    """No image is planned, so the images of the lab have no successor."""
    policy = Policy(keep=1, pins={ImagePath.parse(PATH): "typo"})
    plan = plan_of(catalog(OLD, NEW), held("new"), held("old"), policy=policy)
    assert set(kept(plan)) == {"new", "old"} and plan.failures


def test_a_rebuilt_image_is_created_beside_the_old_one() -> None:
    """With a stable name; the old image is deleted after the new one succeeded, which keeps its name."""
    rebuilt = image("old", vhd_name="again.vhd")
    beside = name_beside("old", "again.vhd")
    plan = plan_of(catalog(rebuilt), held("old"))
    assert [(one.name, one.standing) for one in plan.labs[0].images] == [(beside, False)]
    assert beside in kept(plan)["old"]
    later = plan_of(catalog(rebuilt), held("old"), held(beside, source_vhd="again.vhd"))
    assert [(one.name, one.standing) for one in later.labs[0].images] == [(beside, True)] and kept(later) == {}


def test_an_image_without_its_tag_is_kept_because_its_successors_are_unknown() -> None:
    """A user removed the tag from an image in the state."""
    assert "ImagePath" in kept(plan_of(catalog(NEW), held("new"), held("old", image_path=None)))["old"]


def test_an_image_whose_companion_cannot_be_read_is_kept_and_others_leave() -> None:
    """Only images that may be from that VHD are kept; the diagnostic fails the run."""
    broken = BlobDiagnostic("lost.vhd", error("companion lost.json", "junk", "left out", "Fix it"))
    there = [held("new"), held("old"), held("gone", source_vhd="lost.vhd")]
    plan = plan_of(catalog(OLD, NEW, broken=(broken,)), *there)
    assert set(kept(plan)) == {"gone"} and "companion lost.json" in plan.failures[0].subject


def test_a_name_in_other_case_is_the_states_name() -> None:
    """Azure lists `OLD`, the state has `old`: neither a kept nor a planned image becomes another resource."""
    owned = frozenset({f"{TEAM.label}/old"})
    for found in (catalog(OLD), catalog(NEW)):
        there = {TEAM.key: facts("team", held("OLD", source_vhd="old.vhd"))}
        plan = build_plan(configuration(TEAM), found, facts("factory"), there, Policy(keep=1), owned).labs[0]
        assert "old" in {one.name for one in plan.images} | {one.name for one in plan.retained}


PATHS = ["Win2016/Datacenter.json", "Win2016/SQL.json"]
days = st.lists(st.tuples(st.sampled_from(PATHS), st.booleans()), min_size=1, max_size=8)


@given(days, st.none() | st.integers(1, 3), st.randoms(use_true_random=False))
def test_no_sequence_of_failures_costs_a_lab_its_last_good_image_of_a_path(
    nights: list[tuple[str, bool]], keep: int | None, luck: Any
) -> None:
    """Each night adds, rebuilds or retires images, and some of them fail: an image is deleted only with successors.

    Once everything succeeds, two runs reach the plan.
    """
    factory: list[Any] = []
    there: dict[str, StandingImage] = {}
    policy = Policy(keep=keep)

    def run(succeeds: Any) -> Plan:
        plan = plan_of(catalog(*factory), *there.values(), policy=policy)
        before = dict(there)
        stay = {one.name for one in plan.labs[0].retained} | {one.name for one in plan.labs[0].images}
        for one in plan.labs[0].images:
            if not one.standing:
                state = "Succeeded" if succeeds() else "Failed"
                made = standing(one.name, state=state, image_path=str(one.image.image_path))
                there[one.name] = replace(made, source_vhd=one.image.vhd_name)
        for name in set(there) - stay:
            del there[name]
        for path in PATHS:
            good = [[one for one in world.values() if one.state == "Succeeded" and one.image_path == path]
                    for world in (before, there)]  # fmt: skip
            assert not good[0] or good[1], f"lost all of {path}"
        return plan

    for number, (path, rebuild) in enumerate(nights):
        same = [one for one in factory if str(one.image_path) == path]
        if rebuild and same:
            old = luck.choice(same)
            factory.remove(old)
            factory.append(replace(old, vhd_name=f"{number}.vhd"))
        else:
            factory.append(image(f"n{number}", path, age=100 - number, vhd_name=f"{number}.vhd"))
        if luck.random() < 0.2:
            factory.remove(luck.choice(factory))
        run(lambda: luck.random() < 0.6)
    run(lambda: True)
    plan = run(lambda: True)
    wanted = {one.image.vhd_name for one in plan.labs[0].images}
    covered = {str(one.image_path) for one in factory}
    assert {one.source_vhd for one in there.values() if one.image_path in covered} == wanted
