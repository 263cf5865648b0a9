"""Fixtures of the embedded cloud: its resource manager, stand-in plugin, blob service and program."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from azure.core.pipeline.policies import AsyncRetryPolicy, RequestIdPolicy
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.core import AsyncARMPipelineClient
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy
from azure.storage.blob import BlobServiceClient, ContainerClient

from localcloud.client import CloudClient
from localcloud.state_lock import is_locked
from tests.localcloud.arm_world import World, lab, running
from tests.localcloud.azure_native_plugin import Plugin, started
from tests.localcloud.blob_world import PAGE, SIZE, Pair
from tests.localcloud.cloud_program import Program
from toolchain.checkout import Checkout
from toolchain.cloud import emulator_variables


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    """A resource manager with one lab."""
    async with running(labs=[lab()]) as running_world:
        yield running_world


@pytest_asyncio.fixture
async def arm(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncARMPipelineClient[Any, Any]]:
    """Azure's client library with its managed identity credential."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", world.token_endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", world.identity.header)
    async with ManagedIdentityCredential() as credential:
        scope = f"{world.base}/.default"
        auth = AsyncARMChallengeAuthenticationPolicy(credential, scope)
        policies = [RequestIdPolicy(), AsyncRetryPolicy(), auth]
        client: AsyncARMPipelineClient[Any, Any] = AsyncARMPipelineClient(world.base, policies=policies)
        async with client:
            yield client


@pytest_asyncio.fixture
async def plugin(world: World, tmp_path: Path, python: Path) -> AsyncIterator[Plugin]:
    """The installed plugin, started as the engine starts it and configured; it must never print a traceback."""
    environment = {
        "IMAGEFACTORY_RESOURCE_MANAGER": world.base,
        "IDENTITY_ENDPOINT": world.token_endpoint,
        "IDENTITY_HEADER": world.identity.header,
    }
    async with started(tmp_path, environment, python) as running_plugin:
        yield running_plugin


@pytest.fixture
def pair(fresh_cloud: CloudClient, accounts: Iterator[str]) -> Pair:
    """Two accounts that no other test uses."""
    names = [next(accounts), next(accounts)]
    status = {each["name"]: each for each in fresh_cloud.status()["storageAccounts"]}
    first, second = (status[name] for name in names)

    def container(account: dict[str, str]) -> ContainerClient:
        credential = {"account_name": account["name"], "account_key": account["key"]}
        service = BlobServiceClient(account["blobEndpoint"], credential, retry_total=0)
        return service.create_container("vhds")

    source = container(first).get_blob_client("source.vhd")
    source.create_page_blob(SIZE, metadata={"origin": "source"})
    source.upload_page(PAGE * 8, offset=4096, length=4096)
    source.upload_page(PAGE, offset=SIZE - 512, length=512)
    fresh_cloud.clear_calls()
    return Pair(fresh_cloud, first["key"], source, container(second))


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """A state folder that does not exist yet; a cloud that still runs on it after the test is stopped."""
    made = Program(tmp_path / "state", {**os.environ, **emulator_variables(Checkout.here())})
    yield made
    made.end()
    assert not is_locked(made.state)
