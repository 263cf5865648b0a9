"""What adoption decides about a gallery: each part has one fate, and a second adoption finds nothing to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from imagefactory.azure.observe import CloudFacts
from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.diagnostics import error
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.planning.stacks.gallery_adoption import GalleryAdoption, PartFinding
from imagefactory.state.adopt import AdoptRequest, decide, gallery_inputs
from imagefactory.state.edits import ProviderInputs
from imagefactory.state.gallery_edits import with_parts
from tests.unit.builders import catalog, configuration, facts, image, standing
from tests.unit.planning.galleries.builders import GALLERY_ID, definition, gallery, version
from tests.unit.state.test_adopt import EMPTY, TEAM, request, settings

BY_NAME = GallerySettings(name="Images", resource_group="rg")
WIN = "Win2016/Datacenter.json"
PROVIDER = ProviderInputs("public", "3.29.0")


def wish(place: GallerySettings = BY_NAME, **more: Any) -> AdoptRequest:
    """Adoption into the stack `images/dev`, which delivers by the gallery."""
    return request(settings=settings(delivery="gallery", gallery=place), **more)


def cloud(seen: Any, found: Any = None) -> CloudFacts:
    """What exists in Azure: a gallery, the lab `team` without images, and a factory."""
    return CloudFacts(facts("factory"), "https://f/c", found or catalog(), {TEAM.key: facts("team")}, seen)


def tagged(path: str | None = WIN, vhd: str = "a.vhd", stack: str | None = None) -> dict[str, str]:
    """The tags of a version or a definition."""
    tags = {"ImagePath": path, "SourceVhd": vhd, "Stack": stack}
    return {key: value for key, value in tags.items() if value is not None}


def decided(
    wanted: AdoptRequest, seen: CloudFacts, document: dict[str, Any], held: dict[str, str] | None = None
) -> tuple[GalleryAdoption, dict[str, Any]]:
    """The decision, and the state after it is carried out."""
    found = decide(wanted, configuration(TEAM), seen, document, held or {}).gallery
    inputs = gallery_inputs(wanted.settings, seen, document)
    assert found and inputs
    return found, with_parts(document, wanted.stack, PROVIDER, inputs, found.taken())


def fates(found: GalleryAdoption) -> dict[str, tuple[str, str]]:
    """Action and reason by part."""
    return {one.name: (one.action, one.reason) for one in found.findings}


stacks = st.sampled_from([None, None, "images/dev", "images/prod"])
paths = st.sampled_from([None, WIN, "Ubuntu/Jammy.json", "?:"])
states = st.sampled_from(["Succeeded", "Succeeded", "Creating", "Failed", "Deleting"])


@st.composite
def galleries(draw: st.DrawFn) -> GalleryFacts:
    """A gallery with any definitions and versions, also with names in other letter cases."""
    definitions = []
    for name in draw(
        st.lists(st.sampled_from(["Win2016.Datacenter", "win2016.datacenter", "Other"]), unique_by=str.lower)
    ):
        numbers = draw(st.lists(st.sampled_from(["1.0.0", "2.0.0", "2026.314.120000"]), unique=True))
        versions = (
            version(
                name,
                each,
                tagged(draw(paths), draw(st.sampled_from(["a.vhd", "b.vhd"])), draw(stacks)),
                state=draw(states),
            )
            for each in numbers
        )
        definitions.append(definition(name, tagged(draw(paths), "", draw(stacks)), *versions))
    return gallery(*definitions)


@given(
    galleries(),
    galleries(),
    st.lists(st.sampled_from("ab"), unique=True),
    st.sampled_from([BY_NAME, GallerySettings(id=GALLERY_ID)]),
    st.booleans(),
    st.sampled_from([None, "prod"]),
)
def test_each_part_has_one_fate_and_a_second_adoption_finds_nothing(
    first: GalleryFacts, second: GalleryFacts, names: list[str], place: GallerySettings, retire: bool, other: str | None
) -> None:
    """Whatever stands, whatever the state has: nothing foreign or that is being deleted is taken over."""
    found = catalog(*(image(name, age=age) for age, name in enumerate(names)))
    wanted = wish(place, retire=retire, other=other)
    _, state = decided(wanted, cloud(first, found), EMPTY)
    seen = cloud(second, found)
    decision, after = decided(wanted, seen, state)
    assert len({(one.kind, one.name.lower()) for one in decision.findings}) == len(decision.findings)
    for one in decision.taken():
        assert one.part is not None
        if one.kind == "gallery":
            assert place is BY_NAME
            continue
        assert not isinstance(one.part, GalleryFacts)
        assert one.part.image_path is not None and one.part.stack in {
            None,
            "images/dev",
            *(["images/prod"] if other else []),
        }
        assert one.part.answer["properties"]["provisioningState"] != "Deleting"
    again, same = decided(wanted, seen, after)
    assert again.taken() == () and same == after
    plan_again = decide(wanted, configuration(TEAM), seen, after, {})
    assert not any("existing part" in failure.fact for failure in plan_again.failures)


def test_reasons_name_the_rule_and_when() -> None:
    """For a version that the plan lacks: why, and what becomes of it once it is in the state."""
    own = tagged(vhd="own.vhd", stack="images/dev")
    seen = gallery(
        definition(
            "Win2016.Datacenter",
            tagged(vhd=""),
            version("Win2016.Datacenter", "1.0.0", tagged(vhd="new.vhd")),
            version("Win2016.Datacenter", "0.9.0", own),
            version("Win2016.Datacenter", "0.8.0", tagged(vhd="lost.vhd")),
            version("Win2016.Datacenter", "0.7.0", tagged("../up", "x.vhd")),
            version("Win2016.Datacenter", "0.6.0", tagged(vhd="new.vhd"), state="Deleting"),
        ),
        definition(
            "Linux", tagged("Ubuntu/Jammy.json", ""), version("Linux", "1.0.0", tagged("Ubuntu/Jammy.json", "l.vhd"))
        ),
        definition("Mine", {}, version("Mine", "1.0.0", {})),
    )
    found = catalog(image("new"), image("own", age=1), image("l", "Ubuntu/Jammy.json"))
    wanted = request(settings=settings(delivery="gallery", gallery=BY_NAME, keep=1))
    stays, name = "it stays as it is", "Win2016.Datacenter"
    assert fates(decided(wanted, cloud(seen, found), EMPTY)[0]) == {
        "Images": ("take over", "the settings name it"),
        name: ("take over", "the plan contains it"),
        f"{name}/1.0.0": ("take over", "the plan contains it"),
        f"{name}/0.9.0": (
            "take over",
            "older than the newest 1 of its image path (setting keep); the next pulumi up deletes it",
        ),
        f"{name}/0.8.0": ("not wanted", f"its VHD is not in the factory; {stays}"),
        f"{name}/0.7.0": ("not wanted", f"its tag ImagePath is invalid; {stays}"),
        f"{name}/0.6.0": ("not wanted", "Azure is deleting it"),
        "Linux": ("not wanted", f"no lab gets an image of it by the gallery; {stays}"),
        "Linux/1.0.0": ("not wanted", f"no lab gets its image by the gallery; {stays}"),
        "Mine": ("foreign", "it has no ImagePath tag, so the factory did not create it"),
    }


def test_what_another_stack_has_is_taken_over_on_demand_and_only_if_the_plan_contains_it() -> None:
    """A gallery serves one stack; what the other one has for its own labs must not be deleted by this one."""
    theirs = {"stack": "images/prod"}
    seen = gallery(
        definition(
            "Win2016.Datacenter",
            tagged(vhd="", **theirs),
            version("Win2016.Datacenter", "1.0.0", tagged(**theirs)),
            version("Win2016.Datacenter", "0.9.0", tagged(vhd="own.vhd", **theirs)),
        )
    )
    found = catalog(image("a"))
    alone = decide(wish(), configuration(TEAM), cloud(seen, found), EMPTY, {})
    assert alone.gallery and {one.action for one in alone.gallery.findings[1:]} == {"foreign"}
    assert not any("existing part" in failure.fact for failure in alone.failures), "nothing would remedy it"
    actions = {
        name: action for name, (action, _) in fates(decided(wish(other="prod"), cloud(seen, found), EMPTY)[0]).items()
    }
    assert actions["Win2016.Datacenter"] == actions["Win2016.Datacenter/1.0.0"] == "take over"
    assert actions["Win2016.Datacenter/0.9.0"] == "not wanted"
    held = {GALLERY_ID.lower(): "prod"}
    assert fates(decided(wish(), cloud(seen, found), EMPTY, held)[0])["Images"] == (
        "foreign",
        "the state of stack prod has it; `imagefactory adopt --from prod` takes it over",
    )


def test_what_is_gone_is_told_and_stays_in_the_state() -> None:
    """The next run with a refresh creates it again if the plan contains it."""
    seen = gallery(definition("Win2016.Datacenter", tagged(vhd=""), version("Win2016.Datacenter", "1.0.0", tagged())))
    found = catalog(image("a"))
    _, state = decided(wish(), cloud(seen, found), EMPTY)
    decision, after = decided(wish(), cloud(gallery(), found), state)
    assert [(one.action, one.kind) for one in decision.findings] == [("gone", "definition"), ("gone", "version")]
    assert after == state


def test_a_part_that_the_engine_did_not_see_finish_is_taken_over_once_azure_has_it() -> None:
    """Under the name that the state has; one that failed is left to the next run, which puts it again."""
    seen = gallery(definition("Win2016.Datacenter", tagged(vhd=""), version("Win2016.Datacenter", "1.0.0", tagged())))
    _, state = decided(wish(), cloud(seen, catalog(image("a"))), EMPTY)
    for each in state["deployment"]["resources"]:
        if each["type"].startswith("azure-native:compute"):
            each["initErrors"] = ["context canceled"]
    found: dict[str, PartFinding] = {}
    for case in ("Succeeded", "Failed"):
        one = version("win2016.datacenter", "1.0.0", tagged(), state=case)
        there = gallery(definition("win2016.datacenter", tagged(vhd=""), one))
        decision, _ = decided(wish(), cloud(there, catalog(image("a"))), state)
        found = {f"{each.name} {case}": each for each in decision.taken()} | found
    assert {*found} == {
        *(f"{name} {case}" for name in ("Images", "Win2016.Datacenter") for case in ("Succeeded", "Failed")),
        "Win2016.Datacenter/1.0.0 Succeeded",
    }


def test_a_gallery_that_cannot_be_read_is_left_for_the_next_time_and_one_that_does_not_exist_is_nothing() -> None:
    """With the reason; images in labs are adopted all the same."""
    team = replace(facts("team"), images=(standing("old"),))
    seen = replace(cloud(error("gallery 'Images'", "is hidden", "", "Look")), labs={TEAM.key: team})
    found = decide(wish(), configuration(TEAM), seen, EMPTY, {})
    assert found.gallery is None and any("is hidden" in each.fact for each in found.failures)
    assert found.labs[0].findings and found.left_out == ["gallery"]
    absent = cloud(replace(gallery(), exists=False, answer={}))
    nothing = decide(wish(), configuration(TEAM), absent, EMPTY, {})
    assert nothing.gallery is None and nothing.left_out == []
