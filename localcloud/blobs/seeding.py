"""Putting factory images and the disks of virtual machines into the embedded storage accounts.

Owns making and uploading the VHDs and companions of a seed document. Factory images that exist are left as they are; an
upload that was interrupted is done again: the VHD carries a mark until its companion is written. A disk is always
written: who asks for it knows that it is missing. Refuses: accounts, labs and machines.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from localcloud.blobs.access import EmbeddedBlobs
from localcloud.blobs.disk_access import DISK_ACCOUNT, DISK_BLOB
from localcloud.seed import SeedDisk, SeedFactoryImage
from localcloud.vhd import SECTOR, make_vhd, upload_sparse

FACTORY_CONTAINER = "imagefactoryvhds"
_MARK = "localcloudunfinished"
_VERSION = {"x-ms-version": "2021-12-02"}
_AT_ONCE = 4


async def seed_images(
    session: aiohttp.ClientSession,
    blobs: EmbeddedBlobs,
    images: Sequence[tuple[str, SeedFactoryImage]],
    done: Callable[[], None],
) -> None:
    """Make each (account, image) exist; `done` is called after each. Raises aiohttp.ClientError or OSError."""
    for account in dict.fromkeys(account for account, _ in images):
        await _make_container(session, blobs, account, FACTORY_CONTAINER)
    await _few_at_once((_seed_image(session, blobs, account, image) for account, image in images), done)


@dataclass(frozen=True)
class MissingDisk:
    """A disk to be written to `container`; equal `seed`s make equal disks."""

    container: str
    seed: str
    disk: SeedDisk


async def seed_disks(
    session: aiohttp.ClientSession, blobs: EmbeddedBlobs, disks: Iterable[MissingDisk], done: Callable[[], None]
) -> None:
    """Write each disk; `done` is called after each. Raises aiohttp.ClientError or OSError."""

    async def one(missing: MissingDisk) -> None:
        await _make_container(session, blobs, DISK_ACCOUNT, missing.container)
        url = blobs.inside(DISK_ACCOUNT, missing.container, DISK_BLOB)
        await _upload(session, str(url), missing.seed, missing.disk, {})

    await _few_at_once((one(missing) for missing in disks), done)


async def write_text(session: aiohttp.ClientSession, blobs: EmbeddedBlobs, container: str, text: str) -> None:
    """Write `text` into the disk in `container`, behind its partition table. Raises aiohttp.ClientError."""
    url = blobs.inside(DISK_ACCOUNT, container, DISK_BLOB).update_query(comp="page")
    headers = {**_VERSION, "x-ms-page-write": "update", "x-ms-range": f"bytes={SECTOR}-{2 * SECTOR - 1}"}
    page = text.encode().ljust(SECTOR, b"\0")
    async with session.put(url, data=page, headers=headers, raise_for_status=True):
        pass


async def _few_at_once(calls: Iterable[Awaitable[None]], done: Callable[[], None]) -> None:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Awaitable[None]) -> None:
        async with room:
            await call
        done()

    await asyncio.gather(*(one(call) for call in calls))


async def _make_container(session: aiohttp.ClientSession, blobs: EmbeddedBlobs, account: str, name: str) -> None:
    url = blobs.inside(account, name).update_query(restype="container")
    async with session.put(url, headers=_VERSION) as answer:
        if answer.status != 409:  # 409: it is there
            answer.raise_for_status()


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
    async with session.head(url, headers=_VERSION) as answer:
        if answer.status == 200 and f"x-ms-meta-{_MARK}" not in answer.headers:
            return
    await _upload(session, str(url), f"{account}/{image.vhd}", image, {_MARK: "true"})
    companion = image.companion_bytes()
    if companion is not None:
        name = image.vhd.removesuffix(".vhd") + ".json"
        about = {**_VERSION, "x-ms-blob-type": "BlockBlob", "x-ms-blob-content-type": "application/json"}
        async with session.put(
            blobs.inside(account, FACTORY_CONTAINER, name), data=companion, headers=about, raise_for_status=True
        ):
            pass
    metadata = {f"x-ms-meta-{name}": value for name, value in image.metadata.items()}
    async with session.put(url.update_query(comp="metadata"), headers={**_VERSION, **metadata}, raise_for_status=True):
        pass
