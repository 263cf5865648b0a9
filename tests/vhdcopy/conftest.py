"""The world of each test of the provider: a factory with one image, and the lab `web`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.client import CloudClient
from tests.e2e.world import MIB, World


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
    world.add_images(("Win2016/Datacenter.json", 5), size=64 * MIB, allocated=10 * MIB)
    return world
