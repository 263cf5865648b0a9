"""The world of the tests of `imagefactory doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.client import CloudClient
from tests.doctor.doctor_world import DoctorWorld


@pytest.fixture
def world(
    fresh_cloud: CloudClient, shell: dict[str, str], accounts: Iterator[str], project_folder: Path, python: Path
) -> DoctorWorld:
    """A factory with one image, a lab that gets it, and a stack that never ran."""
    world = DoctorWorld(fresh_cloud, shell, accounts, project_folder, python)
    world.add_lab("web", "Win2016")
    world.add_images(("Win2016/Datacenter.json", 5))
    world.cloud.clear_calls()
    return world
