"""The stand-in azure-native plugin, started as the engine starts it, shared by the tests of this folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from localcloud.azure_native.custom_image import TYPE
from localcloud.azure_native.install import install
from localcloud.azure_native.property_values import write
from tests.localcloud.arm_world import SUBSCRIPTION, lab_path

URN = f"urn:pulumi:local::images::imagefactory:LabImages${TYPE}::win-a"
LIST_ID = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/RG-One/providers/microsoft.devtestlab/labs/Target/customimages"
REQUEST_ID = f"{lab_path()}/customimages"
END_SECONDS = 30.0
"""How long a test waits for what must come at once; reaching it is a failure."""


def image_inputs(url: str, name: str = "Win-A", **more: Any) -> dict[str, Any]:
    """Return inputs in the form that Check returns."""
    return {
        "azureApiVersion": "2018-09-15",
        "labName": "Target",
        "location": "westeurope",
        "name": name,
        "resourceGroupName": "RG-One",
        "vhd": {"imageName": url, "osType": "Windows", "sysPrep": True},
        **more,
    }


class Plugin:
    """The gRPC stub of a started plugin."""

    def __init__(self, stub: Any) -> None:
        self.stub = stub

    async def create(self, inputs: Mapping[str, Any], urn: str = URN, **request: Any) -> Any:
        return await self.stub.Create(provider_pb2.CreateRequest(urn=urn, properties=write(inputs), **request))

    async def check(
        self, news: Mapping[str, Any], olds: Mapping[str, Any] | None = None, urn: str = URN, **request: Any
    ) -> Any:
        old = None if olds is None else write(olds)
        return await self.stub.Check(provider_pb2.CheckRequest(urn=urn, news=write(news), olds=old, **request))

    async def diff(
        self,
        old: Mapping[str, Any],
        new: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
        urn: str = URN,
    ) -> Any:
        request = provider_pb2.DiffRequest(
            urn=urn, id="x", olds=write(state or {}), old_inputs=write(old), news=write(new)
        )
        return await self.stub.Diff(request)


@asynccontextmanager
async def started(home: Path, environment: Mapping[str, str], python: Path) -> AsyncIterator[Plugin]:
    """Start the installed plugin with this environment only, run by `python`."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        install(home, python, "3.29.0") / "pulumi-resource-azure-native",
        "127.0.0.1:1",
        "--logtostderr",
        stdout=pipe,
        stderr=pipe,
        env={"PATH": os.environ["PATH"], **environment},
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        await stub.Configure(
            provider_pb2.ConfigureRequest(
                variables={"azure-native:config:subscriptionId": SUBSCRIPTION},
                args=write({"subscriptionId": SUBSCRIPTION}),
                acceptSecrets=True,
                acceptResources=True,
            )
        )
        yield Plugin(stub)
    process.terminate()
    _, errors = await process.communicate()
    assert b"Traceback" not in errors, errors.decode()
    assert process.returncode == 0


async def fails(call: Any) -> Any:
    """Return the gRPC error of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def init_failed(error: Any) -> Any:
    """Return the partial failure in a gRPC error's trailing metadata."""
    (packed,) = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    status = status_pb2.Status.FromString(packed)
    assert (status.code, status.message) == (2, error.details())
    detail = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(detail)
    return detail


async def until(happened: Callable[[], bool]) -> None:
    """Wait until the condition is true; fail after a timeout."""

    async def wait() -> None:
        while not happened():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)

    await asyncio.wait_for(wait(), END_SECONDS)
