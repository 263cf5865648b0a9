"""Custom images of the embedded cloud: created, rejected, changed and deleted as in Azure."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from azure.core.exceptions import HttpResponseError
from azure.core.polling import AsyncLROPoller
from azure.core.rest import HttpRequest
from azure.mgmt.core.polling.async_arm_polling import AsyncARMPolling
from hypothesis import given
from hypothesis import strategies as st

from localcloud.arm.custom_images import parse_wanted
from localcloud.arm.errors import ArmError
from localcloud.vhd import MIB
from tests.localcloud.arm_world import (
    IMAGES,
    LOWER_LAB,
    VERSION,
    World,
    blob_endpoint,
    good_footer,
    image_body,
    lab,
    lab_path,
)


async def test_a_custom_image_is_created_by_a_long_running_operation(world: World) -> None:
    """201 Creating, then Succeeded, with the values that DevTest Labs adds; list and response have the same id."""
    url = world.blobs.put_vhd("targetone", "a.vhd")
    body = {**image_body(url, author="me", description="An image"), "tags": {"ImagePath": "Win/A.json"}}
    status, created, headers = await world.call("PUT", f"{IMAGES}/Win-A", json=body)
    assert (status, created["properties"]["provisioningState"]) == (201, "Creating")
    assert headers["retry-after"] == "0"
    assert await world.ended(headers) == {"status": "Succeeded"}
    _, image, _ = await world.call("GET", f"{IMAGES.lower()}/win-a")
    assert image["id"] == created["id"] == f"{LOWER_LAB}/customimages/Win-A"
    assert image["type"] == "Microsoft.DevTestLab/labs/customImages"
    assert image["tags"] == {"ImagePath": "Win/A.json"}
    assert "location" not in image
    properties = image["properties"]
    assert properties["provisioningState"] == "Succeeded"
    assert properties["vhd"] == body["properties"]["vhd"]
    assert properties["managedImageId"].endswith("/providers/microsoft.compute/images/Win-A")
    _, listed, _ = await world.call("GET", IMAGES)
    assert listed["value"] == [image]


async def test_microsofts_poller_follows_a_creation_to_its_end(arm: Any, world: World) -> None:
    """azure-mgmt-core understands the headers of the operation, on success and on failure, with a real wait."""
    world.slow(image_create_seconds=0.2)
    url = world.blobs.put_vhd("targetone", "a.vhd")

    async def create(name: str, vhd: str) -> dict[str, Any]:
        target = f"{world.base}{IMAGES}/{name}?api-version={VERSION}"
        request = HttpRequest("PUT", target, json=image_body(vhd))
        first = await arm.send_request(request, enforce_https=False, _return_pipeline_response=True)
        polling = AsyncARMPolling(0.05, enforce_https=False)
        poller: AsyncLROPoller[Any] = AsyncLROPoller(
            arm, first, lambda answer: json.loads(answer.http_response.text()), polling
        )
        return dict(await poller.result())

    made = await create("good", url)
    assert made["properties"]["provisioningState"] == "Succeeded"
    with pytest.raises(HttpResponseError, match="SourceBlobNotFound"):
        await create("bad", f"{blob_endpoint('targetone')}/vhds/none.vhd")


def _spoiled(offset: int, value: bytes, resum: bool = False) -> bytes:
    changed = bytearray(good_footer())
    changed[offset : offset + len(value)] = value
    if resum:
        changed[64:68] = bytes(4)
        changed[64:68] = (~sum(changed) & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(changed)


@pytest.mark.parametrize(
    ("facts", "end", "code", "why"),
    [
        ({"copy_status": "pending"}, None, "PendingCopyOperation", "still being copied"),
        ({"copy_status": "failed"}, None, "InvalidVhd", "failed"),
        ({"copy_status": "aborted"}, None, "InvalidVhd", "aborted"),
        ({"blob_type": "BlockBlob"}, None, "InvalidVhd", "BlockBlob"),
        ({}, bytes(512), "InvalidVhd", "footer"),
        ({}, _spoiled(0, b"conectiy", True), "InvalidVhd", "footer"),
        ({}, _spoiled(60, (3).to_bytes(4, "big"), True), "InvalidVhd", "dynamic"),
        ({}, _spoiled(64, b"\1\2\3\4"), "InvalidVhd", "checksum"),
        ({"length": 64 * MIB + 1024}, good_footer(64 * MIB + 512), "InvalidVhd", "1 MiB"),
        ({"length": 0}, b"", "InvalidVhd", "too few"),
    ],
)
async def test_an_image_of_an_unusable_vhd_fails_with_its_reason(
    world: World, facts: dict[str, Any], end: bytes | None, code: str, why: str
) -> None:
    """As in Azure, the PUT is accepted and the image fails, but without hours of waiting."""
    url = world.blobs.put_vhd("targetone", "bad.vhd", end, **facts)
    status, _, headers = await world.call("PUT", f"{IMAGES}/bad", json=image_body(url))
    assert status == 201
    ended = await world.ended(headers)
    assert (ended["status"], ended["error"]["code"]) == ("Failed", code)
    assert why in ended["error"]["message"]
    _, image, _ = await world.call("GET", f"{IMAGES}/bad")
    assert image["properties"]["provisioningState"] == "Failed"
    assert "managedImageId" not in image["properties"]


@pytest.mark.parametrize(
    "url",
    [
        f"{blob_endpoint('someoneelse')}/vhds/a.vhd",
        f"{blob_endpoint('targetone')}evil/vhds/a.vhd",
        "https://targetone.blob.core.windows.net/vhds/a.vhd",
        "",
    ],
)
async def test_a_vhd_outside_the_labs_own_account_is_rejected_immediately(world: World, url: str) -> None:
    """The error is InvalidStorageAccountForLab, and no image is created."""
    status, body, _ = await world.call("PUT", f"{IMAGES}/a", json=image_body(url))
    assert (status, body["error"]["code"]) == (400, "InvalidStorageAccountForLab")
    assert (await world.call("GET", f"{IMAGES}/a"))[0] == 404


async def test_a_vhd_url_with_a_signature_is_rejected(world: World) -> None:
    """A resource must not contain a SAS."""
    url = world.blobs.put_vhd("targetone", "a.vhd")
    status, body, _ = await world.call("PUT", f"{IMAGES}/a", json=image_body(f"{url}?sig=abc"))
    assert (status, body["error"]["code"]) == (400, "InvalidRequestContent")


async def test_a_vhd_is_needed_until_the_image_is_created(world: World) -> None:
    """Deleting the VHD during the creation fails the image; deleting it afterwards does not."""
    world.slow(image_create_seconds=0.3)
    url = world.blobs.put_vhd("targetone", "a.vhd")
    _, _, headers = await world.call("PUT", f"{IMAGES}/early", json=image_body(url))
    assert (await world.call("GET", f"{IMAGES}/early"))[1]["properties"]["provisioningState"] == "Creating"
    declared = world.blobs.declared.pop(url)
    assert (await world.ended(headers))["error"]["code"] == "SourceBlobNotFound"
    world.blobs.declared[url] = declared
    _, _, headers = await world.call("PUT", f"{IMAGES}/late", json=image_body(url))
    assert (await world.ended(headers))["status"] == "Succeeded"
    del world.blobs.declared[url]
    assert (await world.call("GET", f"{IMAGES}/late"))[1]["properties"]["provisioningState"] == "Succeeded"


async def test_a_put_of_an_existing_image_updates_it_in_place(world: World) -> None:
    """200, new tags and description, the same identity; the VHD, already deleted, is not needed."""
    url = world.blobs.put_vhd("targetone", "a.vhd")
    await world.call("PUT", f"{IMAGES}/a", json=image_body(url, description="old"))
    _, before, _ = await world.call("GET", f"{IMAGES}/a")
    world.blobs.declared.clear()
    body = {**image_body(url, description="new"), "tags": {"a": "b"}}
    status, after, headers = await world.call("PUT", f"{IMAGES}/a", json=body)
    assert (status, "azure-asyncoperation" in headers) == (200, False)
    assert after["properties"] == {**before["properties"], "description": "new"}
    assert after["tags"] == {"a": "b"}


async def test_a_put_during_the_creation_is_a_conflict(world: World) -> None:
    """409 AnotherOperationInProgress, with Retry-After."""
    world.slow(image_create_seconds=60)
    url = world.blobs.put_vhd("targetone", "a.vhd")
    await world.call("PUT", f"{IMAGES}/a", json=image_body(url))
    status, body, headers = await world.call("PUT", f"{IMAGES}/a", json=image_body(url))
    assert (status, body["error"]["code"], headers["retry-after"]) == (409, "AnotherOperationInProgress", "10")


async def test_a_deletion_is_an_operation_and_204_for_a_missing_image(world: World) -> None:
    """202 with a poll URL, Deleting, then 404; a second DELETE is 204; a missing lab is 404."""
    world.slow(image_delete_seconds=0.2)
    world.seed(lab("Seeded", images=[{"name": "old"}]))
    path = f"{lab_path('Seeded')}/customimages/old"
    status, _, headers = await world.call("DELETE", path)
    assert status == 202
    assert "location" not in headers
    assert (await world.call("GET", path))[1]["properties"]["provisioningState"] == "Deleting"
    assert await world.ended(headers) == {"status": "Succeeded"}
    assert (await world.call("GET", path))[0] == 404
    assert (await world.call("DELETE", path))[0] == 204
    assert (await world.call("DELETE", f"{lab_path('None')}/customimages/old"))[0] == 404


async def test_an_image_can_be_deleted_during_its_creation(world: World) -> None:
    """The creation ends as preempted, and the image does not reappear."""
    world.slow(image_create_seconds=0.2)
    url = world.blobs.put_vhd("targetone", "a.vhd")
    _, _, creation = await world.call("PUT", f"{IMAGES}/a", json=image_body(url))
    _, _, deletion = await world.call("DELETE", f"{IMAGES}/a")
    assert (await world.ended(deletion))["status"] == "Succeeded"
    assert (await world.ended(creation))["error"]["code"] == "OperationPreempted"
    _, _, again = await world.call("PUT", f"{IMAGES}/b", json=image_body(url))
    await world.ended(again)
    assert (await world.call("GET", f"{IMAGES}/a"))[0] == 404


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a", []),
        ("a", {}),
        ("a", {"properties": {"vm": {"sourceVmId": "x"}}}),
        ("a", {"properties": {"vhd": {"imageName": "x"}}}),
        ("a", {"properties": {"vhd": {"imageName": "x", "osType": "Plan9"}}}),
        ("a", {"properties": {"vhd": {"imageName": "x", "osType": "Windows", "sysPrep": "yes"}}}),
        ("a", {"properties": {"vhd": {"imageName": "x", "osType": "Linux", "sysPrep": True}}}),
        ("a", {"properties": {"vhd": {"imageName": 5, "osType": "Linux"}}}),
        ("a", {**image_body("x"), "tags": {"a": 1}}),
        ("a", {**image_body("x"), "location": 1}),
        ("a", image_body("x", description=1)),
        ("a%3Fb", image_body("x")),
    ],
)
async def test_a_bad_body_is_rejected_with_its_reason(world: World, name: str, body: Any) -> None:
    """400, with a message that names the problem; never 500."""
    status, answer, _ = await world.call("PUT", f"{IMAGES}/{name}", json=body)
    assert status == 400
    assert answer["error"]["message"]


@pytest.mark.parametrize("name", ["C++", "_a", "a-", "a.", "a b", "a(1)", "Büro", "a" * 81])
async def test_a_name_outside_of_the_rule_of_devtest_labs_is_rejected_with_it(world: World, name: str) -> None:
    """Before the VHD is read."""
    target = f"{IMAGES}/{quote(name)}"
    status, answer, _ = await world.call("PUT", target, json=image_body(world.blobs.put_vhd("targetone", "a.vhd")))
    rule = r"The entity name 'name' is invalid according to its validation rule: ^[^_\W][\w-._]{0,79}(?<![-.])$."
    assert (status, answer["error"]["message"]) == (400, rule)
    assert (await world.call("GET", target))[0] == 404


async def test_an_image_that_exists_keeps_a_name_outside_of_the_rule(world: World) -> None:
    """It was created when its name was valid: it is read, changed and deleted."""
    world.seed(lab("Seeded", images=[{"name": "Win (Core)", "tags": {"ImagePath": "Win.json"}}]))
    target = f"{lab_path('Seeded')}/customimages/{quote('Win (Core)')}"
    status, image, _ = await world.call("GET", target)
    assert (status, image["name"]) == (200, "Win (Core)")
    body = {key: image[key] for key in ("properties", "tags") if key in image}
    assert (await world.call("PUT", target, json=body))[0] in (200, 201)
    _, _, deletion = await world.call("DELETE", target)
    assert (await world.ended(deletion))["status"] == "Succeeded"


async def test_a_body_that_is_not_json_is_rejected(world: World) -> None:
    """400, not 500."""
    status, body, _ = await world.call("PUT", f"{IMAGES}/a", data=b"\xff{")
    assert (status, body["error"]["code"]) == (400, "InvalidRequestContent")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["properties", "vhd", "osType", "sysPrep", "tags", "imageName", "vm"]), inner)
    ),
    max_leaves=12,
)


@given(name=st.text(max_size=90), body=_JSON)
def test_any_json_is_either_an_image_or_an_arm_error(name: str, body: Any) -> None:
    """Any JSON results in a wanted image or in an ArmError."""
    try:
        wanted = parse_wanted(name, body)
    except ArmError as error:
        assert error.status == 400
    else:
        assert wanted.given.get("vhd", {"osType": "None"})["osType"] in ("Windows", "Linux", "None")


async def test_a_patch_changes_only_the_tags_of_an_image(world: World) -> None:
    """Also after its VHD is gone; without tags it changes nothing, and other values than texts are refused."""
    url = world.blobs.put_vhd("targetone", "a.vhd")
    _, _, headers = await world.call("PUT", f"{IMAGES}/a", json={**image_body(url, author="me"), "tags": {"One": "1"}})
    await world.ended(headers)
    _, before, _ = await world.call("GET", f"{IMAGES}/a")
    body = {"tags": {"Two": "2"}, "location": "elsewhere", "properties": {"author": "you"}}
    for change, tags in ((body, {"Two": "2"}), ({"properties": {}}, {"Two": "2"}), ({"tags": {}}, {})):
        status, changed, _ = await world.call("PATCH", f"{IMAGES}/A", json=change)
        assert status == 200 and changed.get("tags", {}) == tags
        assert {**changed, "tags": before["tags"]} == before
    status, refused, _ = await world.call("PATCH", f"{IMAGES}/a", json={"tags": {"One": 1}})
    assert (status, refused["error"]["code"]) == (400, "InvalidRequestContent")
    assert (await world.call("PATCH", f"{IMAGES}/none", json={"tags": {}}))[0] == 404


async def test_seeded_images_are_like_those_of_the_powershell_scripts(world: World) -> None:
    """Tags with ImagePath only or none, any state, backed by a managed image; seeding again changes nothing."""
    old = {"name": "Old", "tags": {"ImagePath": "Win/A.json"}, "author": "", "vhdUrl": "http://x/y.vhd"}
    images = [old, {"name": "Untagged", "osType": "Linux"}, {"name": "Broken", "provisioningState": "Failed"}]
    world.seed(lab("Seeded", images=images))
    world.seed(lab("Seeded", region="elsewhere", images=[{**old, "tags": {}}, {"name": "Added"}]))
    _, listed, _ = await world.call("GET", f"{lab_path('Seeded')}/customimages")
    found = {each["name"]: each for each in listed["value"]}
    assert sorted(found) == ["Added", "Broken", "Old", "Untagged"]
    assert found["Old"]["tags"] == {"ImagePath": "Win/A.json"}
    assert found["Old"]["properties"]["vhd"] == {"imageName": "http://x/y.vhd", "osType": "Windows", "sysPrep": True}
    assert "tags" not in found["Untagged"]
    assert found["Untagged"]["properties"]["managedSnapshotId"]
    assert found["Broken"]["properties"]["provisioningState"] == "Failed"
