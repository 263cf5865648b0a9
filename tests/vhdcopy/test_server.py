"""The provider's servicer in this process: what a cancellation reaches, and its response; and what the plugin loads."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any, NoReturn

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from providers.vhdcopy import server
from providers.vhdcopy.progress import EngineLog
from providers.vhdcopy.resource import Inputs
from toolchain.checkout import Checkout

KIND = "vhdcopy:index:VhdCopy"
URN = f"urn:pulumi:test::imagefactory::imagefactory:labs:LabImages${KIND}::web@1/image"


class Aborted(Exception):
    """The response to a failed call."""


class Answering:
    """A call's context, which turns an abort into an exception, as grpc does."""

    def set_trailing_metadata(self, metadata: tuple[tuple[str, bytes], ...]) -> None:
        raise AssertionError("a deletion keeps no partial failure")

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        raise Aborted(code, details)


class Waiting:
    """A resource whose deletion waits, like one for copies that read a relay."""

    inputs = Inputs

    def __init__(self) -> None:
        self.began = asyncio.Event()

    async def delete(self, services: Any, inputs: Any) -> None:
        self.began.set()
        await asyncio.Event().wait()


class Open:
    """Open connections."""

    async def services(self) -> None:
        """There are none."""

    def forget(self) -> None:
        """Nothing was listed."""

    async def close(self) -> None:
        """There is nothing to close."""


async def test_ctrl_c_reaches_a_deletion_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops immediately and responds that it was canceled, so the engine keeps the resource."""
    waiting = Waiting()
    monkeypatch.setitem(server.RESOURCES, KIND, waiting)
    servicer = server.VhdCopyProvider(EngineLog("127.0.0.1:1"))
    monkeypatch.setattr(servicer, "_connections", Open())
    request = provider_pb2.DeleteRequest(urn=URN)
    deletion = asyncio.ensure_future(servicer.Delete(request, Answering()))
    await waiting.began.wait()
    servicer.stop_running()
    with pytest.raises(Aborted) as answer:
        await deletion
    assert answer.value.args[0] is grpc.StatusCode.CANCELLED
    await servicer.close()


def test_the_plugin_loads_the_sdks_messages_and_not_the_sdk() -> None:
    """Every preview and every run starts it; the SDK would be half of what it imports."""
    start = "import atexit, runpy, sys; atexit.register(lambda: print(*sys.modules)); "
    start += "runpy.run_path(sys.argv.pop(), {}, '__main__')"
    command = [sys.executable, "-c", start, str(Checkout.here().root / "providers" / "vhdcopy")]
    loaded = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    assert "pulumi.runtime.proto.provider_pb2_grpc" in loaded and "pulumi.output" not in loaded
    assert "providers.vhdcopy.lab_gallery" in loaded and "imagefactory.azure.lab_galleries" not in loaded
