"""Galleries that are attached to labs of the embedded cloud, and the images that a lab admits from them."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.seed import parse_seed
from tests.localcloud.arm_world import LOWER_LAB, SUBSCRIPTION, World, lab, lab_path
from tests.localcloud.arm_world import VERSION as OLDER
from tests.localcloud.gallery_world import (
    ACCOUNT,
    ATTACHED,
    GALLERY,
    IMAGE,
    LABS,
    VERSION,
    definition,
    made,
    put,
    refused,
    replication,
    shown_at,
)

IMAGES = f"{ATTACHED}/sharedimages"


def attachment(allow: str = "Disabled", gallery: str = GALLERY) -> dict[str, Any]:
    """Return the body of a PUT of an attachment."""
    return {"location": "westeurope", "properties": {"galleryId": gallery, "allowAllImages": allow}}


async def _gallery(world: World) -> None:
    await made(world, GALLERY, {"location": "westeurope"})
    await made(world, IMAGE, definition())
    await made(world, f"{GALLERY}/images/Linux.B", definition("b", osType="Linux", osState="Specialized", features=[]))


async def _states(world: World) -> dict[str, str]:
    listed = await shown_at(world, IMAGES)
    return {each["name"]: each["properties"]["enableState"] for each in listed["value"]}


async def test_a_gallery_is_attached_at_once(world: World) -> None:
    """201, then 200 for a change; ids in the casing of the published examples; no operation."""
    await _gallery(world)
    status, shown, headers = await put(world, ATTACHED, {**attachment(), "tags": {"a": "b"}})
    assert status == 201 and "azure-asyncoperation" not in headers
    assert shown["id"] == f"{LOWER_LAB}/sharedgalleries/Golden" and shown["tags"] == {"a": "b"}
    assert (shown["type"], shown["location"]) == ("Microsoft.DevTestLab/labs/sharedGalleries", "westeurope")
    assert {**shown["properties"], "uniqueIdentifier": ""} == {
        "galleryId": GALLERY,
        "allowAllImages": "Disabled",
        "provisioningState": "Succeeded",
        "uniqueIdentifier": "",
    }
    status, changed, _ = await put(world, ATTACHED, attachment("Enabled"))
    assert (status, changed["properties"]["allowAllImages"]) == (200, "Enabled") and "tags" not in changed
    assert changed["properties"]["uniqueIdentifier"] == shown["properties"]["uniqueIdentifier"]
    assert await shown_at(world, ATTACHED) == changed
    assert (await shown_at(world, f"{lab_path()}/sharedgalleries"))["value"] == [changed]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"properties": {"galleryId": GALLERY}}, 400, "LocationRequired"),
        (attachment(gallery="Golden"), 400, "InvalidRequestContent"),
        (attachment("Maybe"), 400, "InvalidRequestContent"),
        (attachment(gallery=f"{GALLERY}2"), 404, "ResourceNotFound"),
    ],
)
async def test_an_attachment_that_is_refused_is_not_made(world: World, body: Any, status: int, code: str) -> None:
    """Without location, of no gallery or of one that does not exist."""
    await _gallery(world)
    assert (await refused(world, ATTACHED, body))[:2] == (status, code)
    assert (await shown_at(world, f"{lab_path()}/sharedgalleries"))["value"] == []


async def test_a_lab_has_one_gallery(world: World) -> None:
    """A second is 409, another one under the same name 400; after the first is detached, it can be attached."""
    await _gallery(world)
    other = GALLERY.replace("Golden", "Other")
    await made(world, other, {"location": "westeurope"})
    await put(world, ATTACHED, attachment())
    second = f"{lab_path()}/sharedgalleries/Second"
    assert (await refused(world, second, attachment(gallery=other)))[:2] == (409, "Conflict")
    assert (await refused(world, ATTACHED, attachment(gallery=other)))[:2] == (400, "CannotSetProperty")
    assert (await world.call("DELETE", ATTACHED, version=LABS))[0] == 200
    assert (await world.call("DELETE", ATTACHED, version=LABS))[0] == 204
    assert (await put(world, second, attachment(gallery=other)))[0] == 201


async def test_images_are_disabled_until_they_are_enabled(world: World) -> None:
    """One by one; `allowAllImages` overrides their states, and keeps them for later."""
    await _gallery(world)
    await put(world, ATTACHED, attachment())
    assert await _states(world) == {"Win.A-gen2": "Disabled", "Linux.B": "Disabled"}
    wanted = {"definitionName": "Win.A-gen2", "osType": "Windows", "imageType": "Generalized", "enableState": "Enabled"}
    status, image, _ = await put(world, f"{IMAGES}/win.a-gen2", {"properties": wanted})
    assert status == 201 and image["id"] == f"{LOWER_LAB}/sharedgalleries/Golden/sharedimages/Win.A-gen2"
    assert image["type"] == "Microsoft.DevTestLab/labs/sharedGalleries/sharedImages"
    assert wanted.items() <= image["properties"].items() and image["properties"]["displayName"] == "Win.A-gen2"
    assert await shown_at(world, f"{IMAGES}/Win.A-gen2") == image
    assert await _states(world) == {"Win.A-gen2": "Enabled", "Linux.B": "Disabled"}
    await put(world, ATTACHED, attachment("Enabled"))
    assert {*(await _states(world)).values()} == {"Enabled"}
    await put(world, ATTACHED, attachment())
    assert await _states(world) == {"Win.A-gen2": "Enabled", "Linux.B": "Disabled"}
    assert (await put(world, f"{IMAGES}/Win.A-gen2", {"properties": {"enableState": "Disabled"}}))[0] == 200
    assert {*(await _states(world)).values()} == {"Disabled"}


async def test_an_image_that_the_gallery_does_not_have_is_refused(world: World) -> None:
    """404; and 400 for a state or a type that is none of it."""
    await _gallery(world)
    await put(world, ATTACHED, attachment())
    enabled = {"properties": {"enableState": "Enabled"}}
    assert (await refused(world, f"{IMAGES}/None", enabled))[:2] == (404, "ResourceNotFound")
    for wrong in ({}, {"enableState": "On"}, {"enableState": "Enabled", "osType": "Linux"}):
        body = {"properties": wrong}
        assert (await refused(world, f"{IMAGES}/Win.A-gen2", body))[:2] == (400, "InvalidRequestContent")
    assert {*(await _states(world)).values()} == {"Disabled"}


async def test_detaching_forgets_what_was_enabled(world: World) -> None:
    """So does a DELETE of an image, which the gallery keeps."""
    await _gallery(world)
    await put(world, ATTACHED, attachment())
    for name in ("Win.A-gen2", "Linux.B"):
        await put(world, f"{IMAGES}/{name}", {"properties": {"enableState": "Enabled"}})
    assert [(await world.call("DELETE", f"{IMAGES}/Linux.B", version=LABS))[0] for _ in range(2)] == [200, 204]
    assert await _states(world) == {"Win.A-gen2": "Enabled", "Linux.B": "Disabled"}
    await world.call("DELETE", ATTACHED, version=LABS)
    assert (await world.call("GET", IMAGES, version=LABS))[0] == 404
    await put(world, ATTACHED, attachment())
    assert {*(await _states(world)).values()} == {"Disabled"}


async def test_a_lab_shows_new_definitions_late(world: World) -> None:
    """Until then they are neither listed nor enabled."""
    await _gallery(world)
    await put(world, ATTACHED, attachment())
    world.slow(shared_image_seconds=3600)
    assert await _states(world) == {}
    enabled = {"properties": {"enableState": "Enabled"}}
    assert (await refused(world, f"{IMAGES}/Win.A-gen2", enabled))[0] == 404
    world.slow()
    assert (await put(world, f"{IMAGES}/Win.A-gen2", enabled))[0] == 201


async def test_only_the_preview_version_has_the_calls(world: World) -> None:
    """400 for an older one; the other calls of labs take the preview version too."""
    status, body, _ = await world.call("GET", f"{lab_path()}/sharedgalleries", version=OLDER)
    assert (status, body["error"]["code"]) == (400, "NoRegisteredProviderFound")
    assert (await world.call("GET", lab_path(), version=LABS))[0] == 200


async def test_a_seed_has_galleries_and_attachments(world: World) -> None:
    """They stand as the document says; a second seed adds and changes nothing else."""
    seeded = {
        "name": "2026.1126.143005",
        "tags": {"ImagePath": "Win/A.json"},
        "vhdUrl": "http://127.0.0.1:10000/targetone/imagefactoryvhds/a.vhd",
        "storageAccountId": ACCOUNT,
        "dataDisks": [{"lun": 0, "vhdUrl": "http://x/b.vhd", "storageAccountId": ACCOUNT, "sizeGb": 4}],
        "targetRegions": ["westeurope", "northeurope"],
        "failedRegions": ["northeurope"],
        "provisioningState": "Failed",
        "excludeFromLatest": True,
    }
    image = {"name": "Win.A-gen2", "osType": "Windows", "hyperVGeneration": "V2", "versions": [seeded]}
    gallery = {"name": "Golden", "resourceGroup": "images", "region": "West Europe", "definitions": [image]}
    id = GALLERY.replace("RG-One", "images")
    attached = {"name": "Golden", "galleryId": id, "images": ["win.a-gen2"]}
    document = {
        "subscriptionId": SUBSCRIPTION,
        "labs": [lab("Second", sharedGallery=attached)],
        "galleries": [gallery],
        "resourceGroups": [{"name": "spare", "region": "eastus"}],
    }
    for _ in range(2):
        world.store.add(parse_seed({"subscriptions": [document]}).subscriptions)
    path = VERSION.replace("RG-One", "images")
    shown = (await shown_at(world, path))["properties"]
    assert shown["storageProfile"]["dataDiskImages"][0]["sizeInGB"] == 4 and shown["publishingProfile"]["publishedDate"]
    now = await replication(world, path)
    assert (now["state"], now["West Europe"][0], now["North Europe"][0]) == ("Failed", "Completed", "Failed")
    images = f"{lab_path('Second')}/sharedgalleries/Golden/sharedimages"
    (only,) = (await shown_at(world, images))["value"]
    assert only["properties"]["enableState"] == "Enabled"
    assert world.store.labs_of(world.store.galleries[SUBSCRIPTION, "images", "golden"]) == [
        LOWER_LAB.replace("Target", "Second")
    ]
    for group, region in (("images", "West Europe"), ("SPARE", "eastus"), ("RG-One", "westeurope")):
        about = await shown_at(world, f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}")
        assert about["location"] == region
