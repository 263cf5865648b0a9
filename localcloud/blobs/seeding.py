"""Upload of the factory images and the disks of virtual machines that a seed document declares.

Builds their VHDs and uploads what is allocated, then the companions. Existing factory images are kept; an interrupted
upload is repeated, because the VHD has a mark until its companion is written. Disks are always written. Does not create
accounts, labs or machines.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from yarl import URL

from localcloud.blobs.access import VERSION_HEADER, EmbeddedBlobs
from localcloud.blobs.disk_access import DISK_ACCOUNT, DISK_BLOB
from localcloud.seed import SeedDisk, SeedFactoryImage
from localcloud.vhd import MIB, SECTOR, data_ranges, make_vhd

FACTORY_CONTAINER = "imagefactoryvhds"
MAX_PAGES = 4 * MIB
"""Bytes that are read at once; one call writes less than twice as many."""
RUNS = "x-localcloud-runs"
_MARK = "localcloudunfinished"
_MAX_CONCURRENT = 4
_EMPTY = bytes(4096)


async def seed_images(
    session: aiohttp.ClientSession,
    blobs: EmbeddedBlobs,
    images: Sequence[tuple[str, SeedFactoryImage]],
    done: Callable[[], None],
) -> None:
    """Create the missing (account, image) pairs; call `done` after each. Raises aiohttp.ClientError or OSError."""
    for account in dict.fromkeys(account for account, _ in images):
        await _make_container(session, blobs, account, FACTORY_CONTAINER)
    await _run_all((_seed_image(session, blobs, account, image) for account, image in images), done)


@dataclass(frozen=True)
class MissingDisk:
    """A disk to write to `container`; equal `seed`s produce equal disks."""

    container: str
    seed: str
    disk: SeedDisk


async def seed_disks(
    session: aiohttp.ClientSession, blobs: EmbeddedBlobs, disks: Iterable[MissingDisk], done: Callable[[], None]
) -> None:
    """Write each disk; call `done` after each. Raises aiohttp.ClientError or OSError."""

    async def one(missing: MissingDisk) -> None:
        await _make_container(session, blobs, DISK_ACCOUNT, missing.container)
        url = blobs.inside(DISK_ACCOUNT, missing.container, DISK_BLOB)
        await _upload(session, str(url), missing.seed, missing.disk, {})

    await _run_all((one(missing) for missing in disks), done)


async def write_text(session: aiohttp.ClientSession, blobs: EmbeddedBlobs, container: str, text: str) -> None:
    """Write `text` to the disk in `container`, after its partition table. Raises aiohttp.ClientError."""
    url = blobs.inside(DISK_ACCOUNT, container, DISK_BLOB).update_query(comp="page")
    await _put_pages(session, url, [(SECTOR, text.encode().ljust(SECTOR, b"\0"))])


async def upload_sparse(
    session: aiohttp.ClientSession, path: Path, url: str, metadata: Mapping[str, str] | None = None
) -> int:
    """Upload the file as a page blob to `url` (with a SAS), writing only blocks that are not zero.

    Returns the number of bytes written. Raises aiohttp.ClientResponseError.
    """
    size = (await asyncio.to_thread(path.stat)).st_size
    headers = {**VERSION_HEADER, "x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": str(size)}
    headers |= {f"x-ms-meta-{name}": value for name, value in (metadata or {}).items()}
    async with session.put(url, headers=headers, raise_for_status=True):
        pass
    written, runs = 0, list[tuple[int, bytes]]()
    with path.open("rb") as file:
        for offset, length in data_ranges(path):
            for start in range(offset, offset + length, MAX_PAGES):
                file.seek(start)
                pages = await asyncio.to_thread(file.read, min(MAX_PAGES, offset + length - start))
                runs += [(start + position, run) for position, run in _runs_of_data(pages)]
                if sum(len(run) for _, run in runs) >= MAX_PAGES:
                    written += await _put_pages(session, f"{url}&comp=page", runs)
                    runs = []
    return written + (await _put_pages(session, f"{url}&comp=page", runs) if runs else 0)


async def _put_pages(session: aiohttp.ClientSession, url: URL | str, runs: Sequence[tuple[int, bytes]]) -> int:
    """Write runs (offset, bytes) by one call, which only the emulator has (page_runs.cjs); return the bytes written."""
    spans = [f"{offset}-{offset + len(data) - 1}" for offset, data in runs]
    wanted = {"x-ms-page-write": "update", "x-ms-range": f"bytes={spans[0]}", RUNS: ",".join(spans)}
    data = b"".join(data for _, data in runs)
    async with session.put(url, data=data, headers={**VERSION_HEADER, **wanted}, raise_for_status=True):
        return len(data)


def _runs_of_data(pages: bytes) -> Iterator[tuple[int, bytes]]:
    """Return runs of 4 KiB blocks that are not zero, as (start, bytes): filesystems also report zeros as data."""
    start: int | None = None
    for position in range(0, len(pages), len(_EMPTY)):
        block = pages[position : position + len(_EMPTY)]
        empty = block == _EMPTY[: len(block)]
        if empty and start is not None:
            yield start, pages[start:position]
            start = None
        elif not empty and start is None:
            start = position
    if start is not None:
        yield start, pages[start:]


async def _run_all(calls: Iterable[Awaitable[None]], done: Callable[[], None]) -> None:
    semaphore = asyncio.Semaphore(_MAX_CONCURRENT)

    async def one(call: Awaitable[None]) -> None:
        async with semaphore:
            await call
        done()

    await asyncio.gather(*(one(call) for call in calls))


async def _make_container(session: aiohttp.ClientSession, blobs: EmbeddedBlobs, account: str, name: str) -> None:
    url = blobs.inside(account, name).update_query(restype="container")
    async with session.put(url, headers=VERSION_HEADER) as response:
        if response.status != 409:  # 409: it exists
            response.raise_for_status()


async def _upload(
    session: aiohttp.ClientSession, url: str, seed: str, disk: SeedDisk, metadata: Mapping[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "disk.vhd")
        await asyncio.to_thread(make_vhd, file, disk.size_bytes, seed, disk.files, disk.allocated_bytes or 0)
        await upload_sparse(session, file, url, metadata)


async def _seed_image(
    session: aiohttp.ClientSession, blobs: EmbeddedBlobs, account: str, image: SeedFactoryImage
) -> None:
    url = blobs.inside(account, FACTORY_CONTAINER, image.vhd)
    async with session.head(url, headers=VERSION_HEADER) as response:
        if response.status == 200 and f"x-ms-meta-{_MARK}" not in response.headers:
            return
    await _upload(session, str(url), f"{account}/{image.vhd}", image, {_MARK: "true"})
    companion = image.companion_bytes()
    if companion is not None:
        name = image.vhd.removesuffix(".vhd") + ".json"
        headers = {**VERSION_HEADER, "x-ms-blob-type": "BlockBlob", "x-ms-blob-content-type": "application/json"}
        companion_url = blobs.inside(account, FACTORY_CONTAINER, name)
        async with session.put(companion_url, data=companion, headers=headers, raise_for_status=True):
            pass
    headers = {**VERSION_HEADER, **{f"x-ms-meta-{name}": value for name, value in image.metadata.items()}}
    async with session.put(url.update_query(comp="metadata"), headers=headers, raise_for_status=True):
        pass
