"""Runs the stand-in plugin: prints its port, serves until the engine stops it or exits."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

from imagefactory.sdk_messages import load_messages_without_sdk

_ENGINE_POLL_SECONDS = 2.0
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def main() -> None:
    """Serve. The engine passes its own address and flags as further arguments, which are ignored."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--plugin-version", default="3.29.0")
    known, _ = parser.parse_known_args()
    try:
        load_messages_without_sdk()
    except ImportError as error:
        sys.exit(f"the stand-in azure-native plugin: {error}; it does not start. Run 'python3 dev.py setup'.")
    asyncio.run(_serve(known.plugin_version))


async def _serve(version: str) -> None:
    engine = os.getppid()  # before the port is printed: an engine that has read it can exit at any time
    import grpc.aio
    from pulumi.runtime.proto import provider_pb2_grpc

    from localcloud.azure_native.arm_client import ArmClient
    from localcloud.azure_native.server import Provider
    from localcloud.azure_native.sign_in import SignIn

    names = ("IMAGEFACTORY_RESOURCE_MANAGER", "IDENTITY_ENDPOINT", "IDENTITY_HEADER")
    endpoint, *identity = (os.environ.get(name, "") for name in names)
    is_signed_in = all(identity) or os.environ.get("ARM_USE_OIDC") == "true"
    client = ArmClient(endpoint, SignIn(os.environ)) if endpoint and is_signed_in else None
    server = grpc.aio.server(options=_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(client, version), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    print(port, flush=True)
    while not ended.is_set() and os.getppid() == engine:
        try:
            await asyncio.wait_for(ended.wait(), _ENGINE_POLL_SECONDS)
        except asyncio.TimeoutError:
            continue
    await server.stop(grace=None)
    if client is not None:
        await client.close()


if __name__ == "__main__":
    main()
