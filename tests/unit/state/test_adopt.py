"""What adoption decides: each image in a lab has one fate, and a second adoption finds nothing to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from imagefactory.azure.observe import CloudFacts
from imagefactory.configuration.stack_settings import FactoryLab, Settings
from imagefactory.diagnostics import error
from imagefactory.observed.lab_machines import LabMachine
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.stacks.adoption import Adoption
from imagefactory.state.adopt import AdoptRequest, decide
from imagefactory.state.edits import Adopted, ProviderInputs, StackName, with_images
from imagefactory.state.stack_state import StackState, resources_of
from tests.unit.builders import SUBSCRIPTION, catalog, configuration, facts, image, lab, standing

EMPTY: dict[str, Any] = {"version": 3, "deployment": {}}
TEAM = lab("team", ["Win2016"])
FACTORY = FactoryLab(subscription_id=SUBSCRIPTION, lab_name="factory")


def settings(**more: Any) -> Settings:
    """Settings of the stack `dev`."""
    return Settings(factory=FACTORY, **more)


def request(**more: Any) -> AdoptRequest:
    """Adoption into the stack `dev` of the project `images`."""
    return AdoptRequest(StackName("images", "dev"), more.pop("settings", settings()), **more)


def answered(where: LabFacts, one: StandingImage) -> StandingImage:
    """The image in a lab, with an answer of Azure."""
    image_id = f"{where.id}/customimages/{one.name}"
    answer = {"id": image_id, "name": one.name, "properties": {"provisioningState": one.state}}
    return replace(one, id=image_id, answer=answer)


def cloud(*there: StandingImage, found: Any = None, group: str = "rg") -> CloudFacts:
    """What exists in Azure: the lab `team` with these images in a resource group, and a factory."""
    team = facts("team")
    team = replace(team, id=team.id.replace("/rg/", f"/{group}/"), resource_group=group)
    team = replace(team, images=tuple(answered(team, each) for each in there))
    return CloudFacts(facts("factory"), "https://f/c", found or catalog(), {TEAM.key: team})


def adopted(wish: AdoptRequest, seen: CloudFacts, document: dict[str, Any]) -> tuple[Adoption, dict[str, Any]]:
    """The decision, and the state after it is carried out."""
    found = decide(wish, configuration(TEAM), seen, document, {})
    taken = [Adopted(each.label, each.facts, one, name) for each in found.labs for name, one in each.taken()]
    provider = ProviderInputs("public", "3.29.0")
    return found, with_images(document, wish.stack, provider, taken, found.moved)


def fates(found: Adoption) -> dict[str, tuple[str, str]]:
    """Action and reason by image."""
    (team,) = found.labs
    return {one.name: (one.action, one.reason) for one in team.findings}


images = st.lists(
    st.builds(
        standing,
        st.sampled_from("abcdefg"),
        state=st.sampled_from(["Succeeded", "Succeeded", "Creating", "Failed", "Deleting"]),
        image_path=st.sampled_from([None, "Win2016/Datacenter.json", "Win2016\\SQL.json", "Ubuntu/Jammy.json", "?:"]),
        source_vhd=st.sampled_from([None, "a.vhd", "b.vhd", "z.vhd"]),
        stack=st.sampled_from([None, None, "images/dev", "images/prod"]),
    ),
    unique_by=lambda one: one.name,
)
offers = st.lists(st.sampled_from("abcd"), unique=True).map(
    lambda names: catalog(*(image(name, age=age) for age, name in enumerate(names)))
)


@given(images, images, offers, st.sampled_from([None, 1]), st.booleans(), st.sampled_from([None, "prod"]))
def test_each_image_has_one_fate_and_a_second_adoption_finds_nothing(
    first: list[StandingImage], second: list[StandingImage], found: Any, keep: int | None, retire: bool, other: Any
) -> None:
    """Whatever stands, whatever the state has: nothing foreign or that is being deleted is taken over."""
    wish = request(settings=settings(keep=keep), retire=retire, other=other)
    _, state = adopted(wish, cloud(*first, found=found), EMPTY)
    seen = cloud(*second, found=found)
    before = StackState.of(resources_of(state)).images
    decision, after = adopted(wish, seen, state)
    (team,) = decision.labs
    known = {name.rpartition("/")[2] for name in before}
    there = {one.name: one for one in second}
    assert {one.name for one in team.findings} == (there.keys() - known) | (known - there.keys())
    assert len({one.name for one in team.findings}) == len(team.findings)
    for _, one in team.taken():
        assert one.image_path is not None and one.state != "Deleting"
        assert one.stack in {None, "images/dev", *(["images/prod"] if other else [])}
    names = {name.rpartition("/")[2] for name in StackState.of(resources_of(after)).images}
    assert names == known | {name for name, _ in team.taken()}
    again, same = adopted(wish, seen, after)
    assert [*again.labs[0].taken()] == [] and same == after


def test_reasons_name_the_rule_and_when() -> None:
    """For an image that the plan lacks: why, and what becomes of it once it is in the state."""
    there = [
        standing("old", source_vhd="old.vhd"),
        standing("own", source_vhd="own.vhd", stack="images/dev"),
        standing("lost", source_vhd="lost.vhd"),
        standing("linux", image_path="Ubuntu/Jammy.json", source_vhd="linux.vhd"),
        standing("strange", image_path="../up"),
    ]
    found = catalog(image("new"), image("own", age=1), image("old", age=2))
    seen = cloud(*there, found=found)
    rule = "older than the newest 1 of its image path (setting keep)"
    wait = "pulumi up keeps it for now: the lab must first have new in state Succeeded"
    stays = "it stays as it is"
    wish = request(settings=settings(keep=1))
    assert fates(adopted(wish, seen, EMPTY)[0]) == {
        "old": ("not wanted", f"{rule}; {stays}"),
        "own": ("take over", f"{rule}; {wait}"),
        "lost": ("not wanted", f"its VHD is not in the factory; {stays}"),
        "linux": ("not wanted", f"labs.json does not give the lab Ubuntu/Jammy.json; {stays}"),
        "strange": ("not wanted", f"its tag ImagePath is invalid; {stays}"),
    }
    retiring = fates(adopted(replace(wish, retire=True), seen, EMPTY)[0])
    assert {action for action, _ in retiring.values()} == {"take over"}
    assert retiring["linux"][1].endswith("; the next pulumi up deletes it")


def test_an_image_in_use_is_taken_over_and_kept_although_the_factory_lost_its_vhd() -> None:
    """After a lost state, `keepUsedDays` still keeps it: nothing of it needs the VHD."""
    there = (standing("new", source_vhd="new.vhd"), standing("old", source_vhd="old.vhd", stack="images/dev"))
    seen = cloud(*there, found=catalog(image("new")))
    team = seen.labs[TEAM.key]
    assert isinstance(team, LabFacts)
    seen = replace(seen, labs={TEAM.key: replace(team, machines=(LabMachine("vm", image="old"),))})
    action, reason = fates(adopted(request(settings=settings(keep=1, keep_used_days=30)), seen, EMPTY)[0])["old"]
    assert action == "take over" and "pulumi up keeps it for now: VM vm was created from it" in reason


def test_a_lab_that_moved_is_carried_over_with_what_it_has_now() -> None:
    """Images that no longer exist there keep their place in the state and are reported; a new one is taken over."""
    found = catalog(image("a"), image("b", age=1))
    old = cloud(standing("a", source_vhd="a.vhd"), standing("gone", stack="images/dev"), found=found)
    _, state = adopted(request(), old, EMPTY)
    moved = cloud(standing("a", source_vhd="a.vhd"), standing("b"), found=found, group="new")
    decision, after = adopted(request(), moved, state)
    assert {name: action for name, (action, _) in fates(decision).items()} == {
        "a": "move",
        "b": "take over",
        "gone": "gone",
    }
    assert all("/new/" in each["id"] for each in resources_of(after) if each["type"].endswith("CustomImage"))
    assert fates(adopted(request(), moved, after)[0]).keys() == {"gone"}


def test_labs_that_cannot_be_read_are_left_for_the_next_time() -> None:
    """With the reason, and named as what is missing."""
    seen = replace(cloud(), labs={TEAM.key: error("lab 'team'", "is hidden", "", "Look")})
    decision, after = adopted(request(), seen, EMPTY)
    assert decision.labs == () and "is hidden" in decision.failures[0].message()
    assert resources_of(after) == [] and decision.left_out == [TEAM.label]


def test_an_image_in_the_state_of_a_further_stack_is_foreign() -> None:
    """It may have no tag: earlier versions wrote none."""
    seen = cloud(standing("a"), found=catalog(image("a")))
    held = {f"{facts('team').id}/customimages/a".lower(): "prod"}
    found = decide(request(), configuration(TEAM), seen, EMPTY, held)
    reason = "the state of stack prod has it; `imagefactory adopt --from prod` takes it over"
    assert fates(found) == {"a": ("foreign", reason)}
