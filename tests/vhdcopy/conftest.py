"""The world of each test of the provider: a factory with one image, and the lab `web`; or labs and galleries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from localcloud.client import CloudClient
from tests.e2e.world import MIB, World
from tests.vhdcopy.copying import DISK_BYTES
from tests.vhdcopy.gallery_labs import GalleryLabs
from tests.vhdcopy.plugin import Plugin, running


@pytest.fixture
def world(
    fresh_cloud: CloudClient,
    shell: dict[str, str],
    accounts: Iterator[str],
    project_folder: Path,
    signed_in: None,
) -> World:
    """Without a stack; this process signs in like a shell of `dev.py env`."""
    world = World(fresh_cloud, shell, accounts, project_folder)
    world.add_lab("web")
    world.add_images(("Win2016/Datacenter.json", 5), size=DISK_BYTES, allocated=10 * MIB)
    return world


@pytest.fixture
def labs(fresh_cloud: CloudClient) -> GalleryLabs:
    """A subscription without labs and galleries."""
    return GalleryLabs(fresh_cloud)


@pytest_asyncio.fixture
async def plugin(shell: dict[str, str], python: Path) -> AsyncIterator[Plugin]:
    """A configured provider process."""
    async with running(shell, python) as plugin:
        yield plugin
