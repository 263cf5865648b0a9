"""`imagefactory catalog` as a user calls it, against the embedded cloud."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.client import CloudClient
from tests.e2e.world import FACTORY_CONTAINER, STACK, World


@pytest.fixture
def world(fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path) -> World:
    """A factory with two images, and beside them an empty companion, junk in one, and a save without one."""
    world = World(fresh_cloud, shell, accounts, project_folder)
    world.add_images(*(("Win2016/Datacenter.json", day) for day in (5, 6, 7, 8, 9)))
    container = world.service(world.factory).get_container_client(FACTORY_CONTAINER)
    for day, content in ((7, b""), (8, b"{ half"), (9, None)):
        name = world.images[f"Win2016_Datacenter-Jun-{day}-2026"].replace(".vhd", ".json")
        container.delete_blob(name)
        if content is not None:
            container.upload_blob(name, content)
    settings = {
        "imagefactory:cloud": "custom",
        "imagefactory:factory": {"subscriptionId": world.subscription, "labName": world.factory.name},
    }
    (world.folder / f"Pulumi.{STACK}.yaml").write_text(json.dumps({"config": settings}), encoding="utf-8")
    return world


def catalog(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["imagefactory", "catalog", *arguments]
    return subprocess.run(command, cwd=world.folder, env=world.environment, capture_output=True, text=True, check=False)


def test_the_catalog_is_told_as_json_newest_first_with_all_that_was_left_out(world: World) -> None:
    """Every VHD of the container is either an image or left out with its reason."""
    run = catalog(world, "--stack", STACK, "--json")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert [image["name"][19:24] for image in told["images"]] == ["Jun-6", "Jun-5"]
    reasons = {left["name"]: left["reason"] for left in told["leftOut"]}
    vhds = {day: world.images[f"Win2016_Datacenter-Jun-{day}-2026"] for day in (7, 8, 9)}
    assert set(reasons) == set(vhds.values())
    assert "is empty" in reasons[vhds[7]] and "not valid JSON" in reasons[vhds[8]]
    assert "no companion" in reasons[vhds[9]]


def test_the_catalog_is_told_as_a_table_in_which_no_name_is_cut(world: World) -> None:
    """Without a terminal too: names and reasons stand whole."""
    run = catalog(world, "--stack", STACK)
    assert run.returncode == 0, run.stderr
    assert all(vhd.removesuffix(".vhd") in run.stdout for vhd in world.images.values())
    assert "Left out: 3" in run.stdout


@pytest.mark.parametrize("stack", ["nowhere", "../elsewhere"])
def test_a_stack_that_is_not_here_is_wrong_usage_and_told_with_those_that_are(world: World, stack: str) -> None:
    """One line, exit code 2."""
    run = catalog(world, "--stack", stack)
    assert run.returncode == 2 and f"Stacks here: {STACK}" in run.stderr
    assert run.stderr.count("\n") == 1


def test_a_factory_that_refuses_is_one_line_and_exit_code_1(world: World) -> None:
    """No traceback, nothing on stdout."""
    refusal = {"status": 403, "code": "Forbidden"}
    world.cloud.set_faults([{"service": "arm", "path": f"{world.factory.account}/listKeys", "action": refusal}])
    run = catalog(world, "--stack", STACK, "--json")
    assert run.returncode == 1 and run.stdout == ""
    assert world.factory.account in run.stderr and run.stderr.count("\n") == 1
