"""Galleries of the stand-in azure-native plugin: what it checks, compares and previews."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2

from localcloud.azure_native.property_tables import UNKNOWN
from localcloud.azure_native.property_values import read, write
from tests.localcloud.arm_world import World
from tests.localcloud.azure_native_plugin import Plugin, fails
from tests.localcloud.gallery_inputs import (
    GALLERY_URN,
    IMAGE_URN,
    VERSION_URN,
    gallery_inputs,
    image_inputs,
    regions,
    version_inputs,
)

DIFFERENCE = provider_pb2.PropertyDiff
FILLED_IN = {"location", "azureApiVersion"}


@pytest.mark.parametrize(
    ("urn", "inputs", "name"),
    [
        (IMAGE_URN, image_inputs(), "galleryImageName"),
        (VERSION_URN, version_inputs("u"), "galleryImageVersionName"),
    ],
)
async def test_check_fills_in_name_location_and_version(
    plugin: Plugin, world: World, urn: str, inputs: dict[str, Any], name: str
) -> None:
    """A child's name is that of the URN; the location is the resource group's, also for a definition and a version."""
    given = {key: value for key, value in inputs.items() if key not in {name, *FILLED_IN}}
    answer = await plugin.check(given, urn=urn)
    assert not answer.failures
    assert read(answer.inputs) == {**inputs, name: "made"}
    assert [call.path.partition("?")[0].rpartition("/")[2] for call in world.journal.calls()][-1] == "RG-One"


async def test_a_gallery_without_a_name_gets_a_random_one_and_keeps_it(plugin: Plugin) -> None:
    """The suffix depends on the engine's seed only. A replacement then creates the new one first; with a name of the
    program's the old one is deleted first, because both would have the same."""
    given = {"resourceGroupName": "RG-One", "location": "westeurope"}
    first, same, other = [
        read((await plugin.check(given, urn=GALLERY_URN, randomSeed=seed)).inputs) for seed in (b"a", b"a", b"b")
    ]
    assert first == same != other
    assert first["galleryName"].startswith("made") and first["galleryName"] != "made"
    kept = read((await plugin.check(given, first, urn=GALLERY_URN, randomSeed=b"c")).inputs)
    assert kept == first
    moved = await plugin.diff(first, {**first, "resourceGroupName": "Other"}, urn=GALLERY_URN)
    assert (list(moved.replaces), moved.deleteBeforeReplace) == (["resourceGroupName"], False)
    named = gallery_inputs()
    moved = await plugin.diff(named, {**named, "resourceGroupName": "Other"}, urn=GALLERY_URN)
    assert (list(moved.replaces), moved.deleteBeforeReplace) == (["resourceGroupName"], True)


@pytest.mark.parametrize(
    ("urn", "news", "reasons"),
    [
        (GALLERY_URN, {}, ["missing required property 'resourceGroupName'", "location"]),
        (
            IMAGE_URN,
            {**image_inputs(), "identifier": {"offer": "o"}, "osType": 1.0},
            [
                "missing required property 'identifier.publisher'",
                "missing required property 'identifier.sku'",
                "'osType' should be of type 'string' but got a number",
            ],
        ),
        (
            VERSION_URN,
            {
                **version_inputs("u", "v", publishingProfile={"targetRegions": [{"regionalReplicaCount": 1.5}]}),
                "storageProfile": {"dataDiskImages": [{"source": {"uri": "u"}}, UNKNOWN]},
            },
            [
                "missing required property 'publishingProfile.targetRegions[0].name'",
                "'publishingProfile.targetRegions[0].regionalReplicaCount' must be an integer but got 1.500000",
                "missing required property 'storageProfile.dataDiskImages[0].lun'",
            ],
        ),
        (
            VERSION_URN,
            {"resourceGroupName": UNKNOWN, "galleryName": "g"},
            ["missing required property 'galleryImageName'", "missing required property 'storageProfile'"],
        ),
    ],
)
async def test_check_names_each_problem(plugin: Plugin, urn: str, news: dict[str, Any], reasons: list[str]) -> None:
    """All problems together, in the genuine plugin's words, with their place in nested arguments; unknown values of a
    preview are valid, and an unknown resource group has an unknown location."""
    no_location = (
        "missing required property 'location'. Either set it explicitly or configure it with "
        "'pulumi config set azure-native:location <value>'."
    )
    expected = [no_location if each == "location" else each for each in reasons]
    answer = await plugin.check(news, urn=urn)
    assert sorted(failure.reason for failure in answer.failures) == sorted(expected)


@pytest.mark.parametrize(
    ("urn", "inputs"),
    [(GALLERY_URN, gallery_inputs()), (IMAGE_URN, image_inputs()), (VERSION_URN, version_inputs("u"))],
)
async def test_only_place_and_location_force_a_replacement(plugin: Plugin, urn: str, inputs: dict[str, Any]) -> None:
    """The path parameters, and the location, which the specification marks as settable at creation only. Spaces and
    casing of a location are no change."""
    place = {"resourceGroupName", "galleryName", "galleryImageName", "galleryImageVersionName", "location"}
    for key in inputs:
        changed: dict[str, Any] = {**inputs, key: {"a": "b"} if isinstance(inputs[key], dict) else "other"}
        answer = await plugin.diff(inputs, changed, urn=urn)
        assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
        assert set(answer.diffs) == {key}
        assert list(answer.replaces) == ([key] if key in place else [])
        assert answer.deleteBeforeReplace == (key in place)
    same = await plugin.diff(inputs, {**inputs, "location": "West Europe", "resourceGroupName": "rg-one"}, urn=urn)
    assert same.changes == provider_pb2.DiffResponse.DIFF_NONE


async def test_an_imported_location_is_no_replacement(plugin: Plugin) -> None:
    """If the inputs of the state lack the location and its outputs have the same one, it is an update in place."""
    without = {key: value for key, value in gallery_inputs().items() if key != "location"}
    answer = await plugin.diff(without, gallery_inputs(), {"location": "westeurope"}, urn=GALLERY_URN)
    assert answer.detailedDiff["location"].kind == DIFFERENCE.ADD and not answer.replaces
    answer = await plugin.diff(without, gallery_inputs(), {"location": "northeurope"}, urn=GALLERY_URN)
    assert answer.detailedDiff["location"].kind == DIFFERENCE.ADD_REPLACE and list(answer.replaces) == ["location"]


async def test_target_regions_are_compared_by_name_in_any_order(plugin: Plugin) -> None:
    """Another order is no change. A region added, dropped or with another replica count is an update of the version, as
    are the exclusion from latest and the end-of-life date."""
    old = version_inputs("u", publishingProfile=regions("westeurope", "northeurope"))

    async def diff(new: dict[str, Any]) -> dict[str, Any]:
        answer = await plugin.diff(old, {**old, "publishingProfile": new}, urn=VERSION_URN)
        assert not answer.replaces and set(answer.diffs) <= {"publishingProfile"}
        return {path: each.kind for path, each in answer.detailedDiff.items()}

    assert await diff(regions("northeurope", "westeurope")) == {}
    profile = "publishingProfile"
    assert await diff(regions("northeurope", "westeurope", "uksouth")) == {
        f"{profile}.targetRegions[2]": DIFFERENCE.ADD
    }
    assert await diff(regions("northeurope")) == {f"{profile}.targetRegions[0]": DIFFERENCE.DELETE}
    more = regions("northeurope", "westeurope")
    more["targetRegions"][1]["regionalReplicaCount"] = 3.0
    assert await diff(more) == {f"{profile}.targetRegions[1].regionalReplicaCount": DIFFERENCE.UPDATE}
    dated = regions("westeurope", "northeurope", excludeFromLatest=True, endOfLifeDate="2027-01-01T00:00:00Z")
    assert await diff(dated) == {
        f"{profile}.excludeFromLatest": DIFFERENCE.ADD,
        f"{profile}.endOfLifeDate": DIFFERENCE.ADD,
    }


async def test_a_preview_knows_inputs_and_leaves_the_rest_unknown(plugin: Plugin, world: World) -> None:
    """No request is sent. The name is unknown, because no input has that name: a program uses the one that it gave. An
    update knows name and location of the state."""
    inputs = version_inputs(UNKNOWN, "data")
    created = await plugin.create(inputs, VERSION_URN, preview=True)
    outputs = read(created.properties)
    assert (created.id, outputs["name"], outputs["replicationStatus"]) == ("", UNKNOWN, UNKNOWN)
    assert outputs["storageProfile"]["osDiskImage"]["source"]["uri"] == UNKNOWN
    (data,) = outputs["storageProfile"]["dataDiskImages"]
    assert (data["lun"], data["source"]["uri"], data["sizeInGB"]) == (0.0, "data", UNKNOWN)
    (region,) = outputs["publishingProfile"]["targetRegions"]
    assert (region["name"], region["regionalReplicaCount"]) == ("westeurope", 1.0)
    assert outputs["azureApiVersion"] == "2024-03-03"
    olds = write({"name": "2026.1126.143005", "location": "westeurope"})
    request = provider_pb2.UpdateRequest(urn=VERSION_URN, id="x", olds=olds, news=write(inputs), preview=True)
    assert read((await plugin.stub.Update(request)).properties)["name"] == "2026.1126.143005"
    assert not world.journal.calls()


async def test_an_unsupported_type_is_rejected_by_every_call(plugin: Plugin) -> None:
    """Also by those that need no cloud: nothing is compared or previewed by the table of another type."""
    urn = "urn:pulumi:local::images::azure-native:compute:Disk::d"
    for call in (
        plugin.check({}, urn=urn),
        plugin.diff({}, {}, urn=urn),
        plugin.create({}, urn, preview=True),
        plugin.stub.Update(provider_pb2.UpdateRequest(urn=urn, news=Struct(), preview=True)),
        plugin.stub.Read(provider_pb2.ReadRequest(urn=urn, id="x")),
        plugin.stub.Delete(provider_pb2.DeleteRequest(urn=urn, id="x")),
    ):
        error = await fails(call)
        assert "azure-native:compute:Disk not found" in error.details()
        assert "azure-native:compute:GalleryImageVersion" in error.details()
