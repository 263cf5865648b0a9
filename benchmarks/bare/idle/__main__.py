"""The provider of the bare program: returns the inputs of each call as its result, immediately."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc


class Idle(provider_pb2_grpc.ResourceProviderServicer):
    """Resources of any type that exist only in the state."""

    async def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse()

    async def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="0.0.1")

    async def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(schema='{"name": "idle", "version": "0.0.1"}')

    async def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse()

    async def Configure(self, request: Any, context: Any) -> Any:
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    async def Check(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def Diff(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    async def Create(self, request: Any, context: Any) -> Any:
        return provider_pb2.CreateResponse(id=request.name, properties=request.properties)

    async def Delete(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    async def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


async def serve() -> None:
    """Serve until the engine stops this process."""
    server = grpc.aio.server()
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Idle(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
