"""What the tests share: one embedded cloud and one engine for the whole session, fresh names for each test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from localcloud.client import CloudClient
from localcloud.toolchain.checkout import Checkout
from localcloud.toolchain.cloud import emulator_variables
from localcloud.toolchain.engine import ensure_engine
from localcloud.toolchain.shell import cloud_variables, tool_variables
from tests.randomized import (
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_generate_tests,
    pytest_runtest_makereport,
)

__all__ = [
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_generate_tests",
    "pytest_runtest_makereport",
]

SPARE_ACCOUNTS = 600
"""Storage accounts declared in advance, so that the blob emulator never restarts for a test's fresh ones."""


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudClient]:
    """The session's embedded cloud. Latencies and faults are reset after each test that uses `fresh_cloud`."""
    folder = tmp_path_factory.mktemp("cloud")
    seed = folder / "seed.json"
    seed.write_text(json.dumps({"storageAccounts": [f"spare{n:04}" for n in range(SPARE_ACCOUNTS)]}), encoding="utf-8")
    command = [sys.executable, "-m", "localcloud"]
    environment = {**os.environ, **emulator_variables(Checkout.here())}
    state = folder / "state"
    subprocess.run(
        [*command, "start", "--state", str(state), "--seed", str(seed)],
        check=True,
        env=environment,
        cwd=Checkout.here().root,
    )
    yield CloudClient(state)
    subprocess.run([*command, "stop", "--state", str(state)], check=True, env=environment, cwd=Checkout.here().root)


@pytest.fixture
def fresh_cloud(cloud: CloudClient) -> Iterator[CloudClient]:
    """The session's cloud without latencies, faults and journal, before and after."""

    def reset() -> None:
        cloud.clear_faults()
        cloud.set_latencies({})
        cloud.set_limits({})
        cloud.set_sign_in()
        cloud.clear_calls()

    reset()
    yield cloud
    reset()


@pytest.fixture(scope="session")
def shell(cloud: CloudClient, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a shell for the session's cloud: engine, plugins, endpoints, identity."""
    checkout = Checkout.here()
    return {**os.environ, **tool_variables(checkout, ensure_engine(checkout)), **cloud_variables(cloud.status())}


@pytest.fixture
def signed_in(shell: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """This process signs in as a shell of `dev.py env` would: as the embedded cloud's managed identity."""
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "ARM_USE_MSI"):
        monkeypatch.setenv(name, shell[name])


_ACCOUNTS = (f"spare{n:04}" for n in count())


@pytest.fixture(scope="session")
def accounts() -> Iterator[str]:
    """Storage account names that no other test uses."""
    return _ACCOUNTS


@pytest.fixture
def project_folder(tmp_path: Path) -> Path:
    """An empty folder for a project."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder
