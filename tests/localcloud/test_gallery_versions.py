"""Versions of gallery images in the embedded cloud: made of VHDs, replicated to regions, changed and deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.arm.errors import ArmError
from localcloud.arm.version_bodies import check_name
from localcloud.blobs.access import BlobFacts
from tests.localcloud.arm_world import Blobs, World, blob_endpoint, lab, running
from tests.localcloud.gallery_world import (
    ACCOUNT,
    COMPUTE,
    GALLERY,
    IMAGE,
    VERSION,
    definition,
    deleted,
    made,
    put,
    refused,
    replication,
    shown_at,
    source,
    standing,
    version,
)

DONE, WAITING = ("Completed", 100, ""), ("Replicating", 0, "")
_NUMBERS = st.integers(0, 2**31 - 1)


@given(_NUMBERS, _NUMBERS, _NUMBERS)
def test_three_numbers_of_32_bits_are_a_name(major: int, minor: int, patch: int) -> None:
    """No other name is: not with a fourth number, a sign, a leading zero or more bits."""
    check_name(f"{major}.{minor}.{patch}")
    for wrong in (f"{major}.{minor}", f"{major}.{minor}.{patch}.1", f"-{major}.{minor}.{patch}", f"0{major}.1.1"):
        with pytest.raises(ArmError):
            check_name(wrong)
    with pytest.raises(ArmError):
        check_name(f"{major}.{minor}.{patch + 2**31}")


async def test_a_version_is_made_of_vhds_as_recorded(world: World) -> None:
    """201 Creating without sizes, then Succeeded with them; regions have long names, the location a short one."""
    await made(world, GALLERY, {"location": "westeurope"})
    await made(world, IMAGE, definition())
    url, data = (world.blobs.put_vhd("targetone", each) for each in ("a.vhd", "b.vhd"))
    body = version(url, "West Europe", "northeurope", data=[{"lun": 0, **source(data)}])
    status, created, headers = await put(world, VERSION, {**body, "tags": {"ImagePath": "Win/A.json"}})
    assert (status, created["properties"]["provisioningState"]) == (201, "Creating")
    assert "sizeInGB" not in created["properties"]["storageProfile"]["osDiskImage"]
    assert (await world.ended(headers))["status"] == "Succeeded"
    shown = await shown_at(world, VERSION)
    published = shown["properties"]["publishingProfile"].pop("publishedDate")
    assert published == created["properties"]["publishingProfile"]["publishedDate"] and published.endswith("0+00:00")
    region = {"regionalReplicaCount": 1, "storageAccountType": "Standard_LRS"}
    assert shown == {
        "name": "2026.1126.143005",
        "id": VERSION,
        "type": "Microsoft.Compute/galleries/images/versions",
        "location": "westeurope",
        "tags": {"ImagePath": "Win/A.json"},
        "properties": {
            "publishingProfile": {
                "targetRegions": [{"name": "West Europe", **region}, {"name": "North Europe", **region}],
                "replicaCount": 1,
                "excludeFromLatest": False,
                "storageAccountType": "Standard_LRS",
            },
            "storageProfile": {
                "osDiskImage": {"sizeInGB": 1, "hostCaching": "ReadWrite", **source(url)},
                "dataDiskImages": [{"lun": 0, "sizeInGB": 1, "hostCaching": "None", **source(data)}],
            },
            "safetyProfile": {"reportedForPolicyViolation": False, "allowDeletionOfReplicatedLocations": False},
            "validationsProfile": {"validationOperationStatus": "NotExecuted"},
            "provisioningState": "Succeeded",
        },
    }
    assert [each["id"] for each in (await shown_at(world, f"{IMAGE}/versions"))["value"]] == [VERSION]
    assert await replication(world) == {
        "": "Completed",
        "state": "Succeeded",
        "West Europe": DONE,
        "North Europe": DONE,
    }


async def test_regions_are_replicated_one_after_the_other(world: World) -> None:
    """The version's own first, then the others side by side; the version is in progress until the last is done."""
    url = await standing(world)
    path = f"{IMAGE}/versions/2.0.0"
    world.fault({"path": "/2.0.0/regions/westeurope", "action": {"replicationSeconds": 0}})
    world.slow(gallery_replication_seconds=3600)
    _, _, headers = await put(world, path, version(url, "eastus", "westeurope", "northeurope"))
    while (now := await replication(world, path))["West Europe"] != DONE:
        assert now["state"] == "Creating"
    assert now == {
        "": "InProgress",
        "state": "Creating",
        "East US": WAITING,
        "West Europe": DONE,
        "North Europe": WAITING,
    }
    assert (await refused(world, path, version(url)))[:2] == (409, "Conflict")
    assert (await deleted(world, path))["status"] == "Succeeded"
    assert (await world.ended(headers))["error"]["code"] == "OperationPreempted"
    assert (await world.call("GET", path, version=COMPUTE))[0] == 404


async def test_a_region_that_fails_fails_the_version_and_the_next_put_resumes(world: World) -> None:
    """The region has the reason, the other is complete; the second PUT replicates only what failed."""
    url = await standing(world)
    path = f"{IMAGE}/versions/2.0.0"
    failure = {"code": "QuotaExceeded", "message": "No room."}
    rules = [{"path": "/2.0.0/regions/", "action": {"replicationFails": failure}, "nth": 2}]
    world.fault(*rules)
    body = version(url, "westeurope", "northeurope")
    _, _, headers = await put(world, path, body)
    ended = await world.ended(headers)
    assert ended["status"] == "Failed" and ended["error"]["code"] == "QuotaExceeded"
    assert "{region:northeurope, detail:No room.}" in ended["error"]["message"]
    assert await replication(world, path) == {
        "": "Failed",
        "state": "Failed",
        "West Europe": DONE,
        "North Europe": ("Failed", 0, "No room."),
    }
    assert (await made(world, path, body))["properties"]["provisioningState"] == "Succeeded"
    assert world.faults.to_json()[0]["seen"] == 3
    assert (await replication(world, path))["North Europe"] == DONE


class _Leaving(Blobs):
    """A VHD goes while the second region of a version is replicated: after it was found there, and before the end."""

    seen = 0

    async def stat(self, url: str) -> BlobFacts | None:
        """Return the facts of a blob; each region asks four times."""
        self.seen += 1
        return await super().stat(url) if self.seen != 7 else None


async def test_a_vhd_that_goes_while_a_region_is_replicated_fails_the_version() -> None:
    """Regions that are complete stay so; with the VHD back, the next PUT completes the rest."""
    async with running(labs=[lab()], blobs=_Leaving()) as world:
        await made(world, GALLERY, {"location": "westeurope"})
        await made(world, IMAGE, definition())
        url = world.blobs.put_vhd("targetone", "a.vhd")
        body = version(url, "westeurope", "northeurope")
        _, _, headers = await put(world, VERSION, body)
        assert (await world.ended(headers))["error"]["code"] == "SourceBlobNotFound"
        now = await replication(world)
        assert (now["state"], now["West Europe"], now["North Europe"][0]) == ("Failed", DONE, "Failed")
        assert url in now["North Europe"][2]
        assert (await made(world, VERSION, body))["properties"]["provisioningState"] == "Succeeded"
        assert (await replication(world))[""] == "Completed"


@pytest.mark.parametrize("facts", [None, {"blob_type": "BlockBlob"}, {"copy_status": "pending"}, {"end": b"0" * 512}])
async def test_a_blob_that_is_no_vhd_fails_the_version(world: World, facts: dict[str, Any] | None) -> None:
    """The PUT is accepted, the operation fails, and each region has the reason."""
    await made(world, GALLERY, {"location": "westeurope"})
    await made(world, IMAGE, definition())
    url = f"{blob_endpoint('targetone')}/vhds/none.vhd"
    if facts is not None:
        url = world.blobs.put_vhd("targetone", "a.vhd", **facts)
    _, _, headers = await put(world, VERSION, version(url))
    assert (await world.ended(headers))["status"] == "Failed"
    now = await replication(world)
    assert (now["state"], now["West Europe"][0]) == ("Failed", "Failed") and url in now["West Europe"][2]


@pytest.mark.parametrize(
    ("account", "status", "code"),
    [
        (ACCOUNT.replace("targetone", "unknown"), 404, "NotFound"),
        (ACCOUNT.replace("targetone", "elsewhere"), 404, "NotFound"),
        (ACCOUNT.replace("targetone", "neighbor"), 400, "InvalidParameter"),
        ("targetone", 404, "NotFound"),
    ],
)
async def test_a_source_in_an_account_that_is_missing_or_elsewhere_is_refused(
    world: World, account: str, status: int, code: str
) -> None:
    """At once: unknown, in another region, another one than that of the blob, no resource id."""
    world.seed(lab("Far", region="eastus", storageAccount="elsewhere"), lab("Near", storageAccount="neighbor"))
    await made(world, GALLERY, {"location": "westeurope"})
    await made(world, IMAGE, definition())
    body = version(world.blobs.put_vhd("targetone", "a.vhd"))
    body["properties"]["storageProfile"]["osDiskImage"]["source"]["storageAccountId"] = account
    assert (await refused(world, VERSION, body))[:2] == (status, code)
    assert (await shown_at(world, f"{IMAGE}/versions"))["value"] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"publishingProfile": {"targetRegions": [{"name": "eastus"}]}}, "must contain the location"),
        ({"publishingProfile": {"targetRegions": [{"name": "atlantis"}]}}, "atlantis"),
        ({"publishingProfile": {"targetRegions": [{"name": "westeurope"}, {"name": "West Europe"}]}}, "Duplicate"),
        (
            {"publishingProfile": {"targetRegions": [{"name": "westeurope", "regionalReplicaCount": 0}]}},
            "between 1 and 100",
        ),
        ({"publishingProfile": {"replicaCount": 101}}, "between 1 and 100"),
        ({"publishingProfile": {"storageAccountType": "Tape"}}, "Tape"),
        ({"publishingProfile": {"replicationMode": "Deep"}}, "Deep"),
        ({"publishingProfile": {"endOfLifeDate": "2020-01-01T00:00:00Z"}}, "future date"),
        ({"storageProfile": {}}, "storageAccountId"),
        ({"storageProfile": {"source": {"id": "x"}}}, "osDiskImage"),
        ({"storageProfile": {"osDiskImage": {"source": {"id": ACCOUNT, "uri": "x"}}}}, "storageAccountId"),
    ],
)
async def test_a_version_with_a_wrong_value_is_refused(world: World, change: dict[str, Any], words: str) -> None:
    """400 with the words of Azure, and no version is created."""
    await made(world, GALLERY, {"location": "westeurope"})
    await made(world, IMAGE, definition())
    body = version(world.blobs.put_vhd("targetone", "a.vhd"))
    body["properties"] |= change
    status, code, message = await refused(world, VERSION, body)
    assert (status, code) == (400, "InvalidParameter") and words in message
    assert (await shown_at(world, f"{IMAGE}/versions"))["value"] == []


async def test_two_disks_have_different_luns_and_blobs(world: World) -> None:
    """400 for the same number or the same blob twice."""
    await made(world, GALLERY, {"location": "westeurope"})
    await made(world, IMAGE, definition())
    url, data = (world.blobs.put_vhd("targetone", each) for each in ("a.vhd", "b.vhd"))
    for disks in ([{"lun": 0, **source(data)}, {"lun": 0, **source(url)}], [{"lun": 0, **source(url)}], [{"lun": 64}]):
        assert (await refused(world, VERSION, version(url, data=disks)))[:2] == (400, "InvalidParameter")


async def test_publishing_changes_without_a_new_replication(world: World) -> None:
    """Counts, `excludeFromLatest`, end of life and tags; the date of publication and the source are kept."""
    url = await standing(world)
    before = await shown_at(world, VERSION)
    world.fault({"path": "/regions/", "action": {"replicationFails": {"code": "x", "message": "x"}}})
    later: dict[str, Any] = {"excludeFromLatest": True, "endOfLifeDate": "2099-01-01", "replicaCount": 3}
    body = version(url, "westeurope", "northeurope", **later)
    del body["properties"]["storageProfile"]["osDiskImage"]["source"]["uri"]
    after = (await made(world, VERSION, {**body, "tags": {"a": "b"}}))["properties"]
    profile = after["publishingProfile"]
    assert (profile["excludeFromLatest"], profile["endOfLifeDate"]) == (True, "2099-01-01T00:00:00+00:00")
    assert [each["regionalReplicaCount"] for each in profile["targetRegions"]] == [3, 3]
    assert profile["publishedDate"] == before["properties"]["publishingProfile"]["publishedDate"]
    assert after["storageProfile"] == before["properties"]["storageProfile"]
    assert world.faults.to_json()[0]["hits"] == 0
    status, patched, _ = await put(world, VERSION, {"properties": {"publishingProfile": {"replicaCount": 3}}}, "PATCH")
    assert status == 200 and patched["properties"]["publishingProfile"] == profile


async def test_regions_are_added_and_dropped_by_an_update(world: World) -> None:
    """Dropping one needs the permission of the safety profile; the version's own stays."""
    url = await standing(world)
    await made(world, VERSION, version(url, "westeurope", "northeurope", "eastus"))
    assert (await replication(world))["East US"] == DONE
    fewer = version(url, "westeurope", "eastus")
    status, code, message = await refused(world, VERSION, fewer)
    assert (status, code) == (400, "BadRequest") and "allow deletion of replicated locations" in message
    fewer["properties"]["safetyProfile"] = {"allowDeletionOfReplicatedLocations": True}
    await made(world, VERSION, fewer)
    assert {*await replication(world)} == {"", "state", "West Europe", "East US"}
    assert (await refused(world, VERSION, version(url, "eastus")))[:2] == (400, "InvalidParameter")
    kept = version(url)
    kept["properties"]["publishingProfile"]["targetRegions"] = []
    await made(world, VERSION, kept)
    assert {*await replication(world)} == {"", "state", "West Europe", "East US"}


async def test_the_source_of_a_version_does_not_change(world: World) -> None:
    """409 for another blob, account, cache, storage type, mode or data disk; the version is as it was."""
    url = await standing(world)
    before, other = await shown_at(world, VERSION), world.blobs.put_vhd("targetone", "b.vhd")
    both = ("westeurope", "northeurope")
    cached = version(url, *both)
    cached["properties"]["storageProfile"]["osDiskImage"]["hostCaching"] = "None"
    moved = version(url, *both)
    moved["properties"]["storageProfile"]["osDiskImage"]["source"]["storageAccountId"] = f"{ACCOUNT}2"
    for body, named in (
        (version(other, *both), "osDiskImage.source.uri"),
        (moved, "osDiskImage.source.storageAccountId"),
        (cached, "osDiskImage.hostCaching"),
        (version(url, *both, storageAccountType="Premium_LRS"), "storageAccountType"),
        (version(url, *both, replicationMode="Shallow"), "replicationMode"),
    ):
        status, code, message = await refused(world, VERSION, body)
        assert (status, code) == (409, "PropertyChangeNotAllowed") and named in message
    more = version(url, *both, data=[{"lun": 0, **source(other)}])
    assert (await refused(world, VERSION, more))[:2] == (409, "OperationNotAllowed")
    assert await shown_at(world, VERSION) == before


async def test_a_version_is_not_deleted_before_its_end_of_life_where_that_is_blocked(world: World) -> None:
    """409 until the block is lifted."""
    url = await standing(world)
    body = version(url, "westeurope", "northeurope", endOfLifeDate="2099-01-01")
    body["properties"]["safetyProfile"] = {"blockDeletionBeforeEndOfLife": True}
    await made(world, VERSION, body)
    status, shown, _ = await world.call("DELETE", VERSION, version=COMPUTE)
    assert (status, shown["error"]["code"]) == (409, "OperationNotAllowed")
    body["properties"]["safetyProfile"] = {"blockDeletionBeforeEndOfLife": False}
    await made(world, VERSION, body)
    assert (await deleted(world, VERSION))["status"] == "Succeeded"


async def test_a_deletion_that_fails_keeps_the_version(world: World) -> None:
    """It is Deleting for its time, then as it was."""
    await standing(world)
    world.fault({"path": "/versions/", "action": {"operationFails": {"code": "InUse", "message": "x"}}})
    assert (await deleted(world, VERSION))["error"]["code"] == "InUse"
    assert (await replication(world))["state"] == "Succeeded"


async def test_a_replication_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Galleries, attachments and the operation survive; the version completes."""
    blobs = Blobs()
    async with running(tmp_path / "arm.json", [lab()], blobs) as world:
        url = await standing(world)
        world.slow(gallery_replication_seconds=0.2)
        path = f"{IMAGE}/versions/2.0.0"
        _, _, headers = await put(world, path, version(url, "westeurope", "northeurope"))
        operation = headers["azure-asyncoperation"].removeprefix(world.base)
    async with running(tmp_path / "arm.json", blobs=blobs) as world:
        assert (await replication(world, path))["state"] == "Creating"
        assert (await world.ended({"azure-asyncoperation": operation}))["status"] == "Succeeded"
        assert (await replication(world, path))["North Europe"] == DONE
        assert (await replication(world))[""] == "Completed"
