"""The world of the tests of roles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.client import CloudClient
from tests.factory_lab.factory_world import FactoryWorld


@pytest.fixture
def world(
    fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path, python: Path
) -> FactoryWorld:
    """An empty factory."""
    return FactoryWorld(fresh_cloud, shell, accounts, project_folder, python)
