"""A provider from source for the language host's tests: one resource, whose outputs show how the provider was started.

With the input `block`, a create writes its process id to that file and waits until it is canceled.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2
from pulumi.runtime.proto import provider_pb2 as messages
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderServicer, add_ResourceProviderServicer_to_server

CANCELLED = threading.Event()


class TinyProvider(ResourceProviderServicer):
    def Handshake(
        self, request: messages.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> messages.ProviderHandshakeResponse:
        return messages.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True, accept_outputs=True)

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version="0.0.1")

    def CheckConfig(self, request: messages.CheckRequest, context: grpc.ServicerContext) -> messages.CheckResponse:
        return messages.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: messages.DiffRequest, context: grpc.ServicerContext) -> messages.DiffResponse:
        return messages.DiffResponse(changes=messages.DiffResponse.DIFF_NONE)

    def Configure(
        self, request: messages.ConfigureRequest, context: grpc.ServicerContext
    ) -> messages.ConfigureResponse:
        return messages.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: messages.CheckRequest, context: grpc.ServicerContext) -> messages.CheckResponse:
        return messages.CheckResponse(inputs=request.news)

    def Diff(self, request: messages.DiffRequest, context: grpc.ServicerContext) -> messages.DiffResponse:
        return messages.DiffResponse(changes=messages.DiffResponse.DIFF_NONE)

    def Create(self, request: messages.CreateRequest, context: grpc.ServicerContext) -> messages.CreateResponse:
        outputs = struct_pb2.Struct()
        if not request.preview:
            outputs.update({"pid": str(os.getpid()), "python": sys.prefix, "folder": str(Path.cwd())})
            if "block" in request.properties:
                marker = Path(str(request.properties["block"]))
                unfinished = marker.with_suffix(".unfinished")
                unfinished.write_text(str(os.getpid()), "utf-8")
                unfinished.rename(marker)
                CANCELLED.wait()
                context.abort(grpc.StatusCode.CANCELLED, "the create was cancelled")
        return messages.CreateResponse(id="tiny", properties=outputs)

    def Delete(self, request: messages.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        CANCELLED.set()
        return empty_pb2.Empty()


if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    add_ResourceProviderServicer_to_server(TinyProvider(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()
