"""Images whose tags somebody changed in the lab: the state and Azure tell from which VHD they were created."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.stack_settings import Policy
from imagefactory.observed.standing_labs import StandingImage
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.planning.labs.planned_images import Recorded
from tests.unit.builders import NOON, catalog, configuration, facts, image, lab, standing

STACK = "imagefactory/dev"
URL = "https://labs.blob.core.windows.net/imagefactory-staging/"
A, B = image("a"), image("b", age=1)


def made(name: str, **tags: Any) -> StandingImage:
    """An image that the stack created, with these values of its tags in place of those that it had."""
    url = f"{URL}{name}.vhd"
    return standing(name, **{"source_vhd": f"{name}.vhd", "saved_at": NOON, "stack": STACK, "vhd_url": url, **tags})


def plan_of(*there: StandingImage, known: tuple[str, ...] = ("a", "b"), **changes: Any) -> Plan:
    """The plan of a lab with these images, whose state has images `a` and `b`."""
    path = ImagePath.parse("Win2016/Datacenter.json")
    recorded = {f"{lab().label}/{name}": Recorded(1, f"{name}.vhd", "rg", "", STACK, path) for name in known}
    recorded = {name: replace(each, **changes) for name, each in recorded.items()}
    labs = {lab().key: facts("team", *there)}
    args = (configuration(lab()), catalog(A, B), facts("factory"), labs, Policy(), recorded.keys(), recorded, STACK)
    return build_plan(*args)


@given(
    st.none() | st.sampled_from(["Win2016/Datacenter.json", "Ubuntu/Jammy.json", "../x"]),
    st.none() | st.sampled_from(["a.vhd", "b.vhd", "x"]),
    st.none() | st.just(NOON),
)
def test_whatever_somebody_writes_to_tags_an_image_of_the_state_stays_what_it_was_created_from(
    path: str | None, vhd: str | None, saved_at: Any
) -> None:
    """Both images stay in the plan under their names, as existing ones; nothing fails and nothing is foreign."""
    plan = plan_of(made("a", image_path=path, source_vhd=vhd, saved_at=saved_at), made("b"))
    planned = {one.name: one for one in plan.labs[0].images}
    assert {name: (one.image.name, one.standing, one.done) for name, one in planned.items()} == {
        "a": ("a", True, True),
        "b": ("b", True, True),
    }
    assert plan.failures == () and plan.labs[0].unadopted == () and plan.labs[0].foreign == ()
    is_as_before = path == "Win2016/Datacenter.json" and (vhd == "a.vhd" or (vhd is None and saved_at is None))
    assert planned["a"].retagged == (not is_as_before) and not planned["b"].retagged
    told = [one for one in plan.warnings if "was changed or removed" in one.fact]
    assert [one.subject for one in told] == [f"custom image a of lab {lab().label}"] * planned["a"].retagged
    assert planned["a"].tags["SourceVhd"] == "a.vhd" and planned["a"].tags["Stack"] == STACK


def test_an_image_that_somebody_created_in_its_place_is_not_the_one_of_the_state() -> None:
    """From another VHD, or if the state does not have the whole image."""
    other = made("a", image_path=None, source_vhd=None, vhd_url=f"{URL}other.vhd")
    assert "has no ImagePath tag" in plan_of(other, made("b")).failures[0].fact
    unfinished = plan_of(made("a", image_path=None), made("b"), vhd_name=None)
    assert "has no ImagePath tag" in unfinished.failures[0].fact
    assert plan_of(made("a", image_path=None), made("b"), known=("b",)).failures


def test_tags_that_a_refresh_found_to_be_removed_are_written_with_the_stack_again() -> None:
    """Then the state does not have them either."""
    plan = plan_of(made("a", image_path=None, source_vhd=None, stack=None), made("b"), stack=None, image_path=None)
    (one,) = (each for each in plan.labs[0].images if each.retagged)
    assert (one.tags["ImagePath"], one.tags["Stack"]) == ("Win2016/Datacenter.json", STACK)
