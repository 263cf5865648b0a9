"""The gRPC side of the provider: maps the engine's calls to operations of a `Resource`, and exceptions to responses.

Converts messages, returns an error as one line (never a traceback), keeps a partial failure in the state, and handles
Cancel. Does not know any resource but by its type.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, NoReturn, Protocol, cast

import grpc
import grpc.aio
from google.protobuf import any_pb2, empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc, status_pb2
from pulumi.runtime.proto import provider_pb2 as pb

from imagefactory import __version__
from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError
from imagefactory.configuration.copy_settings import CopyOptions
from imagefactory.copying.totals import Totals
from imagefactory.errors import ImageFactoryError
from imagefactory.plain_text import printable, redacted
from providers.vhdcopy.configuration import configuration
from providers.vhdcopy.lab_gallery import LabGallery
from providers.vhdcopy.plan_failures import PlanFailures
from providers.vhdcopy.progress import EngineLog, Row, is_live
from providers.vhdcopy.release import StagedVhdRelease
from providers.vhdcopy.resource import Kept, Properties, Resource, State, changed, check, replacing
from providers.vhdcopy.services import Connections
from providers.vhdcopy.vhd_copy import VhdCopy

RESOURCES: dict[str, Resource[Any]] = {
    "vhdcopy:index:VhdCopy": VhdCopy(),
    "vhdcopy:index:StagedVhdRelease": StagedVhdRelease(),
    "vhdcopy:index:LabGallery": LabGallery(),
    "vhdcopy:index:PlanFailures": PlanFailures(),
}

CLEAN_UP_SECONDS = 4.0
"""Timeout of the clean-up at exit; after a second Ctrl-C the engine kills this process at about 5 seconds."""

PARENT_POLL_SECONDS = 1.0
"""Time between two checks whether the parent process is still running."""


class Context(Protocol):
    """The part of `grpc.aio.ServicerContext` that is used here; grpc has no types."""

    def set_trailing_metadata(self, metadata: tuple[tuple[str, bytes], ...]) -> None: ...

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn: ...


class VhdCopyProvider(provider_pb2_grpc.ResourceProviderServicer):
    """The only servicer of a provider process."""

    def __init__(self, log: EngineLog) -> None:
        self._log = log
        self._live = is_live()
        self._totals = Totals()
        self._configured: tuple[Cloud, CopyOptions] | None = None
        self._connections: Connections | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def Handshake(self, request: pb.ProviderHandshakeRequest, context: Context) -> pb.ProviderHandshakeResponse:
        """Announce support for neither secrets nor resource references, because no input is one."""
        return pb.ProviderHandshakeResponse()

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:
        """Return the version."""
        return plugin_pb2.PluginInfo(version=__version__)

    async def GetSchema(self, request: pb.GetSchemaRequest, context: Context) -> pb.GetSchemaResponse:
        """Return an empty schema: the resource classes are written manually in `components`."""
        return pb.GetSchemaResponse(schema=json.dumps({"name": "vhdcopy", "version": __version__}))

    async def CheckConfig(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        """Return the configuration unchanged."""
        return pb.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: pb.DiffRequest, context: Context) -> pb.DiffResponse:
        """Never replace the provider for other endpoints: that would replace every staged VHD too."""
        return pb.DiffResponse(changes=_changes(dict(request.olds) != dict(request.news)))

    async def Configure(self, request: pb.ConfigureRequest, context: Context) -> pb.ConfigureResponse:
        """Set the endpoints, once: later ones could receive the credential. Opens no connection.

        The engine calls it before anything else of an operation.
        """
        try:
            requested = configuration(dict(request.args))
        except ValueError as reason:
            message = f"vhdcopy: {reason}; it is not configured and does not sign in. Fix the stack's settings"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
        if self._configured not in {None, requested}:
            message = "vhdcopy: is already configured, for another cloud or other options, which are kept. Run again"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, message)
        if self._connections is None:
            self._configured, self._connections = requested, Connections(*requested, self._totals, self._log.warn_run)
        self._connections.forget()
        return pb.ConfigureResponse(supportsPreview=True)

    async def Check(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        """Return the inputs as they are stored, and their problems."""
        resource = await _resource(request.urn, context)
        inputs, problems = check(resource.inputs, _properties(request.news))
        failures = [pb.CheckFailure(property=name, reason=printable(reason)) for name, reason in problems.items()]
        return pb.CheckResponse(inputs=_struct(inputs), failures=failures)

    async def Diff(self, request: pb.DiffRequest, context: Context) -> pb.DiffResponse:
        """Return the inputs that differ, and whether that replaces the resource."""
        resource = await _resource(request.urn, context)
        old = _properties(request.old_inputs or request.olds)
        names = changed(resource.inputs, old, _properties(request.news))
        replaces = replacing(resource, names)
        difference = pb.PropertyDiff
        kinds = {name: difference.UPDATE_REPLACE if name in replaces else difference.UPDATE for name in names}
        return pb.DiffResponse(
            changes=_changes(bool(names)),
            replaces=replaces,
            deleteBeforeReplace=resource.deletes_first,
            diffs=names,
            detailedDiff={name: difference(kind=kind, inputDiff=True) for name, kind in kinds.items()},
            hasDetailedDiff=True,
        )

    async def Create(self, request: pb.CreateRequest, context: Context) -> pb.CreateResponse:
        """Create, or return what is known of the outputs at preview."""
        id, outputs = await self._create(request, request.properties, context)
        return pb.CreateResponse(id=id, properties=_struct(outputs))

    async def Update(self, request: pb.UpdateRequest, context: Context) -> pb.UpdateResponse:
        """Resume a resource whose create failed, or apply changed inputs."""
        _, outputs = await self._create(request, request.news, context)
        return pb.UpdateResponse(properties=_struct(outputs))

    async def Read(self, request: pb.ReadRequest, context: Context) -> pb.ReadResponse:
        """Return the state as it was found, or nothing if the resource no longer exists. If that is unknown, warn.

        Without inputs in the state, it is an import, which fails if the resource cannot be read.
        """
        resource, given = await _resource(request.urn, context), _properties(request.inputs)
        found: bool | State | None
        async with _answering(context):
            try:
                services = await self._open().services()
                if given:
                    found = await resource.read(services, resource.inputs.model_validate(given))
                else:
                    found = await resource.find(services, request.id)
            except ImageFactoryError as error:
                if not given:
                    raise
                await self._log.warn(request.urn, f"{error} (its state is kept)")
                found = True
        if not found:
            return pb.ReadResponse()
        if isinstance(found, State):
            return pb.ReadResponse(id=found.id, properties=_struct(found.outputs), inputs=_struct(found.inputs))
        return pb.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    async def Delete(self, request: pb.DeleteRequest, context: Context) -> empty_pb2.Empty:
        """Delete; if the resource no longer exists, succeed."""
        resource = await _resource(request.urn, context)
        async with _answering(context):
            with self._changing():
                inputs = resource.inputs.model_validate(_properties(request.old_inputs))
                await resource.delete(await self._open().services(), inputs)
        return empty_pb2.Empty()

    async def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:
        """Stop what runs. The engine calls this at the end of every run, too: then log totals and phases."""
        self.stop_running()
        if self._totals.copies:
            await self._log.note(self._totals.text())
        if self._connections and (phases := await self._connections.finish()):
            await self._log.note(phases)
        return empty_pb2.Empty()

    def stop_running(self) -> None:
        """Cancel every operation; each one sends its response."""
        for task in self._running:
            task.cancel()

    async def close(self) -> None:
        """Deliver the last messages and close the connections."""
        await self._log.close()
        if self._connections:
            await self._connections.close()

    def _open(self) -> Connections:
        if self._connections is None:
            raise ImageFactoryError("vhdcopy: is not configured; nothing is copied. Run again")
        return self._connections

    async def _create(
        self, request: pb.CreateRequest | pb.UpdateRequest, properties: struct_pb2.Struct, context: Context
    ) -> tuple[str, Properties]:
        resource = await _resource(request.urn, context)
        async with _answering(context):
            inputs = resource.inputs.model_validate(_properties(properties))
            if request.preview:
                return "", resource.planned(inputs)
            row = Row(self._log, request.urn, live=self._live)
            with self._changing():
                services = await self._open().services()
                with services.chains.part(resource.part, request.urn.rpartition("::")[2]):
                    return await resource.create(services, inputs, row)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Let `Cancel` reach the operation within; what was listed is not used after it."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._running.add(task)
        try:
            yield
        finally:
            self._running.discard(task)
            if self._connections:
                self._connections.forget()


@asynccontextmanager
async def _answering(context: Context) -> AsyncIterator[None]:
    """Send the exception of an operation as the response of its call."""
    try:
        yield
    except Kept as kept:
        await _abort_keeping(kept, context)
    except asyncio.CancelledError:
        await context.abort(grpc.StatusCode.CANCELLED, "canceled; no operation is left incomplete")
    except Exception as error:
        await context.abort(grpc.StatusCode.UNKNOWN, _message(error))


async def _resource(urn: str, context: Context) -> Resource[Any]:
    """Return the resource type of a URN, which is `Parent$Child` under a component."""
    kind = urn.split("::")[2].rpartition("$")[2]
    resource = RESOURCES.get(kind)
    if resource is None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{kind}: is not a resource type of vhdcopy")
    return resource


def _message(error: BaseException | None) -> str:
    """Return the message of an error for the user; for an unexpected one with its type, for a report."""
    if isinstance(error, ImageFactoryError):
        return f"{error} Run imagefactory doctor to see all that is missing." if _is_denied(error) else str(error)
    what = printable(redacted(f"{type(error).__name__} ({error})"))
    return f"vhdcopy: unexpected {what}; the operation stopped. Run again; if the error persists, report it"


def _is_denied(error: BaseException | None) -> bool:
    """Return whether Azure denied a request: a sign-in, role or network rule is missing."""
    while error and not (isinstance(error, CloudError) and error.status in {401, 403}):
        error = error.__cause__
    return error is not None


async def _abort_keeping(kept: Kept, context: Context) -> NoReturn:
    """Fail with the status that makes the engine keep a partly created resource (see `rpcerror` in pulumi's SDK)."""
    reason = _message(kept.__cause__)
    detail = any_pb2.Any()
    failed = pb.ErrorResourceInitFailed(id=kept.id, properties=_struct(kept.outputs), reasons=[reason])
    if kept.inputs is not None:
        failed.inputs.CopyFrom(_struct(kept.inputs))
    detail.Pack(failed)
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason, details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", bytes(status.SerializeToString())),))
    await context.abort(grpc.StatusCode.UNKNOWN, reason)


def _properties(struct: struct_pb2.Struct) -> Properties:
    values = json_format.MessageToDict(struct).items()
    return {name: value for name, value in values if isinstance(value, (str, float, list, dict)) and name[:2] != "__"}


def _changes(differs: bool) -> pb.DiffResponse.DiffChanges.ValueType:
    return pb.DiffResponse.DIFF_SOME if differs else pb.DiffResponse.DIFF_NONE


def _struct(properties: Properties) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(properties)
    return struct


async def _end_with_parent(parent: int, ended: asyncio.Event) -> None:
    """Set `ended` if the parent process was killed, because then no other process stops this one."""
    while os.getppid() == parent:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(PARENT_POLL_SECONDS)
    ended.set()


async def serve(engine_address: str) -> None:
    """Serve until the engine stops this process; print the port on the first line of stdout, as the engine expects."""
    parent = os.getppid()  # before the port is printed: its reader may exit immediately
    servicer = VhdCopyProvider(EngineLog(engine_address))
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    # A terminal sends Ctrl-C to the entire process group; the engine reacts to it, and calls Cancel.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(NotImplementedError):  # not supported on Windows
        loop.add_signal_handler(signal.SIGTERM, ended.set)
    watching = asyncio.ensure_future(_end_with_parent(parent, ended))
    await ended.wait()
    watching.cancel()
    servicer.stop_running()
    await server.stop(grace=CLEAN_UP_SECONDS)
    await servicer.close()


def main(arguments: list[str]) -> None:
    """Run the plugin; the only argument that is not an option is the engine's address."""
    addresses = [argument for argument in arguments if not argument.startswith("-")]
    if len(addresses) != 1:
        sys.exit("vhdcopy: is a plugin; the Pulumi engine starts it with the engine's address as the argument")
    gc.set_threshold(100_000, 50, 50)  # most of what a run makes is freed without the collector
    asyncio.run(serve(addresses[0]))
