"""The gRPC side of the provider: the engine's calls become acts of a `Resource`, failures become what the engine shows.

Owns marshalling, the mapping from exception to answer (one line, never a traceback), what a partial failure keeps in
the state, and Cancel. It knows nothing of any resource but its name.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, NoReturn, Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf import any_pb2, empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from imagefactory import __version__
from imagefactory.azure.core.clouds import Cloud
from imagefactory.configuration.stack_settings import CopyOptions
from imagefactory.copying.totals import Totals
from imagefactory.errors import ImageFactoryError
from imagefactory.plain_text import printable, redacted
from providers.vhdcopy.configuration import configuration
from providers.vhdcopy.plan_failures import PlanFailures
from providers.vhdcopy.progress import EngineLog, Row, is_live
from providers.vhdcopy.release import StagedVhdRelease
from providers.vhdcopy.resource import Kept, Properties, Resource, changed, check
from providers.vhdcopy.services import Connections
from providers.vhdcopy.vhd_copy import VhdCopy

RESOURCES: dict[str, Resource] = {
    "vhdcopy:index:VhdCopy": VhdCopy(),
    "vhdcopy:index:StagedVhdRelease": StagedVhdRelease(),
    "vhdcopy:index:PlanFailures": PlanFailures(),
}

Result = TypeVar("Result")

CLEAN_UP_SECONDS = 4.0
"""How long the end may take to leave things clean; after a second Ctrl-C the engine kills at about 5."""

PARENT_LOOK_SECONDS = 1.0
"""How often the process looks whether the one that started it is still there."""


class Context(Protocol):
    """The part of `grpc.aio.ServicerContext` that is used here; grpc carries no types."""

    def set_trailing_metadata(self, metadata: tuple[tuple[str, bytes], ...]) -> None: ...

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn: ...


class VhdCopyProvider(provider_pb2_grpc.ResourceProviderServicer):
    """The provider process's one servicer."""

    def __init__(self, log: EngineLog) -> None:
        self._log = log
        self._live = is_live()
        self._totals = Totals()
        self._configured: tuple[Cloud, CopyOptions] | None = None
        self._connections: Connections | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def Handshake(self, request: Any, context: Context) -> Any:
        """What this provider understands: neither secrets nor resource references, for none of its inputs is one."""
        return provider_pb2.ProviderHandshakeResponse()

    async def GetPluginInfo(self, request: Any, context: Context) -> Any:
        """The version."""
        return plugin_pb2.PluginInfo(version=__version__)

    async def GetSchema(self, request: Any, context: Context) -> Any:
        """An empty schema: the resource classes are written by hand in `components`."""
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": "vhdcopy", "version": __version__}))

    async def CheckConfig(self, request: Any, context: Context) -> Any:
        """The configuration as it is."""
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: Any, context: Context) -> Any:
        """Other endpoints never replace the provider, or every staged VHD would be replaced with it."""
        same = dict(request.olds) == dict(request.news)
        kind = provider_pb2.DiffResponse.DIFF_NONE if same else provider_pb2.DiffResponse.DIFF_SOME
        return provider_pb2.DiffResponse(changes=kind)

    async def Configure(self, request: Any, context: Context) -> Any:
        """Take the endpoints, once; nothing is opened yet. Others would have the credential sent there."""
        try:
            asked = configuration(dict(request.args))
        except ValueError as reason:
            told = f"vhdcopy: {reason}; it is not configured, and signs in nowhere. Correct the stack's settings"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, told)
        if self._configured not in {None, asked}:
            told = "vhdcopy: it is configured already, for another cloud or other options; those stay. Run again"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, told)
        if self._connections is None:
            self._configured, self._connections = asked, Connections(*asked, self._totals)
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    async def Check(self, request: Any, context: Context) -> Any:
        """Inputs as they are stored, or what is wrong with them."""
        inputs, diagnostics = check(await _resource(request.urn, context), _properties(request.news))
        failures = [
            provider_pb2.CheckFailure(property=name, reason=printable(reason)) for name, reason in diagnostics.items()
        ]
        return provider_pb2.CheckResponse(inputs=_struct(inputs), failures=failures)

    async def Diff(self, request: Any, context: Context) -> Any:
        """Which inputs differ, and whether that makes a new resource."""
        resource = await _resource(request.urn, context)
        names = changed(resource, _properties(request.old_inputs or request.olds), _properties(request.news))
        difference = provider_pb2.PropertyDiff
        kind = difference.UPDATE_REPLACE if resource.replaces else difference.UPDATE
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if names else provider_pb2.DiffResponse.DIFF_NONE,
            replaces=names if resource.replaces else [],
            diffs=names,
            detailedDiff={name: difference(kind=kind, inputDiff=True) for name in names},
            hasDetailedDiff=True,
        )

    async def Create(self, request: Any, context: Context) -> Any:
        """Create, or tell at preview what would come of it."""
        id, outputs = await self._make(request, _properties(request.properties), context)
        return provider_pb2.CreateResponse(id=id, properties=_struct(outputs))

    async def Update(self, request: Any, context: Context) -> Any:
        """Go on with a resource whose create failed, or act on changed inputs."""
        _, outputs = await self._make(request, _properties(request.news), context)
        return provider_pb2.UpdateResponse(properties=_struct(outputs))

    async def Read(self, request: Any, context: Context) -> Any:
        """The state as it is, or nothing where the resource is gone. What cannot be read is not gone."""
        inputs = _properties(request.inputs)
        resource = await _resource(request.urn, context)
        try:
            there = bool(inputs) and await resource.read(await self._open().services(), inputs)
        except Kept as kept:
            await _abort_keeping(kept, context)
        except ImageFactoryError as error:
            await self._log.warn(request.urn, f"{error} (its state is kept as it was)")
            there = True
        if not there:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    async def Delete(self, request: Any, context: Context) -> Any:
        """Delete; a resource that is gone already is a success."""
        resource = await _resource(request.urn, context)

        async def delete() -> None:
            await resource.delete(await self._open().services(), _properties(request.old_inputs))

        await self._answer(delete(), context)
        return empty_pb2.Empty()

    async def Cancel(self, request: Any, context: Context) -> Any:
        """Stop what runs. It also comes at the end of every run, when nothing does; then the run is summed up."""
        self.stop_running()
        if self._totals.copies:
            await self._log.tell(self._totals.text())
        return empty_pb2.Empty()

    def stop_running(self) -> None:
        """Cancel every operation; each answers."""
        for task in self._running:
            task.cancel()

    async def close(self) -> None:
        """Deliver the last messages and close the connections."""
        await self._log.close()
        if self._connections:
            await self._connections.close()

    def _open(self) -> Connections:
        if self._connections is None:
            raise ImageFactoryError("vhdcopy: the provider was not configured; nothing is copied. Run again")
        return self._connections

    async def _make(self, request: Any, inputs: Properties, context: Context) -> tuple[str, Properties]:
        resource = await _resource(request.urn, context)
        if request.preview:
            try:
                return "", resource.planned(inputs)
            except ImageFactoryError as error:
                await context.abort(grpc.StatusCode.UNKNOWN, _told(error))
        row = Row(self._log, request.urn, live=self._live)

        async def create() -> tuple[str, Properties]:
            return await resource.create(await self._open().services(), inputs, row)

        return await self._answer(create(), context)

    async def _answer(self, operation: Coroutine[Any, Any, Result], context: Context) -> Result:
        """What the operation returns; `Cancel` reaches it, and what it raises becomes the answer."""
        task = asyncio.ensure_future(operation)
        self._running.add(task)
        try:
            return await task
        except Kept as kept:
            await _abort_keeping(kept, context)
        except asyncio.CancelledError:
            await context.abort(grpc.StatusCode.CANCELLED, "stopped by the user; nothing is half done")
        except Exception as error:
            await context.abort(grpc.StatusCode.UNKNOWN, _told(error))
        finally:
            self._running.discard(task)


async def _resource(urn: str, context: Context) -> Resource:
    """The resource of a URN, whose type is `Parent$Child` under a component."""
    kind = urn.split("::")[2].rpartition("$")[2]
    resource = RESOURCES.get(kind)
    if resource is None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{kind}: vhdcopy has no such resource")
    return resource


def _told(error: BaseException | None) -> str:
    """An error as the user reads it; one that nobody foresaw is named by its kind, for a report."""
    if isinstance(error, ImageFactoryError):
        return str(error)
    what = printable(redacted(f"{type(error).__name__} ({error})"))
    return f"vhdcopy: an unforeseen {what}; the VHD is not staged. Run again, and report it"


async def _abort_keeping(kept: Kept, context: Context) -> NoReturn:
    """Fail with the status by which the engine keeps a half-made resource (`rpcerror` in pulumi's SDK reads it)."""
    reason = _told(kept.__cause__)
    detail = any_pb2.Any()
    detail.Pack(provider_pb2.ErrorResourceInitFailed(id=kept.id, properties=_struct(kept.outputs), reasons=[reason]))
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason, details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", bytes(status.SerializeToString())),))
    await context.abort(grpc.StatusCode.UNKNOWN, reason)


def _properties(struct: struct_pb2.Struct) -> Properties:
    return {name: value for name, value in struct.items() if isinstance(value, (str, float)) and name[:2] != "__"}


def _struct(properties: Mapping[str, str | float]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(properties)
    return struct


async def _end_with_parent(parent: int, ended: asyncio.Event) -> None:
    """Whoever started this process may be killed without a word; then nobody is left to end it."""
    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(PARENT_LOOK_SECONDS)
    ended.set()


async def serve(engine_address: str) -> None:
    """Serve until the engine ends this process; prints the port on the first line of stdout, as the engine expects."""
    parent = os.getppid()  # before the port is printed: who has read it may end at once
    servicer = VhdCopyProvider(EngineLog(engine_address))
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    # A terminal sends Ctrl-C to the whole process group; the engine's Cancel says what to do about it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(NotImplementedError):  # Windows knows no such handlers
        loop.add_signal_handler(signal.SIGTERM, ended.set)
    watching = asyncio.ensure_future(_end_with_parent(parent, ended))
    await ended.wait()
    watching.cancel()
    servicer.stop_running()
    await server.stop(grace=CLEAN_UP_SECONDS)
    await servicer.close()


def main(arguments: list[str]) -> None:
    """Run the plugin; the engine's address is the one argument that is not an option."""
    addresses = [argument for argument in arguments if not argument.startswith("-")]
    if len(addresses) != 1:
        sys.exit("vhdcopy: it is a plugin that the Pulumi engine starts, with the engine's address as its argument")
    asyncio.run(serve(addresses[0]))
