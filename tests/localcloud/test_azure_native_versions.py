"""Galleries, definitions and versions of the stand-in azure-native plugin, at a real resource manager."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import provider_pb2

from localcloud.azure_native.property_values import read, write
from tests.localcloud.arm_world import World
from tests.localcloud.azure_native_plugin import END_SECONDS, Plugin, fails, init_failed, until
from tests.localcloud.gallery_inputs import (
    GALLERY_PATH,
    GALLERY_URN,
    IMAGE_PATH,
    IMAGE_URN,
    VERSION_PATH,
    VERSION_URN,
    gallery_inputs,
    image_inputs,
    regions,
    version_inputs,
)

API = {"version": "2024-03-03"}


@pytest_asyncio.fixture
async def url(plugin: Plugin, world: World) -> str:
    """The URL of a VHD in the gallery's region; the gallery and the definition for its versions exist."""
    return await prepared(plugin, world)


async def prepared(plugin: Plugin, world: World) -> str:
    """Create gallery and definition; return the URL of a VHD."""
    await plugin.create(gallery_inputs(), GALLERY_URN)
    await plugin.create(image_inputs(), IMAGE_URN)
    world.journal.clear()
    return world.blobs.put_vhd("targetone", "os.vhd")


async def update(plugin: Plugin, urn: str, made: Any, news: dict[str, Any]) -> Any:
    """Return the response to an update of a created resource."""
    request = provider_pb2.UpdateRequest(urn=urn, id=made.id, olds=made.properties, news=write(news))
    return await plugin.stub.Update(request)


async def test_a_gallery_a_definition_and_a_version_are_created(plugin: Plugin, world: World) -> None:
    """The outputs are the properties that Azure answers, flattened, and the id is Azure's; the version has the disks of
    its VHDs, and was made with one PUT."""
    disk, data = world.blobs.put_vhd("targetone", "os.vhd"), world.blobs.put_vhd("targetone", "data.vhd")
    version = version_inputs(disk, data, tags={"ImagePath": "Win.json"}, publishingProfile=regions("westeurope"))
    for urn, inputs, path in (
        (GALLERY_URN, gallery_inputs(description="All images"), GALLERY_PATH),
        (IMAGE_URN, image_inputs(), IMAGE_PATH),
        (VERSION_URN, version, VERSION_PATH),
    ):
        created = await plugin.create(inputs, urn)
        _, answer, _ = await world.call("GET", path, **API)
        assert created.id == answer["id"] == path
        flat = {**answer.pop("properties"), **answer, "azureApiVersion": "2024-03-03"}
        # What Azure answers in it is in no specification, so the plugin drops it.
        flat |= {key: {} for key in ("validationsProfile",) if key in flat}
        assert read(created.properties) == flat
        assert flat["provisioningState"] == "Succeeded"
    assert [each["source"]["uri"] for each in flat["storageProfile"]["dataDiskImages"]] == [data]
    assert (flat["name"], flat["tags"]) == ("2026.1126.143005", {"ImagePath": "Win.json"})
    assert sum(call.method == "PUT" for call in world.journal.calls()) == 3


async def test_an_existing_version_is_not_created(plugin: Plugin, url: str) -> None:
    """The genuine plugin's error: a run that was killed leaves a version that the next one must adopt."""
    await plugin.create(version_inputs(url), VERSION_URN)
    error = await fails(plugin.create(version_inputs(url), VERSION_URN))
    assert error.details() == f"cannot create already existing resource '{VERSION_PATH}'"


async def test_a_refused_create_keeps_no_state(plugin: Plugin) -> None:
    """A PUT that Azure rejects is an error with its code, without partial state."""
    error = await fails(plugin.create(gallery_inputs(galleryName="not-allowed"), GALLERY_URN))
    assert error.details().startswith('Status=400 Code="InvalidParameter" Message="Gallery name is invalid.')
    assert not [key for key, _ in error.trailing_metadata() if key == "grpc-status-details-bin"]


async def test_a_failed_replication_keeps_the_version_and_the_next_update_repeats_it(
    plugin: Plugin, world: World, url: str
) -> None:
    """ErrorResourceInitFailed has id, inputs and the failed version; an Update with the same inputs makes it whole."""
    failure = {"code": "CrpPirReplicationJobsNotCompleted", "message": "No quota."}
    rule = {"path": "/regions/northeurope", "times": 1, "action": {"replicationFails": failure}}
    world.fault(rule)
    inputs = version_inputs(url, publishingProfile=regions("westeurope", "northeurope"))
    detail = init_failed(await fails(plugin.create(inputs, VERSION_URN)))
    assert (detail.id, read(detail.inputs)) == (VERSION_PATH, inputs)
    assert read(detail.properties)["provisioningState"] == "Failed"
    assert "CrpPirReplicationJobsNotCompleted" in detail.reasons[0] and "No quota." in detail.reasons[0]
    updated = await update(plugin, VERSION_URN, detail, inputs)
    assert read(updated.properties)["provisioningState"] == "Succeeded"


async def test_regions_exclusion_and_end_of_life_are_updated_in_place(plugin: Plugin, world: World, url: str) -> None:
    """The whole body is PUT; what the program no longer declares is gone, and the version is not made anew."""
    old = version_inputs(url, publishingProfile=regions("westeurope", "northeurope"), tags={"a": "b"})
    created = await plugin.create(old, VERSION_URN)
    new = version_inputs(
        url,
        publishingProfile=regions(
            "westeurope", "uksouth", excludeFromLatest=True, endOfLifeDate="2100-01-01T00:00:00Z"
        ),
        safetyProfile={"allowDeletionOfReplicatedLocations": True},
    )
    await update(plugin, VERSION_URN, created, new)
    _, answer, _ = await world.call("GET", VERSION_PATH, **API)
    profile = answer["properties"]["publishingProfile"]
    assert [each["name"] for each in profile["targetRegions"]] == ["West Europe", "UK South"]
    assert profile["excludeFromLatest"] is True and profile["endOfLifeDate"].startswith("2100-01-01")
    assert not answer.get("tags")
    assert profile["publishedDate"] == read(created.properties)["publishingProfile"]["publishedDate"]


async def test_azure_refuses_what_the_plugin_only_updates(plugin: Plugin, url: str) -> None:
    """The traits of a definition: the plugin plans an update, because the specification does not say that they are set
    at creation only; Azure answers with an error. The definition stays."""
    _, created = url, await plugin.stub.Read(provider_pb2.ReadRequest(urn=IMAGE_URN, id=IMAGE_PATH))
    for trait in ({"hyperVGeneration": "V1"}, {"identifier": {"publisher": "x", "offer": "y", "sku": "z"}}):
        error = await fails(update(plugin, IMAGE_URN, created, image_inputs(**trait)))
        assert error.details().startswith('Status=409 Code="PropertyChangeNotAllowed"')
    assert read(created.properties)["hyperVGeneration"] == "V2"


async def test_a_read_keeps_the_programs_spelling_and_finds_what_changed(
    plugin: Plugin, world: World, url: str
) -> None:
    """Azure answers region names as it shows them, with values that it filled in. Only a real difference reaches the
    inputs: a region that somebody added. A version deleted by hand, or with its gallery, has an empty id."""
    inputs = version_inputs(url, publishingProfile={"targetRegions": [{"name": "westeurope"}]})
    created = await plugin.create(inputs, VERSION_URN)
    request = provider_pb2.ReadRequest(
        urn=VERSION_URN, id=created.id, properties=created.properties, inputs=write(inputs)
    )
    unchanged = await plugin.stub.Read(request)
    assert read(unchanged.inputs) == inputs
    assert read(unchanged.properties)["publishingProfile"]["targetRegions"][0]["name"] == "West Europe"
    more = [{"name": "westeurope"}, {"name": "uksouth"}]
    body = {"properties": {"publishingProfile": {"targetRegions": more}}}
    assert (await world.call("PATCH", VERSION_PATH, json=body, **API))[0] == 200
    first, second = read((await plugin.stub.Read(request)).inputs)["publishingProfile"]["targetRegions"]
    assert first == {"name": "westeurope"}
    assert second["name"] == "UK South"
    await world.call("DELETE", VERSION_PATH, **API)
    assert (await plugin.stub.Read(request)).id == ""
    await world.call("DELETE", IMAGE_PATH, **API)
    assert (await plugin.stub.Read(request)).id == ""


async def test_an_import_reads_the_inputs_and_needs_no_write(plugin: Plugin, world: World, url: str) -> None:
    """Nothing read-only or empty, path parameters as in the id. The answer has a location, so that a check with the
    same inputs finds no difference: unlike a custom image's, this import is not followed by a PUT."""
    await plugin.create(version_inputs(url), VERSION_URN)
    lower = VERSION_PATH.replace("resourceGroups", "resourcegroups")
    for urn, resource in ((GALLERY_URN, GALLERY_PATH), (IMAGE_URN, IMAGE_PATH), (VERSION_URN, lower)):
        imported = await plugin.stub.Read(provider_pb2.ReadRequest(urn=urn, id=resource))
        assert imported.id == resource
        inputs = read(imported.inputs)
        checked = await plugin.check(inputs, inputs, urn)
        assert not checked.failures
        again = await plugin.diff(inputs, read(checked.inputs), read(imported.properties), urn)
        assert again.changes == provider_pb2.DiffResponse.DIFF_NONE
    source = inputs["storageProfile"]["osDiskImage"]
    assert "sizeInGB" not in source and source["source"]["uri"] == url
    assert "publishedDate" not in inputs["publishingProfile"] and "provisioningState" not in inputs
    assert inputs["galleryImageVersionName"] == "2026.1126.143005"


async def test_a_delete_waits_and_is_refused_while_something_is_inside(plugin: Plugin, world: World, url: str) -> None:
    """In the order of their dependence; deleting again, or without the parents, succeeds."""
    await plugin.create(version_inputs(url), VERSION_URN)

    async def delete(urn: str, path: str) -> None:
        await plugin.stub.Delete(provider_pb2.DeleteRequest(urn=urn, id=path))
        assert (await world.call("GET", path, **API))[0] == 404

    error = await fails(delete(IMAGE_URN, IMAGE_PATH))
    assert error.details().startswith('Status=409 Code="CannotDeleteResource"')
    world.slow(gallery_delete_seconds=0.2)
    for _ in range(2):
        for urn, path in ((VERSION_URN, VERSION_PATH), (IMAGE_URN, IMAGE_PATH), (GALLERY_URN, GALLERY_PATH)):
            await delete(urn, path)


async def test_a_creation_outlives_its_tokens(plugin: Plugin, world: World) -> None:
    """Replication takes an hour, a token may last ten minutes: one that would end within five is renewed before the
    next poll."""
    world.identity.lifetime = 299.0
    url = await prepared(plugin, world)
    world.slow(gallery_replication_seconds=0.1)
    world.blobs.readable.clear()  # the cloud cannot read the VHD yet, so its operation is asked for again and again
    creation = asyncio.ensure_future(plugin.create(version_inputs(url), VERSION_URN))
    await until(lambda: _calls(world).count("poll") > 3)
    world.blobs.readable.set()
    await creation
    assert _calls(world).count("token") > 3


@pytest.mark.parametrize("end", ["cancel", "timeout"])
async def test_an_abandoned_creation_keeps_its_id(plugin: Plugin, world: World, url: str, end: str) -> None:
    """Ctrl-C or customTimeouts: state and inputs are kept, and Azure goes on. Until that ends, an update is refused."""
    world.slow(gallery_replication_seconds=3600)
    inputs = version_inputs(url)
    creation = asyncio.ensure_future(plugin.create(inputs, VERSION_URN, timeout=0.1 if end == "timeout" else 0))
    await until(lambda: "PUT" in _calls(world))
    if end == "cancel":
        await plugin.stub.Cancel(Empty())
    detail = init_failed(await asyncio.wait_for(fails(creation), END_SECONDS))
    assert (detail.id, read(detail.inputs)) == (VERSION_PATH, inputs)
    if end == "timeout":
        assert "context deadline exceeded" in detail.reasons[0]
        assert read(detail.properties)["provisioningState"] == "Creating"
        error = await fails(update(plugin, VERSION_URN, detail, inputs))
        assert error.details().startswith('Status=409 Code="Conflict"')
    else:
        assert "context canceled" in detail.reasons[0]


def _calls(world: World) -> list[str]:
    """The calls so far: tokens, polls, and others by their method."""
    kinds = {"/msi/token": "token", "/capsOperations/": "poll"}
    return [
        next((kind for part, kind in kinds.items() if part in call.path), call.method) for call in world.journal.calls()
    ]
