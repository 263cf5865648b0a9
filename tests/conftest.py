"""What the tests share: one embedded cloud for each test process, one engine for all, fresh names for each test."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from localcloud.client import CloudClient
from tests.randomized import (
    pytest_addoption,
    pytest_generate_tests,
    pytest_itemcollected,
    pytest_runtest_makereport,
)
from tests.warm.python import warm_python
from tests.warm.vault import vault
from toolchain.checkout import Checkout
from toolchain.cloud import emulator_variables
from toolchain.setup.engine import ensure_engine
from toolchain.shell import cloud_variables, tool_variables

__all__ = ["pytest_addoption", "pytest_generate_tests", "pytest_itemcollected", "pytest_runtest_makereport"]

# How long an example takes depends on who else uses the machine. The suite draws the same examples for the same tests,
# so that its result is that of the commit; the profile `many` looks for new ones.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], max_examples=40
)
settings.load_profile("suite")
settings.register_profile("few", settings.get_profile("suite"), max_examples=4)
settings.register_profile("many", settings.get_profile("suite"), max_examples=1000, derandomize=False)

gc.set_threshold(100_000, 50, 50)  # collecting the tests makes a million objects that stay

SHORT_LIFE = {"GOGC": "off", "GOMEMLIMIT": "512MiB"}
"""For Go: an engine of the tests ends before it needs the memory that it would look for."""

SPARE_ACCOUNTS = 200
"""Storage accounts declared at once, the first ones at the start: a test takes fresh ones and need not declare them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that at the end no worker waits for another's last long test."""

    def rank(item: pytest.Item) -> tuple[float, bool, bool]:
        limit = item.get_closest_marker("timeout")
        return -limit.args[0] if limit else 0.0, item.get_closest_marker("engine") is None, "unit" in item.path.parts

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """What is there now stays: no later garbage collection needs to look at it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True, specname="pytest_runtest_makereport")
def pytest_report_is_made_at_once() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A report reads the source of a failure with `ast.parse`, which fails if a collection amid it runs code that does
    the same, such as the log of an exception that was never retrieved (seen with CPython 3.11.7)."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudClient]:
    """The session's embedded cloud. Latencies and faults are reset after each test that uses `fresh_cloud`."""
    folder = tmp_path_factory.mktemp("cloud")
    seed = folder / "seed.json"
    seed.write_text(json.dumps({"storageAccounts": spare_accounts(0)}), encoding="utf-8")
    command = [sys.executable, "-m", "localcloud"]
    environment = {**os.environ, **emulator_variables(Checkout.here())}
    state = folder / "state"
    subprocess.run(
        [*command, "start", "--state", str(state), "--seed", str(seed), "--in-memory"],
        check=True,
        env=environment,
        cwd=Checkout.here().root,
    )
    yield CloudClient(state)
    subprocess.run([*command, "stop", "--state", str(state)], check=True, env=environment, cwd=Checkout.here().root)


@pytest.fixture
def fresh_cloud(cloud: CloudClient) -> Iterator[CloudClient]:
    """The session's cloud without latencies, faults and journal, before and after."""
    cloud.reset()
    yield cloud
    cloud.reset()


@pytest.fixture(scope="session")
def shell(cloud: CloudClient) -> Iterator[dict[str, str]]:
    """The environment of a shell for the session's cloud: engine, plugins, endpoints, identity, secrets of stacks."""
    checkout = Checkout.here()
    engine = tool_variables(checkout, ensure_engine(checkout))
    with vault() as secrets:
        yield {**os.environ, **engine, **cloud_variables(cloud.status()), **SHORT_LIFE, **secrets}


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An interpreter that starts fast."""
    with warm_python(tmp_path_factory.mktemp("python")) as python:
        yield python


@pytest.fixture
def signed_in(shell: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """This process signs in as a shell of `dev.py env` would: as the embedded cloud's managed identity."""
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "ARM_USE_MSI"):
        monkeypatch.setenv(name, shell[name])


@pytest.fixture(scope="session")
def accounts(cloud: CloudClient) -> Iterator[str]:
    """Storage account names that no other test uses; the cloud has these accounts, however many the tests take."""

    def names() -> Iterator[str]:
        for block in count():
            if block:
                cloud.seed({"storageAccounts": spare_accounts(block)})
            yield from spare_accounts(block)

    return names()


def spare_accounts(block: int) -> list[str]:
    """The names of the storage accounts that are declared together."""
    return [f"spare{n:04}" for n in range(block * SPARE_ACCOUNTS, (block + 1) * SPARE_ACCOUNTS)]


@pytest.fixture
def project_folder(tmp_path: Path) -> Path:
    """An empty folder for a project."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder
