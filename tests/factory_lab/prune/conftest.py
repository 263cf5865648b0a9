"""The factory that these tests prune."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.client import CloudClient
from tests.e2e.world import World
from tests.factory_lab.prune.prune_world import PruneWorld


@pytest.fixture
def factory(
    fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path, python: Path
) -> PruneWorld:
    """An empty factory with one lab."""
    return PruneWorld(World(fresh_cloud, shell, accounts, project_folder, python))
