"""What is written so that a lab has one gallery attached and exactly the wanted definitions enabled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.observed.lab_galleries import Attachment, Definition, LabDefinition
from imagefactory.planning.galleries.attachment import (
    WantedGallery,
    attachment_of,
    attachment_problem,
    in_order,
    other_gallery,
    to_write,
    usable,
)

GALLERY = "/subscriptions/05d17100-0000-4000-8000-000000000000/resourceGroups/g/providers/Microsoft.Compute/galleries/G"

names = st.sampled_from(["Win.A", "Win.B", "Ubuntu.C", "x-gen2", "Y"])
casings: st.SearchStrategy[Callable[[str], str]] = st.sampled_from([str, str.lower, str.upper, str.swapcase])
definitions = st.builds(
    Definition, names, st.sampled_from(["Windows", "Linux"]), st.sampled_from(["Generalized", "Specialized"])
)
one_each = st.lists(definitions, unique_by=lambda each: each.key)


@st.composite
def labs(draw: st.DrawFn) -> tuple[LabDefinition, ...]:
    """What a lab lists: each definition once, in any casing and order."""
    found = []
    for each in draw(one_each):
        spelled = replace(each, name=draw(casings)(each.name), os_type=draw(casings)(each.os_type))
        name = draw(st.sampled_from([spelled.name, f"image-{each.key}"]))
        state = draw(st.booleans()), draw(st.booleans()), draw(st.sampled_from([None, "shown"]))
        found.append(LabDefinition(name, spelled, *state))
    return tuple(draw(st.permutations(found)))


def wanted_of(wanted: Iterable[Definition]) -> WantedGallery:
    return WantedGallery(GALLERY, "G", "westeurope", tuple(wanted))


def after(listed: Iterable[LabDefinition], written: Iterable[LabDefinition]) -> tuple[LabDefinition, ...]:
    """What the lab lists after each write: a resource has its name once."""
    held = {each.name.lower(): each for each in listed}
    return tuple({**held, **{each.name.lower(): each for each in written}}.values())


def same(definition: Definition) -> tuple[str, str, str]:
    return definition.key, definition.os_type.lower(), definition.image_type.lower()


@given(labs(), one_each)
def test_after_the_writes_exactly_the_wanted_definitions_are_usable(
    listed: tuple[LabDefinition, ...], wanted: list[Definition]
) -> None:
    """With their operating system and type, whatever the lab had before; and nothing is left to write."""
    reached = after(listed, to_write(wanted_of(wanted), listed))
    assert {same(each) for each in usable(reached, False)} == {same(each) for each in wanted}
    assert to_write(wanted_of(wanted), reached) == ()


@given(labs(), one_each)
def test_only_what_differs_is_written_and_once(listed: tuple[LabDefinition, ...], wanted: list[Definition]) -> None:
    """Each write changes what the lab lists, under the name that the lab has for it; a display name is kept."""
    written = to_write(wanted_of(wanted), listed)
    held = {each.definition.key: each for each in listed}
    assert len({each.definition.key for each in written}) == len(written)
    for each in written:
        before = held.get(each.definition.key)
        if before is None:
            assert each == LabDefinition(each.definition.name, each.definition, enabled=True)
            continue
        assert (each.name, each.display_name) == (before.name, before.display_name)
        changed = each.enabled != before.enabled or same(each.definition) != same(before.definition)
        assert changed or before.failed


@given(labs(), one_each)
def test_what_is_not_wanted_is_disabled_and_otherwise_left_alone(
    listed: tuple[LabDefinition, ...], wanted: list[Definition]
) -> None:
    """A disabled definition that is not wanted is not written at all."""
    keys = {each.key for each in wanted}
    surplus = [each for each in to_write(wanted_of(wanted), listed) if each.definition.key not in keys]
    assert surplus == [
        replace(each, enabled=False) for each in listed if each.enabled and each.definition.key not in keys
    ]


@given(labs(), one_each)
def test_casing_alone_is_never_written(listed: tuple[LabDefinition, ...], wanted: list[Definition]) -> None:
    """Azure's own casing varies, so it would be written at each run."""
    shouted = tuple(
        replace(each, definition=replace(each.definition, name=each.definition.name.upper())) for each in listed
    )
    keys = [[each.definition.key for each in to_write(wanted_of(wanted), lab)] for lab in (listed, shouted)]
    assert keys[0] == keys[1]


@given(labs(), st.booleans())
def test_all_definitions_of_a_lab_that_allows_all_images_are_usable(
    listed: tuple[LabDefinition, ...], allows_all: bool
) -> None:
    """Whatever the state of each; otherwise those that are enabled. A failed one is not."""
    expected = {each.definition.key for each in listed if (each.enabled or allows_all) and not each.failed}
    assert {each.key for each in usable(listed, allows_all)} == expected


@given(labs(), one_each)
def test_a_refresh_does_not_change_what_only_azure_spells_differently(
    listed: tuple[LabDefinition, ...], wanted: list[Definition]
) -> None:
    """After the writes, the usable definitions are those of the state, spelled and ordered as there."""
    reached = after(listed, to_write(wanted_of(wanted), listed))
    shouted = [
        replace(each, definition=replace(each.definition, name=each.definition.name.upper())) for each in reached
    ]
    assert usable(shouted, False, wanted) == in_order(wanted)


@given(one_each)
def test_the_order_does_not_depend_on_the_order_given(wanted: list[Definition]) -> None:
    """By name, so a list in another order is no change."""
    assert in_order(wanted) == in_order(reversed(wanted))
    assert [each.key for each in in_order(wanted)] == sorted(each.key for each in wanted)


def test_a_gallery_is_recognized_in_any_casing_and_under_any_name() -> None:
    """The id decides: Azure returns ids in its own casing, and someone may have chosen another name."""
    own = Attachment("elsewhere", GALLERY.upper())
    assert attachment_of(GALLERY, (own,)) == own and other_gallery(GALLERY, (own,)) is None
    assert attachment_of(GALLERY, ()) is None and other_gallery(GALLERY, ()) is None


def test_another_gallery_is_another_one_even_beside_the_own() -> None:
    """Its id is returned for the message."""
    other = f"{GALLERY}2"
    assert other_gallery(GALLERY, (Attachment("g", GALLERY), Attachment("G2", other))) == other
    assert attachment_of(GALLERY, (Attachment("G2", other),)) is None


@pytest.mark.parametrize(
    ("attachment", "problem"),
    [
        (Attachment("G", GALLERY), ""),
        (Attachment("G", GALLERY, "West Europe"), ""),
        (Attachment("G", GALLERY, "westus"), "westus"),
        (Attachment("G", GALLERY, allows_all=True), "allowAllImages"),
        (Attachment("G", GALLERY, failed=True), "failed"),
    ],
)
def test_an_attachment_is_corrected_only_if_it_differs(attachment: Attachment, problem: str) -> None:
    """A location that Azure does not return, or spells otherwise, is no difference."""
    found = attachment_problem(wanted_of(()), attachment)
    assert problem in found and bool(found) == bool(problem)
