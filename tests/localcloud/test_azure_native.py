"""The stand-in azure-native plugin, as the engine meets it: a real process, real gRPC, a real resource manager."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.empty_pb2 import Empty
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from localcloud.azure_native import property_values
from localcloud.azure_native.custom_image import TYPE, UNKNOWN
from localcloud.azure_native.install import install
from localcloud.azure_native.property_values import read, write
from tests.localcloud.arm_world import SUBSCRIPTION, World, blob_endpoint, lab, lab_path, running

URN = f"urn:pulumi:local::images::imagefactory:LabImages${TYPE}::win-a"
LIST_ID = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/RG-One/providers/microsoft.devtestlab/labs/Target/customimages"
REQUEST_ID = f"{lab_path()}/customimages"
DIFFERENCE = provider_pb2.PropertyDiff
END_SECONDS = 30.0
"""How long a test waits for what must come at once; reaching it is a failure."""


def image_inputs(url: str, name: str = "Win-A", **more: Any) -> dict[str, Any]:
    """Inputs as Check gives them back."""
    return {
        "azureApiVersion": "2018-09-15",
        "labName": "Target",
        "location": "westeurope",
        "name": name,
        "resourceGroupName": "RG-One",
        "vhd": {"imageName": url, "osType": "Windows", "sysPrep": True},
        **more,
    }


class Plugin:
    """The stub of a started plugin."""

    def __init__(self, stub: Any) -> None:
        self.stub = stub

    async def create(self, inputs: Mapping[str, Any], **request: Any) -> Any:
        return await self.stub.Create(provider_pb2.CreateRequest(urn=URN, properties=write(inputs), **request))

    async def check(self, news: Mapping[str, Any], olds: Mapping[str, Any] | None = None, urn: str = URN) -> Any:
        old = None if olds is None else write(olds)
        return await self.stub.Check(provider_pb2.CheckRequest(urn=urn, news=write(news), olds=old))

    async def diff(self, old: Mapping[str, Any], new: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> Any:
        request = provider_pb2.DiffRequest(
            urn=URN, id="x", olds=write(state or {}), old_inputs=write(old), news=write(new)
        )
        return await self.stub.Diff(request)


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    """A resource manager with one lab."""
    async with running(labs=[lab()]) as running_world:
        yield running_world


@pytest_asyncio.fixture
async def plugin(world: World, tmp_path: Path) -> AsyncIterator[Plugin]:
    """The installed plugin, started as the engine starts it and configured; it may never print a traceback."""
    environment = {
        "IMAGEFACTORY_RESOURCE_MANAGER": world.base,
        "IDENTITY_ENDPOINT": world.token_endpoint,
        "IDENTITY_HEADER": world.identity.header,
    }
    async with started(tmp_path, environment) as running_plugin:
        yield running_plugin


@asynccontextmanager
async def started(home: Path, environment: Mapping[str, str]) -> AsyncIterator[Plugin]:
    """The installed plugin with this environment, and no other."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        install(home, Path(sys.executable), "3.29.0") / "pulumi-resource-azure-native",
        "127.0.0.1:1",
        "--logtostderr",
        stdout=pipe,
        stderr=pipe,
        env={"PATH": os.environ["PATH"], **environment},
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        await stub.Configure(
            provider_pb2.ConfigureRequest(
                variables={"azure-native:config:subscriptionId": SUBSCRIPTION},
                args=write({"subscriptionId": SUBSCRIPTION}),
                acceptSecrets=True,
                acceptResources=True,
            )
        )
        yield Plugin(stub)
    process.terminate()
    _, errors = await process.communicate()
    assert b"Traceback" not in errors, errors.decode()
    assert process.returncode == 0


async def fails(call: Any) -> Any:
    """The gRPC error of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def init_failed(error: Any) -> Any:
    """The partial failure in a gRPC error's trailing metadata."""
    (packed,) = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    told = status_pb2.Status.FromString(packed)
    assert (told.code, told.message) == (2, error.details())
    detail = provider_pb2.ErrorResourceInitFailed()
    assert told.details[0].Unpack(detail)
    return detail


async def test_it_says_what_it_is(plugin: Plugin) -> None:
    """Version, handshake and schema: one resource type, the version that it was installed as."""
    assert (await plugin.stub.GetPluginInfo(Empty())).version == "3.29.0"
    await plugin.stub.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address="127.0.0.1:1"))
    schema = json.loads((await plugin.stub.GetSchema(provider_pb2.GetSchemaRequest())).schema)
    assert (schema["name"], schema["version"], list(schema["resources"])) == ("azure-native", "3.29.0", [TYPE])


async def test_check_fills_in_name_location_and_version(plugin: Plugin, world: World) -> None:
    """The name comes from the URN, the location from the resource group (asked once), as the genuine plugin does."""
    given_inputs = {"labName": "Target", "resourceGroupName": "rg-one", "vhd": {"osType": "Linux"}}
    answers = await asyncio.gather(*(plugin.check(given_inputs) for _ in range(20)))
    for answer in answers:
        assert not answer.failures
        defaults = {"name": "win-a", "location": "westeurope", "azureApiVersion": "2018-09-15"}
        assert read(answer.inputs) == {**given_inputs, **defaults}
    assert sum("/resourceGroups/rg-one?" in call.path for call in world.journal.calls()) == 1


async def test_check_keeps_what_the_state_has(plugin: Plugin, world: World) -> None:
    """Name and location of the old inputs go before the defaults, and nothing is asked."""
    news = {"labName": "Target", "resourceGroupName": "RG-One"}
    answer = await plugin.check(news, {**news, "name": "Kept", "location": "northeurope"})
    assert read(answer.inputs) == {
        **news,
        "name": "Kept",
        "location": "northeurope",
        "azureApiVersion": "2018-09-15",
    }
    assert not world.journal.calls()


@pytest.mark.parametrize(
    ("news", "reasons"),
    [
        ({"resourceGroupName": "g"}, ["missing required property 'labName'"]),
        ({}, ["missing required property 'labName'", "missing required property 'resourceGroupName'"]),
        (
            {"labName": "l", "resourceGroupName": "g", "vhd": {"imageName": "u"}},
            ["missing required property 'vhd.osType'"],
        ),
        (
            {"labName": 5.0, "resourceGroupName": "g"},
            ["'labName' should be of type 'string' but got a number"],
        ),
        (
            {"labName": "l", "resourceGroupName": "g", "vhd": {"osType": "Windows", "sysPrep": "yes"}, "tags": ["x"]},
            [
                "'vhd.sysPrep' should be of type 'boolean' but got a string",
                "'tags' should be of type 'object' but got an array",
            ],
        ),
        ({"labName": UNKNOWN, "resourceGroupName": "g", "vhd": UNKNOWN, "tags": {"a": UNKNOWN}}, []),
    ],
)
async def test_check_names_each_fault(plugin: Plugin, news: dict[str, Any], reasons: list[str]) -> None:
    """All faults at once, in the genuine plugin's words; what a preview does not know is no fault."""
    answer = await plugin.check(news)
    assert sorted(failure.reason for failure in answer.failures) == sorted(reasons)


async def test_other_resource_types_and_functions_are_refused_by_name(plugin: Plugin) -> None:
    """Who asks for more than custom images is told what is covered."""
    error = await fails(plugin.check({}, urn="urn:pulumi:local::images::azure-native:storage:Blob::b"))
    assert "azure-native:storage:Blob" in error.details()
    assert TYPE in error.details()
    error = await fails(plugin.stub.Invoke(provider_pb2.InvokeRequest(tok="azure-native:storage:getBlob")))
    assert "azure-native:storage:getBlob" in error.details()


async def test_no_change_is_no_difference(plugin: Plugin) -> None:
    """Casing of the resource group and spelling of the location do not count, nor does a missing API version."""
    old = image_inputs("u", tags={"a": "b"})
    answer = await plugin.diff({key: value for key, value in old.items() if key != "azureApiVersion"}, old)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE
    answer = await plugin.diff(old, {**old, "resourceGroupName": "rg-one", "location": "West Europe"})
    assert (answer.changes, len(answer.detailedDiff)) == (provider_pb2.DiffResponse.DIFF_NONE, 0)


async def test_an_ordinary_change_is_an_update_in_place(plugin: Plugin) -> None:
    """VHD, tags and description: paths of what changed, and no replacement."""
    old = image_inputs("u", tags={"a": "b", "c": "d"})
    new = image_inputs(UNKNOWN, tags={"a": "x", "e": "f"}, description="new")
    answer = await plugin.diff(old, new)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert {path: diff.kind for path, diff in answer.detailedDiff.items()} == {
        "vhd.imageName": DIFFERENCE.UPDATE,
        "tags.a": DIFFERENCE.UPDATE,
        "tags.c": DIFFERENCE.DELETE,
        "tags.e": DIFFERENCE.ADD,
        "description": DIFFERENCE.ADD,
    }
    assert (list(answer.replaces), answer.deleteBeforeReplace) == ([], False)
    assert set(answer.diffs) == {"vhd", "tags", "description"}


@pytest.mark.parametrize("parameter", ["labName", "name", "resourceGroupName"])
async def test_only_path_parameters_force_a_replacement(plugin: Plugin, parameter: str) -> None:
    """Lab, name and resource group: deleted first, then made."""
    old = image_inputs("u")
    answer = await plugin.diff(old, {**old, parameter: "Other", "description": "new"})
    assert list(answer.replaces) == [parameter]
    assert answer.deleteBeforeReplace
    assert answer.detailedDiff[parameter].kind == DIFFERENCE.UPDATE_REPLACE


async def test_a_preview_knows_inputs_and_leaves_the_rest_unknown(plugin: Plugin, world: World) -> None:
    """No call is made; what the service will add is unknown, what the program gave is known."""
    inputs = image_inputs(UNKNOWN, tags={"a": "b"})
    created = read((await plugin.create(inputs, preview=True)).properties)
    assert (created["name"], created["tags"], created["provisioningState"]) == ("Win-A", {"a": "b"}, UNKNOWN)
    assert created["vhd"] == {"imageName": UNKNOWN, "osType": "Windows", "sysPrep": True}
    request = provider_pb2.UpdateRequest(
        urn=URN, id="x", olds=write({"name": "Kept"}), news=write(inputs), preview=True
    )
    assert read((await plugin.stub.Update(request)).properties)["name"] == "Kept"
    assert not world.journal.calls()


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


async def test_without_an_embedded_cloud_it_says_what_to_do(tmp_path: Path) -> None:
    """No endpoints in the environment: previews work, what needs the cloud is refused with a remedy."""
    async with started(tmp_path, {}) as plugin:
        await plugin.create(image_inputs("u"), preview=True)
        error = await fails(plugin.create(image_inputs("u")))
        assert "IMAGEFACTORY_RESOURCE_MANAGER" in error.details()
        assert "dev.py env" in error.details()


async def test_it_ends_with_its_engine(tmp_path: Path) -> None:
    """An engine that was killed leaves no plugin behind."""
    binary = install(tmp_path, Path(sys.executable), "3.29.0") / "pulumi-resource-azure-native"
    engine = (
        "import subprocess, sys; p = subprocess.Popen([sys.argv[1]], stdout=subprocess.PIPE); p.stdout.readline(); "
        "print(p.pid)"
    )
    ended = subprocess.run([sys.executable, "-c", engine, str(binary)], check=True, capture_output=True, text=True)  # noqa: ASYNC221 - ends at once
    pid = int(ended.stdout)
    await until(lambda: not _runs(pid))


def test_installing_is_repeatable_and_spares_a_genuine_plugin(tmp_path: Path) -> None:
    """The same call changes nothing, another interpreter is followed, a foreign binary is left alone."""
    folder = install(tmp_path, Path("/somewhere/python"), "3.29.0")
    assert folder == tmp_path / "plugins" / "resource-azure-native-v3.29.0"
    binary = folder / "pulumi-resource-azure-native"
    before = binary.stat()
    assert before.st_mode & 0o111
    install(tmp_path, Path("/somewhere/python"), "3.29.0")
    assert binary.stat().st_ino == before.st_ino
    install(tmp_path, Path("/else where/python"), "3.29.0")
    assert "'/else where/python'" in binary.read_text(encoding="utf-8")
    binary.write_bytes(b"\x7fELF genuine")
    install(tmp_path, Path("/somewhere/python"), "3.29.0")
    assert binary.read_bytes() == b"\x7fELF genuine"
    assert [each.name for each in folder.iterdir()] == [binary.name]


_VALUES = st.recursive(
    st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
_PROPERTIES = st.dictionaries(st.text(max_size=3), _VALUES, max_size=4)


@given(_PROPERTIES)
def test_property_values_survive_the_wire(values: dict[str, Any]) -> None:
    """Writing and reading gives the same values."""
    assert read(write(values)) == values


@given(_PROPERTIES, _PROPERTIES)
def test_differences_are_told_exactly_where_there_are_some(old: dict[str, Any], new: dict[str, Any]) -> None:
    """No difference between equal values, some between others, and applying them to the old gives the new."""
    assert not list(property_values.changes(old, old))
    assert bool(list(property_values.changes(old, new))) == (old != new)
    assert property_values.apply_changes(old, old, new) == new


def test_secrets_and_outputs_are_unwrapped() -> None:
    """A secret is its value, an output without a value is unknown."""
    signature = "4dabf18193072939515e22adb298388d"
    secret = {signature: "1b47061264138c4ac30d75fd1eb44270", "value": {"a": "b"}}
    known = {signature: "d0e6a833031e9bbcd3f4e8bde6ca49a4", "value": "v", "secret": True}
    unknown = {signature: "d0e6a833031e9bbcd3f4e8bde6ca49a4"}
    assert read(write({"s": secret, "k": [known], "u": unknown})) == {"s": {"a": "b"}, "k": ["v"], "u": UNKNOWN}


async def until(happened: Callable[[], bool]) -> None:
    """Wait for something that comes soon; fail where it does not."""

    async def wait() -> None:
        while not happened():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)

    await asyncio.wait_for(wait(), END_SECONDS)


def _states(world: World) -> list[str]:
    return [image.state for each in world.store.labs.values() for image in each.images.values()]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
