"""The world of each end-to-end test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.client import CloudClient
from tests.e2e.gallery_world import GalleryWorld
from tests.e2e.pipeline_steps import STACK
from tests.e2e.world import World
from tests.factory_lab.factory_world import FactoryWorld


@pytest.fixture
def world(
    fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path, python: Path
) -> World:
    """A factory without images, no labs, and a stack that does not exist yet."""
    return World(fresh_cloud, shell, accounts, project_folder, python)


@pytest.fixture
def gallery_world(
    fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path, python: Path
) -> GalleryWorld:
    """The same with a gallery that does not exist yet."""
    return GalleryWorld(fresh_cloud, shell, accounts, project_folder, python)


@pytest.fixture
def factory(
    fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path, python: Path
) -> FactoryWorld:
    """A factory lab without VMs and images, and a stack with the name that the pipelines have."""
    return FactoryWorld(fresh_cloud, shell, accounts, project_folder, python, stack=STACK)
