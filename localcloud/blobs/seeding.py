"""Putting factory images into the embedded storage accounts.

Owns making and uploading the VHDs and companions of a seed document. What exists is left as it is; an upload that was
interrupted is done again: the VHD carries a mark until its companion is written. Refuses: accounts and labs.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp

from localcloud.blobs.access import EmbeddedBlobs
from localcloud.seed import SeedFactoryImage
from localcloud.vhd import make_vhd, upload_sparse

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
        container = blobs.inside(account, FACTORY_CONTAINER).update_query(restype="container")
        async with session.put(container, headers=_VERSION) as answer:
            if answer.status != 409:  # 409: it is there
                answer.raise_for_status()
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(account: str, image: SeedFactoryImage) -> None:
        async with room:
            await _seed_image(session, blobs, account, image)
        done()

    await asyncio.gather(*(one(account, image) for account, image in images))


async def _seed_image(
    session: aiohttp.ClientSession, blobs: EmbeddedBlobs, account: str, image: SeedFactoryImage
) -> None:
    url = blobs.inside(account, FACTORY_CONTAINER, image.vhd)
    async with session.head(url, headers=_VERSION) as answer:
        if answer.status == 200 and f"x-ms-meta-{_MARK}" not in answer.headers:
            return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "disk.vhd")
        seed = f"{account}/{image.vhd}"
        await asyncio.to_thread(make_vhd, file, image.size_bytes, seed, image.files, image.allocated_bytes or 0)
        await upload_sparse(session, file, str(url), {_MARK: "true"})
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
