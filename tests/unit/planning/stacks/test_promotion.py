"""Which pins a stack gets from what the labs of another stack hold: for any catalogs, labs and states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.configuration.image_paths import ImagePath, Selector
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.revocations import RevokedImage
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.stacks.promotion import Promoted, Promotion, Source, Target, promotion
from tests.unit.builders import catalog, facts, image, lab, standing
from tests.unit.planning.factory.galleries import gallery, offering, version

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"
PATHS = (WINDOWS, "Win2016/SQL.json", UBUNTU)
UNREAD = error("lab", "Azure returned 403 AuthorizationFailed", "it stays", "Grant a role")
BY_GALLERY = Policy(delivery="gallery", gallery=GallerySettings(name="images", resource_group="rg"))


def holding(name: str, *held: FactoryImage, state: str = "Succeeded") -> LabFacts:
    """A lab that holds these images in a state."""
    return facts(
        name,
        *(standing(each.name, image_path=str(each.image_path), source_vhd=each.vhd_name, state=state) for each in held),
    )


def source(
    labs: Sequence[TargetLab], read: Sequence[LabFacts | Diagnostic], *images: FactoryImage, **more: Any
) -> Source:
    """A stack `dev` with these labs, and what was read of each."""
    found = {target.key: each for target, each in zip(labs, read, strict=True)}
    values: dict[str, Any] = {"image_paths": (), "policy": Policy(), **more}
    return Source("dev", tuple(labs), catalog=catalog(*images), facts=found, **values)


def target(*images: FactoryImage, takes: Sequence[str] = ("Win2016", "Ubuntu"), **pins: str) -> Target:
    """A stack `prod` whose lab takes all paths; `pins` are the names of WINDOWS and UBUNTU."""
    paths = {"windows": WINDOWS, "ubuntu": UBUNTU}
    set_pins = {ImagePath.parse(paths[key]): name for key, name in pins.items()}
    return Target("prod", (lab("prod", takes),), Policy(pins=set_pins), catalog(*images))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Source, Target]:
    """Any two stacks of one factory, or of two that share some images."""
    images = [
        image(f"{path.partition('.')[0].replace('/', '_')}-{age}", path, age=age)
        for path in PATHS
        for age in draw(st.sets(st.integers(0, 4), max_size=3))
    ]
    labs = [
        lab(f"lab{number}", draw(st.lists(st.sampled_from([*PATHS, "Win2016"]), min_size=1, max_size=3, unique=True)))
        for number in range(draw(st.integers(1, 3)))
    ]
    read: list[LabFacts | Diagnostic] = []
    for each in labs:
        states = [draw(st.sampled_from(["Succeeded", "Succeeded", "Creating", "Failed", None])) for _ in images]
        found = [
            one
            for have, state in zip(images, states, strict=True)
            if state
            for one in holding(each.name, have, state=state).images
        ]
        read.append(UNREAD if draw(st.integers(0, 5)) == 0 else facts(each.name, *found))
    theirs = [each for each in images if draw(st.integers(0, 4))]
    pins = {
        ImagePath.parse(path): draw(st.sampled_from([each.name for each in images] or ["x"]))
        for path in draw(st.sets(st.sampled_from(PATHS)))
    }
    own = source(labs, read, *images, image_paths=tuple(map(ImagePath.parse, PATHS)))
    return own, Target(
        "prod", (lab("prod", draw(st.sets(st.sampled_from(PATHS)))),), Policy(pins=pins), catalog(*theirs)
    )


def has(found: LabFacts | Diagnostic, image: FactoryImage) -> bool:
    """Whether a lab has an image in state Succeeded."""
    return isinstance(found, LabFacts) and (image.vhd_name, "Succeeded") in {
        (one.source_vhd, one.state) for one in found.images
    }


@given(worlds())
def test_a_pin_is_the_newest_image_that_all_labs_hold(world: tuple[Source, Target]) -> None:
    """Of the labs that take its path, and all of them can be read; and the other factory has it."""
    own, other = world
    for one in promotion(own, other).paths:
        takers = [each for each in own.labs if each.takes(one.path)]
        proven = [
            each
            for each in own.catalog.images
            if each.image_path == one.path and all(has(own.facts[taker.key], each) for taker in takers)
        ]
        if one.action == "not promoted":
            there = {each.vhd_name for each in other.catalog.images}
            is_wanted = any(each.takes(one.path) for each in other.labs)
            assert not (is_wanted and proven and proven[0].vhd_name in there)
            assert one.reason and one.now == one.before
        else:
            assert one.now == proven[0].name and proven[0] in other.catalog.images
            assert one.labs == tuple(sorted(each.label for each in takers))
            assert (one.action == "unchanged") == (one.before == one.now)


@given(worlds())
def test_each_path_that_a_lab_takes_is_told_once_and_a_lab_that_cannot_be_read_is_a_failure(
    world: tuple[Source, Target],
) -> None:
    """The paths of such a lab keep their pins."""
    own, other = world
    found = promotion(own, other)
    assert [one.path for one in found.paths] == sorted(
        path for path in own.image_paths if any(each.takes(path) for each in own.labs)
    )
    lost = [each for each in own.labs if own.facts[each.key] is UNREAD]
    assert bool(found.failures) == bool(lost)
    assert not [path for path in found.pins if any(each.takes(path) for each in lost)]


@given(worlds(), st.randoms())
def test_the_order_of_labs_and_images_changes_nothing_and_a_second_promotion_is_empty(
    world: tuple[Source, Target], order: Any
) -> None:
    """The pins that were written are then those that stay."""
    own, other = world
    found = promotion(own, other)
    labs = order.sample(own.labs, len(own.labs))
    read = {
        key: each if isinstance(each, Diagnostic) else replace(each, images=each.images[::-1])
        for key, each in own.facts.items()
    }
    assert promotion(replace(own, labs=labs, facts=read), other).paths == found.paths
    pinned = other.policy.model_copy(update={"pins": {**other.policy.pins, **found.pins}})
    again = promotion(own, replace(other, policy=pinned))
    assert again.pins == {} and [one.now for one in again.paths] == [one.now for one in found.paths]


@given(worlds(), st.sampled_from([*PATHS, "Win2016", "win2016\\SQL.json"]))
def test_entries_choose_paths_as_those_of_labs_json(world: tuple[Source, Target], entry: str) -> None:
    """The chosen paths get what they would get without them."""
    selector = Selector.parse(entry)
    everything = promotion(*world).paths
    assert promotion(*world, [selector]).paths == tuple(one for one in everything if selector.matches(one.path))


def one_of(found: Promotion) -> Promoted:
    """The only path."""
    (one,) = found.paths
    return one


NEW, OLD = image("new"), image("old", age=5)
WEB = lab("web")


@pytest.mark.parametrize(
    ("own", "other", "reason"),
    [
        (source([WEB], [facts("web")], NEW), target(NEW), "new is not in lab web@"),
        (source([WEB], [holding("web", NEW, state="Updating")], NEW), target(NEW), "new is not in lab web@"),
        (source([WEB], [UNREAD], NEW), target(NEW), "cannot be read"),
        (source([WEB], [facts("web")], image_paths=[NEW.image_path]), target(), "stack dev has no image of it"),
        (source([WEB], [holding("web", NEW)], NEW), target(OLD), "new: is not in the factory of stack prod"),
        (source([WEB], [holding("web", NEW)], NEW), target(NEW, takes=["Ubuntu"]), "no lab of stack prod takes it"),
        (
            source([WEB], [holding("web", NEW)], NEW),
            target(replace(NEW, vhd_name="other.vhd")),
            "new: the factory of stack prod has another image of that name",
        ),
    ],
)
def test_a_path_that_is_not_promoted_says_why(own: Source, other: Target, reason: str) -> None:
    """And keeps its pin."""
    pinned = replace(other, policy=Policy(pins={NEW.image_path: "old"}))
    one = one_of(promotion(own, pinned))
    assert (one.action, one.before, one.now) == ("not promoted", "old", "old") and reason in one.reason


def test_an_older_image_than_the_pinned_one_says_so() -> None:
    """And which labs lack the newer one."""
    labs = [WEB, lab("data")]
    own = source(labs, [holding("web", NEW, OLD), holding("data", OLD)], NEW, OLD)
    one = one_of(promotion(own, target(NEW, OLD, windows="new")))
    assert (one.action, one.now) == ("pin", "old")
    assert one.reason.startswith("older than new; new is not in lab data@")


def test_names_are_written_as_the_other_factory_has_them() -> None:
    """A pin that differs only in case stays, as plans compare names."""
    theirs = replace(NEW, name="NEW", digest="sha256:1", vhd_name="copy.vhd")
    own = source([WEB], [holding("web", NEW)], replace(NEW, digest="sha256:1"))
    assert one_of(promotion(own, target(theirs))).now == "NEW"
    same = one_of(promotion(own, target(theirs, windows="nEw")))
    assert (same.action, same.now) == ("unchanged", "nEw")


@pytest.mark.parametrize(
    ("found", "definitions", "action"),
    [
        (gallery(version("new.vhd")), ["d0"], "pin"),
        (gallery(version("new.vhd")), [], "not promoted"),
        (gallery(version("new.vhd", "Creating")), ["d0"], "not promoted"),
        (gallery(version("new.vhd", "Succeeded", "eastus")), ["d0"], "not promoted"),
        (UNREAD, ["d0"], "not promoted"),
    ],
)
def test_a_lab_holds_what_its_users_can_use_by_the_gallery(
    found: GalleryFacts | Diagnostic, definitions: list[str], action: str
) -> None:
    """Enabled there, finished, and in its region; a gallery that cannot be read is a failure."""
    own = source([WEB], [offering(*definitions)], NEW, policy=BY_GALLERY, gallery=found)
    promoted = promotion(own, target(NEW))
    assert one_of(promoted).action == action and bool(promoted.failures) == (found is UNREAD)


def test_a_gallery_that_cannot_be_read_is_no_matter_of_labs_with_custom_images() -> None:
    """They hold their images by themselves."""
    promoted = promotion(source([WEB], [holding("web", NEW)], NEW, gallery=UNREAD), target(NEW))
    assert one_of(promoted).action == "pin" and promoted.failures == ()


def test_what_either_stack_revokes_is_not_promoted() -> None:
    """Even if labs still have it."""
    new, old = image("new"), image("old", age=1)
    revoking = Policy(revoked={RevokedImage("new"): "a virus"})
    labs, read = [lab("one")], [holding("one", new, old)]
    assert one_of(promotion(source(labs, read, new, old, policy=revoking), target(new, old))).now == "old"
    other = replace(target(new, old), policy=revoking)
    kept = one_of(promotion(source(labs, read, new, old), other))
    assert (kept.action, kept.reason) == ("not promoted", "new: revoked: a virus")
