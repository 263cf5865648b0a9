"""Fixtures of the tests that talk to the embedded cloud: a factory with one VHD, a lab, and both kinds of access."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.client import CloudClient
from tests.azure.storage_world import Auth, StorageWorld
from tests.e2e.world import MIB, World


@pytest.fixture(params=["aad", "key"])
def auth(request: pytest.FixtureRequest) -> Auth:
    """Each kind of access to storage accounts."""
    way: Auth = request.param
    return way


@pytest.fixture
def world(
    fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path, signed_in: None
) -> World:
    """A factory without images, and no labs; this process is signed in."""
    return World(fresh_cloud, shell, accounts, project_folder)


@pytest.fixture
def storage(world: World) -> StorageWorld:
    """A factory VHD of 16 MiB in one account, an empty account of a lab."""
    world.add_lab("web")
    world.add_images(("Win2016/Datacenter.json", 5), allocated=MIB)
    world.cloud.clear_calls()
    return StorageWorld(world)
