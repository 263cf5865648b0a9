"""Compute Galleries and their definitions in the embedded cloud: created, refused, changed and deleted as in Azure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.arm.regions import SHOWN, short, shown
from tests.localcloud.arm_world import SUBSCRIPTION, World
from tests.localcloud.gallery_world import (
    COMPUTE,
    GALLERIES,
    GALLERY,
    GROUP,
    IMAGE,
    VERSION,
    definition,
    deleted,
    made,
    put,
    refused,
    shown_at,
    standing,
)


@given(st.sampled_from(sorted(SHOWN)))
def test_each_region_has_one_name_that_is_shown_and_one_that_is_short(name: str) -> None:
    """Both forms, in any casing, name the same region."""
    assert short(shown(name)) == short(shown(name).upper()) == short(name) == name


async def test_a_gallery_is_created_as_recorded(world: World) -> None:
    """201 Creating with the operation in the one header that was recorded; then Succeeded, in the documented casing."""
    body = {"location": "West Europe", "tags": {"a": "b"}, "properties": {"description": "Golden images"}}
    status, created, headers = await put(world, GALLERY, body)
    assert (status, created["properties"]["provisioningState"]) == (201, "Creating")
    assert "/locations/westeurope/capsOperations/" in headers["azure-asyncoperation"]
    assert headers["azure-asyncnotification"] == "Enabled" and "location" not in headers
    assert {*await world.ended(headers)} == {"startTime", "endTime", "status", "name"}
    assert await shown_at(world, GALLERY.lower()) == {
        "name": "Golden",
        "id": GALLERY,
        "type": "Microsoft.Compute/galleries",
        "location": "westeurope",
        "tags": {"a": "b"},
        "properties": {
            "description": "Golden images",
            "identifier": {"uniqueName": f"{SUBSCRIPTION}-GOLDEN"},
            "provisioningState": "Succeeded",
        },
    }


async def test_a_gallery_is_updated_by_put_and_patch(world: World) -> None:
    """A PUT replaces description and tags, a PATCH keeps what it does not name; neither creates."""
    await made(world, GALLERY, {"location": "westeurope", "tags": {"a": "b"}, "properties": {"description": "one"}})
    status, shown_now, _ = await put(world, GALLERY, {"tags": {"c": "d"}}, "PATCH")
    assert (status, shown_now["tags"], shown_now["properties"]["description"]) == (200, {"c": "d"}, "one")
    status, shown_now, _ = await put(world, GALLERY, {"location": "westeurope"})
    assert status == 200 and shown_now["properties"]["provisioningState"] == "Updating"
    assert "tags" not in shown_now and "description" not in shown_now["properties"]
    assert (await refused(world, f"{GALLERIES}/None", {"tags": {}}, "PATCH"))[:2] == (404, "ResourceNotFound")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (f"{GALLERIES}/Gol-den", {"location": "westeurope"}, 400, "InvalidParameter"),
        (f"{GALLERIES}/Golden.", {"location": "westeurope"}, 400, "InvalidParameter"),
        (f"{GALLERIES}/{'a' * 81}", {"location": "westeurope"}, 400, "InvalidParameter"),
        (GALLERY, {}, 400, "LocationRequired"),
        (GALLERY, {"location": "atlantis"}, 400, "LocationNotAvailableForResourceType"),
        (GALLERY, [], 400, "InvalidRequestContent"),
        (GALLERY, {"location": "westeurope", "tags": {"a": 1}}, 400, "InvalidRequestContent"),
        (GALLERY.replace("RG-One", "none"), {"location": "westeurope"}, 404, "ResourceGroupNotFound"),
        (IMAGE, definition(), 404, "ParentResourceNotFound"),
        (VERSION, {"location": "westeurope"}, 404, "ParentResourceNotFound"),
    ],
)
async def test_a_gallery_that_azure_refuses_is_not_created(
    world: World, path: str, body: Any, status: int, code: str
) -> None:
    """Names without `-`, a region of Azure, a resource group and a parent that exist."""
    assert (await refused(world, path, body))[:2] == (status, code)
    assert (await shown_at(world, GALLERIES))["value"] == []


async def test_a_gallery_has_one_location(world: World) -> None:
    """Another is 409, whatever its form."""
    await made(world, GALLERY, {"location": "westeurope"})
    assert (await put(world, GALLERY, {"location": "West Europe"}))[0] == 200
    assert (await refused(world, GALLERY, {"location": "eastus"}))[:2] == (409, "InvalidResourceLocation")


async def test_galleries_are_listed_by_group_and_by_subscription(world: World) -> None:
    """In pages, each with a link to the next."""
    for number in range(52):
        await made(world, f"{GALLERIES}/g{number}", {"location": "westeurope"})
    everywhere = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/galleries"
    for path in (GALLERIES, GALLERIES.lower(), GALLERIES.upper(), everywhere):
        first = await shown_at(world, path)
        assert len(first["value"]) == 50
        _, rest, _ = await world.call("GET", first["nextLink"])
        assert len({each["id"] for each in (*first["value"], *rest["value"])}) == 52 and "nextLink" not in rest
    status, body, _ = await world.call("GET", GALLERIES.replace("RG-One", "none"), version=COMPUTE)
    assert (status, body["error"]["code"]) == (404, "ResourceGroupNotFound")


async def test_a_definition_has_the_defaults_that_were_recorded(world: World) -> None:
    """Generation 1 and x64; what is empty is not shown; it counts among its gallery's, and the gallery is not empty."""
    await made(world, GALLERY, {"location": "westeurope"})
    body = definition(osType="Linux", features=[], disallowed={}, description="An image")
    del body["properties"]["hyperVGeneration"]
    image = await made(world, IMAGE, {**body, "tags": {}})
    assert image == {
        "name": "Win.A-gen2",
        "id": IMAGE,
        "type": "Microsoft.Compute/galleries/images",
        "location": "westeurope",
        "tags": {},
        "properties": {
            "hyperVGeneration": "V1",
            "architecture": "x64",
            "osType": "Linux",
            "osState": "Generalized",
            "identifier": {"publisher": "factory", "offer": "Win", "sku": "a"},
            "description": "An image",
            "provisioningState": "Succeeded",
        },
    }
    assert (await shown_at(world, f"{GALLERY}/images"))["value"] == [image]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"osType": "Linux"}, "osType"),
        ({"osState": "Specialized"}, "osState"),
        ({"hyperVGeneration": "V1"}, "hyperVGeneration"),
        ({"architecture": "Arm64"}, "architecture"),
        ({"identifier": {"publisher": "factory", "offer": "Win", "sku": "b"}}, "identifier.sku"),
        ({"eula": "text"}, "eula"),
        ({"features": [{"name": "SecurityType", "value": "TrustedLaunch"}]}, "features"),
        ({"features": []}, "features"),
    ],
)
async def test_what_a_definition_is_does_not_change(world: World, change: dict[str, Any], named: str) -> None:
    """409 with the name of the property, and the definition is as it was."""
    await made(world, GALLERY, {"location": "westeurope"})
    before = await made(world, IMAGE, definition())
    status, code, message = await refused(world, IMAGE, definition(**change))
    assert (status, code) == (409, "PropertyChangeNotAllowed") and f"'galleryImage.properties.{named}'" in message
    assert await shown_at(world, IMAGE) == before


async def test_what_a_definition_says_changes(world: World) -> None:
    """Description, end of life and tags; features too, where the PUT says so."""
    await made(world, GALLERY, {"location": "westeurope"})
    await made(world, IMAGE, definition())
    changed = definition(description="new", endOfLifeDate="2099-12-31T12:59:59.000Z", allowUpdateImage=True)
    changed["properties"]["features"] = [{"name": "SecurityType", "value": "TrustedLaunch", "startsAtVersion": "2.0.0"}]
    image = await made(world, IMAGE, {**changed, "tags": {"a": "b"}})
    assert image["properties"]["endOfLifeDate"] == "2099-12-31T12:59:59+00:00"
    assert image["properties"]["features"] == changed["properties"]["features"] and image["tags"] == {"a": "b"}
    assert "allowUpdateImage" not in image["properties"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Win.A", {"identifier": {"publisher": "factory", "offer": "Win"}}),
        ("Win.A", {"identifier": {"publisher": "factory", "offer": "Win", "sku": "a."}}),
        ("Win.A", {"identifier": {"publisher": "factory", "offer": "W" * 65, "sku": "a"}}),
        ("Win.A", {"osType": "Solaris"}),
        ("Win.A", {"osState": None}),
        ("Win.A", {"endOfLifeDate": "soon"}),
        ("Win.A", {"endOfLifeDate": "2020-01-01"}),
        ("Win.A-", {}),
        ("_Win", {}),
        ("W" * 81, {}),
        ("Win A", {}),
    ],
)
async def test_a_definition_with_a_wrong_name_or_value_is_refused(
    world: World, name: str, change: dict[str, Any]
) -> None:
    """400, and nothing is created."""
    await made(world, GALLERY, {"location": "westeurope"})
    path = f"{GALLERY}/images/{name.replace(' ', '%20')}"
    assert (await refused(world, path, definition(**change)))[:2] == (400, "InvalidParameter")
    assert (await shown_at(world, f"{GALLERY}/images"))["value"] == []


async def test_an_identifier_is_taken_once_in_a_gallery(world: World) -> None:
    """409 with the definition that has it, in any casing; in another gallery it is free."""
    await made(world, GALLERY, {"location": "westeurope"})
    await made(world, IMAGE, definition())
    other = definition("A")
    status, code, message = await refused(world, f"{GALLERY}/images/other", other)
    assert (status, code) == (409, "OperationNotAllowed") and "Win.A-gen2" in message
    await made(world, f"{GALLERIES}/Second", {"location": "westeurope"})
    await made(world, f"{GALLERIES}/Second/images/other", other)


async def test_what_holds_something_is_not_deleted(world: World) -> None:
    """409 with what is in it; from the inside out all of it goes, and a second deletion is 204."""
    await standing(world)
    for path, inner in ((IMAGE, VERSION), (GALLERY, IMAGE)):
        status, body, _ = await world.call("DELETE", path, version=COMPUTE)
        assert (status, body["error"]["code"]) == (409, "CannotDeleteResource")
        assert inner.removeprefix(f"{GROUP}/providers/") in body["error"]["message"]
    for path in (VERSION, IMAGE, GALLERY):
        assert (await deleted(world, path))["status"] == "Succeeded"
        assert (await world.call("GET", path, version=COMPUTE))[0] == 404
        assert (await world.call("DELETE", path, version=COMPUTE))[0] == 204


async def test_rules_let_puts_and_deletions_fail_after_they_were_accepted(world: World) -> None:
    """The resource is Failed, and the next PUT repairs it; a deletion that fails keeps it."""
    world.fault({"path": "/galleries/", "times": 1, "action": {"imageFails": {"code": "Broken", "message": "x"}}})
    _, _, headers = await put(world, GALLERY, {"location": "westeurope"})
    assert (await world.ended(headers))["error"]["code"] == "Broken"
    assert (await shown_at(world, GALLERY))["properties"]["provisioningState"] == "Failed"
    await made(world, GALLERY, {"location": "westeurope"})
    failure = {"code": "InUse", "message": "A virtual machine uses it."}
    world.fault({"path": "/galleries/", "times": 1, "action": {"operationFails": failure}})
    assert (await deleted(world, GALLERY))["error"] == failure
    assert (await shown_at(world, GALLERY))["properties"]["provisioningState"] == "Succeeded"
    world.fault({"path": "/galleries/", "method": "DELETE", "action": {"status": 409, "code": "InUse"}})
    assert (await world.call("DELETE", GALLERY, version=COMPUTE))[0] == 409


async def test_the_callers_roles_are_shown_at_a_gallery(world: World) -> None:
    """The permissions API answers at any resource, also one that does not exist yet; by default with everything."""
    permissions = await shown_at(world, f"{IMAGE}/providers/Microsoft.Authorization/permissions")
    assert [each["actions"] for each in permissions["value"]] == [["*"]]
