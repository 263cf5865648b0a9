"""The provider as the engine sees it: a process started from source, called over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2, provider_pb2_grpc, status_pb2

from toolchain.checkout import Checkout

COPY, RELEASE = "vhdcopy:index:VhdCopy", "vhdcopy:index:StagedVhdRelease"


class EngineLogSink(engine_pb2_grpc.EngineServicer):
    """Replaces the engine, and keeps what is logged."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    async def Log(self, request: Any, context: Any) -> Any:
        self.messages.append(request.message)
        return empty_pb2.Empty()


@dataclass
class Plugin:
    """A running provider process."""

    stub: Any
    process: asyncio.subprocess.Process
    log: EngineLogSink
    errors: list[str] = field(default_factory=list)
    address: str = ""

    @staticmethod
    def urn(kind: str) -> str:
        """A URN under a component, as the engine builds it."""
        return f"urn:pulumi:test::imagefactory::imagefactory:labs:LabImages${kind}::web@1/image"

    async def configure(self, values: Mapping[str, str]) -> None:
        """Configure it, like the engine's first call."""
        await self.stub.Configure(provider_pb2.ConfigureRequest(args=struct(values)))

    async def check(self, kind: str, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the inputs as stored, and failures by property."""
        answer = await self.stub.Check(provider_pb2.CheckRequest(urn=self.urn(kind), news=struct(inputs)))
        return dict(answer.inputs), {failure.property: failure.reason for failure in answer.failures}

    async def diff(self, kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Any:
        """Return what changed, as the engine sees it."""
        request = provider_pb2.DiffRequest(
            urn=self.urn(kind), olds=struct(old), old_inputs=struct(old), news=struct(new)
        )
        return await self.stub.Diff(request)

    def create(self, kind: str, inputs: Mapping[str, Any], *, preview: bool = False) -> Any:
        """Start a create; await it for the response."""
        request = provider_pb2.CreateRequest(urn=self.urn(kind), properties=struct(inputs), preview=preview)
        return self.stub.Create(request)

    async def update(self, kind: str, id: str, state: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Update, as the engine does for a resource whose create failed."""
        request = provider_pb2.UpdateRequest(urn=self.urn(kind), id=id, olds=struct(state), news=struct(inputs))
        return dict((await self.stub.Update(request)).properties)

    async def read(self, kind: str, id: str, inputs: Mapping[str, Any]) -> str:
        """Return the id that a refresh finds; empty: the resource no longer exists."""
        request = provider_pb2.ReadRequest(urn=self.urn(kind), id=id, inputs=struct(inputs))
        return str((await self.stub.Read(request)).id)

    async def delete(self, kind: str, id: str, inputs: Mapping[str, Any]) -> None:
        request = provider_pb2.DeleteRequest(urn=self.urn(kind), id=id, old_inputs=struct(inputs))
        await self.stub.Delete(request)

    async def cancel(self) -> None:
        """Call Cancel, as the engine does."""
        await self.stub.Cancel(empty_pb2.Empty())

    async def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        assert self.process.stdout is not None
        await self.process.stdout.read()  # nothing of it runs any more, nor what a warm interpreter runs for it
        await self.process.wait()


def endpoints(environment: Mapping[str, str]) -> dict[str, str]:
    """The configuration that the engine passes for the cloud of an environment."""
    return {
        "resourceManager": environment["IMAGEFACTORY_RESOURCE_MANAGER"],
        "blobEndpoint": environment["IMAGEFACTORY_BLOB_ENDPOINT"],
    }


@asynccontextmanager
async def running(environment: Mapping[str, str], python: Path) -> AsyncIterator[Plugin]:
    """A provider process with its own engine log, configured for the session's cloud; ended at the end."""
    async with started(environment, python) as plugin:
        await plugin.configure(endpoints(environment))
        yield plugin


@asynccontextmanager
async def started(environment: Mapping[str, str], python: Path) -> AsyncIterator[Plugin]:
    """The same, and nobody has configured it yet."""
    sink = EngineLogSink()
    engine = grpc.aio.server()
    engine_pb2_grpc.add_EngineServicer_to_server(sink, engine)
    address = f"127.0.0.1:{engine.add_insecure_port('127.0.0.1:0')}"
    await engine.start()
    process = await asyncio.create_subprocess_exec(
        python,
        str(Checkout.here().root / "providers" / "vhdcopy"),
        address,
        stdout=asyncio.subprocess.PIPE,
        env=dict(environment),
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        yield Plugin(stub, process, sink, address=f"127.0.0.1:{port}")
        if process.returncode is None:
            process.terminate()
            await process.wait()
    await engine.stop(None)


def struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Return values as a protobuf Struct."""
    result = struct_pb2.Struct()
    result.update(dict(values))
    return result


def kept_by(error: grpc.aio.AioRpcError) -> tuple[str, dict[str, Any], list[str]] | None:
    """Return id, outputs and reasons of a partial failure; None if the engine would keep nothing."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            failed = provider_pb2.ErrorResourceInitFailed()
            status.details[0].Unpack(failed)
            return failed.id, dict(failed.properties), list(failed.reasons)
    return None
