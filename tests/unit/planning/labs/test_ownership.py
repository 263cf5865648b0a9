"""What exists and is not in the state is not declared; what belongs to another stack is left to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.stack_settings import Policy
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_labs import StandingImage
from imagefactory.planning.factory.staging_needs import StackPlan, staging_needs
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.planning.labs.planned_images import Recorded
from tests.unit.builders import catalog, configuration, facts, image, lab, paths, standing

OWN, OTHER = "images/dev", "images/prod"
TEAM = lab("team", ["Win2016", "Ubuntu", "Win2016Core"])
PATH = "Win2016/Datacenter.json"


def planned(
    found: Catalog,
    *there: StandingImage,
    owned: tuple[str, ...] = (),
    policy: Policy | None = None,
    recorded: dict[str, Recorded] | None = None,
    stack: str = OWN,
) -> Plan:
    """The plan of stack `dev` for the lab `team`; the state has the images of these names."""
    names = {f"{TEAM.label}/{name}" for name in owned}
    known = {f"{TEAM.label}/{name}": each for name, each in (recorded or {}).items()}
    answer = {TEAM.key: facts("team", *there)}
    return build_plan(configuration(TEAM), found, facts("factory"), answer, policy or Policy(), names, known, stack)


def declared(plan: Plan) -> list[str]:
    """Names of the planned images of the one lab."""
    return [one.name for one in plan.labs[0].images]


@pytest.mark.parametrize("state", ["Succeeded", "Creating", "Updating", "Failed", "Deleting"])
def test_a_wanted_image_that_exists_and_is_not_in_the_state_is_left_undeclared(state: str) -> None:
    """In any state; the other image is served. Nothing says that it is created again."""
    there = standing("Mine", state=state)
    plan = planned(catalog(image("mine"), image("other", age=1)), there)
    assert declared(plan) == ["other"] and plan.omissions == () and plan.warnings == ()
    (left,) = plan.labs[0].unadopted
    assert left.image == there and left.planned.image.name == "mine"
    assert (left.planned.name, left.planned.image_id) == ("Mine", there.id)
    assert left.planned.standing is (state not in {"Failed", "Deleting"})


def test_all_images_that_are_not_in_the_state_are_one_failure_on_one_line() -> None:
    """With their number, some of their names, the consequence and the command."""
    labs = [lab(name) for name in ("a", "b", "c")]
    there = {each.key: facts(each.name, standing("x"), standing("y")) for each in labs[:2]}
    there[labs[2].key] = facts("c")
    found = catalog(image("x"), image("y"))
    plan = build_plan(configuration(*labs), found, facts("factory"), there, Policy(), stack=OWN)
    (failure,) = plan.failures
    assert failure.text() == (
        f"error: state of stack dev: does not contain 4 existing images in 2 labs (such as x of lab {labs[0].label} and"
        f" y of lab {labs[0].label}); what the state does not contain is neither changed nor managed, and everything"
        " else is updated. Run imagefactory adopt --stack dev, then pulumi up again."
    )
    (failure,) = planned(catalog(image("x")), standing("x")).failures
    assert f"does not contain 1 existing image in 1 lab (x of lab {TEAM.label});" in failure.text()


def test_names_of_the_state_may_differ_in_case() -> None:
    """The image is own, under the name that the state has."""
    plan = planned(catalog(image("IMAGE")), standing("Image"), owned=("image",))
    assert declared(plan) == ["image"] and plan.labs[0].unadopted == () and plan.failures == ()


def test_an_image_of_the_state_is_preferred_to_one_that_is_not() -> None:
    """Two images from one VHD: the state's stays, although the other has the name of the factory image."""
    there = standing("image", source_vhd="image.vhd"), standing("beside", source_vhd="image.vhd")
    assert declared(planned(catalog(image("image")), *there, owned=("beside",))) == ["beside"]


def test_successors_that_are_not_in_the_state_are_successors() -> None:
    """An image that they replace leaves its lab, unless one of them is unfinished."""
    found = catalog(image("old", age=9), image("new"))
    for state, kept in (("Succeeded", []), ("Creating", ["old"]), ("Failed", ["old"])):
        there = standing("old", source_vhd="old.vhd"), standing("new", source_vhd="new.vhd", state=state)
        plan = planned(found, *there, owned=("old",), policy=Policy(keep=1))
        assert [one.name for one in plan.labs[0].retained] == kept


@pytest.mark.parametrize("source", ["image.vhd", "another.vhd", None])
@pytest.mark.parametrize("state", ["Succeeded", "Creating", "Failed"])
def test_an_image_of_another_stack_is_a_warning_and_an_omission(source: str | None, state: str) -> None:
    """Whether it is the wanted image or only has its name: nothing is created beside it, and the run does not fail."""
    there = standing("image", stack=OTHER, source_vhd=source, state=state)
    plan = planned(catalog(image("image")), there)
    lab_plan = plan.labs[0]
    assert (lab_plan.images, lab_plan.unadopted, lab_plan.foreign) == ((), (), (there,)) and plan.failures == ()
    (told,) = plan.warnings
    assert told.text() == (
        f"warning: custom image image of lab {TEAM.label}: belongs to stack images/prod (its tag Stack), and the state"
        " of stack dev does not contain it; it is neither changed nor deleted by this stack, which creates none in its"
        " place. Run imagefactory adopt --stack dev --from prod if this stack is to manage it."
    )
    ((where, which, reason),) = [(each.lab, each.image, each.reason) for each in plan.omissions]
    assert (where, which, "belongs to stack images/prod" in reason) == (TEAM.label, "image", True)


def test_a_stack_of_another_project_is_named_with_its_project() -> None:
    """Names of stacks are compared exactly."""
    for stack, told in (("web/dev", "--from organization/web/dev "), ("images/Dev", "--from Dev ")):
        (warning,) = planned(catalog(image("image")), standing("image", stack=stack)).warnings
        assert told in warning.text()


@pytest.mark.parametrize(("stack", "owned"), [(OTHER, ("image",)), (OWN, ()), (None, ())])
def test_only_the_tag_of_an_image_that_the_state_lacks_makes_it_another_stacks(
    stack: str | None, owned: tuple[str, ...]
) -> None:
    """What the state contains is own, whatever its tag; an image with the own tag, or none, is there to be adopted."""
    plan = planned(catalog(image("image")), standing("image", stack=stack), owned=owned)
    assert declared(plan) == list(owned) and plan.labs[0].foreign == () and plan.warnings == ()
    assert len(plan.labs[0].unadopted) == len(plan.failures) == 1 - len(owned)


def test_an_own_image_is_preferred_to_that_of_another_stack() -> None:
    """Even if the own one failed: it is created again."""
    there = (
        standing("image", source_vhd="image.vhd", stack=OTHER),
        standing("beside", source_vhd="image.vhd", state="Failed"),
    )
    assert declared(planned(catalog(image("image")), *there, owned=("beside",))) == ["beside"]


def test_images_of_another_stack_are_successors_and_newer_images() -> None:
    """Users of the lab can use them, so the own older image leaves as if they were own."""
    found = catalog(image("old", age=9), image("new"))
    there = (
        standing("old", source_vhd="old.vhd", saved_at=image(age=9).saved_at),
        standing("new", source_vhd="new.vhd", saved_at=image().saved_at, stack=OTHER),
    )
    plan = planned(found, *there, owned=("old",), policy=Policy(keep=1))
    assert plan.labs[0].retained == () and plan.labs[0].foreign == there[1:]
    gone = planned(catalog(image("else", "Ubuntu/Jammy.json")), *there, owned=("old",), policy=Policy(keep=1))
    assert gone.labs[0].retained == (), "one newer image exists"


def test_images_of_another_stack_do_not_fail_an_empty_factory() -> None:
    """This stack deletes none of them."""
    assert planned(catalog(), standing("a", stack=OTHER)).failures == ()
    assert planned(catalog(), standing("a", stack=OWN)).failures != ()


def test_a_new_image_names_its_stack_and_one_that_the_state_has_keeps_its_tags() -> None:
    """A tag that the state lacks would be an update of an image that was deleted by hand, from a VHD that is gone."""
    tags = {}
    for name, recorded in (
        ("new", {}),
        ("earlier version", {"image": Recorded(1, "image.vhd")}),
        ("own", {"image": Recorded(1, "image.vhd", stack=OTHER)}),
        ("unfinished", {"image": Recorded(1)}),
    ):
        (one,) = planned(catalog(image("image")), owned=tuple(recorded), recorded=recorded).labs[0].images
        tags[name] = one.tags.get("Stack")
    assert tags == {"new": OWN, "earlier version": None, "own": OTHER, "unfinished": OWN}
    failed = standing("image", state="Failed", stack=OTHER)
    again = planned(catalog(image("image")), failed, owned=("image",), recorded={"image": Recorded(1, "image.vhd")})
    assert again.labs[0].images[0].tags["Stack"] == OWN


@pytest.mark.parametrize("stack", [None, OTHER])
@pytest.mark.parametrize("state", ["Creating", "Failed", "Succeeded"])
def test_prune_keeps_what_an_unfinished_image_needs_whoever_made_it(state: str, stack: str | None) -> None:
    """It has no state, so everything that exists is unadopted; only a finished image needs no staged VHD."""
    there = standing("image", state=state, stack=stack)
    stacks = [StackPlan(configuration(TEAM), {TEAM.key: facts("team", there)}, Policy())]
    needs = staging_needs(stacks, catalog(image("image")), facts("factory"), str.lower)
    unfinished = {there.id.lower()} if state != "Succeeded" else set()
    assert needs.to_be_made == unfinished and needs.known == {there.id.lower()}
    assert needs.sources == ({("/storage/account", "image.vhd")} if unfinished else set())


names = st.sampled_from(["a", "B", "c", "d", "e"])
catalogs = st.lists(
    st.builds(image, names, paths, st.integers(0, 3)), max_size=5, unique_by=lambda one: one.name.lower()
)
stood = st.lists(
    st.builds(
        standing,
        names.flatmap(lambda name: st.sampled_from([name.lower(), name.upper()])),
        state=st.sampled_from(["Succeeded", "Creating", "Updating", "Failed", "Deleting"]),
        image_path=st.none() | paths,
        source_vhd=st.none() | st.sampled_from(["a.vhd", "B.vhd", "c.vhd"]),
        stack=st.sampled_from([None, OWN, OTHER]),
    ),
    max_size=5,
    unique_by=lambda one: one.name.lower(),
)


@given(catalogs, stood, st.sets(names), st.none() | st.integers(1, 2), st.sampled_from([OWN, ""]))
def test_nothing_that_exists_and_is_not_in_the_state_is_ever_declared(
    found: list[Any], there: list[StandingImage], owned: set[str], keep: int | None, stack: str
) -> None:
    """Each wanted image is exactly one of planned, unadopted and omitted; nothing of another stack is in either."""
    plan = planned(catalog(*found), *there, owned=tuple(owned), policy=Policy(keep=keep), stack=stack)
    lab_plan = plan.labs[0]
    outside = {one.name.lower(): one for one in there if one.name.lower() not in {name.lower() for name in owned}}
    assert not {one.name.lower() for one in lab_plan.images} & outside.keys()
    assert not {one.image_id.lower() for one in lab_plan.images} & {one.id.lower() for one in outside.values()}
    assert not {one.name.lower() for one in lab_plan.retained} & outside.keys()
    for one in lab_plan.unadopted:
        assert outside[one.image.name.lower()] == one.image and one.image.id == one.planned.image_id
    foreign = {one.id for one in outside.values() if stack and one.stack == OTHER}
    assert {one.id for one in lab_plan.foreign} <= foreign
    assert not foreign & {one.image.id for one in lab_plan.unadopted}
    groups = (
        [one.image.name for one in lab_plan.images],
        [one.planned.image.name for one in lab_plan.unadopted],
        [str(one.image) for one in plan.omissions],
    )
    assert sorted(name for group in groups for name in group) == sorted(one.name for one in found)
    told = [one for one in plan.failures if "adopt --stack" in one.remedy]
    assert len(told) == min(1, len(lab_plan.unadopted))
