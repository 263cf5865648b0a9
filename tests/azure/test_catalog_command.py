"""`imagefactory catalog` as a user calls it, against the embedded cloud."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefactory.manifest import manifest_name
from localcloud.client import CloudClient
from tests.e2e.world import FACTORY_CONTAINER, MIB, STACK, World


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
    configure(world)
    return world


def configure(world: World, **others: object) -> None:
    """The stack's file, with further settings."""
    settings = {
        "imagefactory:cloud": "custom",
        "imagefactory:factory": {"subscriptionId": world.subscription, "labName": world.factory.name},
        **{f"imagefactory:{name}": value for name, value in others.items()},
    }
    (world.folder / f"Pulumi.{STACK}.yaml").write_text(json.dumps({"config": settings}), encoding="utf-8")


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


def test_what_the_ranges_manifests_tell_is_shown_and_their_junk_stops_nothing(world: World) -> None:
    """One listing tells allocated bytes and digest; a manifest that is left over is passed over in silence."""
    known, junk = (world.images[f"Win2016_Datacenter-Jun-{day}-2026"] for day in (5, 6))
    digest = f"sha256:{'0a' * 32}"
    container = world.service(world.factory).get_container_client(FACTORY_CONTAINER)
    for vhd, metadata in (
        (known, {"digest": digest, "allocated": str(12 * MIB)}),
        (junk, {"digest": "none", "allocated": "9" * 5000}),
        ("gone.vhd", {"digest": digest, "allocated": "512"}),
    ):
        container.upload_blob(manifest_name(vhd), b"of no interest here", metadata=metadata)
    run = catalog(world, "--stack", STACK, "--json")
    assert run.returncode == 0, run.stderr
    told = {image["vhd"]: (image["allocated"], image["digest"]) for image in json.loads(run.stdout)["images"]}
    assert told == {known: (12 * MIB, digest), junk: (None, None)}
    assert "gone" not in run.stdout + run.stderr
    table = catalog(world, "--stack", STACK).stdout
    (row,) = (line for line in table.splitlines() if known.removesuffix(".vhd") in line)
    assert "0.01 GiB" in row


def test_a_manifest_of_a_vhd_that_was_there_before_tells_nothing(world: World) -> None:
    """The VHD was written anew since, so neither its size nor its digest is the manifest's."""
    vhd = world.images["Win2016_Datacenter-Jun-5-2026"]
    container = world.service(world.factory).get_container_client(FACTORY_CONTAINER)
    container.upload_blob(manifest_name(vhd), b"", metadata={"digest": f"sha256:{'0a' * 32}", "allocated": "512"})
    time.sleep(1.1)  # Azure tells times in whole seconds
    content = container.download_blob(vhd).readall()
    container.delete_blob(vhd)
    container.upload_blob(vhd, content, blob_type="PageBlob")
    run = catalog(world, "--stack", STACK, "--json")
    assert run.returncode == 0, run.stderr
    told = {image["vhd"]: (image["allocated"], image["digest"]) for image in json.loads(run.stdout)["images"]}
    assert told[vhd] == (None, None)


@pytest.mark.parametrize("stack", ["nowhere", "../elsewhere"])
def test_a_stack_that_is_not_here_is_wrong_usage_and_told_with_those_that_are(world: World, stack: str) -> None:
    """One line, exit code 2."""
    run = catalog(world, "--stack", stack)
    assert run.returncode == 2 and f"Stacks here: {STACK}" in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("way", "service", "path", "code"),
    [
        ("aad", "blob", FACTORY_CONTAINER, "AuthorizationPermissionMismatch"),
        ("key", "arm", "listKeys", "Forbidden"),
    ],
)
def test_a_factory_that_refuses_is_one_line_and_exit_code_1(
    world: World, way: str, service: str, path: str, code: str
) -> None:
    """No traceback, nothing on stdout, and what refused is named, whichever way storage is opened."""
    configure(world, storageAuth=way)
    refusal = {"status": 403, "code": code}
    world.cloud.set_faults([{"service": service, "path": f"{world.factory.account}/{path}", "action": refusal}])
    run = catalog(world, "--stack", STACK, "--json")
    assert run.returncode == 1 and run.stdout == ""
    assert world.factory.account in run.stderr and run.stderr.count("\n") == 1
