"""A lab that moves to another resource group or subscription: its ids change, its names and what it holds do not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.client import CloudClient, CloudError
from tests.e2e.world import Lab, World

BACKING = "/providers/microsoft.compute/images/golden"
VERSION = "2018-09-15"


@pytest.fixture
def world(fresh_cloud: CloudClient, accounts: Iterator[str], project_folder: Path) -> World:
    """A factory and labs; nothing runs."""
    return World(fresh_cloud, {}, accounts, project_folder)


def _status(world: World, path: str) -> int:
    return world.request("GET", f"{path}?api-version={VERSION}").status_code


def _lab(world: World) -> Lab:
    """A lab with an image."""
    web = world.add_lab("web")
    managed = f"/subscriptions/{web.subscription}/resourceGroups/LABS{BACKING}"
    world.seed_images(web, {"name": "golden", "tags": {"a": "b"}, "properties": {"managedImageId": managed}})
    return web


@pytest.mark.parametrize("target", [{"group": "others"}, {"group": "others", "subscription": str(uuid.uuid4())}])
def test_a_moved_lab_has_new_ids_and_answers_404_at_the_old_ones(world: World, target: dict[str, Any]) -> None:
    """Lab, storage account and image, with the ids in their properties; the rest is as before."""
    web = _lab(world)
    before = world.image(web, "golden")
    moved = world.move_lab(web, **target)
    assert world.labs["web"] == moved and (moved.account, moved.name) == (web.account, web.name)
    account = "/providers/Microsoft.Storage/storageAccounts/" + web.account
    for path in ("", "/customimages", "/customimages/golden"):
        assert (_status(world, web.id + path), _status(world, moved.id + path)) == (404, 200)
    old, new = (each.id.partition("/providers/")[0] for each in (web, moved))
    assert (_status(world, old + account), _status(world, new + account)) == (404, 200)
    image = world.image(moved, "golden")
    assert image["id"].lower() == f"{moved.id}/customimages/golden".lower()
    assert image["properties"].pop("managedImageId").lower() == f"{new}{BACKING}".lower()
    before["properties"].pop("managedImageId")
    assert {**image, "id": ""} == {**before, "id": ""}
    assert world.service(moved).account_name == web.account
    assert [lab for lab in world.cloud.status()["labs"] if lab["storageAccount"] == web.account] == [
        {
            "subscriptionId": moved.subscription,
            "resourceGroup": moved.group,
            "name": "web",
            "region": "westeurope",
            "storageAccount": web.account,
        }
    ]


def test_a_lab_that_is_missing_or_would_meet_its_like_does_not_move(world: World) -> None:
    """The call fails with the reason, and nothing changes."""
    web = _lab(world)
    with pytest.raises(CloudError, match="was not found"):
        world.cloud.move_lab(web.subscription, "elsewhere", "web", to_group="others")
    with pytest.raises(CloudError, match="has a lab of the name"):
        world.move_lab(web, group="labs")
    assert _status(world, web.id) == 200 and world.labs["web"] == web


def test_the_writes_of_a_labs_images_are_what_the_journal_has(world: World) -> None:
    """Each with method, image and status, in any casing of the path; reads and other labs are none."""
    web, other = _lab(world), world.add_lab("web2")
    world.cloud.clear_calls()
    world.held(web)
    assert world.writes(web) == []
    world.request("PUT", f"{web.id.lower()}/customimages/golden?api-version={VERSION}", {})
    world.delete_image(web, "golden")
    assert world.writes(web) == [("PUT", "golden", 400), ("DELETE", "golden", 202)]
    assert world.writes(other) == []
