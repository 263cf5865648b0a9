"""The resource manager of the embedded cloud, over real HTTP: Azure's answers, rules and refusals."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
import pytest_asyncio
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import AsyncRetryPolicy, RequestIdPolicy
from azure.core.polling import AsyncLROPoller
from azure.core.rest import HttpRequest
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.core import AsyncARMPipelineClient
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy
from azure.mgmt.core.polling.async_arm_polling import AsyncARMPolling
from hypothesis import given
from hypothesis import strategies as st

from localcloud.arm.custom_images import parse_wanted
from localcloud.arm.errors import ArmError
from localcloud.arm.identity import Identity
from localcloud.arm.store import ArmStore, StoreError
from localcloud.vhd import MIB
from tests.localcloud.arm_world import (
    KEY,
    SUBSCRIPTION,
    VERSION,
    World,
    blob_endpoint,
    good_footer,
    image_body,
    lab,
    lab_path,
    running,
)

LABS = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.DevTestLab/labs"
IMAGES = f"{lab_path()}/customimages"
LOWER_LAB = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/RG-One/providers/microsoft.devtestlab/labs/Target"


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    """A resource manager with one lab."""
    async with running(labs=[lab()]) as running_world:
        yield running_world


@pytest_asyncio.fixture
async def arm(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncARMPipelineClient[Any, Any]]:
    """Microsoft's own client, with Microsoft's own managed identity credential."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", world.token_endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", world.identity.header)
    async with ManagedIdentityCredential() as credential:
        scope = f"{world.base}/.default"
        auth = AsyncARMChallengeAuthenticationPolicy(credential, scope)
        policies = [RequestIdPolicy(), AsyncRetryPolicy(), auth]
        client: AsyncARMPipelineClient[Any, Any] = AsyncARMPipelineClient(world.base, policies=policies)
        async with client:
            yield client


async def test_azure_identity_gets_tokens_that_the_resource_manager_takes(arm: Any, world: World) -> None:
    """The App Service managed-identity protocol works with the real credential; the answer is the lab."""
    request = HttpRequest("GET", f"{world.base}{lab_path()}?api-version={VERSION}")
    answer = await arm.send_request(request, enforce_https=False)
    assert answer.status_code == 200
    assert answer.json()["name"] == "Target"


@pytest.mark.parametrize("header", [None, "wrong"])
async def test_the_identity_endpoint_wants_its_header(world: World, header: str | None) -> None:
    """Without the right X-IDENTITY-HEADER there is no token."""
    headers = {} if header is None else {"X-IDENTITY-HEADER": header}
    query = {"resource": "https://management.azure.com/", "api-version": "2019-08-01"}
    async with world.session.get(world.token_endpoint, headers=headers, params=query) as response:
        assert response.status == 401
        assert "access_token" not in await response.text()


async def test_the_identity_endpoint_wants_resource_and_version(world: World) -> None:
    """A request without a resource or with another version is refused, not guessed."""
    headers = {"X-IDENTITY-HEADER": world.identity.header}
    for query in ({"api-version": "2019-08-01"}, {"resource": "https://management.azure.com/"}):
        async with world.session.get(world.token_endpoint, headers=headers, params=query) as response:
            assert response.status == 400


def _tokens(world: World) -> dict[str, str]:
    other = Identity(world.identity.header, b"z" * 32)
    expired = Identity(world.identity.header, world.identity.key, lifetime=-10)
    return {
        "InvalidAuthenticationToken": other.token("https://management.azure.com/")[0],
        "ExpiredAuthenticationToken": expired.token("https://management.azure.com/")[0],
        "InvalidAuthenticationTokenAudience": world.identity.token("https://storage.azure.com/")[0],
    }


@pytest.mark.parametrize(
    "code", ["InvalidAuthenticationToken", "ExpiredAuthenticationToken", "InvalidAuthenticationTokenAudience"]
)
async def test_a_bad_token_is_refused_with_a_challenge(world: World, code: str) -> None:
    """A foreign, an expired and a misdirected token are told apart, with 401 and WWW-Authenticate."""
    status, body, headers = await world.call("GET", LABS, token=_tokens(world)[code])
    assert (status, body["error"]["code"]) == (401, code)
    assert headers["www-authenticate"].startswith("Bearer ")


async def test_an_unsigned_token_and_no_token_are_refused(world: World) -> None:
    """`alg: none` is no way in."""
    claims = {"aud": "https://management.azure.com", "exp": time.time() + 100}
    status, body, _ = await world.call("GET", LABS, token=jwt.encode(claims, "", algorithm="none"))
    assert (status, body["error"]["code"]) == (401, "InvalidAuthenticationToken")
    status, body, _ = await world.call("GET", LABS, headers={})
    assert (status, body["error"]["code"]) == (401, "AuthenticationFailed")


@pytest.mark.parametrize(
    ("path", "version", "status", "code"),
    [
        (LABS, None, 400, "MissingApiVersionParameter"),
        (LABS, "2000-01-01", 400, "NoRegisteredProviderFound"),
        (f"/subscriptions/{SUBSCRIPTION}/resourceGroups/RG-One", "latest", 400, "InvalidApiVersionParameter"),
        (LABS.replace("1111", "9999"), VERSION, 404, "SubscriptionNotFound"),
        (lab_path("Nowhere"), VERSION, 404, "ResourceNotFound"),
        (f"{lab_path('Nowhere')}/customimages", VERSION, 404, "ResourceNotFound"),
        (f"{lab_path()}/customimages/none", VERSION, 404, "ResourceNotFound"),
        (f"{lab_path()}/virtualmachines", VERSION, 404, "InvalidResourceType"),
        (f"/subscriptions/{SUBSCRIPTION}/resourceGroups/none", "2020-10-01", 404, "ResourceGroupNotFound"),
    ],
)
async def test_what_is_not_there_is_refused_by_code(
    world: World, path: str, version: str | None, status: int, code: str
) -> None:
    """Each refusal has ARM's error body and code, and request ids."""
    answered, body, headers = await world.call("GET", path, version=version)
    assert (answered, body["error"]["code"]) == (status, code)
    assert body["error"]["message"]
    assert uuid.UUID(headers["x-ms-request-id"])


async def test_labs_come_in_pages_that_hold_each_lab_once(world: World) -> None:
    """120 labs are three pages; following nextLink gives every lab exactly once."""
    world.seed(*(lab(f"Lab{number:03}") for number in range(119)))
    names: list[str] = []
    sizes: list[int] = []
    link: str | None = LABS
    while link:
        status, body, _ = await world.call("GET", link)
        assert status == 200
        names += [each["name"] for each in body["value"]]
        sizes.append(len(body["value"]))
        link = body.get("nextLink")
    assert sizes == [50, 50, 20]
    assert sorted(names) == sorted(["Target", *(f"Lab{number:03}" for number in range(119))])


async def test_top_limits_all_pages_together(world: World) -> None:
    """$top=60 is one page of 50 and one of 10; a $top that is no number is refused."""
    world.seed(lab("Many", images=[{"name": f"image{number:03}"} for number in range(70)]))
    path = f"{lab_path('Many')}/customimages"
    _, first, _ = await world.call("GET", path, params={"$top": "60"})
    _, second, _ = await world.call("GET", first["nextLink"])
    assert [len(first["value"]), len(second["value"])] == [50, 10]
    assert "nextLink" not in second
    _, few, _ = await world.call("GET", path, params={"$top": "3"})
    assert len(few["value"]) == 3
    assert "nextLink" not in few
    status, _, _ = await world.call("GET", path, params={"$top": "many"})
    assert status == 400


async def test_a_lab_tells_its_storage_account_and_region(world: World) -> None:
    """artifactsStorageAccount is an ARM id; a lab without an account has none; ids have DevTest Labs' casing."""
    world.seed(lab("Bare", storageAccount=None))
    _, body, _ = await world.call("GET", lab_path())
    group = lab_path().partition("/providers/")[0]
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/targetone"
    assert body["properties"]["artifactsStorageAccount"] == account
    assert (body["id"], body["location"]) == (LOWER_LAB, "westeurope")
    _, bare, _ = await world.call("GET", lab_path("Bare"))
    assert "artifactsStorageAccount" not in bare["properties"]


async def test_paths_are_read_without_regard_to_case(world: World) -> None:
    """Azure takes any casing, and answers in its own."""
    for path in (lab_path().lower(), lab_path().upper().replace("/SUBSCRIPTIONS", "/subscriptions")):
        status, body, _ = await world.call("GET", path)
        assert (status, body["id"]) == (200, LOWER_LAB)


async def test_a_storage_account_gives_its_keys_and_endpoint(world: World) -> None:
    """listKeys and the primary blob endpoint, by the id that the lab tells."""
    _, body, _ = await world.call("GET", lab_path())
    account = body["properties"]["artifactsStorageAccount"]
    _, keys, _ = await world.call("POST", f"{account}/listKeys", version="2023-01-01")
    assert keys["keys"][0]["value"] == KEY
    _, facts, _ = await world.call("GET", account, version="2023-01-01")
    assert facts["properties"]["primaryEndpoints"]["blob"] == f"{blob_endpoint('targetone')}/"
    status, _, _ = await world.call("POST", f"{account}x/listKeys", version="2023-01-01")
    assert status == 404


async def test_a_custom_image_is_created_by_a_long_running_operation(world: World) -> None:
    """201 Creating, then Succeeded, with what DevTest Labs adds; the list tells the same id as the answer."""
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
    """The LRO headers are those that azure-mgmt-core understands, for a good and for a bad end, with a real wait."""
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
    """What Azure tells only after hours is told here too: the PUT is accepted, the image fails."""
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
async def test_a_vhd_outside_the_labs_own_account_is_refused_at_once(world: World, url: str) -> None:
    """InvalidStorageAccountForLab, and nothing is left behind."""
    status, body, _ = await world.call("PUT", f"{IMAGES}/a", json=image_body(url))
    assert (status, body["error"]["code"]) == (400, "InvalidStorageAccountForLab")
    assert (await world.call("GET", f"{IMAGES}/a"))[0] == 404


async def test_a_vhd_url_with_a_signature_is_refused(world: World) -> None:
    """A SAS has no place in a resource."""
    url = world.blobs.put_vhd("targetone", "a.vhd")
    status, body, _ = await world.call("PUT", f"{IMAGES}/a", json=image_body(f"{url}?sig=abc"))
    assert (status, body["error"]["code"]) == (400, "InvalidRequestContent")


async def test_a_vhd_must_stay_until_the_image_stands(world: World) -> None:
    """Deleting the VHD while the image is being made spoils the image; deleting it afterwards does not."""
    world.slow(image_create_seconds=0.3)
    url = world.blobs.put_vhd("targetone", "a.vhd")
    _, _, headers = await world.call("PUT", f"{IMAGES}/early", json=image_body(url))
    assert (await world.call("GET", f"{IMAGES}/early"))[1]["properties"]["provisioningState"] == "Creating"
    held = world.blobs.held.pop(url)
    assert (await world.ended(headers))["error"]["code"] == "SourceBlobNotFound"
    world.blobs.held[url] = held
    _, _, headers = await world.call("PUT", f"{IMAGES}/late", json=image_body(url))
    assert (await world.ended(headers))["status"] == "Succeeded"
    del world.blobs.held[url]
    assert (await world.call("GET", f"{IMAGES}/late"))[1]["properties"]["provisioningState"] == "Succeeded"


async def test_a_put_of_a_standing_image_updates_it_in_place(world: World) -> None:
    """200, new tags and description, the same identity; the VHD, gone by now, is not needed."""
    url = world.blobs.put_vhd("targetone", "a.vhd")
    await world.call("PUT", f"{IMAGES}/a", json=image_body(url, description="old"))
    _, before, _ = await world.call("GET", f"{IMAGES}/a")
    world.blobs.held.clear()
    body = {**image_body(url, description="new"), "tags": {"a": "b"}, "location": "westeurope"}
    status, after, headers = await world.call("PUT", f"{IMAGES}/a", json=body)
    assert (status, "azure-asyncoperation" in headers) == (200, False)
    assert after["properties"] == {**before["properties"], "description": "new"}
    assert (after["tags"], after["location"]) == ({"a": "b"}, "westeurope")


async def test_a_put_with_another_vhd_makes_the_image_anew(world: World) -> None:
    """A failed image and one of another VHD are made again by a PUT."""
    _, _, headers = await world.call("PUT", f"{IMAGES}/a", json=image_body(f"{blob_endpoint('targetone')}/vhds/none"))
    assert (await world.ended(headers))["status"] == "Failed"
    for name in ("a.vhd", "b.vhd"):
        url = world.blobs.put_vhd("targetone", name)
        status, _, headers = await world.call("PUT", f"{IMAGES}/a", json=image_body(url))
        assert (status, (await world.ended(headers))["status"]) == (201, "Succeeded")
    _, image, _ = await world.call("GET", f"{IMAGES}/a")
    assert image["properties"]["vhd"]["imageName"].endswith("/b.vhd")


async def test_a_put_while_the_image_is_being_made_is_a_conflict(world: World) -> None:
    """409 AnotherOperationInProgress, with Retry-After."""
    world.slow(image_create_seconds=60)
    url = world.blobs.put_vhd("targetone", "a.vhd")
    await world.call("PUT", f"{IMAGES}/a", json=image_body(url))
    status, body, headers = await world.call("PUT", f"{IMAGES}/a", json=image_body(url))
    assert (status, body["error"]["code"], headers["retry-after"]) == (409, "AnotherOperationInProgress", "10")


async def test_deletion_is_an_operation_and_nothing_to_delete_is_204(world: World) -> None:
    """202 with a poll link, Deleting meanwhile, then gone; a second DELETE is 204; a lab that is not there is 404."""
    world.slow(image_delete_seconds=0.2)
    world.seed(lab("Seeded", images=[{"name": "old"}]))
    path = f"{lab_path('Seeded')}/customimages/old"
    status, _, headers = await world.call("DELETE", path)
    assert status == 202
    assert "monitor=true" in headers["location"]
    assert (await world.call("GET", path))[1]["properties"]["provisioningState"] == "Deleting"
    assert await world.ended(headers) == {"status": "Succeeded"}
    assert (await world.call("GET", path))[0] == 404
    assert (await world.call("DELETE", path))[0] == 204
    assert (await world.call("DELETE", f"{lab_path('None')}/customimages/old"))[0] == 404


async def test_an_image_that_is_being_made_can_be_deleted(world: World) -> None:
    """Its creation ends as preempted, and nothing comes back later."""
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
async def test_a_bad_body_is_refused_with_its_reason(world: World, name: str, body: Any) -> None:
    """400, with a message that names what is wrong; never a 500."""
    status, answer, _ = await world.call("PUT", f"{IMAGES}/{name}", json=body)
    assert status == 400
    assert answer["error"]["message"]


async def test_a_body_that_is_not_json_is_refused(world: World) -> None:
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
def test_any_json_is_either_an_image_or_a_refusal(name: str, body: Any) -> None:
    """Whatever JSON comes, the answer is a wanted image or ARM's refusal."""
    try:
        wanted = parse_wanted(name, body)
    except ArmError as error:
        assert error.status == 400
    else:
        assert wanted.vhd["osType"] in ("Windows", "Linux", "None")


async def test_seeded_images_are_as_the_old_scripts_made_them(world: World) -> None:
    """Tags with ImagePath only or none at all, any state, backed by a managed image; seeding again changes nothing."""
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


async def test_fault_rules_shape_answers(arm: Any, world: World) -> None:
    """429 with Retry-After is retried by Microsoft's client; a rule's code and count are exact; imageFails fails."""
    rule = {"status": 429, "code": "TooManyRequests", "retryAfter": 0}
    world.fault({"path": "/labs\\?", "times": 2, "action": rule})
    request = HttpRequest("GET", f"{world.base}{LABS}?api-version={VERSION}")
    answer = await arm.send_request(request, enforce_https=False)
    assert answer.status_code == 200
    assert [call.status for call in world.journal.calls() if "/labs?" in call.path] == [429, 429, 200]
    world.fault({"path": "/customimages/", "action": {"imageFails": {"code": "OutOfLuck", "message": "no luck"}}})
    url = world.blobs.put_vhd("targetone", "a.vhd")
    _, _, headers = await world.call("PUT", f"{IMAGES}/a", json=image_body(url))
    assert (await world.ended(headers))["error"] == {"code": "OutOfLuck", "message": "no luck"}


async def test_a_dropped_call_has_no_answer(world: World) -> None:
    """The connection is cut; the journal tells it with status 0; once the rule is spent, calls are answered."""
    world.fault({"path": "/labs", "times": 1, "action": {"drop": True}})
    with pytest.raises(aiohttp.ClientConnectionError):
        await world.call("POST", LABS)
    assert [call.status for call in world.journal.calls()] == [0]
    assert (await world.call("GET", LABS))[0] == 200


async def test_state_survives_a_restart_with_what_was_under_way(tmp_path: Path) -> None:
    """An image that was being made when the cloud stopped is finished by its due time; tokens stay good."""
    path = tmp_path / "arm.json"
    async with running(path, [lab()]) as world:
        world.slow(image_create_seconds=0.3)
        url = world.blobs.put_vhd("targetone", "a.vhd")
        _, _, headers = await world.call("PUT", f"{IMAGES}/a", json=image_body(url))
        token = world.identity.token("https://management.azure.com/")[0]
        blobs = world.blobs
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with running(path, blobs=blobs) as world:
        assert (await world.call("GET", f"{IMAGES}/a", token=token))[0] == 200
        operation = headers["azure-asyncoperation"].partition("/subscriptions")
        ended = await world.ended({"azure-asyncoperation": f"{world.base}{operation[1]}{operation[2]}"})
        assert ended["status"] == "Succeeded"
        _, image, _ = await world.call("GET", f"{IMAGES}/a")
        assert image["properties"]["provisioningState"] == "Succeeded"


async def test_many_changes_are_saved_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 images at once are a few writes of the file, and all are in it in the end."""
    saves = 0
    save = ArmStore.save

    def counted(store: ArmStore) -> None:
        nonlocal saves
        saves += 1
        save(store)

    monkeypatch.setattr(ArmStore, "save", counted)
    path = tmp_path / "arm.json"
    async with running(path, [lab()]) as world:
        url = world.blobs.put_vhd("targetone", "a.vhd")
        await asyncio.gather(
            *(world.call("PUT", f"{IMAGES}/image{number}", json=image_body(url)) for number in range(100))
        )
    assert saves < 10
    kept = ArmStore.load(path).find_lab(SUBSCRIPTION, "rg-one", "target")
    assert kept is not None
    assert len(kept.images) == 100
    assert not path.with_name(f"arm.json.{os.getpid()}.part").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"subscriptions": [], "labs": [{}], "operations": {}}'])
def test_a_broken_state_file_is_told(tmp_path: Path, text: str) -> None:
    """A clear error, not a traceback, and the file is left alone."""
    path = tmp_path / "arm.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match="seed the cloud again"):
        ArmStore.load(path)
    assert path.read_text(encoding="utf-8") == text
