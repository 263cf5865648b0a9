"""The roles of a stack that delivers images by a Compute Gallery, which it creates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefactory.roles.actions import LIST_KEYS, Option, Place, Purpose
from imagefactory.roles.purposes import role_of, roles_of
from localcloud.client import CloudClient
from tests.e2e.gallery_world import GalleryWorld
from tests.factory_lab.factory_world import FactoryWorld
from tests.roles.roles_world import granted, lacks, named, rejected, requested, silent

pytestmark = pytest.mark.engine
READING, WRITING = (Option.AAD, Option.GALLERY, Option.DNS_ZONE), (Option.AAD, Option.GALLERY, Option.NEW_GALLERY)


class FactoryGalleryWorld(GalleryWorld, FactoryWorld):
    """The commands of both."""


@pytest.fixture
def world(
    fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path, python: Path
) -> FactoryGalleryWorld:
    """A factory with one image, and a lab that gets it by a gallery."""
    world = FactoryGalleryWorld(fresh_cloud, shell, accounts, project_folder, python)
    world.add_lab("web", "Win11")
    world.add_image("Win11/Office.json", 5)
    world.cloud.clear_calls()
    return world


def test_each_purpose_works_with_exactly_its_roles(world: FactoryGalleryWorld) -> None:
    """The gallery is created, read, adopted and deleted; the lab's account is not needed, nor any key of it."""
    web = world.labs["web"]
    with granted(world, roles_of(Purpose.PREVIEW, READING)):
        assert world.preview().code == 0 and rejected(world) == []
    with granted(world, roles_of(Purpose.DISTRIBUTION, WRITING)):
        world.serve()
        used = requested(world)
        assert rejected(world) == []
    assert world.offers(web) == {"images": ["Win11.Office"]} and len(world.versions()) == 1
    with granted(world, roles_of(Purpose.ADOPTION, READING)):
        adopted = world.adopt("--dry-run")
        assert adopted.code == 0 and rejected(world) == [], adopted.output
    with granted(world, roles_of(Purpose.PRUNE, READING)):
        pruned = world.command("prune", "--keep", "1", "--dry-run")
        assert pruned.code == 0 and rejected(world) == [], pruned.stderr
    told = {}
    for lack in lacks(Purpose.PREVIEW, Place.GALLERY, Place.LAB_GALLERIES, options=READING):
        with granted(world, roles_of(Purpose.PREVIEW, READING), lack):
            told[lack] = named(world.pulumi("plan").output)
    assert told and silent(told) == set()
    with granted(world, roles_of(Purpose.DISTRIBUTION, WRITING)):
        world.cloud.clear_calls()
        removed = world.destroy()
        used |= requested(world)
        assert removed.code == 0 and rejected(world) == [], removed.output
    assert world.offers(web) == {}
    places = (Place.GALLERY, Place.GALLERY_GROUP, Place.GALLERY_SUBSCRIPTION, Place.LAB_GALLERIES)
    assert {action.lower() for place in places for action in role_of(place).actions} - used == set()


def test_a_version_needs_the_keys_of_the_account_that_it_is_created_from(world: FactoryGalleryWorld) -> None:
    """As Azure requires; the error names the action at the linked account."""
    lack = (role_of(Place.FACTORY_KEYS), LIST_KEYS)
    with granted(world, roles_of(Purpose.DISTRIBUTION, WRITING), lack):
        run = world.up()
    assert run.code != 0 and "LinkedAuthorizationFailed" in run.output
    assert silent({lack: named(run.output)}) == set() and world.versions() == {}
