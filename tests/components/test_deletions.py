"""What a run is said to delete is what the engine deletes: the images that the state has and no resource declares."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from imagefactory.configuration.labs_file import TargetLab
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.galleries.planned import RecordedGallery
from imagefactory.planning.labs.plan import build_plan
from imagefactory.planning.stacks.deletions import deletions
from imagefactory.state.stack_state import COPY, CUSTOM_IMAGE, RELEASE, StackState
from tests.components.test_lab_images import SETTINGS, declared
from tests.unit.builders import catalog, configuration, facts, image, lab, paths, standing

NAMES = ["a", "B", "c"]
VHDS = [f"{name}.vhd" for name in NAMES]
STACK, OTHER = "imagefactory/dev", "imagefactory/other"
UNREADABLE = error("lab", "403", "", "grant")

images = st.builds(image, st.sampled_from(NAMES), paths, st.integers(0, 3), st.sampled_from(VHDS))
standings = st.builds(
    standing,
    st.sampled_from([*NAMES, "b"]),
    state=st.sampled_from(["Succeeded", "Succeeded", "Creating", "Failed"]),
    image_path=st.none() | paths,
    source_vhd=st.none() | st.sampled_from(VHDS),
    stack=st.sampled_from([None, STACK, OTHER]),
)
answers = st.builds(
    lambda there: facts("team", *there), st.lists(standings, max_size=3, unique_by=lambda one: one.name.lower())
)


@st.composite
def chains(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """What a state has of one image: all of it, or what an earlier run got to; some of a lab that moved meanwhile."""
    group, path, vhd = draw(st.sampled_from([*["rg"] * 9, "old"])), draw(paths), draw(st.sampled_from(VHDS))
    tags = {"ImagePath": path, "SourceVhd": vhd}
    whole: dict[str, dict[str, Any]] = {
        COPY: {"sourceUrl": f"https://factory/vhds/{vhd}", "destinationUrl": f"https://lab/{vhd}"},
        CUSTOM_IMAGE: {"labName": "team", "resourceGroupName": group, "name": "x", "tags": tags},
        RELEASE: {"url": f"https://lab/{vhd}"},
    }
    return {kind: whole[kind] for kind in list(whole)[: draw(st.sampled_from([1, 2, 3, 3, 3]))]}


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[TargetLab, LabFacts | Diagnostic], StackState]:
    """Labs that are read or not, and a state that also has images of labs without an entry in labs.json."""
    labs = {
        lab(f"lab{number}"): draw(answers) if draw(st.integers(0, 3)) else UNREADABLE
        for number in range(draw(st.integers(1, 2)))
    }
    named = [f"{label}/{name}" for label in (*(each.label for each in labs), "gone@00000000") for name in NAMES]
    return labs, StackState({name: draw(chains()) for name in named if draw(st.booleans())})


@settings(deadline=None)
@given(
    world=worlds(),
    made=st.lists(images, max_size=5, unique_by=lambda one: one.vhd_name),
    changes=st.fixed_dictionaries(
        {
            "keep": st.none() | st.integers(1, 2),
            "allow_empty_factory": st.booleans(),
            "cross_region": st.sampled_from(["relay", "refuse"]),
        }
    ),
)
def test_the_deletions_of_a_plan_are_what_the_engine_deletes(
    world: tuple[dict[TargetLab, LabFacts | Diagnostic], StackState], made: list[Any], changes: dict[str, Any]
) -> None:
    """Whatever labs, factory, settings and state are: labs that are not read, have moved, or are in no entry too."""
    (labs, state), found, by = world, catalog(*made), SETTINGS.model_copy(update=changes)
    answered = {each.key: answer for each, answer in labs.items()}
    plan = build_plan(configuration(*labs), found, facts("factory"), answered, by, state.images, state.recorded, STACK)
    told = {f"{one.lab}/{one.name}" for one in deletions(plan, state.images, RecordedGallery(), found, by)}
    assert told == state.images - declared(plan, state, by).of(CUSTOM_IMAGE).keys()
