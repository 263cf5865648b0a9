"""Where the version of each image belongs: definition and regions; and what cannot be delivered, one error each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.diagnostics import Severity
from imagefactory.observed.standing_gallery import AttachedGallery, StandingDefinition
from imagefactory.planning.galleries.planned import RecordedGallery
from tests.unit.planning.galleries.galleries import (
    HOME,
    PATH,
    definition,
    gallery,
    planned,
    policy,
    recorded,
    saved,
    served,
    unread,
    version,
)

OTHER = "Win2016/SQL.json"
BAD, GOOD = saved("bad"), saved("good", path=OTHER)
NOTHING = RecordedGallery()
GALLERY_ALONE = RecordedGallery(gallery=True)


def test_a_version_goes_to_the_regions_of_the_labs_that_take_it_and_to_the_gallerys() -> None:
    """Not to those of labs that get custom images, or other paths."""
    far = served("far", BAD, region="North Europe")
    elsewhere = served("elsewhere", region="eastus")
    plan, found = planned(gallery(), far, elsewhere, state=GALLERY_ALONE)
    assert [each.regions for each in plan.versions] == [("northeurope", HOME)]
    assert not found.diagnostics


def test_a_region_that_no_lab_needs_any_more_is_dropped() -> None:
    """By an update of the version that exists: nothing else of it is compared."""
    facts = gallery(definition(BAD, version(BAD, regions=frozenset({HOME, "northeurope", "eastus"}))))
    plan, _ = planned(facts, served("near", BAD), served("far", BAD, region="northeurope"))
    (kept,) = plan.versions
    assert (kept.regions, kept.standing) == (("northeurope", HOME), True)


def test_regions_stay_while_a_lab_that_may_need_them_could_not_be_read() -> None:
    """The next version goes there too, because the lab's users get the newest one and nobody else gives it to them."""
    new = saved("new", 2)
    facts = gallery(definition(BAD, version(BAD, regions=frozenset({HOME, "eastus"}))))
    near, lost = served("near", BAD, new), served("lost", BAD, new, region="eastus", offers=["Win2016.Datacenter"])
    state = recorded(facts, near, lost)
    plan, _ = planned(facts, near, unread(lost), state=state)
    assert {each.image.name: each.regions for each in plan.versions} == dict.fromkeys(("bad", "new"), ("eastus", HOME))


def test_a_region_stays_while_a_lab_there_still_offers_the_definition() -> None:
    """A lab that is to get custom images offers the definition until it has them: until then its users need a replica
    near them."""
    facts = gallery(definition(BAD, version(BAD, regions=frozenset({HOME, "eastus"}))))
    moving = served("moving", region="eastus", offers=["Win2016.Datacenter"], is_served=False)
    plan, _ = planned(facts, served("near", BAD), moving)
    assert [each.regions for each in plan.versions] == [("eastus", HOME)]
    (offer,) = [each for each in plan.labs if each.label == "moving"]
    assert [each.name for each in offer.definitions] == ["Win2016.Datacenter"] and offer.definitions[0].reason
    done = replace(moving, replaced=frozenset({BAD.image_path}))
    plan, _ = planned(facts, served("near", BAD), done)
    assert [each.label for each in plan.labs] == ["near"]
    assert [each.regions for each in plan.versions] == [(HOME,)]


@pytest.mark.parametrize(
    ("standing", "fact"),
    [
        (
            replace(definition(BAD), identifier=("imagefactory", "WIN2016.DATACENTER", "gen1"), name="other"),
            "identifier",
        ),
        (definition(BAD, os_state="Specialized"), "is for Windows Specialized V1"),
        (definition(BAD, generation="V2"), "is for Windows Generalized V2"),
        (definition(BAD, image_path=None, stack=None), "has no ImagePath tag"),
        (definition(BAD, version(BAD, source_vhd="other.vhd")), "was created from other.vhd"),
        (definition(BAD, version(BAD, source_vhd="", image_path=None)), "was created from an unknown VHD"),
    ],
)
def test_what_stands_in_the_way_of_one_image_is_one_error(standing: StandingDefinition, fact: str) -> None:
    """Another definition has its identifier, its definition has other traits or was made by hand, its version is of
    another VHD. The other images are delivered, and nothing that exists is changed."""
    plan, found = planned(gallery(standing), served("near", BAD, GOOD), state=GALLERY_ALONE)
    (told,) = [each for each in found.diagnostics if "does not contain" not in each.fact]
    assert fact in told.fact and told.severity is Severity.ERROR and told.remedy
    assert [image.name for image, _ in found.omissions] == ["bad"]
    assert [each.image.name for each in plan.versions] == ["good"]
    assert [each.name for each in plan.definitions] == ["Win2016.SQL"]


@pytest.mark.parametrize("standing", [False, True])
def test_two_images_of_one_second_are_one_error(standing: bool) -> None:
    """They would have the same version: labs get the one that exists, else one of them."""
    twin = saved("twin", vhd_name="a-vhd-that-sorts-first.vhd")
    facts = gallery(definition(BAD, version(BAD)) if standing else definition(BAD))
    plan, found = planned(facts, served("near", twin, BAD, GOOD))
    (told,) = found.diagnostics
    assert "in the same second" in told.fact or "was created from bad.vhd" in told.fact
    assert {each.image.name for each in plan.versions} == {"good", "bad" if standing else "twin"}
    assert len(found.omissions) == 1


def test_a_version_of_another_stack_is_left_alone() -> None:
    """It is named in a warning; it is neither changed nor deleted, nor is its definition."""
    facts = gallery(definition(BAD, version(BAD, stack="imagefactory/prod"), stack="imagefactory/prod"))
    plan, found = planned(facts, served("near", BAD, GOOD), state=GALLERY_ALONE)
    (told,) = [each for each in found.diagnostics if "imagefactory/prod" in each.fact]
    assert told.severity is Severity.WARNING
    assert [each.image.name for each in plan.versions] == ["good"] and not plan.unadopted
    plan, _ = planned(facts, served("near"), state=recorded(facts, outside={f"Win2016.Datacenter/{version(BAD).name}"}))
    assert plan.kept == ("Win2016.Datacenter",), "Azure deletes no definition that has versions"


def test_a_lab_with_another_gallery_is_told_and_not_touched() -> None:
    """What the state has of this lab stays, and the other labs are served."""
    attached = (AttachedGallery("/lab/sharedgalleries/theirs", "/other/galleries/theirs", frozenset({"a"})),)
    taken = served("taken", BAD)
    assert taken.facts
    taken = replace(taken, facts=replace(taken.facts, galleries=attached))
    plan, found = planned(gallery(), taken, served("near", BAD), state=GALLERY_ALONE)
    (told,) = found.diagnostics
    assert "has gallery theirs attached" in told.fact and "az resource delete" in told.remedy
    assert [each.label for each in plan.labs] == ["near"] and not plan.kept_labs
    facts = gallery(definition(BAD, version(BAD)))
    plan, _ = planned(facts, taken, state=recorded(facts, served("taken", offers=["Win2016.Datacenter"])))
    assert plan.kept_labs == ("taken",)


def test_a_changed_trait_makes_another_definition_beside_the_old_one() -> None:
    """The lab offers both until the new version exists where the lab is; the old one is kept as long."""
    new = saved("new", 2, generation="V2")
    facts = gallery(definition(BAD, version(BAD)))
    near = served("near", new, offers=["Win2016.Datacenter"])
    plan, _ = planned(facts, near, by=policy(keep=1))
    assert [each.name for each in plan.definitions] == ["Win2016.Datacenter-gen2"]
    assert [each.name for each in plan.labs[0].definitions] == ["Win2016.Datacenter", "Win2016.Datacenter-gen2"]
    assert plan.kept == ("Win2016.Datacenter",) and len(plan.retained) == 1
    both = gallery(definition(BAD, version(BAD)), definition(new, version(new)))
    offering = served("near", new, offers=["Win2016.Datacenter", "Win2016.Datacenter-gen2"])
    plan, _ = planned(both, offering, by=policy(keep=1))
    assert [each.name for each in plan.labs[0].definitions] == ["Win2016.Datacenter-gen2"]
    assert not plan.kept and not plan.retained


@pytest.mark.parametrize("path", [PATH, PATH.upper(), PATH.replace("/", "\\")])
def test_a_version_of_an_image_is_found_however_its_path_is_written(path: str) -> None:
    """By the VHD that it was made from; names are written as they exist."""
    facts = gallery(definition(BAD, version(BAD, image_path=path), name="WIN2016.datacenter"))
    plan, found = planned(facts, served("near", BAD))
    assert [(each.key, each.standing) for each in plan.versions] == [(f"WIN2016.datacenter/{version(BAD).name}", True)]
    assert not found.diagnostics and not plan.unadopted


def test_a_version_without_the_tag_is_not_an_images_even_if_it_is_from_its_vhd() -> None:
    """Somebody else made it: the image gets a version of its own beside it."""
    image = saved("one")
    facts = gallery(definition(image, version(image, image_path=None, name="1.0.0")))
    plan, _ = planned(facts, served("near", image), state=recorded(facts, outside=["Win2016.Datacenter/1.0.0"]))
    assert [(each.name, each.standing) for each in plan.versions] == [(version(image).name, False)]


def test_a_version_that_failed_is_made_again_in_its_place() -> None:
    """With the number of the attempt in its tags, so that it is updated."""
    facts = gallery(definition(BAD, version(BAD, state="Failed", attempt=2)))
    plan, _ = planned(facts, served("near", BAD))
    (again,) = plan.versions
    assert not again.standing and again.tags["Attempt"] == "3"


def test_what_exists_and_is_not_in_the_state_is_not_declared() -> None:
    """It is taken over by `imagefactory adopt` only; labs can use it all the same."""
    facts = gallery(definition(BAD, version(BAD)))
    plan, found = planned(facts, served("near", BAD), state=NOTHING)
    assert [part.key for part in plan.unadopted] == [
        "",
        "Win2016.Datacenter",
        f"Win2016.Datacenter/{version(BAD).name}",
    ]
    assert not plan.definitions and not plan.versions
    assert [each.name for each in plan.labs[0].definitions] == ["Win2016.Datacenter"]
    (told,) = found.diagnostics
    assert "does not contain 3 existing parts" in told.fact and "imagefactory adopt --stack test" in told.remedy


def test_a_gallery_that_is_named_by_its_id_is_not_managed() -> None:
    """It is neither created nor deleted, nor taken over."""
    named = policy(gallery=GallerySettings(id=gallery().id))
    plan, _ = planned(gallery(), served("near", BAD), state=NOTHING, by=named)
    assert not plan.is_managed and not plan.unadopted
