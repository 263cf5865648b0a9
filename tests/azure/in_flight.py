"""A writer whose accounts are all at one server; as a program, it measures the memory of many ranges in flight.

`python -m tests.azure.in_flight URL COUNT` copies COUNT ranges at a time and prints the peak memory of each, in bytes.
"""

from __future__ import annotations

import asyncio
import sys
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.page_writer import PageWriter
from imagefactory.images.ranges import Range
from imagefactory.observed.blobs import BlobRef
from tests.azure.storage_world import FIRST, GENERATION, Token

CRC = "ERTjv26IbjE="
STAGED = BlobRef("/accounts/lab", "http://127.0.0.1/lab/imagefactory-staging/a.vhd")
SOURCE = BlobRef("/accounts/factory", "http://127.0.0.1/factory/imagefactoryvhds/a.vhd")


@asynccontextmanager
async def writing(url: str, in_flight: int = 4) -> AsyncIterator[PageWriter]:
    """A writer whose accounts are all at that URL."""
    cloud = Cloud(None, url, f"{url}/{{account}}")
    async with (
        ResourceManager(cloud, Token()) as arm,
        StorageAccounts(arm) as accounts,
        PageWriter(accounts, in_flight) as writer,
    ):
        yield writer


async def copy(writer: PageWriter, digest: str | None = None, part: Range = FIRST) -> str:
    """Copy a range."""
    return await writer.copy_range(SOURCE, '"0x8D"', STAGED, GENERATION, part, digest)


async def _measure(url: str, count: int) -> float:
    async with writing(url, count) as writer:
        tracemalloc.start()
        await asyncio.gather(*(copy(writer, CRC, Range(4096 * n, 4096)) for n in range(count)))
        return tracemalloc.get_traced_memory()[1] / count


if __name__ == "__main__":
    print(asyncio.run(_measure(sys.argv[1], int(sys.argv[2]))))
