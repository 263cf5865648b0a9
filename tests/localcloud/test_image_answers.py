"""Answers about custom images in every form that Azure may give them, and images that stand, of any origin."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.arm.answers import Answers
from localcloud.client import CloudClient
from tests.e2e.cloud_calls import whole
from tests.localcloud.arm_world import (
    IMAGES,
    LOWER_LAB,
    SUBSCRIPTION,
    World,
    blob_endpoint,
    image_body,
    lab,
    lab_path,
)

COMPUTE = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/RG-One/providers/microsoft.compute"
VHD = {"imageName": f"{blob_endpoint('targetone')}/vhds/old.vhd", "osType": "Windows", "sysPrep": True}
VM = {"sourceVmId": f"{LOWER_LAB}/virtualmachines/vm1", "linuxOsInfo": {"linuxOsState": "NonDeprovisioned"}}
FROM_VM = {"vm": VM, "managedSnapshotId": f"{COMPUTE}/snapshots/golden"}
FROM_DISK = {"managedImageId": f"{COMPUTE}/images/golden"}
ORIGINS = [{"vhd": VHD}, {"vhd": VHD, **FROM_DISK}, FROM_VM, FROM_DISK]
STANDING = f"{lab_path('Seeded')}/customimages/golden"


async def _answers(world: World, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers to the PUT of an image, to a GET, to a list, and to a second PUT."""
    first = await world.call("PUT", f"{IMAGES}/a", json=body)
    read, listed = await world.call("GET", f"{IMAGES}/a"), await world.call("GET", IMAGES)
    again = await world.call("PUT", f"{IMAGES}/a", json=body)
    assert (first[0], again[0]) == (201, 200)
    return [first[1], read[1], *listed[1]["value"], again[1]]


@pytest.mark.parametrize("given", [{}, {"location": "westeurope"}])
async def test_no_answer_about_an_image_has_a_location(world: World, given: dict[str, str]) -> None:
    """As recorded: whatever the PUT had; the id has the service's casing."""
    answers = await _answers(world, {**image_body(world.blobs.put_vhd("targetone", "a.vhd")), **given})
    assert [each.get("location") for each in answers] == [None] * 4
    assert {each["id"] for each in answers} == {f"{LOWER_LAB}/customimages/a"}


@pytest.mark.parametrize("author", [{}, {"author": ""}])
async def test_the_service_fills_in_an_author(world: World, author: dict[str, str]) -> None:
    """As recorded, where none was given; an author that was given is kept, also by a PUT without one."""
    url = world.blobs.put_vhd("targetone", "a.vhd")
    answers = await _answers(world, image_body(url, **author))
    assert [each["properties"]["author"] for each in answers] == ["someone@example.com"] * 4
    await world.call("PUT", f"{IMAGES}/b", json=image_body(url, author="me"))
    _, kept, _ = await world.call("PUT", f"{IMAGES}/b", json=image_body(url, **author))
    assert kept["properties"]["author"] == "me"


@pytest.mark.parametrize(("given", "shown"), [({}, "westeurope"), ({"location": "northeurope"}, "northeurope")])
async def test_the_published_form_has_a_location_and_the_documented_id(
    world: World, given: dict[str, str], shown: str
) -> None:
    """Every answer has the location of the PUT, else the lab's."""
    world.store.answers = Answers(custom_image_answers="published")
    answers = await _answers(world, {**image_body(world.blobs.put_vhd("targetone", "a.vhd")), **given})
    assert [each["location"] for each in answers] == [shown] * 4
    assert {each["id"] for each in answers} == {f"{lab_path()}/customimages/a"}


async def test_a_policy_adds_its_tags_to_every_image(world: World) -> None:
    """To those that stand and to those that come, in all answers; an image keeps its own tags."""
    world.seed(lab("Seeded", images=[{"name": "golden", "tags": {"owner": "web", "cost": "none"}}]))
    world.store.answers = Answers(policy_tags={"cost": "lab"})
    body = {**image_body(world.blobs.put_vhd("targetone", "a.vhd")), "tags": {"a": "b"}}
    assert [each["tags"] for each in await _answers(world, body)] == [{"a": "b", "cost": "lab"}] * 4
    assert (await world.call("GET", STANDING))[1]["tags"] == {"owner": "web", "cost": "lab"}


async def test_a_seeded_image_is_as_the_document_says(world: World) -> None:
    """Properties are merged in as given, values beside them are in every answer, and no source is made up."""
    properties = {
        **FROM_VM,
        "author": "somebody",
        "creationDate": "2020-01-02T03:04:05.1234567+00:00",
        "customImagePlan": {"id": "plan", "offer": "offer", "publisher": "publisher"},
        "dataDiskStorageInfo": [{"lun": "0", "storageType": "Premium"}],
        "isPlanAuthorized": True,
    }
    beside = {"location": "westeurope", "systemData": {"createdBy": "somebody"}}
    world.seed(lab("Seeded", images=[{"name": "golden", "properties": properties, **beside}]))
    _, image, _ = await world.call("GET", STANDING)
    identifier = image["properties"].pop("uniqueIdentifier")
    assert identifier and image["properties"] == {**properties, "provisioningState": "Succeeded"}
    assert {key: image[key] for key in beside} == beside
    assert (await world.call("GET", f"{lab_path('Seeded')}/customimages"))[1]["value"][0] == {
        **image,
        "properties": {**image["properties"], "uniqueIdentifier": identifier},
    }


@pytest.mark.parametrize("properties", ORIGINS)
async def test_a_put_of_an_images_own_answer_updates_it_in_place(world: World, properties: dict[str, Any]) -> None:
    """200, whatever it was made from, also in another casing of its ids: nothing but the tags changes."""
    world.seed(lab("Seeded", images=[{"name": "golden", "properties": properties}]))
    _, before, _ = await world.call("GET", STANDING)
    backing = {key: value.upper() for key, value in before["properties"].items() if key.startswith("managed")}
    for body in (before["properties"], {**before["properties"], **backing}):
        status, after, _ = await world.call("PUT", STANDING, json={"properties": body, "tags": {"a": "b"}})
        shown = {**before["properties"], **{key: body[key] for key in backing}}
        assert (status, after) == (200, {**before, "properties": shown, "tags": {"a": "b"}})


@pytest.mark.parametrize("standing", ORIGINS)
@pytest.mark.parametrize(
    "wanted",
    [
        {"vhd": {**VHD, "imageName": f"{blob_endpoint('targetone')}/vhds/new.vhd"}},
        {"vhd": {"osType": "Windows", "sysPrep": True}},
        {"vhd": {**VHD, "osType": "Linux", "sysPrep": False}},
        {"vhd": {**VHD, "sysPrep": False}},
        {"vhd": VHD, "managedImageId": f"{COMPUTE}/images/other"},
        {"vm": {**VM, "sourceVmId": f"{LOWER_LAB}/virtualmachines/vm2"}},
        {"managedImageId": f"{COMPUTE}/images/other"},
        {"managedSnapshotId": f"{COMPUTE}/snapshots/golden"},
    ],
)
async def test_a_put_that_changes_where_a_standing_image_came_from_is_rejected(
    world: World, standing: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """400 CannotSetProperty, though the VHD is there; the image stands as before."""
    world.blobs.put_vhd("targetone", "new.vhd")
    world.seed(lab("Seeded", images=[{"name": "golden", "properties": standing}]))
    before = await world.call("GET", STANDING)
    status, body, _ = await world.call("PUT", STANDING, json={"properties": wanted, "tags": {"a": "b"}})
    assert (status, body["error"]["code"]) == (400, "CannotSetProperty")
    assert (await world.call("GET", STANDING))[1] == before[1]


async def test_a_put_of_a_failed_image_creates_it_again(world: World) -> None:
    """From the same VHD or another; from then on its source is fixed."""
    _, _, headers = await world.call("PUT", f"{IMAGES}/a", json=image_body(f"{blob_endpoint('targetone')}/vhds/none"))
    assert (await world.ended(headers))["status"] == "Failed"
    url, other = (world.blobs.put_vhd("targetone", name) for name in ("a.vhd", "b.vhd"))
    status, _, headers = await world.call("PUT", f"{IMAGES}/a", json=image_body(url))
    assert (status, (await world.ended(headers))["status"]) == (201, "Succeeded")
    assert (await world.call("PUT", f"{IMAGES}/a", json=image_body(other)))[0] == 400
    assert (await world.call("GET", f"{IMAGES}/a"))[1]["properties"]["vhd"]["imageName"] == url


def test_the_form_of_answers_is_set_by_a_seed_and_by_a_call(fresh_cloud: CloudClient) -> None:
    """Both set all of it; the call without values sets what is recorded."""
    images = [{"name": "golden"}]
    document = {"subscriptions": [{"subscriptionId": SUBSCRIPTION, "labs": [lab("Answering", images=images)]}]}
    path = f"{lab_path('Answering')}/customimages/golden"
    fresh_cloud.seed({**document, "answers": {"customImageAnswers": "published", "policyTags": {"cost": "lab"}}})
    shown = whole(fresh_cloud.status(), "GET", path)
    assert (shown["location"], shown["tags"]) == ("westeurope", {"cost": "lab"})
    fresh_cloud.set_answers(policy_tags={"cost": "none"})
    shown = whole(fresh_cloud.status(), "GET", path)
    assert ("location" in shown, shown["tags"]) == (False, {"cost": "none"})
    fresh_cloud.set_answers()
    assert not {"location", "tags"} & whole(fresh_cloud.status(), "GET", path).keys()
