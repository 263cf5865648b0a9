"""The resource manager of the embedded cloud, over real HTTP: tokens, labs, faults, and state after a restart."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from azure.core.rest import HttpRequest

from localcloud.arm.identity import Identity
from localcloud.arm.store import ArmStore, StoreError
from localcloud.seed import parse_seed
from tests.localcloud.arm_world import (
    IMAGES,
    KEY,
    LABS,
    LOWER_LAB,
    SUBSCRIPTION,
    VERSION,
    World,
    blob_endpoint,
    image_body,
    lab,
    lab_path,
    running,
)


async def test_azure_identity_gets_tokens_that_the_resource_manager_accepts(arm: Any, world: World) -> None:
    """The App Service managed-identity protocol works with the real credential; the response is the lab."""
    request = HttpRequest("GET", f"{world.base}{lab_path()}?api-version={VERSION}")
    answer = await arm.send_request(request, enforce_https=False)
    assert answer.status_code == 200
    assert answer.json()["name"] == "Target"


@pytest.mark.parametrize("header", [None, "wrong"])
async def test_the_identity_endpoint_requires_its_header(world: World, header: str | None) -> None:
    """Without a valid X-IDENTITY-HEADER it returns no token."""
    headers = {} if header is None else {"X-IDENTITY-HEADER": header}
    query = {"resource": "https://management.azure.com/", "api-version": "2019-08-01"}
    async with world.session.get(world.token_endpoint, headers=headers, params=query) as response:
        assert response.status == 401
        assert "access_token" not in await response.text()


async def test_the_identity_endpoint_requires_resource_and_version(world: World) -> None:
    """It rejects a request without a resource or with another version."""
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
async def test_a_bad_token_is_rejected_with_a_challenge(world: World, code: str) -> None:
    """Foreign, expired and misdirected tokens have different codes, with 401 and WWW-Authenticate."""
    status, body, headers = await world.call("GET", LABS, token=_tokens(world)[code])
    assert (status, body["error"]["code"]) == (401, code)
    assert headers["www-authenticate"].startswith("Bearer ")


async def test_an_unsigned_token_and_a_missing_token_are_rejected(world: World) -> None:
    """`alg: none` is not accepted."""
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
        (f"{lab_path()}/formulas", VERSION, 404, "InvalidResourceType"),
        (f"{lab_path()}/virtualmachines/none", VERSION, 404, "ResourceNotFound"),
        (f"/subscriptions/{SUBSCRIPTION}/resourceGroups/none", "2020-10-01", 404, "ResourceGroupNotFound"),
    ],
)
async def test_a_call_of_a_missing_resource_returns_the_code_of_arm(
    world: World, path: str, version: str | None, status: int, code: str
) -> None:
    """Each error has ARM's body and code, and request ids."""
    answered, body, headers = await world.call("GET", path, version=version)
    assert (answered, body["error"]["code"]) == (status, code)
    assert body["error"]["message"]
    assert uuid.UUID(headers["x-ms-request-id"])


async def test_the_error_for_an_unsupported_call_lists_the_supported_calls(world: World) -> None:
    """The list is derived from the routes, by subject."""
    _, body, _ = await world.call("PATCH", lab_path())
    assert body["error"]["message"] == (
        f"The embedded cloud does not answer PATCH {lab_path()}. It answers for labs (list, get), custom images (list, "
        "get, put, patch, delete), a lab's virtual machines (list, get, delete), compute virtual machines (get), disks "
        "(get, beginGetAccess, endGetAccess), galleries (list, list by group, get, put, patch, delete), gallery images "
        "(list, get, put, patch, delete), gallery image versions (list, get, put, patch, delete), shared galleries "
        "(list, get, put, delete), shared images (list, get, put, delete), operations, storage accounts (list, "
        "get, listKeys), resource groups (get), subscriptions (get), permissions (list) and deny assignments (list)."
    )


async def test_labs_are_paged_and_each_is_on_one_page(world: World) -> None:
    """120 labs are 3 pages; following nextLink returns every lab exactly once."""
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
    """$top=60 is one page of 50 and one of 10; a $top that is not a number is rejected."""
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


async def test_a_lab_has_its_storage_account_and_region(world: World) -> None:
    """artifactsStorageAccount is an ARM id; a lab without an account has none; ids have DevTest Labs' casing."""
    world.seed(lab("Bare", storageAccount=None))
    _, body, _ = await world.call("GET", lab_path())
    group = lab_path().partition("/providers/")[0]
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/targetone"
    assert body["properties"]["artifactsStorageAccount"] == account
    assert (body["id"], body["location"]) == (LOWER_LAB, "westeurope")
    _, bare, _ = await world.call("GET", lab_path("Bare"))
    assert "artifactsStorageAccount" not in bare["properties"]


async def test_paths_are_case_insensitive(world: World) -> None:
    """Like Azure, it accepts any casing and responds in its own."""
    for path in (lab_path().lower(), lab_path().upper().replace("/SUBSCRIPTIONS", "/subscriptions")):
        status, body, _ = await world.call("GET", path)
        assert (status, body["id"]) == (200, LOWER_LAB)


async def test_a_storage_account_returns_its_keys_and_endpoint(world: World) -> None:
    """listKeys and the primary blob endpoint work with the id that the lab has."""
    _, body, _ = await world.call("GET", lab_path())
    account = body["properties"]["artifactsStorageAccount"]
    _, keys, _ = await world.call("POST", f"{account}/listKeys", version="2023-01-01")
    assert keys["keys"][0]["value"] == KEY
    _, facts, _ = await world.call("GET", account, version="2023-01-01")
    assert facts["properties"]["primaryEndpoints"]["blob"] == f"{blob_endpoint('targetone')}/"
    status, _, _ = await world.call("POST", f"{account}x/listKeys", version="2023-01-01")
    assert status == 404


async def test_fault_rules_change_responses(arm: Any, world: World) -> None:
    """Azure's client retries 429 with Retry-After; a rule's code and count are exact; imageFails fails the image."""
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


async def test_a_dropped_call_has_no_response(world: World) -> None:
    """The connection is cut; the journal has status 0; after the rule's last hit, calls get responses."""
    world.fault({"path": "/labs", "times": 1, "action": {"drop": True}})
    with pytest.raises(aiohttp.ClientConnectionError):
        await world.call("POST", LABS)
    assert [call.status for call in world.journal.calls()] == [0]
    assert (await world.call("GET", LABS))[0] == 200


async def test_state_and_active_operations_survive_a_restart(tmp_path: Path) -> None:
    """An image whose creation was in progress at the stop is finished when due; tokens stay valid."""
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


def test_an_older_state_file_still_loads(tmp_path: Path) -> None:
    """It has no machines, no grants and fewer values of operations."""
    path = tmp_path / "arm.json"
    store = ArmStore(path)
    document = {"subscriptionId": SUBSCRIPTION, "labs": [lab()]}
    store.add(parse_seed({"subscriptions": [document]}).subscriptions)
    saved = json.loads(path.read_text(encoding="utf-8"))
    del saved["grants"], saved["labs"][0]["machines"]
    saved["operations"] = {"old": {"due": 1.0, "ended": None, "fault": None}}
    path.write_text(json.dumps(saved), encoding="utf-8")
    loaded = ArmStore.load(path)
    assert loaded.all_machines() == [] and loaded.operations["old"].grant is None


async def test_many_changes_are_saved_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 concurrent images cause few writes of the file, and the final file contains all of them."""
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
def test_a_broken_state_file_is_reported(tmp_path: Path, text: str) -> None:
    """The error names the file and the remedy, and the file is kept."""
    path = tmp_path / "arm.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match="seed the cloud again"):
        ArmStore.load(path)
    assert path.read_text(encoding="utf-8") == text
