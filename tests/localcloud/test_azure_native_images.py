"""Custom images by the stand-in azure-native plugin: made, read, imported and deleted at a real resource manager."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import provider_pb2

from localcloud.azure_native.property_values import read, write
from tests.localcloud.arm_world import World, blob_endpoint, lab, lab_path
from tests.localcloud.azure_native_plugin import (
    END_SECONDS,
    LIST_ID,
    REQUEST_ID,
    URN,
    Plugin,
    fails,
    image_inputs,
    init_failed,
    until,
)


async def test_a_created_image_has_the_id_that_the_list_tells(plugin: Plugin, world: World) -> None:
    """GET first, PUT, poll; the state keeps ARM's own casing of the id, and the outputs of the answer."""
    url = world.blobs.put_vhd("targetone", "a.vhd")
    created = await plugin.create(image_inputs(url, author="me", tags={"ImagePath": "Win/A.json"}))
    _, listed, _ = await world.call("GET", REQUEST_ID)
    (image,) = listed["value"]
    assert created.id == image["id"] == f"{LIST_ID}/Win-A"
    outputs = read(created.properties)
    flat = {**image["properties"], **{key: value for key, value in image.items() if key != "properties"}}
    assert outputs == {**flat, "azureApiVersion": "2018-09-15"}
    assert outputs["provisioningState"] == "Succeeded"
    methods = [call.method for call in world.journal.calls() if "/msi/" not in call.path]
    assert methods[:3] == ["GET", "PUT", "GET"]


async def test_what_exists_is_not_created(plugin: Plugin, world: World) -> None:
    """The genuine plugin's error text, with the id that it asked for; the image is left as it is."""
    world.seed(lab("Other", images=[{"name": "Win-A"}]))
    before = await world.call("GET", f"{lab_path('Other')}/customimages/Win-A")
    error = await fails(plugin.create({**image_inputs("u"), "labName": "Other"}))
    wanted = f"{lab_path('Other')}/customimages/Win-A"
    assert error.details() == f"cannot create already existing resource '{wanted}'"
    assert (await world.call("GET", wanted))[1] == before[1]


async def test_a_refused_creation_keeps_nothing(plugin: Plugin) -> None:
    """A PUT that is refused is an error with ARM's code and message, and no partial state."""
    error = await fails(plugin.create(image_inputs(f"{blob_endpoint('foreign')}/vhds/a.vhd")))
    text = 'Status=400 Code="InvalidStorageAccountForLab" Message="Invalid storage account for lab"'
    assert error.details() == text
    assert not [key for key, _ in error.trailing_metadata() if key == "grpc-status-details-bin"]


async def test_a_failed_creation_keeps_its_id_and_goes_on_at_the_next_update(plugin: Plugin, world: World) -> None:
    """ErrorResourceInitFailed: the requested id, the failed image as state, the inputs; an Update then makes it."""
    url = f"{blob_endpoint('targetone')}/vhds/late.vhd"
    inputs = image_inputs(url)
    error = await fails(plugin.create(inputs))
    detail = init_failed(error)
    assert detail.id == f"{REQUEST_ID}/Win-A"
    assert read(detail.inputs) == inputs
    assert read(detail.properties)["provisioningState"] == "Failed"
    assert "SourceBlobNotFound" in detail.reasons[0]
    world.blobs.put_vhd("targetone", "late.vhd")
    request = provider_pb2.UpdateRequest(urn=URN, id=detail.id, olds=detail.properties, news=detail.inputs)
    assert read((await plugin.stub.Update(request)).properties)["provisioningState"] == "Succeeded"


async def test_read_tells_what_is_gone_and_what_has_changed(plugin: Plugin, world: World) -> None:
    """An empty id for what is gone; a tag changed by hand appears in the inputs, a default of the service does not."""
    url = world.blobs.put_vhd("targetone", "a.vhd")
    inputs = image_inputs(url, tags={"a": "b"})
    created = await plugin.create(inputs)
    request = provider_pb2.ReadRequest(urn=URN, id=created.id, properties=created.properties, inputs=write(inputs))
    unchanged = await plugin.stub.Read(request)
    assert (unchanged.id, read(unchanged.inputs)) == (created.id, inputs)
    assert read(unchanged.properties) == read(created.properties)
    body = {"properties": {"vhd": inputs["vhd"]}, "tags": {"a": "changed", "new": "x"}}
    await world.call("PUT", f"{REQUEST_ID}/Win-A", json=body)
    changed = await plugin.stub.Read(request)
    assert read(changed.inputs)["tags"] == {"a": "changed", "new": "x"}
    await world.call("DELETE", f"{REQUEST_ID}/Win-A")
    gone = await plugin.stub.Read(request)
    assert (gone.id, len(gone.properties.fields)) == ("", 0)


async def test_an_import_reads_the_inputs_from_the_answer(plugin: Plugin, world: World) -> None:
    """The id stays as given, path parameters are in its casing, and what the service added is among the inputs."""
    vhd = {"imageName": "http://x/y.vhd", "osType": "Windows", "sysPrep": True}
    old = {"name": "Win-A", "tags": {"ImagePath": "Win/A.json"}, "author": "me", "vhdUrl": "http://x/y.vhd"}
    world.seed(lab("Other", images=[old]))
    resource = f"{LIST_ID.replace('Target', 'Other')}/Win-A"
    imported = await plugin.stub.Read(provider_pb2.ReadRequest(urn=URN, id=resource))
    assert imported.id == resource
    assert read(imported.inputs) == {
        "resourceGroupName": "RG-One",
        "labName": "Other",
        "name": "Win-A",
        "author": "me",
        "managedImageId": read(imported.properties)["managedImageId"],
        "tags": {"ImagePath": "Win/A.json"},
        "vhd": vhd,
    }
    error = await fails(plugin.stub.Read(provider_pb2.ReadRequest(urn=URN, id=lab_path())))
    assert f"failed to parse '{lab_path()}'" in error.details()


async def test_delete_is_done_when_it_is_gone(plugin: Plugin, world: World) -> None:
    """The operation is awaited; deleting again, and deleting from a lab that is gone, succeeds."""
    world.slow(image_delete_seconds=0.2)
    world.seed(lab("Other", images=[{"name": "Win-A"}]))
    for name in ("Other", "Other", "Gone"):
        request = provider_pb2.DeleteRequest(urn=URN, id=f"{lab_path(name)}/customimages/Win-A")
        await plugin.stub.Delete(request)
        assert (await world.call("GET", f"{lab_path(name)}/customimages/Win-A"))[0] == 404


@pytest.mark.parametrize("action", [{"status": 503, "retryAfter": 0}, {"status": 429, "retryAfter": 0}, {"drop": True}])
async def test_passing_faults_are_tried_again(plugin: Plugin, world: World, action: dict[str, Any]) -> None:
    """Two refusals of each method do not stop a creation."""
    url = world.blobs.put_vhd("targetone", "a.vhd")
    rule = {"path": "/customimages/", "times": 2, "action": action}
    world.fault({**rule, "method": "GET"}, {**rule, "method": "PUT"})
    assert (await plugin.create(image_inputs(url))).id == f"{LIST_ID}/Win-A"


async def test_a_lasting_refusal_is_told_with_arms_code(plugin: Plugin, world: World) -> None:
    """After the retries the error names the status, code and message; nothing was created."""
    action = {"status": 429, "code": "TooManyRequests", "message": "slow down", "retryAfter": 0}
    world.fault({"method": "PUT", "path": "/customimages/", "action": action})
    error = await fails(plugin.create(image_inputs(world.blobs.put_vhd("targetone", "a.vhd"))))
    assert error.details() == 'Status=429 Code="TooManyRequests" Message="slow down"'
    assert [call.status for call in world.journal.calls() if call.method == "PUT"] == [429] * 4


async def test_an_existence_that_cannot_be_told_is_an_error(plugin: Plugin, world: World) -> None:
    """No permission to read: the PUT is not tried."""
    world.fault({"method": "GET", "path": "/customimages/", "action": {"status": 403, "code": "AuthorizationFailed"}})
    error = await fails(plugin.create(image_inputs("u")))
    assert "cannot check existence of resource" in error.details()
    assert "AuthorizationFailed" in error.details()
    assert not [call for call in world.journal.calls() if call.method == "PUT"]


async def test_cancel_ends_a_creation_that_waits(plugin: Plugin, world: World) -> None:
    """An image that takes an hour is given up at once; its id is kept, so that the next update goes on."""
    world.slow(image_create_seconds=3600)
    creation = asyncio.ensure_future(plugin.create(image_inputs(world.blobs.put_vhd("targetone", "a.vhd"))))
    await until(lambda: bool(_states(world)))
    await plugin.stub.Cancel(Empty())
    detail = init_failed(await asyncio.wait_for(fails(creation), END_SECONDS))
    assert detail.id == f"{REQUEST_ID}/Win-A"
    assert "context canceled" in detail.reasons[0]


async def test_the_engines_timeout_ends_a_creation(plugin: Plugin, world: World) -> None:
    """customTimeouts are honoured, and the image's state is kept."""
    world.slow(image_create_seconds=3600)
    inputs = image_inputs(world.blobs.put_vhd("targetone", "a.vhd"))
    detail = init_failed(await asyncio.wait_for(fails(plugin.create(inputs, timeout=0.1)), END_SECONDS))
    assert "context deadline exceeded" in detail.reasons[0]
    assert read(detail.properties)["provisioningState"] == "Creating"


async def test_a_hundred_creations_are_in_flight_at_once(plugin: Plugin, world: World) -> None:
    """Nothing in the plugin queues them: all are being made at the same time, and all end well, with one token."""
    world.slow(image_create_seconds=3.0)
    url = world.blobs.put_vhd("targetone", "a.vhd")
    creations = asyncio.gather(*(plugin.create(image_inputs(url, f"image{number}")) for number in range(100)))
    await until(lambda: _states(world).count("Creating") == 100)
    assert len({answer.id for answer in await creations}) == 100
    assert sum("/msi/token" in call.path for call in world.journal.calls()) == 1


def _states(world: World) -> list[str]:
    return [image.state for each in world.store.labs.values() for image in each.images.values()]
