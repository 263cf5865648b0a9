"""`imagefactory catalog` as a user calls it, against the embedded cloud."""

from __future__ import annotations

import json
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefactory.images.ranges_manifest import manifest_name
from localcloud.client import CloudClient
from tests.e2e.world import FACTORY_CONTAINER, MIB, STACK, Lab, World


@pytest.fixture
def world(
    fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path, python: Path
) -> World:
    """A factory with two images, and beside them an empty companion, junk in one, and a save without one."""
    world = World(fresh_cloud, shell, accounts, project_folder, python)
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


def catalog(world: World, *arguments: str, largest_file: int | None = None) -> subprocess.CompletedProcess[str]:
    """The command, which may write no file of more than `largest_file` bytes."""

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    command = ["imagefactory", "catalog", "--stack", STACK, *arguments]
    return subprocess.run(
        command,
        cwd=world.folder,
        env=world.environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )


def test_the_catalog_is_told_as_json_newest_first_with_all_that_was_left_out(world: World) -> None:
    """Every VHD of the container is either an image or left out with its reason."""
    run = catalog(world, "--json")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert [image["name"][19:24] for image in told["images"]] == ["Jun-6", "Jun-5"]
    reasons = {left["name"]: left["reason"] for left in told["leftOut"]}
    vhds = {day: world.images[f"Win2016_Datacenter-Jun-{day}-2026"] for day in (7, 8, 9)}
    assert set(reasons) == set(vhds.values())
    assert "is empty" in reasons[vhds[7]] and "not valid JSON" in reasons[vhds[8]]
    assert "no companion" in reasons[vhds[9]]


def test_an_invalid_vhd_is_left_out_and_what_was_found_on_others_is_told(world: World) -> None:
    """Without a lab, as none is read: JSON names the partition table, and generation 2 if Windows needs it."""
    bad, good = "Win2016_Datacenter-Jun-5-2026", "Win2016_Datacenter-Jun-6-2026"
    world.damage(bad)
    world.damage(good, b"EFI PART".ljust(512, b"\0"), sector=1)
    run = catalog(world, "--json")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert [(one["name"], one["partitionTable"], one["generation"]) for one in told["images"]] == [(good, "GPT", "V2")]
    reasons = {left["name"]: left["reason"] for left in told["leftOut"]}
    assert f"its image {bad} is not distributed" in reasons[world.images[bad]]
    assert "Windows, GPT" in catalog(world).stdout


def test_the_catalog_is_told_as_a_table_in_which_no_name_is_cut(world: World) -> None:
    """Without a terminal too: names and reasons stand whole."""
    run = catalog(world)
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
    run = catalog(world, "--json")
    assert run.returncode == 0, run.stderr
    told = {image["vhd"]: (image["allocated"], image["digest"]) for image in json.loads(run.stdout)["images"]}
    assert told == {known: (12 * MIB, digest), junk: (None, None)}
    assert "gone" not in run.stdout + run.stderr
    table = catalog(world).stdout
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
    run = catalog(world, "--json")
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
    run = catalog(world, "--json")
    assert run.returncode == 1 and run.stdout == ""
    assert world.factory.account in run.stderr and run.stderr.count("\n") == 1


# Labs and lineage


@pytest.fixture
def told_world(world: World) -> World:
    """That factory; an image with lineage in it, a lab that holds two of its images, and a lab that is not there."""
    vhd = "with-lineage.vhd"
    world.define("Ubuntu/[dim]Jammy.json")
    companion = {
        "imageName": "Ubuntu_Jammy-Jun-10-2026",
        "imagePath": "Ubuntu/[dim]Jammy.json",
        "description": "[bold]Jammy",
        "osType": "Linux",
        "vhdFileName": vhd,
        "timestamp": "2026-06-10T10:11:12Z",
        "hyperVGeneration": "V2",
        "vm": "/labs/factory/virtualmachines/jammy-vm",
        "disk": "/disks/jammy-disk",
        "diskUniqueId": "disk-1",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "pipelineRun": "https://dev.azure.com/contoso/run/1",
        "dataDisks": [{"lun": 3, "vhdFileName": "data.vhd"}],
    }
    seeded = {"subscriptionId": world.subscription, "lab": world.factory.name, "vhd": vhd, "companion": companion}
    world.cloud.seed({"factoryImages": [{**seeded, "sizeBytes": 16 * MIB}]})
    lab = world.add_lab("web-team", "Win2016", "Ubuntu")
    world.labs["gone"] = Lab("gone", world.subscription, "none")
    world.wishes["gone"] = ["Ubuntu"]
    world.seed_standing(lab, "[red]other", {"ImagePath": "Ubuntu\\[dim]Jammy.json", "SourceVhd": vhd}, "Creating")
    world.seed_standing(lab, "Win2016_Datacenter-Jun-5-2026", {"ImagePath": "Win2016\\Datacenter.json"})
    world.write_configuration()
    return world


def listings(world: World) -> list[str]:
    """The calls that list custom images."""
    return [call["path"] for call in world.cloud.calls() if "/customimages" in call["path"].lower()]


def test_json_carries_what_an_image_was_made_of_without_reading_a_lab(told_world: World) -> None:
    """Lineage, generation and data disks always; who holds it is not guessed."""
    run = catalog(told_world, "--json")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert listings(told_world) == []
    jammy, *others = told["images"]
    assert jammy["lineage"] == {
        "vm": "/labs/factory/virtualmachines/jammy-vm",
        "disk": "/disks/jammy-disk",
        "diskUniqueId": "disk-1",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "pipelineRun": "https://dev.azure.com/contoso/run/1",
        "diskReleased": "",
    }
    assert (jammy["generation"], jammy["dataDisks"]) == ("V2", [{"lun": 3, "vhd": "data.vhd"}])
    assert {value for image in others for value in image["lineage"].values()} == {""}
    assert [(image["generation"], image["dataDisks"]) for image in others] == [(None, [])] * 2
    assert "unreadLabs" not in told and not any("heldBy" in image for image in told["images"])


def test_labs_are_read_if_asked_for_and_one_that_cannot_be_is_told_beside_the_others(told_world: World) -> None:
    """In JSON and in the table; the exit code is 0, for the catalog is whole."""
    run = catalog(told_world, "--json", "--labs")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    lab = {"lab": "web-team", "subscriptionId": told_world.subscription}
    assert {image["name"]: image["heldBy"] for image in told["images"]} == {
        "Ubuntu_Jammy-Jun-10-2026": [{**lab, "image": "[red]other", "state": "Creating"}],
        "Win2016_Datacenter-Jun-6-2026": [],
        "Win2016_Datacenter-Jun-5-2026": [{**lab, "image": "Win2016_Datacenter-Jun-5-2026", "state": "Succeeded"}],
    }
    ((gone),) = told["unreadLabs"]
    assert gone["lab"] == "gone" and "not found in subscription" in gone["reason"]
    table = catalog(told_world, "--labs")
    assert table.returncode == 0, table.stderr
    (row,) = (line for line in table.stdout.splitlines() if "Ubuntu_Jammy-Jun-10-2026" in line)
    assert "Ubuntu/[dim]Jammy.json" in row and "web-team: [red]other, Creating" in row
    assert "jammy-vm > jammy-disk > 0123456789ab > https://dev.azure.com/contoso/run/1" in row
    assert "lab 'gone': not found" in table.stdout
    assert "Labs" not in catalog(told_world).stdout


def test_labs_of_a_wrong_configuration_are_not_read(told_world: World) -> None:
    """Exit code 2 and the faults, as everywhere; without labs the configuration does not matter."""
    (told_world.folder / "Configuration" / "labs.json").write_text('{"Labs": [{}]}', encoding="utf-8")
    for option in (("--labs",), ("--html", "page.html")):
        run = catalog(told_world, *option)
        assert run.returncode == 2 and run.stdout == "" and "labs.json:1:" in run.stderr
    assert not (told_world.folder / "page.html").exists()
    assert catalog(told_world).returncode == 0


# The page's file


def test_page_and_json_are_written_in_one_run(told_world: World) -> None:
    """JSON alone on stdout, with the labs that the page tells; nothing but the page in its folder."""
    (told_world.folder / "out").mkdir()
    run = catalog(told_world, "--json", "--html", "out/catalog.html")
    assert run.returncode == 0 and run.stderr == ""
    assert [image["name"] for image in json.loads(run.stdout)["images"] if image["heldBy"]] == [
        "Ubuntu_Jammy-Jun-10-2026",
        "Win2016_Datacenter-Jun-5-2026",
    ]
    (page,) = (told_world.folder / "out").iterdir()
    text = page.read_text("utf-8")
    assert page.name == "catalog.html" and "[red]other, Creating" in text and "</html>" in text


def test_a_page_that_cannot_be_written_whole_leaves_the_one_that_was_there(told_world: World) -> None:
    """Here the file may not grow as long as it must: one line, exit code 1, nothing half-written."""
    page = told_world.folder / "out" / "catalog.html"
    page.parent.mkdir()
    page.write_text("of yesterday", encoding="utf-8")
    run = catalog(told_world, "--html", "out/catalog.html", largest_file=4096)
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.count("\n") == 1 and "no page is written" in run.stderr and "File too large" in run.stderr
    assert list(page.parent.iterdir()) == [page] and page.read_text("utf-8") == "of yesterday"
    assert catalog(told_world, "--html", "out/catalog.html").returncode == 0
    assert list(page.parent.iterdir()) == [page] and "</html>" in page.read_text("utf-8")


@pytest.mark.parametrize(
    ("file", "fact"),
    [("nowhere/catalog.html", "there is no folder"), ("Configuration", "is no file"), ("x" * 300, "too long")],
)
def test_a_page_without_a_place_is_told_before_anything_is_read(told_world: World, file: str, fact: str) -> None:
    """One line, exit code 1."""
    told_world.cloud.clear_calls()
    run = catalog(told_world, "--html", file)
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.count("\n") == 1 and fact in run.stderr and "no page is written" in run.stderr
    assert told_world.cloud.calls() == []


def test_a_factory_that_refuses_leaves_the_page_that_was_there(told_world: World) -> None:
    """For what it holds cannot be told."""
    page = told_world.folder / "catalog.html"
    page.write_text("of yesterday", encoding="utf-8")
    refusal = {"status": 403, "code": "AuthorizationPermissionMismatch"}
    path = f"{told_world.factory.account}/{FACTORY_CONTAINER}"
    told_world.cloud.set_faults([{"service": "blob", "path": path, "action": refusal}])
    run = catalog(told_world, "--html", "catalog.html")
    assert run.returncode == 1 and run.stderr.count("\n") == 1
    assert page.read_text("utf-8") == "of yesterday"
