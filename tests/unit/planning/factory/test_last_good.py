"""The last good images: the factory keeps those of each lab, and the tags of one lab cost no other lab an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import error
from imagefactory.images.catalog import newest_first
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_labs import StandingImage
from imagefactory.planning.factory.last_good import LastGood, last_good
from imagefactory.planning.factory.prune_plan import PruneRules
from imagefactory.planning.factory.staging_needs import StackPlan
from tests.unit.builders import catalog, configuration, facts, image, lab, standing
from tests.unit.planning.factory.prunes import files, keeping, plan

DATACENTER = ImagePath.parse("Win2016/Datacenter.json")


@dataclass(frozen=True)
class Holder:
    """A lab of labs.json and its custom images; None: it cannot be read."""

    lab: TargetLab
    images: tuple[StandingImage, ...] | None

    def holds(self, image: FactoryImage) -> bool:
        """Whether the lab has a good image of that VHD, by the tag of the VHD or, if it is missing, by its name."""
        return any(
            one.state == "Succeeded" and one.source_vhd in {None, image.vhd_name}
            for one in self.images or ()
            if one.source_vhd or (one.name.lower(), one.image_path) == (image.name.lower(), str(image.image_path))
        )


def known(holders: Sequence[Holder], images: Sequence[FactoryImage]) -> LastGood:
    """The last good images of one stack's labs."""
    unreadable = error("lab", "cannot be read", "it stays", "Fix it")
    found = {one.lab.key: unreadable if one.images is None else facts("x", *one.images) for one in holders}
    stack = StackPlan(configuration(*(one.lab for one in holders)), found, Policy())
    return last_good([stack], catalog(*images))


@dataclass(frozen=True)
class Held:
    """A factory and its labs."""

    images: tuple[FactoryImage, ...]
    holders: tuple[Holder, ...]
    keep: int

    def gone(self, holders: Sequence[Holder]) -> set[str]:
        """The VHDs that a prune deletes with these labs."""
        rules = PruneRules(keeping(self.keep), last_good=known(holders, self.images))
        found = plan(catalog(*self.images), files(*self.images), rules)
        return {blob.name for deletion in found.deletions for blob in deletion.vhds}


@st.composite
def held(draw: st.DrawFn) -> Held:
    """Images of two paths, a few undated or of one name; labs with any tags."""
    images = []
    for n in range(draw(st.integers(1, 7))):
        path = draw(st.sampled_from(["Win2016/Datacenter.json", "Ubuntu/Jammy.json"]))
        made = image(draw(st.sampled_from(["a", f"Name{n}"])), path, draw(st.integers(0, 9)), f"{n}.vhd")
        images.append(replace(made, saved_at_source=draw(st.sampled_from(["companion", "companion", "last-modified"]))))
    vhds = st.sampled_from([None, "foreign.vhd", *(each.vhd_name for each in images)])
    claims = st.builds(
        lambda made, vhd, state: standing(made.name, state=state, image_path=str(made.image_path), source_vhd=vhd),
        st.sampled_from(images),
        vhds,
        st.sampled_from(["Succeeded", "Succeeded", "Failed"]),
    )
    wishes = st.sampled_from([("Win2016",), ("Ubuntu", "Win2016"), ("Ubuntu",)])
    holders = [
        Holder(lab(f"lab{n}", draw(wishes)), tuple(draw(st.lists(claims, max_size=4))))
        for n in range(draw(st.integers(1, 3)))
    ]
    return Held(tuple(images), tuple(holders), draw(st.integers(1, 2)))


@given(held())
def test_the_factory_keeps_the_newest_image_that_succeeded_in_each_lab_for_each_of_its_paths(drawn: Held) -> None:
    """Independent of newer images in the factory, and of other labs."""
    deleted = drawn.gone(drawn.holders)
    for holder in drawn.holders:
        for path in {each.image_path for each in drawn.images if holder.lab.takes(each.image_path)}:
            of_path = [each for each in newest_first(drawn.images) if each.image_path == path and holder.holds(each)]
            dated = [each for each in of_path if each.saved_at_source == "companion"]
            assert not {each.vhd_name for each in dated[:1]} & deleted
            assert not of_path or {each.vhd_name for each in of_path} - deleted


@given(held())
def test_the_tags_of_a_lab_delete_no_image_and_keep_up_to_one_of_each_of_its_paths(drawn: Held) -> None:
    """Its owner can set any tags."""
    for holder in drawn.holders:
        with_it, without = drawn.gone(drawn.holders), drawn.gone([one for one in drawn.holders if one is not holder])
        assert with_it <= without
        kept = [each.image_path for each in drawn.images if each.vhd_name in without - with_it]
        assert len(kept) == len(set(kept)) and all(holder.lab.takes(path) for path in kept)


@pytest.mark.parametrize(
    "claimed",
    [
        standing("old", state="Failed"),
        standing("old", state="Creating"),
        standing("old", image_path=None, source_vhd="old.vhd"),
        standing("old", source_vhd="foreign.vhd"),
        standing("old", image_path="Win2016/SQL.json"),
        standing("old", image_path="../.."),
        standing("other"),
    ],
)
def test_only_good_images_of_the_factory_count(claimed: StandingImage) -> None:
    """Failed images, images of others, and images of VHDs that are not in the factory do not count."""
    old, new = image("old", age=1), image("new")
    assert known([Holder(lab(), (claimed,))], [old, new]).reason_to_keep(old) == ""


def test_a_lab_claims_nothing_of_paths_that_labs_json_does_not_give_it() -> None:
    """The lab is going to lose those images."""
    old, new = image("old", age=1), image("new")
    assert known([Holder(lab(selectors=("Ubuntu",)), (standing("old"),))], [old, new]).reason_to_keep(old) == ""


def test_an_image_without_a_usable_date_is_not_the_newest_good_one() -> None:
    """It is kept anyway, and its rank is unknown."""
    undated = replace(image("undated"), saved_at_source="last-modified")
    dated, old = image("dated", age=1), image("old", age=2)
    holder = Holder(lab(), tuple(standing(one.name) for one in (undated, dated, old)))
    found = known([holder], [undated, dated, old])
    assert found.reason_to_keep(dated) and not found.reason_to_keep(old)


def test_a_lab_that_cannot_be_read_keeps_those_of_its_paths_of_which_no_other_lab_holds_a_good_image() -> None:
    """It may have any of them; images of other paths are not kept because of it."""
    blind = Holder(lab("blind", ("Win2016/Datacenter.json",)), None)
    old, new, other = image("old", age=1), image("new"), image("other", "Ubuntu/Jammy.json", age=9)
    found = known([blind], [old, new, other])
    assert set(found.unknown) == {DATACENTER} and "lab blind@" in found.reason_to_keep(old)
    assert "could not be read" in found.reason_to_keep(old) and found.reason_to_keep(other) == ""
    seeing = Holder(lab("seeing"), (standing("new"),))
    assert known([blind, seeing], [old, new, other]).reason_to_keep(old) == ""
    elsewhere = Holder(lab("elsewhere", ("Ubuntu",)), (standing("new"),))
    assert known([blind, elsewhere], [old, new, other]).unknown.keys() == {DATACENTER}


def test_the_reason_names_one_lab_and_counts_the_others() -> None:
    """There may be hundreds of labs."""
    old, new = image("old", age=1), image("new")
    holders = [Holder(lab(name), (standing("old"),)) for name in ("c", "a", "b")]
    rules = PruneRules(keeping(1), last_good=known(holders, [old, new]))
    found = plan(catalog(old, new), files(old, new), rules)
    assert found.deletions == ()
    (reason,) = (one.reason for one in found.kept if one.name == "old")
    assert reason.startswith("it is the newest Succeeded image of its image path in lab a@") and reason.endswith(
        "and 2 more"
    )
