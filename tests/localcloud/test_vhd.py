"""The VHDs of the embedded factory are real disks: footer, partition, filesystem, holes."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import aiohttp
import pytest
from azure.storage.blob import BlobClient, BlobSasPermissions, generate_blob_sas
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.images.vhd_footer import footer_problem
from localcloud import vhd
from localcloud.blobs.seeding import upload_sparse
from localcloud.client import CloudClient
from localcloud.vhd import MIB, data_ranges, footer, geometry, make_vhd

FILES = {"etc/image": "Win2016 Datacenter\n", "var/log/a b.txt": "ü\n"}


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk of 64 MiB with two files and 1 MiB of data."""
    path = tmp_path / "disk.vhd"
    make_vhd(path, 64 * MIB, "seed", FILES, MIB)
    return path


def filesystem(disk: Path) -> Path:
    """Return the bytes of the disk's partition."""
    path = disk.with_suffix(".partition")
    path.write_bytes(disk.read_bytes()[MIB:-512])
    return path


def run(tool: str, *arguments: str | Path) -> str:
    """Return the output of a tool of e2fsprogs."""
    search = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))
    command = [shutil.which(tool, path=search) or tool, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_disk_is_a_fixed_vhd_that_azure_accepts(disk: Path) -> None:
    """The product's own check, which is independent of the writer, finds no problem."""
    content = disk.read_bytes()
    assert len(content) == 64 * MIB + 512
    assert footer_problem(content[-512:], len(content)) is None


@given(st.integers(min_value=1, max_value=4 * 1024 * 1024).map(lambda mebibytes: mebibytes * MIB))
def test_every_footer_is_valid_and_its_geometry_fits_the_disk(size: int) -> None:
    """Cylinders x heads x sectors never exceed the disk, and miss less than one cylinder up to the format's limit."""
    assert footer_problem(footer(size, uuid.UUID(int=7)), size + 512) is None
    cylinders, heads, sectors = geometry(size)
    assert cylinders < 65536 and heads <= 16 and sectors in (17, 31, 63, 255)
    addressed = cylinders * heads * sectors * 512
    assert addressed <= size
    assert size - addressed < heads * sectors * 512 or size > 65535 * 16 * 255 * 512


@pytest.mark.parametrize(
    ("size", "expected"),
    [(40 * MIB, (963, 5, 17)), (504 * MIB, (1024, 16, 63)), (127 * 1024 * MIB, (65278, 16, 255))],
)
def test_the_geometry_follows_the_specification(size: int, expected: tuple[int, int, int]) -> None:
    """The values are calculated manually with the algorithm in the specification's appendix."""
    assert geometry(size) == expected


def test_the_disk_contains_a_valid_filesystem_with_the_files(disk: Path) -> None:
    """e2fsck finds nothing to repair, and debugfs reads the files."""
    partition = filesystem(disk)
    run("e2fsck", "-fn", partition)
    for name, text in FILES.items():
        assert run("debugfs", "-R", f'cat "/{name}"', partition) == text


def test_the_boot_record_names_the_partition(disk: Path) -> None:
    """One Linux partition from 1 MiB to the end of the virtual disk."""
    record = disk.read_bytes()[:512]
    assert record[510:] == b"\x55\xaa"
    entry = record[446:462]
    assert entry[4] == 0x83
    assert int.from_bytes(entry[8:12], "little") * 512 == MIB
    assert int.from_bytes(entry[12:16], "little") * 512 == 63 * MIB
    assert record[462:510] == bytes(48)


def test_the_same_inputs_produce_the_same_bytes_and_another_seed_others(disk: Path, tmp_path: Path) -> None:
    """Even if the files are written at another time, by another run."""
    again, other = tmp_path / "again.vhd", tmp_path / "other.vhd"
    make_vhd(again, 64 * MIB, "seed", FILES, MIB)
    make_vhd(other, 64 * MIB, "another seed", FILES, MIB)
    assert again.read_bytes() == disk.read_bytes()
    assert other.read_bytes() != disk.read_bytes()


def test_a_disk_is_sparse_and_allocates_what_was_requested(tmp_path: Path) -> None:
    """An empty disk of 1 GiB allocates almost nothing; `allocated` is the least it allocates."""
    path = tmp_path / "big.vhd"
    make_vhd(path, 1024 * MIB, "seed", {})
    assert sum(length for _, length in data_ranges(path)) < 2 * MIB
    make_vhd(path, 1024 * MIB, "seed", {}, 20 * MIB)
    assert 20 * MIB <= sum(length for _, length in data_ranges(path)) < 23 * MIB


def test_without_mke2fs_the_disk_is_still_a_valid_vhd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without e2fsprogs the partition contains the files' bytes without a filesystem."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(vhd, "_SBIN", ())
    assert not vhd.has_mke2fs()
    path = tmp_path / "disk.vhd"
    make_vhd(path, 64 * MIB, "seed", FILES)
    content = path.read_bytes()
    assert footer_problem(content[-512:], len(content)) is None
    assert content[MIB:].startswith(b"Win2016 Datacenter\n")


async def test_an_upload_writes_only_what_is_allocated(
    disk: Path, fresh_cloud: CloudClient, accounts: Iterator[str]
) -> None:
    """The blob equals the file byte for byte, and its allocated pages are the file's blocks that are not zero."""
    name = next(accounts)
    account = next(each for each in fresh_cloud.status()["storageAccounts"] if each["name"] == name)
    credential = {"account_name": account["name"], "account_key": account["key"]}
    blob = BlobClient(account["blobEndpoint"], "vhds", "disk.vhd", credential=credential)
    blob._get_container_client().create_container()
    sas = generate_blob_sas(
        account["name"],
        "vhds",
        "disk.vhd",
        account_key=account["key"],
        permission=BlobSasPermissions(write=True, create=True),
        expiry=datetime.now(timezone.utc) + timedelta(hours=1),
    )
    async with aiohttp.ClientSession() as session:
        written = await upload_sparse(session, disk, f"{blob.url}?{sas}", {"key": "value"})

    content = await asyncio.to_thread(disk.read_bytes)
    assert await asyncio.to_thread(lambda: blob.download_blob().readall()) == content
    assert blob.get_blob_properties().metadata == {"key": "value"}
    pages = {page for each in blob.list_page_ranges() for page in range(each.start or 0, (each.end or 0) + 1, 512)}
    blocks = {page - page % 4096 for page in range(0, len(content), 512) if content[page : page + 512] != bytes(512)}
    expected = {page for block in blocks for page in range(block, min(block + 4096, len(content)), 512)}
    assert pages == expected
    assert written == len(pages) * 512 < 3 * MIB
