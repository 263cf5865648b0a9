"""Custom images of the stand-in azure-native plugin: created, read, imported and deleted at a real resource manager."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import provider_pb2

from localcloud.arm.answers import Answers
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


async def test_a_created_image_has_the_id_of_the_list(plugin: Plugin, world: World) -> None:
    """GET, PUT, poll; the state has ARM's casing of the id, and the outputs of the response."""
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


async def test_an_existing_image_is_not_created(plugin: Plugin, world: World) -> None:
    """The genuine plugin's error, with the requested id; the image is not changed."""
    world.seed(lab("Other", images=[{"name": "Win-A"}]))
    before = await world.call("GET", f"{lab_path('Other')}/customimages/Win-A")
    error = await fails(plugin.create({**image_inputs("u"), "labName": "Other"}))
    wanted = f"{lab_path('Other')}/customimages/Win-A"
    assert error.details() == f"cannot create already existing resource '{wanted}'"
    assert (await world.call("GET", wanted))[1] == before[1]


async def test_a_rejected_create_keeps_no_state(plugin: Plugin) -> None:
    """A rejected PUT is an error with ARM's code and message, without partial state."""
    error = await fails(plugin.create(image_inputs(f"{blob_endpoint('foreign')}/vhds/a.vhd")))
    text = 'Status=400 Code="InvalidStorageAccountForLab" Message="Invalid storage account for lab"'
    assert error.details() == text
    assert not [key for key, _ in error.trailing_metadata() if key == "grpc-status-details-bin"]


async def test_a_failed_create_keeps_its_id_and_the_next_update_continues(plugin: Plugin, world: World) -> None:
    """ErrorResourceInitFailed has the requested id, the failed image and the inputs; an Update then creates it."""
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


async def test_read_reports_a_deleted_and_a_changed_image(plugin: Plugin, world: World) -> None:
    """A deleted image has an empty id; a manually changed tag is in the inputs, a default of the service is not."""
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


async def test_an_import_reads_the_inputs_from_the_response(plugin: Plugin, world: World) -> None:
    """The id is kept, path parameters have its casing, and inputs include values that the service added."""
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


@pytest.mark.parametrize("form", ["recorded", "published"])
async def test_an_import_of_an_answer_without_location_leads_to_a_put(
    plugin: Plugin, world: World, form: Literal["recorded", "published"]
) -> None:
    """The trap of an import, as seen of the genuine plugin: Check fills in the location, Diff finds it added
    (`[diff: +location]`), and the update is a PUT on an image that was only to be taken over. With a location in the
    answer nothing differs; without it neither does the second run, whose inputs have one."""
    world.store.answers = Answers(custom_image_answers=form)
    world.seed(lab("Other", images=[{"name": "Win-A", "vhdUrl": "http://x/y.vhd"}]))
    resource = f"{lab_path('Other')}/customimages/Win-A"
    imported = await plugin.stub.Read(provider_pb2.ReadRequest(urn=URN, id=resource))
    old = read(imported.inputs)
    wanted = {key: value for key, value in old.items() if key != "location"}
    new = read((await plugin.check(wanted, old)).inputs)
    diff = await plugin.diff(old, new, read(imported.properties))
    added = {path: each.kind for path, each in diff.detailedDiff.items()}
    assert added == ({"location": provider_pb2.PropertyDiff.ADD} if form == "recorded" else {})
    request = provider_pb2.UpdateRequest(urn=URN, id=resource, olds=imported.properties, news=write(new))
    updated = await plugin.stub.Update(request)
    assert [call.status for call in world.journal.calls() if call.method == "PUT"] == [200]
    assert ("location" in read(updated.properties)) == (form == "published")
    again = read((await plugin.check(wanted, new)).inputs)
    assert not (await plugin.diff(new, again, read(updated.properties))).detailedDiff


async def test_the_image_is_read_once_more_after_a_create_and_an_update(plugin: Plugin, world: World) -> None:
    """As the genuine plugin does: the last call is a GET of the image, whose failure changes nothing."""
    inputs = image_inputs(world.blobs.put_vhd("targetone", "a.vhd"))
    created = await plugin.create(inputs)
    assert [call.method for call in world.journal.calls()[-2:]] == ["GET", "GET"], "the poller's, and one more"
    world.fault({"method": "GET", "path": "/customimages/", "action": {"status": 403, "code": "AuthorizationFailed"}})
    request = provider_pb2.UpdateRequest(urn=URN, id=created.id, olds=created.properties, news=write(inputs))
    updated = await plugin.stub.Update(request)
    assert [(call.method, call.status) for call in world.journal.calls()[-2:]] == [("PUT", 200), ("GET", 403)]
    assert updated.properties == created.properties


async def test_a_delete_finishes_when_the_image_is_deleted(plugin: Plugin, world: World) -> None:
    """It waits for the operation; deleting again, or from a deleted lab, succeeds."""
    world.slow(image_delete_seconds=0.2)
    world.seed(lab("Other", images=[{"name": "Win-A"}]))
    for name in ("Other", "Other", "Gone"):
        request = provider_pb2.DeleteRequest(urn=URN, id=f"{lab_path(name)}/customimages/Win-A")
        await plugin.stub.Delete(request)
        assert (await world.call("GET", f"{lab_path(name)}/customimages/Win-A"))[0] == 404


@pytest.mark.parametrize("action", [{"status": 503, "retryAfter": 0}, {"status": 429, "retryAfter": 0}, {"drop": True}])
async def test_transient_errors_are_retried(plugin: Plugin, world: World, action: dict[str, Any]) -> None:
    """Two failures of each method do not stop a create."""
    url = world.blobs.put_vhd("targetone", "a.vhd")
    rule = {"path": "/customimages/", "times": 2, "action": action}
    world.fault({**rule, "method": "GET"}, {**rule, "method": "PUT"})
    assert (await plugin.create(image_inputs(url))).id == f"{LIST_ID}/Win-A"


async def test_a_persistent_error_has_arms_code(plugin: Plugin, world: World) -> None:
    """After the retries the error has status, code and message; no image is created."""
    action = {"status": 429, "code": "TooManyRequests", "message": "slow down", "retryAfter": 0}
    world.fault({"method": "PUT", "path": "/customimages/", "action": action})
    error = await fails(plugin.create(image_inputs(world.blobs.put_vhd("targetone", "a.vhd"))))
    assert error.details() == 'Status=429 Code="TooManyRequests" Message="slow down"'
    assert [call.status for call in world.journal.calls() if call.method == "PUT"] == [429] * 4


async def test_an_error_does_not_contain_the_signed_query_of_an_operation(plugin: Plugin, world: World) -> None:
    """If no poll is answered, the error names the operation only by its path."""
    world.fault({"path": "/operations/", "action": {"drop": True}})
    error = await fails(plugin.create(image_inputs(world.blobs.put_vhd("targetone", "a.vhd"))))
    (poll, *_) = (call.path for call in world.journal.calls() if "/operations/" in call.path)
    path, _, query = poll.partition("?")
    told = f"{error.details()} {init_failed(error).reasons}"
    assert path in told and query not in told and "&s=" not in told


async def test_an_unknown_existence_is_an_error(plugin: Plugin, world: World) -> None:
    """Without permission to read, the PUT is not sent."""
    world.fault({"method": "GET", "path": "/customimages/", "action": {"status": 403, "code": "AuthorizationFailed"}})
    error = await fails(plugin.create(image_inputs("u")))
    assert "cannot check existence of resource" in error.details()
    assert "AuthorizationFailed" in error.details()
    assert not [call for call in world.journal.calls() if call.method == "PUT"]


async def test_cancel_stops_a_create_that_waits(plugin: Plugin, world: World) -> None:
    """A creation of an hour is abandoned immediately; the id is kept, so the next update continues."""
    world.slow(image_create_seconds=3600)
    creation = asyncio.ensure_future(plugin.create(image_inputs(world.blobs.put_vhd("targetone", "a.vhd"))))
    await until(lambda: bool(_states(world)))
    await plugin.stub.Cancel(Empty())
    detail = init_failed(await asyncio.wait_for(fails(creation), END_SECONDS))
    assert detail.id == f"{REQUEST_ID}/Win-A"
    assert "context canceled" in detail.reasons[0]


async def test_the_engines_timeout_stops_a_create(plugin: Plugin, world: World) -> None:
    """customTimeouts apply, and the image's state is kept."""
    world.slow(image_create_seconds=3600)
    inputs = image_inputs(world.blobs.put_vhd("targetone", "a.vhd"))
    detail = init_failed(await asyncio.wait_for(fails(plugin.create(inputs, timeout=0.1)), END_SECONDS))
    assert "context deadline exceeded" in detail.reasons[0]
    assert read(detail.properties)["provisioningState"] == "Creating"


async def test_a_hundred_creates_run_concurrently(plugin: Plugin, world: World) -> None:
    """The plugin does not queue them: all are in progress together, and all succeed, with one token."""
    world.slow(image_create_seconds=0.1)
    world.blobs.readable.clear()
    url = world.blobs.put_vhd("targetone", "a.vhd")
    creations = asyncio.gather(*(plugin.create(image_inputs(url, f"image{number}")) for number in range(100)))
    await until(lambda: _states(world).count("Creating") == 100)
    world.blobs.readable.set()
    assert len({answer.id for answer in await creations}) == 100
    assert sum("/msi/token" in call.path for call in world.journal.calls()) == 1


def _states(world: World) -> list[str]:
    return [image.state for each in world.store.labs.values() for image in each.images.values()]
