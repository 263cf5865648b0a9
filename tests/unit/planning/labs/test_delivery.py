"""Which way each image goes to each lab, and why, as `delivery`, `Delivery` and `generation2` say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import example
from hypothesis import given as drawn
from hypothesis import strategies as st

from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.configuration.labs_file import Delivery
from imagefactory.configuration.rings import Ring
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import error
from imagefactory.images.companions import DataDisk, FactoryImage
from imagefactory.planning.delivery import reservations, routes, without_gallery
from imagefactory.planning.galleries.planned import RecordedGallery, RecordedLab
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.planning.retention import claims
from tests.unit.builders import catalog, configuration, facts, image, lab
from tests.unit.planning.galleries.galleries import definition, gallery, recorded, saved, version

GALLERY = GallerySettings(name="images", resource_group="rg")
WINDOWS = image("windows")
LINUX = replace(image("linux", "Ubuntu/Jammy.json"), os_type="Linux")
WINDOWS2, LINUX2 = replace(WINDOWS, generation="V2"), replace(LINUX, generation="V2")
DELIVERIES: tuple[Delivery, ...] = ("customImage", "gallery", "both")

deliveries = st.sampled_from(DELIVERIES)
policies = st.builds(
    Policy,
    delivery=deliveries,
    generation2=st.sampled_from(["linux", "all", "none"]),
    gallery=st.sampled_from([None, GALLERY]),
)


@drawn(policies, st.none() | deliveries, st.sampled_from([WINDOWS, LINUX, WINDOWS2, LINUX2]))
@example(Policy(delivery="both", gallery=GALLERY), None, WINDOWS2)
def test_an_image_goes_the_ways_of_its_lab_and_says_why(policy: Policy, own: Delivery | None, it: FactoryImage) -> None:
    """`Delivery` of a lab overrides the stack's; the gallery takes every image; as a custom image goes what has
    generation 1, and of generation 2 what the setting says."""
    (way,) = routes(replace(lab(), delivery=own), [it], policy)
    delivery = own or policy.delivery
    fits = (
        it.generation != "V2" or policy.generation2 == "all" or (policy.generation2, it.os_type) == ("linux", "Linux")
    )
    assert way.by_gallery == (delivery != "customImage" and policy.gallery is not None)
    assert way.as_custom_image == (delivery != "gallery" and fits)
    assert way.reason.startswith(f"Delivery of the lab is {own}" if own else f"setting delivery is {policy.delivery}")
    assert ("generation 2" in way.reason) == (delivery != "gallery" and not fits)
    assert ("does not count for keep" in way.reason) == ("generation 2" in way.reason and not way.by_gallery)
    if "generation 2" not in way.reason:
        assert ("no setting gallery" in way.reason) == (delivery != "customImage" and policy.gallery is None)


@pytest.mark.parametrize(
    ("it", "by", "told"),
    [
        (WINDOWS2, Policy(), "Windows does not start from such an image, so labs do not get it"),
        (WINDOWS2, Policy(generation2="all"), "its image is created as generation 1, and its VMs may not start"),
        (LINUX2, Policy(), "its image is created as generation 1, and its VMs may not start"),
        (LINUX2, Policy(generation2="none"), "Linux does not start from such an image, so labs do not get it"),
        (WINDOWS2, Policy(delivery="gallery", gallery=GALLERY), None),
        (WINDOWS2, Policy(delivery="both", gallery=GALLERY), None),
        (LINUX2, Policy(delivery="both", gallery=GALLERY), "its image is created as generation 1, and its VMs may"),
        (replace(LINUX, data_disks=(DataDisk(0, "b.vhd"),)), Policy(), "labs get only its OS disk"),
        (replace(LINUX, data_disks=(DataDisk(0, "b.vhd"),)), Policy(delivery="both", gallery=GALLERY), None),
    ],
)
def test_what_custom_images_lose_is_told_unless_the_gallery_takes_it(
    it: FactoryImage, by: Policy, told: str | None
) -> None:
    """One warning for each image, however many labs are concerned."""
    ways = [way for name in ("a", "b") for way in routes(lab(name), [it], by)]
    texts = [each.text() for each in reservations(ways)]
    assert len(texts) == (told is not None) and (told or "") in "".join(texts)


def test_a_stack_without_a_gallery_says_which_labs_need_one() -> None:
    """One error for all labs; they keep what they have."""
    labs = [replace(lab(name), delivery="gallery") for name in ("a", "b")]
    told = without_gallery(labs, Policy())
    assert told and told.subject == f"lab {labs[0].label} and 1 more" and "imagefactory:gallery" in told.remedy
    assert without_gallery([lab()], Policy()) is None and without_gallery(labs, Policy(gallery=GALLERY)) is None


def test_labs_of_one_stack_go_different_ways() -> None:
    """Each image is in the plan where its way leads, and an image without a way is an omission with the reason."""
    new = replace(saved("new"), generation="V2")
    plan = built(new, "customImage", "gallery", "both", facts_of=gallery())
    assert plan.gallery and [each.label for each in plan.gallery.labs] == [lab("l1").label, lab("l2").label]
    assert all(not each.images for each in plan.labs)
    (omission,) = plan.omissions
    assert omission.lab == lab("l0").label and omission.reason.endswith("(setting generation2)")


@drawn(
    st.lists(st.sampled_from(["V1", "V2"]), min_size=1, max_size=6),
    st.integers(1, 3),
    st.sampled_from([[], [Ring(name="first", labs=["*"])]]),
)
def test_what_a_lab_cannot_get_does_not_count_for_keep(
    generations: list[Literal["V1", "V2"]], keep: int, rings: list[Ring]
) -> None:
    """A lab gets the newest `keep` of those that it can get, which prune keeps. Only those without a way that are among
    the newest of all say so: a factory may have many."""
    images = [replace(image(f"n{n}", age=n), generation=each) for n, each in enumerate(generations)]
    wanted = [each.name for each in images if each.generation == "V1"][:keep]
    found, policy = catalog(*images), Policy(keep=keep, rings=rings)
    target = lab()
    plan = build_plan(configuration(target), found, facts("factory"), {target.key: facts()}, policy)
    assert [each.image.name for each in plan.labs[0].images] == wanted
    assert set(wanted) <= {each.image.name for each in claims(found, {"dev": policy}) if each.reason}
    reasons = {each.image: each.reason for each in plan.omissions}
    for rank, each in enumerate(images):
        if each.generation == "V2":
            assert ("(setting generation2)" if rank < keep else "(setting keep)") in reasons[each.name]


@pytest.mark.parametrize("change", ["removed", "another", "unreadable"])
def test_a_gallery_that_is_not_the_one_of_the_state_changes_nothing(change: str) -> None:
    """The setting was removed, or names another gallery, or the gallery cannot be read: an error, and all is kept."""
    old = saved("old")
    there = gallery(definition(old, version(old)))
    state = replace(
        recorded(there),
        labs={lab("l0").label: RecordedLab("rg", frozenset({"win2016.datacenter"}))},
        places=frozenset({("1", "rg", "images")}) if change != "another" else frozenset({("2", "rg", "images")}),
    )
    given: Any = {
        "removed": None,
        "another": there,
        "unreadable": error("gallery 'images'", "answered 403", "it stays", "Check it"),
    }[change]
    settings = None if change == "removed" else GALLERY
    plan = built(old, "gallery", facts_of=given, by=Policy(gallery=settings), state=state)
    assert plan.gallery is None
    subject = "gallery 'images'" if change == "unreadable" else "setting imagefactory:gallery"
    assert subject in [each.subject for each in plan.failures]


def built(
    it: FactoryImage,
    *wishes: Delivery,
    facts_of: Any,
    by: Policy | None = None,
    state: RecordedGallery | None = None,
) -> Plan:
    """The plan for labs `l0`, `l1`, ... of these deliveries, for one image."""
    labs = [replace(lab(f"l{number}"), delivery=each) for number, each in enumerate(wishes)]
    there = {each.key: facts(each.name) for each in labs}
    by = by or Policy(gallery=GALLERY)
    state = state or RecordedGallery(gallery=True)
    return build_plan(
        configuration(*labs), catalog(it), facts("factory"), there, by, gallery=facts_of, in_gallery=state
    )
