"""`imagefactory catalog` as a user runs it, against the embedded cloud."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefactory.images.ranges_manifest import manifest_name
from localcloud.client import CloudClient
from tests.e2e.world import FACTORY_CONTAINER, MIB, STACK, Lab, World
from tests.factory_lab.factory_world import FactoryWorld


@pytest.fixture
def world(
    fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path, python: Path
) -> World:
    """A factory with two images, and three VHDs whose companions are empty, broken and missing."""
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
    """Write the stack's file with more settings."""
    settings = {
        "imagefactory:cloud": "custom",
        "imagefactory:factory": {"subscriptionId": world.subscription, "labName": world.factory.name},
        **{f"imagefactory:{name}": value for name, value in others.items()},
    }
    (world.folder / f"Pulumi.{STACK}.yaml").write_text(json.dumps({"config": settings}), encoding="utf-8")


LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Run a command that cannot write a file of more than so many bytes. Not by `preexec_fn`, for which Python forks: if
gRPC has threads, it starts them in the child again, which aborts where they run before the command starts."""


def catalog(world: World, *arguments: str, largest_file: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command; the installed one where it cannot write a file of more than `largest_file` bytes."""
    command = FactoryWorld.words("catalog", *arguments, python=world.python)
    if largest_file is not None:
        limited = (sys.executable, "-c", LIMITED, str(largest_file))
        command = [*limited, "imagefactory", "catalog", "--stack", STACK, *arguments]
    return subprocess.run(
        command,
        cwd=world.folder,
        # A compiled module that is cut off by the limit would be kept, and read by every later command.
        env={**world.environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_json_lists_images_newest_first_and_skipped_blobs(world: World) -> None:
    """Every VHD of the container is either an image or skipped with its reason."""
    run = catalog(world, "--json")
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert [image["name"][19:24] for image in document["images"]] == ["Jun-6", "Jun-5"]
    reasons = {left["name"]: left["reason"] for left in document["leftOut"]}
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


def test_the_table_shows_complete_names(world: World) -> None:
    """Also without a terminal."""
    run = catalog(world)
    assert run.returncode == 0, run.stderr
    assert all(vhd.removesuffix(".vhd") in run.stdout for vhd in world.images.values())
    assert "Skipped: 3" in run.stdout


def test_allocated_bytes_and_digest_come_from_the_ranges_manifests_and_invalid_ones_are_ignored(world: World) -> None:
    """One listing contains both; manifests without VHD are not reported."""
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
    found = {image["vhd"]: (image["allocated"], image["digest"]) for image in json.loads(run.stdout)["images"]}
    assert found == {known: (12 * MIB, digest), junk: (None, None)}
    assert "gone" not in run.stdout + run.stderr
    table = catalog(world).stdout
    (row,) = (line for line in table.splitlines() if known.removesuffix(".vhd") in line)
    assert "0.01 GiB" in row


def test_a_manifest_of_a_replaced_vhd_is_ignored(world: World) -> None:
    """Its size and digest are those of the earlier VHD."""
    vhd = world.images["Win2016_Datacenter-Jun-5-2026"]
    container = world.service(world.factory).get_container_client(FACTORY_CONTAINER)
    container.upload_blob(manifest_name(vhd), b"", metadata={"digest": f"sha256:{'0a' * 32}", "allocated": "512"})
    time.sleep(1.1)  # Azure returns times in whole seconds
    content = container.download_blob(vhd).readall()
    container.delete_blob(vhd)
    container.upload_blob(vhd, content, blob_type="PageBlob")
    run = catalog(world, "--json")
    assert run.returncode == 0, run.stderr
    found = {image["vhd"]: (image["allocated"], image["digest"]) for image in json.loads(run.stdout)["images"]}
    assert found[vhd] == (None, None)


@pytest.mark.parametrize("stack", ["nowhere", "../elsewhere"])
def test_an_unknown_stack_is_wrong_usage_and_the_existing_ones_are_listed(world: World, stack: str) -> None:
    """One line, exit code 2."""
    run = catalog(world, "--stack", stack)
    assert run.returncode == 2 and f"Pass one of {STACK}" in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("way", "service", "path", "code"),
    [
        ("aad", "blob", FACTORY_CONTAINER, "AuthorizationPermissionMismatch"),
        ("key", "arm", "listKeys", "Forbidden"),
    ],
)
def test_denied_access_to_the_factory_is_one_line_and_exit_code_1(
    world: World, way: str, service: str, path: str, code: str
) -> None:
    """With each storageAuth: no traceback, nothing on standard output, and the account is named."""
    configure(world, storageAuth=way)
    refusal = {"status": 403, "code": code}
    world.cloud.set_faults([{"service": service, "path": f"{world.factory.account}/{path}", "action": refusal}])
    run = catalog(world, "--json")
    assert run.returncode == 1 and run.stdout == ""
    assert world.factory.account in run.stderr and run.stderr.count("\n") == 1


def test_a_companion_that_is_larger_than_what_is_read_is_reported_as_too_large(world: World) -> None:
    """Not as the broken JSON that its first part would be; one of exactly that size is read."""
    container = world.service(world.factory).get_container_client(FACTORY_CONTAINER)
    vhds = [world.images[f"Win2016_Datacenter-Jun-{day}-2026"] for day in (5, 6)]
    for vhd, size in zip(vhds, (MIB, MIB + 1), strict=True):
        companion = vhd.replace(".vhd", ".json")
        content = container.download_blob(companion).readall().decode("utf-16").encode()
        container.upload_blob(companion, content.replace(b"}", b" " * (size - len(content)) + b"}"), overwrite=True)
    document = json.loads(catalog(world, "--json").stdout)
    assert [image["vhd"] for image in document["images"]] == vhds[:1]
    reasons = {left["name"]: left["reason"] for left in document["leftOut"]}
    assert "has 1048577 bytes, more than the 1048576 of a companion" in reasons[vhds[1]]


# Labs and lineage


@pytest.fixture
def world_with_labs(world: World) -> World:
    """That factory with an image that has lineage, a lab with two of its images, and a lab that does not exist."""
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
    """Return the calls that list custom images."""
    return [call["path"] for call in world.cloud.calls() if "/customimages" in call["path"].lower()]


def test_json_contains_the_lineage_without_reading_a_lab(world_with_labs: World) -> None:
    """Lineage, generation and data disks are always there; without labs, no holders are."""
    run = catalog(world_with_labs, "--json")
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert listings(world_with_labs) == []
    jammy, *others = document["images"]
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
    assert "unreadLabs" not in document and not any("heldBy" in image for image in document["images"])


def test_labs_are_read_on_request_and_one_that_cannot_be_read_is_reported(world_with_labs: World) -> None:
    """In JSON and in the table; the exit code is 0, because the catalog is complete."""
    run = catalog(world_with_labs, "--json", "--labs")
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    lab = {"lab": "web-team", "subscriptionId": world_with_labs.subscription, "resourceGroup": None}
    assert {image["name"]: image["heldBy"] for image in document["images"]} == {
        "Ubuntu_Jammy-Jun-10-2026": [{**lab, "image": "[red]other", "state": "Creating"}],
        "Win2016_Datacenter-Jun-6-2026": [],
        "Win2016_Datacenter-Jun-5-2026": [{**lab, "image": "Win2016_Datacenter-Jun-5-2026", "state": "Succeeded"}],
    }
    ((gone),) = document["unreadLabs"]
    assert gone["lab"] == "gone" and "not found in subscription" in gone["reason"]
    table = catalog(world_with_labs, "--labs")
    assert table.returncode == 0, table.stderr
    (row,) = (line for line in table.stdout.splitlines() if "Ubuntu_Jammy-Jun-10-2026" in line)
    assert "Ubuntu/[dim]Jammy.json" in row and "web-team: [red]other, Creating" in row
    assert "jammy-vm > jammy-disk > 0123456789ab > https://dev.azure.com/contoso/run/1" in row
    assert "lab 'gone': not found" in table.stdout
    assert "Labs" not in catalog(world_with_labs).stdout


def test_labs_that_offer_an_image_by_the_gallery_are_listed_and_a_gallery_that_cannot_be_read_is_a_warning(
    world_with_labs: World,
) -> None:
    """In JSON, in the table, and on the page."""
    world, name = world_with_labs, "Win2016_Datacenter-Jun-6-2026"
    vhd, lab, factory = world.images[name], world.labs["web-team"], world.factory
    group = f"/subscriptions/{world.subscription}/resourceGroups/{factory.group}"
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/{factory.account}"
    tags = {"ImagePath": "Win2016/Datacenter.json"}
    source = {"vhdUrl": f"{world.service(factory).url}{FACTORY_CONTAINER}/{vhd}", "storageAccountId": account}
    version = {"name": "2026.606.101112", "tags": {**tags, "SourceVhd": vhd}, **source}
    definition = {"name": "Win2016.Datacenter", "osType": "Windows", "tags": tags, "versions": [version]}
    gallery = {"name": "images", "resourceGroup": factory.group, "region": "westeurope", "definitions": [definition]}
    attached = {
        "name": "images",
        "galleryId": f"{group}/providers/Microsoft.Compute/galleries/images",
        "images": ["Win2016.Datacenter"],
    }
    place = {"name": lab.name, "resourceGroup": lab.group, "region": "westeurope", "storageAccount": lab.account}
    seeded = {"galleries": [gallery], "labs": [{**place, "sharedGallery": attached}]}
    world.cloud.seed({"subscriptions": [{"subscriptionId": world.subscription, **seeded}]})
    configure(world, gallery={"name": "images", "resourceGroup": factory.group}, delivery="gallery")
    run = catalog(world, "--json", "--labs", "--html", "page.html")
    assert run.returncode == 0, run.stderr
    offered = {one["name"]: one["offeredBy"] for one in json.loads(run.stdout)["images"]}
    team = {"lab": "web-team", "subscriptionId": world.subscription, "resourceGroup": None}
    assert offered.pop(name) == [team] and not any(offered.values())
    assert "by the gallery" in (world.folder / "page.html").read_text("utf-8")
    (row,) = (line for line in catalog(world, "--labs").stdout.splitlines() if name in line)
    assert "web-team: by the gallery" in row
    refusal = {"status": 403, "code": "AuthorizationFailed"}
    world.cloud.set_faults([{"service": "arm", "path": r"/galleries/images\?", "action": refusal}])
    document = json.loads(catalog(world, "--json", "--labs").stdout)
    assert any("gallery 'images'" in each for each in document["warnings"])
    assert not any(one["offeredBy"] for one in document["images"])


def test_labs_of_an_invalid_configuration_are_not_read(world_with_labs: World) -> None:
    """Exit code 2 with the errors; without labs, the configuration is not read."""
    (world_with_labs.folder / "Configuration" / "labs.json").write_text('{"Labs": [{}]}', encoding="utf-8")
    for option in (("--labs",), ("--html", "page.html")):
        run = catalog(world_with_labs, *option)
        assert run.returncode == 2 and run.stdout == "" and "labs.json:1:" in run.stderr
    assert not (world_with_labs.folder / "page.html").exists()
    assert catalog(world_with_labs).returncode == 0


# The page's file


def test_page_and_json_are_written_in_one_run(world_with_labs: World) -> None:
    """Standard output contains only JSON, with the labs of the page; the folder contains only the page."""
    (world_with_labs.folder / "out").mkdir()
    run = catalog(world_with_labs, "--json", "--html", "out/catalog.html")
    assert run.returncode == 0 and run.stderr == ""
    assert [image["name"] for image in json.loads(run.stdout)["images"] if image["heldBy"]] == [
        "Ubuntu_Jammy-Jun-10-2026",
        "Win2016_Datacenter-Jun-5-2026",
    ]
    (page,) = (world_with_labs.folder / "out").iterdir()
    text = page.read_text("utf-8")
    assert page.name == "catalog.html" and "[red]other, Creating" in text and "</html>" in text


def test_a_page_that_cannot_be_written_completely_keeps_the_existing_one(world_with_labs: World) -> None:
    """Here the file size is limited: one line, exit code 1, and no partial file."""
    page = world_with_labs.folder / "out" / "catalog.html"
    page.parent.mkdir()
    page.write_text("yesterday's page", encoding="utf-8")
    run = catalog(world_with_labs, "--html", "out/catalog.html", largest_file=4096)
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.count("\n") == 1 and "no page is written" in run.stderr and "File too large" in run.stderr
    assert list(page.parent.iterdir()) == [page] and page.read_text("utf-8") == "yesterday's page"
    assert catalog(world_with_labs, "--html", "out/catalog.html").returncode == 0
    assert list(page.parent.iterdir()) == [page] and "</html>" in page.read_text("utf-8")


@pytest.mark.parametrize(
    ("file", "fact"),
    [("nowhere/catalog.html", "does not exist"), ("Configuration", "is not a file"), ("x" * 300, "too long")],
)
def test_an_invalid_page_file_fails_before_anything_is_read(world_with_labs: World, file: str, fact: str) -> None:
    """One line, exit code 1."""
    world_with_labs.cloud.clear_calls()
    run = catalog(world_with_labs, "--html", file)
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.count("\n") == 1 and fact in run.stderr and "no page is written" in run.stderr
    assert world_with_labs.cloud.calls() == []


def test_denied_access_to_the_factory_keeps_the_existing_page(world_with_labs: World) -> None:
    """The catalog is unknown, so no page is written."""
    page = world_with_labs.folder / "catalog.html"
    page.write_text("yesterday's page", encoding="utf-8")
    refusal = {"status": 403, "code": "AuthorizationPermissionMismatch"}
    path = f"{world_with_labs.factory.account}/{FACTORY_CONTAINER}"
    world_with_labs.cloud.set_faults([{"service": "blob", "path": path, "action": refusal}])
    run = catalog(world_with_labs, "--html", "catalog.html")
    assert run.returncode == 1 and run.stderr.count("\n") == 1
    assert page.read_text("utf-8") == "yesterday's page"
