"""The stand-in azure-native plugin, as the engine uses it: a real process, real gRPC, a real resource manager."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime.proto import provider_pb2

from localcloud.azure_native import property_values
from localcloud.azure_native.custom_image import TYPE, UNKNOWN
from localcloud.azure_native.install import install
from localcloud.azure_native.property_values import read, write
from tests.localcloud.arm_world import World
from tests.localcloud.azure_native_plugin import URN, Plugin, fails, image_inputs, started, until

DIFFERENCE = provider_pb2.PropertyDiff


async def test_it_returns_its_version_and_schema(plugin: Plugin) -> None:
    """Version, handshake and schema: the supported resource types, in the installed version."""
    assert (await plugin.stub.GetPluginInfo(Empty())).version == "3.29.0"
    await plugin.stub.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address="127.0.0.1:1"))
    schema = json.loads((await plugin.stub.GetSchema(provider_pb2.GetSchemaRequest())).schema)
    types = [TYPE, *(f"azure-native:compute:{name}" for name in ("Gallery", "GalleryImage", "GalleryImageVersion"))]
    assert (schema["name"], schema["version"], list(schema["resources"])) == ("azure-native", "3.29.0", types)


async def test_check_fills_in_name_location_and_version(plugin: Plugin, world: World) -> None:
    """Like the genuine plugin: the name from the URN, the location from the resource group (requested once)."""
    given_inputs = {"labName": "Target", "resourceGroupName": "rg-one", "vhd": {"osType": "Linux"}}
    answers = await asyncio.gather(*(plugin.check(given_inputs) for _ in range(20)))
    for answer in answers:
        assert not answer.failures
        defaults = {"name": "win-a", "location": "westeurope", "azureApiVersion": "2018-09-15"}
        assert read(answer.inputs) == {**given_inputs, **defaults}
    assert sum("/resourceGroups/rg-one?" in call.path for call in world.journal.calls()) == 1


async def test_check_keeps_the_values_of_the_state(plugin: Plugin, world: World) -> None:
    """Name and location of the old inputs take precedence over defaults, and no request is sent."""
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
async def test_check_names_each_problem(plugin: Plugin, news: dict[str, Any], reasons: list[str]) -> None:
    """All problems together, in the genuine plugin's words; unknown values of a preview are valid."""
    answer = await plugin.check(news)
    assert sorted(failure.reason for failure in answer.failures) == sorted(reasons)


async def test_other_resource_types_and_functions_are_rejected_by_name(plugin: Plugin) -> None:
    """The error names the supported type."""
    error = await fails(plugin.check({}, urn="urn:pulumi:local::images::azure-native:storage:Blob::b"))
    assert "azure-native:storage:Blob" in error.details()
    assert TYPE in error.details()
    error = await fails(plugin.stub.Invoke(provider_pb2.InvokeRequest(tok="azure-native:storage:getBlob")))
    assert "azure-native:storage:getBlob" in error.details()


async def test_no_change_is_no_difference(plugin: Plugin) -> None:
    """Casing of the resource group, spelling of the location and a missing API version are ignored."""
    old = image_inputs("u", tags={"a": "b"})
    answer = await plugin.diff({key: value for key, value in old.items() if key != "azureApiVersion"}, old)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE
    answer = await plugin.diff(old, {**old, "resourceGroupName": "rg-one", "location": "West Europe"})
    assert (answer.changes, len(answer.detailedDiff)) == (provider_pb2.DiffResponse.DIFF_NONE, 0)


async def test_an_ordinary_change_is_an_update_in_place(plugin: Plugin) -> None:
    """VHD, tags and description: the diff has the changed paths and no replacement."""
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
    """Lab, name and resource group: deleted first, then created."""
    old = image_inputs("u")
    answer = await plugin.diff(old, {**old, parameter: "Other", "description": "new"})
    assert list(answer.replaces) == [parameter]
    assert answer.deleteBeforeReplace
    assert answer.detailedDiff[parameter].kind == DIFFERENCE.UPDATE_REPLACE


async def test_a_preview_knows_inputs_and_leaves_the_rest_unknown(plugin: Plugin, world: World) -> None:
    """No request is sent; values that the service adds are unknown, the program's inputs are known."""
    inputs = image_inputs(UNKNOWN, tags={"a": "b"})
    created = read((await plugin.create(inputs, preview=True)).properties)
    assert (created["name"], created["tags"], created["provisioningState"]) == ("Win-A", {"a": "b"}, UNKNOWN)
    assert created["vhd"] == {"imageName": UNKNOWN, "osType": "Windows", "sysPrep": True}
    request = provider_pb2.UpdateRequest(
        urn=URN, id="x", olds=write({"name": "Kept"}), news=write(inputs), preview=True
    )
    assert read((await plugin.stub.Update(request)).properties)["name"] == "Kept"
    assert not world.journal.calls()


async def test_without_an_embedded_cloud_it_fails_with_a_remedy(tmp_path: Path, python: Path) -> None:
    """Without endpoints in the environment, previews work; calls that need the cloud fail with a remedy."""
    async with started(tmp_path, {}, python) as plugin:
        await plugin.create(image_inputs("u"), preview=True)
        error = await fails(plugin.create(image_inputs("u")))
        assert "IMAGEFACTORY_RESOURCE_MANAGER" in error.details()
        assert "dev.py env" in error.details()


async def test_it_exits_with_its_engine(tmp_path: Path) -> None:
    """After an engine was killed, the plugin exits."""
    binary = install(tmp_path, Path(sys.executable), "3.29.0") / "pulumi-resource-azure-native"
    engine = (
        "import subprocess, sys; p = subprocess.Popen([sys.argv[1]], stdout=subprocess.PIPE); p.stdout.readline(); "
        "print(p.pid)"
    )
    ended = subprocess.run([sys.executable, "-c", engine, str(binary)], check=True, capture_output=True, text=True)  # noqa: ASYNC221 - ends at once
    pid = int(ended.stdout)
    await until(lambda: not _runs(pid))


def test_installing_is_idempotent_and_keeps_a_genuine_plugin(tmp_path: Path) -> None:
    """The same call changes nothing, another interpreter is written, a foreign binary is kept."""
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
    """Writing and reading returns the same values."""
    assert read(write(values)) == values


@given(_PROPERTIES, _PROPERTIES)
def test_differences_are_exact(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Equal values have none, others have some, and applying them to the old values returns the new ones."""
    assert not list(property_values.changes(old, old))
    assert bool(list(property_values.changes(old, new))) == (old != new)
    assert property_values.apply_changes(old, old, new) == new


def test_secrets_and_outputs_are_unwrapped() -> None:
    """A secret becomes its value, an output without a value is unknown."""
    signature = "4dabf18193072939515e22adb298388d"
    secret = {signature: "1b47061264138c4ac30d75fd1eb44270", "value": {"a": "b"}}
    known = {signature: "d0e6a833031e9bbcd3f4e8bde6ca49a4", "value": "v", "secret": True}
    unknown = {signature: "d0e6a833031e9bbcd3f4e8bde6ca49a4"}
    assert read(write({"s": secret, "k": [known], "u": unknown})) == {"s": {"a": "b"}, "k": ["v"], "u": UNKNOWN}


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
