"""The plan of a status that reads no state: as if it had what the tags say is the stack's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from imagefactory.azure.observe import CloudFacts
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import error
from imagefactory.errors import ImageFactoryError
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.reports.status_matrix import status
from imagefactory.state import status as subject
from imagefactory.state.stack_state import StackState
from tests.unit.builders import NOON, catalog, configuration, facts, image
from tests.unit.planning.galleries.galleries import definition, gallery, saved, served, version
from tests.unit.reports.plan_worlds import STACK, TEAM, UNREADABLE, held, settings

NEW = image("new")


def cloud(*there: Any, lab: Any = None, of: Any = (NEW,), the_gallery: GalleryFacts | None = None) -> CloudFacts:
    """What Azure has: one lab with these images."""
    return CloudFacts(
        facts("factory"), "https://f/c", catalog(*of), {TEAM.key: lab or facts("team", *there)}, the_gallery, NOON
    )


def cells(found: CloudFacts, state: StackState | None = None, **changes: Any) -> tuple[list[str], list[str]]:
    """The states of all cells, and the facts of all failures."""
    chosen: Settings = settings(**changes)
    plan, owned = subject.planned(configuration(TEAM), found, chosen, STACK, state)
    one = status(plan, found.catalog, chosen, (), owned, NOON, "dev", "factory")
    return [each.state for lab in one.labs for each in lab.cells], [each.fact for each in one.failures]


@pytest.mark.parametrize("stack", [None, STACK])
def test_without_the_state_an_image_is_own_unless_its_tag_names_another_stack(stack: str | None) -> None:
    """With a state that lacks it, it is foreign, and the run would fail."""
    found = cloud(held("new", stack=stack))
    assert cells(found) == (["current"], [])
    states, failures = cells(found, StackState())
    assert states == ["foreign"] and "does not contain 1 existing image" in failures[0]
    assert cells(cloud(held("new", stack="imagefactory/other"))) == (["foreign"], [])


def test_without_the_state_an_image_whose_tags_were_removed_is_perhaps_the_stacks() -> None:
    """If it has the name and the VHD of a factory image. The state tells; without these, it is the lab's own."""
    url = "https://labs.blob.core.windows.net/imagefactory-staging/new.vhd"
    removed = held("new", image_path=None, source_vhd=None, vhd_url=url)
    plan, owned = subject.planned(configuration(TEAM), cloud(removed), settings(), STACK, None)
    one = status(plan, catalog(NEW), settings(), (), owned, NOON, STACK, "factory", by_tags=True)
    (cell,) = one.labs[0].cells
    assert cell.state == "foreign" and "perhaps the state has it" in cell.why and one.failures == ()
    assert cell.holds and cell.holds.name == "new", "users of the lab can use it"
    states, failures = cells(cloud(replace(removed, vhd_url=url.replace("new", "other"))))
    assert states == ["foreign"] and "did not create it" in failures[0]
    two = cloud(removed, held("newer"), of=(image("newer", age=-1), NEW))
    plan, owned = subject.planned(configuration(TEAM), two, settings(keep=1), STACK, None)
    one = status(plan, two.catalog, settings(keep=1), (), owned, NOON, STACK, "factory", by_tags=True)
    assert "new: its tags were removed" in one.labs[0].cells[0].why, "also if the plan does not contain it"


def test_without_the_state_the_parts_of_the_gallery_are_own() -> None:
    """A lab that gets images by the gallery is current once its users can use them."""
    one = saved("new", 2)
    there = gallery(definition(one, version(one)))
    lab = served("team", one, offers=["Win2016.Datacenter"]).facts
    assert lab is not None
    found = cloud(lab=replace(lab, name="team"), of=(one,), the_gallery=there)
    options: dict[str, Any] = {"delivery": "gallery", "gallery": {"id": there.id}}
    assert cells(found, **options) == (["current"], [])
    assert cells(replace(found, gallery=gallery(definition(one))), **options)[0] == ["missing"]


async def test_labs_that_labs_json_does_not_list_are_read_in_its_subscriptions_and_those_of_the_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of the state only with --state. What cannot be read is a warning, unless a failure reports it."""
    refused = error("lab theirs", "Azure returned 500", "", "Try later")
    seen: list[list[str]] = []

    async def gather(_: Settings, __: Any, further: Any) -> CloudFacts:
        seen.append(sorted(further))
        return replace(cloud(), labs={TEAM.key: UNREADABLE}, unlisted=(UNREADABLE, refused, facts("empty")))

    async def state(_: str) -> StackState:
        return StackState(subscriptions={"gone@1": "a-subscription"})

    monkeypatch.setattr(subject, "gather_facts", gather)
    monkeypatch.setattr(subject, "read_state", state)
    monkeypatch.setattr(subject, "load_of_stack", lambda *_: configuration(TEAM))
    for with_state in (False, True):
        (one,) = await subject.read("imagefactory", {"dev": settings()}, with_state=with_state)
        told = [each.message() for each in one.status.warnings if "labs.json does not list" in each.consequence]
        assert told == [
            "lab theirs: Azure returned 500; images that the stack left in labs that labs.json does not list may exist "
            "there. Try later."
        ]
        assert [lab.name for lab in one.status.labs] == ["team"]
    assert seen == [[], ["a-subscription"]]


async def test_a_stack_that_cannot_be_read_is_a_failure_and_the_others_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With its name and the error."""

    async def gather(chosen: Settings, *_: Any) -> CloudFacts:
        if chosen.keep == 1:
            raise ImageFactoryError("factory: lab 'factory': is refused. Grant it.")
        return cloud(held("new"))

    monkeypatch.setattr(subject, "gather_facts", gather)
    monkeypatch.setattr(subject, "load_of_stack", lambda *_: configuration(TEAM))
    bad, good = await subject.read("imagefactory", {"bad": settings(keep=1), "good": settings()}, with_state=False)
    assert bad.catalog is None and bad.status.labs == ()
    assert "stack bad: factory: lab 'factory': is refused. Grant it; its labs are not shown" in (
        bad.status.failures[0].message()
    )
    assert good.catalog and good.status.counts == {"current": 1}
