"""AzCopy, Microsoft's own copier, on the embedded cloud: page blobs up, down, and from account to account."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from azure.storage.blob import BlobClient, BlobType, generate_blob_sas

from benchmarks.azcopy.program import RUNS_HERE, AzCopy
from localcloud.client import CloudClient
from localcloud.vhd import MIB, footer
from tests.benchmark_runs import measured
from tests.e2e.world import World
from tests.vhdcopy.copying import copier_of, copy_image, source_blob, staged_blob

pytestmark = pytest.mark.skipif(not RUNS_HERE, reason="the package has AzCopy for Linux on x86-64 only")


@pytest.fixture
def azcopy(tmp_path: Path) -> AzCopy:
    """AzCopy, in a folder of the test."""
    program = AzCopy(tmp_path / "azcopy", connections=4)
    if problem := program.problem():
        pytest.skip(f"AzCopy cannot run on this machine: {problem}")
    return program


@pytest.fixture
def world(
    fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path, signed_in: None
) -> World:
    """A factory with one image, and a lab."""
    world = World(fresh_cloud, shell, accounts, project_folder)
    world.add_lab("web")
    world.add_images(("Win2016/Datacenter.json", 5), allocated=5 * MIB)
    return world


def new_blob(world: World) -> BlobClient:
    """A blob that does not exist, in the storage account of the lab."""
    container = world.service(world.labs["web"]).get_container_client(f"c{uuid.uuid4().hex}")
    container.create_container()
    return container.get_blob_client("by-azcopy.vhd")


def url(blob: BlobClient, permission: str) -> str:
    """The URL of a blob with a SAS, signed by its account's key."""
    key, expiry = blob.credential.account_key, datetime.now(timezone.utc) + timedelta(hours=1)
    names = (str(blob.account_name), blob.container_name, blob.blob_name)
    return f"{blob.url}?{generate_blob_sas(*names, account_key=key, permission=permission, expiry=expiry)}"


def content(blob: BlobClient) -> bytes:
    """The bytes of a blob."""
    return bytes(blob.download_blob().readall())


async def test_azcopy_finds_what_our_copier_wrote_byte_identical(world: World, azcopy: AzCopy, tmp_path: Path) -> None:
    """It downloads the staged VHD, and the file is the factory's VHD."""
    async with copier_of(world) as copier:
        await copy_image(copier, world)
    azcopy.copy("BlobLocal", url(staged_blob(world), "r"), tmp_path / "down.vhd")
    assert (tmp_path / "down.vhd").read_bytes() == content(source_blob(world))


def test_azcopy_copies_a_vhd_from_account_to_account(world: World, azcopy: AzCopy) -> None:
    """By the service: AzCopy reads no byte of it; DevTest Labs makes an image from the copy."""
    source, target = source_blob(world), new_blob(world)
    world.cloud.clear_calls()
    azcopy.copy("BlobBlob", url(source, "r"), url(target, "rcw"))
    path = source.url.partition(str(source.account_name))[2]
    read = [each for each in world.cloud.calls() if each["method"] == "GET" and path in each["path"]]
    assert {each["path"].partition("comp=")[2].partition("&")[0] for each in read} <= {"pagelist"}
    assert target.get_blob_properties().blob_type == BlobType.PAGEBLOB
    assert content(target) == content(source)
    world.put_image(world.labs["web"], "golden", target.url)
    assert world.held(world.labs["web"]) == {"golden": "Succeeded"}


def test_azcopy_uploads_a_vhd_and_finds_it_again(world: World, azcopy: AzCopy, tmp_path: Path) -> None:
    """As a page blob with an MD5, which it checks when it downloads the blob; DevTest Labs makes an image from it."""
    data = random.Random(5).randbytes(MIB)
    (tmp_path / "up.vhd").write_bytes(data + bytes(6 * MIB) + data + footer(8 * MIB, uuid.UUID(int=5)))
    target = new_blob(world)
    azcopy.copy("LocalBlob", tmp_path / "up.vhd", url(target, "rcw"), "--blob-type", "PageBlob", "--put-md5")
    azcopy.copy("BlobLocal", url(target, "r"), tmp_path / "down.vhd", "--check-md5", "FailIfDifferentOrMissing")
    assert (tmp_path / "down.vhd").read_bytes() == (tmp_path / "up.vhd").read_bytes() == content(target)
    world.put_image(world.labs["web"], "golden", target.url)
    assert world.held(world.labs["web"]) == {"golden": "Succeeded"}


def test_the_benchmark_copies_the_same_disks_with_both_copiers(azcopy: AzCopy) -> None:
    """One VHD and four, with small sizes: ours writes the content only, AzCopy each 4 MiB that hold any of it."""
    found = measured("--part", "azcopy", "--small")["azcopy"]
    assert [(row["vhds"], row["held_mib"], row["moved_mib"]) for row in found] == [(1, 5, 5), (4, 20, 20)]
    assert [row["moved_mib_azcopy"] for row in found] == [8, 32]
    assert all(row[name] > 0 for row in found for name in row)
