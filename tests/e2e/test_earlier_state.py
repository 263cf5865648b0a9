"""A stack of an earlier version of the program: the present one changes nothing in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.client import CloudClient
from tests.e2e.world import FACTORY_CONTAINER, World

pytestmark = pytest.mark.engine

EXPORT = Path(__file__).with_name("state_of_an_earlier_version.json")
"""What `pulumi stack export` wrote after the program of 2026-11-26 had filled two labs with three images.

Traces, times and random ids are taken out; endpoints, accounts, VHD names and the creation times of VHDs are replaced
by names for what each test's cloud has.
"""
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
WINDOWS, UBUNTU = "Win2016_Datacenter-Jun-5-2026", "Ubuntu_Jammy-Jun-7-2026"


@pytest.fixture
def world(
    fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path, python: Path
) -> World:
    """The factory and the labs of the state, the labs without images."""
    world = World(fresh_cloud, shell, accounts, project_folder, python, SUBSCRIPTION)
    world.add_lab("web", "Win2016")
    world.add_lab("data", "Win2016", "Ubuntu")
    assert world.add_images(("Win2016/Datacenter.json", 5), ("Ubuntu/Jammy.json", 7)) == [WINDOWS, UBUNTU]
    return world


def exported(world: World) -> dict[str, Any]:
    """The state, with the names that the world's cloud has."""
    names = {
        "http://blob.example/{account}": world.environment["IMAGEFACTORY_BLOB_ENDPOINT"],
        "http://blob.example": world.environment["IMAGEFACTORY_BLOB_ENDPOINT"].removesuffix("/{account}"),
        "http://arm.example": world.environment["IMAGEFACTORY_RESOURCE_MANAGER"],
        **{f"{lab.name}account": lab.account for lab in (world.factory, *world.labs.values())},
        **{f"{name}.vhd": vhd for name, vhd in world.images.items()},
    }
    container = world.service(world.factory).get_container_client(FACTORY_CONTAINER)
    for name, vhd in world.images.items():
        day = world.origins[name][1]
        created = container.get_blob_client(vhd).get_blob_properties().creation_time
        names[f"2026-06-{day:02}T00:00:00+00:00"] = created.isoformat()
    text = EXPORT.read_text(encoding="utf-8")
    for name, value in names.items():
        text = text.replace(name, value)
    return dict(json.loads(text))


def fill_labs(world: World, state: dict[str, Any]) -> None:
    """Each lab holds the images that the state has of it."""
    for lab in world.labs.values():
        held = [
            each["inputs"]
            for each in state["deployment"]["resources"]
            if each["type"] == "azure-native:devtestlab:CustomImage" and each["inputs"]["labName"] == lab.name
        ]
        world.seed_images(
            lab,
            *(
                {
                    "name": image["name"],
                    "tags": image["tags"],
                    "author": image["author"],
                    "description": image["description"],
                    "vhdUrl": image["vhd"]["imageName"],
                    "osType": image["vhd"]["osType"],
                }
                for image in held
            ),
        )


def test_a_stack_of_an_earlier_version_is_unchanged(world: World) -> None:
    """Preview and up find nothing to do, write nothing in the cloud and keep all inputs."""
    state = exported(world)
    fill_labs(world, state)
    file = world.folder / "state.json"
    file.write_text(json.dumps(state), encoding="utf-8")
    imported = world.pulumi("stack", "import", "--file", str(file))
    assert imported.code == 0, imported.output
    resources = state["deployment"]["resources"]
    world.cloud.clear_calls()
    for run in (world.preview(), world.up()):
        assert run.only_unchanged and run.changes["unchanged"] == len(resources) == 14, run.output
    assert {call["method"] for call in world.cloud.calls()} <= {"GET", "HEAD"}
    now = {each["urn"]: each.get("inputs") for each in world.state()["resources"]}
    assert now == {each["urn"]: each.get("inputs") for each in resources}
