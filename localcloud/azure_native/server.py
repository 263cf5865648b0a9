"""The gRPC side of the stand-in: Pulumi's provider protocol for its resource types.

Implements checks, diffs, previews, and errors without tracebacks. If a create fails after its PUT was accepted, the
state keeps id and outputs (`ErrorResourceInitFailed`), so the next update continues. The id in the state has ARM's
casing after a create, the requested casing after a failed one, and the casing of the user after an import, like the
genuine plugin's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from localcloud.azure_native import property_values
from localcloud.azure_native.arm_client import DEFAULT_TIMEOUT_SECONDS, ArmClient
from localcloud.azure_native.errors import AzureError, UnfinishedError
from localcloud.azure_native.property_tables import UNKNOWN
from localcloud.azure_native.property_values import read, write
from localcloud.azure_native.resource_type import ResourceType
from localcloud.azure_native.resource_types import RESOURCE_TYPES, schema

GROUP_API_VERSION = "2020-10-01"
_CONFIG = "azure-native:config:"
_CREATE_FIRST = "__createBeforeDelete"
"""An input of randomly named resources: a replacement creates the new one, under another name, before it deletes."""
_SUPPORTED = ", ".join(RESOURCE_TYPES)

Context: TypeAlias = Any  # grpc.aio.ServicerContext; grpc carries no types
Diff = provider_pb2.PropertyDiff


class UnsupportedError(Exception):
    """A request that this plugin does not support; the message is shown to the user."""


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One configured provider; operations run concurrently."""

    def __init__(self, client: ArmClient | None, version: str) -> None:
        """`client` None: the environment names no embedded cloud, so every call that needs one fails."""
        self._opened, self._version = client, version
        self._subscription = self._location = ""
        self._locations: dict[str, asyncio.Task[str | None]] = {}

    async def Handshake(self, request: Any, context: Context) -> Any:
        return provider_pb2.ProviderHandshakeResponse()

    async def Attach(self, request: Any, context: Context) -> Empty:
        return Empty()

    async def GetPluginInfo(self, request: Any, context: Context) -> Any:
        return plugin_pb2.PluginInfo(version=self._version)

    async def GetSchema(self, request: Any, context: Context) -> Any:
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema(self._version)))

    async def GetMapping(self, request: Any, context: Context) -> Any:
        return provider_pb2.GetMappingResponse()

    async def GetMappings(self, request: Any, context: Context) -> Any:
        return provider_pb2.GetMappingsResponse()

    async def CheckConfig(self, request: Any, context: Context) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: Any, context: Context) -> Any:
        return provider_pb2.DiffResponse()

    async def Configure(self, request: Any, context: Context) -> Any:
        config = read(request.args) | {
            key.removeprefix(_CONFIG): value for key, value in request.variables.items() if key.startswith(_CONFIG)
        }
        self._subscription = str(config.get("subscriptionId", ""))
        self._location = str(config.get("location", ""))
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    async def Invoke(self, request: Any, context: Context) -> Any:
        await _abort(
            context, f"the stand-in azure-native plugin supports {_SUPPORTED} only, not the function {request.tok}"
        )

    async def Check(self, request: Any, context: Context) -> Any:
        try:
            kind = _type(request.urn)
            olds, news = read(request.olds), read(request.news)
            if kind.name_parameter not in news:
                news.update(_default_name(kind, olds, request))
            if "location" not in news and (location := await self._default_location(olds, news)):
                news["location"] = location
            news.setdefault("azureApiVersion", kind.api_version)
        except UnsupportedError as error:
            await _abort(context, str(error))
        failures = [provider_pb2.CheckFailure(reason=reason) for reason in kind.failures(news)]
        return provider_pb2.CheckResponse(inputs=write(news), failures=failures)

    async def Diff(self, request: Any, context: Context) -> Any:
        try:
            kind = _type(request.urn)
        except UnsupportedError as error:
            await _abort(context, str(error))
        state, olds, news = read(request.olds), read(request.old_inputs), read(request.news)
        olds.setdefault("azureApiVersion", state.get("azureApiVersion", kind.api_version))
        detailed: dict[str, Any] = {}
        for path, change in property_values.changes(olds, news, kind.identifiers):
            if not _insignificant(path, olds, news):
                replaces = path in kind.replaced_by and not (change == "ADD" and news[path] == state.get(path))
                detailed[path] = Diff(kind=getattr(Diff, f"{change}_REPLACE" if replaces else change), inputDiff=True)
        plain = (Diff.ADD, Diff.DELETE, Diff.UPDATE)
        replaced = [path for path, diff in detailed.items() if diff.kind not in plain]
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if detailed else provider_pb2.DiffResponse.DIFF_NONE,
            replaces=replaced,
            deleteBeforeReplace=bool(replaced) and not olds.get(_CREATE_FIRST, False),
            diffs=[re.split(r"[.\[]", path)[0] for path in detailed],
            detailedDiff=detailed,
            hasDetailedDiff=bool(detailed),
        )

    async def Create(self, request: Any, context: Context) -> Any:
        inputs = read(request.properties)
        try:
            kind = _type(request.urn)
            if request.preview:
                return provider_pb2.CreateResponse(properties=write(kind.preview(inputs)))
            client = self._client()
            path = self._path(kind, inputs)
            await _check_absent(client, path, kind.api_version)
            response = await self._put(context, kind, inputs, request.properties, request.timeout)
        except (AzureError, UnsupportedError) as error:
            await _abort(context, str(error))
        outputs = kind.outputs_of(response)
        return provider_pb2.CreateResponse(id=response.get("id", path), properties=write(outputs))

    async def Read(self, request: Any, context: Context) -> Any:
        try:
            kind = _type(request.urn)
            response = await self._client().get(request.id, kind.api_version)
            if response.status == 404:
                return provider_pb2.ReadResponse()
            if response.status != 200:
                raise response.error()
            outputs = kind.outputs_of(response.body)
            if request.HasField("inputs"):
                before = kind.inputs_of(read(request.properties))
                now = kind.inputs_of(outputs)
                inputs = property_values.apply_changes(read(request.inputs), before, now)
            else:
                inputs = kind.imported_inputs(request.id, response.body)
        except (AzureError, UnsupportedError, ValueError) as error:
            await _abort(context, str(error))
        return provider_pb2.ReadResponse(id=request.id, properties=write(outputs), inputs=write(inputs))

    async def Update(self, request: Any, context: Context) -> Any:
        inputs, state = read(request.news), read(request.olds)
        try:
            kind = _type(request.urn)
            if request.preview:
                outputs = kind.preview(inputs)
                outputs.update((key, state[key]) for key in ("name", "location") if key in state)
                return provider_pb2.UpdateResponse(properties=write(outputs))
            response = await self._put(context, kind, inputs, request.news, request.timeout)
        except (AzureError, UnsupportedError) as error:
            await _abort(context, str(error))
        return provider_pb2.UpdateResponse(properties=write(kind.outputs_of(response)))

    async def Delete(self, request: Any, context: Context) -> Empty:
        try:
            version = _type(request.urn).api_version
            await self._client().delete(request.id, version, request.timeout or DEFAULT_TIMEOUT_SECONDS)
        except (AzureError, UnsupportedError) as error:
            await _abort(context, str(error))
        return Empty()

    async def Cancel(self, request: Any, context: Context) -> Empty:
        if self._opened is not None:
            self._opened.cancel()
        return Empty()

    async def _put(
        self, context: Context, kind: ResourceType, inputs: Mapping[str, Any], given: Struct, seconds: float
    ) -> dict[str, Any]:
        client, path, version = self._client(), self._path(kind, inputs), kind.api_version
        try:
            made = await client.put(path, version, kind.request_body(inputs), seconds or DEFAULT_TIMEOUT_SECONDS)
            with suppress(AzureError):  # the genuine plugin reads once more, and keeps what it has if that fails
                if (after := await client.get(path, version)).status == 200:
                    return after.body
            return made
        except UnfinishedError as error:
            state, message = None, str(error)
            try:
                response = await client.get(path, version)
                if response.status != 200:
                    raise response.error()
                state = write(kind.outputs_of(response.body))
            except AzureError as read_error:
                message = f"resource created but read failed {read_error}: {message}"
            await _abort_unfinished(context, path, state, given, message)

    async def _default_location(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> str | None:
        """Return the location of the state, of the configuration, or of the resource group, in this order."""
        known = olds.get("location") or self._location
        group = news.get("resourceGroupName")
        if known or group is None:
            return known or None
        if group == UNKNOWN:
            return UNKNOWN
        if group not in self._locations:
            self._locations[group] = asyncio.ensure_future(self._group_location(str(group)))
        return await asyncio.shield(self._locations[group])

    async def _group_location(self, group: str) -> str | None:
        path = f"/subscriptions/{self._subscription}/resourceGroups/{group}"
        try:
            location = (await self._client().get(path, GROUP_API_VERSION)).body.get("location")
        except AzureError:
            return None
        return location if isinstance(location, str) else None

    def _client(self) -> ArmClient:
        if self._opened is None:
            raise UnsupportedError(
                "the stand-in azure-native plugin supports the embedded cloud only, and IMAGEFACTORY_RESOURCE_MANAGER, "
                "IDENTITY_ENDPOINT or IDENTITY_HEADER is not set; no resource can be created or read. Set the "
                "environment from 'python3 dev.py env', or install the genuine plugin for real Azure"
            )
        return self._opened

    def _path(self, kind: ResourceType, inputs: Mapping[str, Any]) -> str:
        if not self._subscription:
            raise UnsupportedError("the azure-native provider has no subscriptionId; set it in its arguments")
        return kind.resource_path(self._subscription, inputs)


def _type(urn: str) -> ResourceType:
    """Return the type of a URN, which is the last part of `Parent$Child`. Raises UnsupportedError."""
    token = urn.split("::")[2].rpartition("$")[2]
    if token not in RESOURCE_TYPES:
        raise UnsupportedError(
            f"Resource type {token} not found: the stand-in azure-native plugin supports {_SUPPORTED} only; "
            "install the genuine plugin for other types"
        )
    return RESOURCE_TYPES[token]


def _default_name(kind: ResourceType, olds: Mapping[str, Any], request: Any) -> dict[str, Any]:
    """Return the name of the old inputs, else the URN's, for some types with a suffix from the engine's seed."""
    parameter = kind.name_parameter
    if parameter in olds:
        return {key: olds[key] for key in (parameter, _CREATE_FIRST) if key in olds}
    name = request.urn.rpartition("::")[2]
    if not kind.has_random_name:
        return {parameter: name}
    return {parameter: f"{name}{hashlib.sha256(request.randomSeed).hexdigest()[:8]}", _CREATE_FIRST: True}


def _insignificant(path: str, olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    """Return whether only the casing of a resource group, or the casing or spaces of a location, changed."""
    old, new = (str(values.get(path, "")).lower() for values in (olds, news))
    if path == "location":
        return old.replace(" ", "") == new.replace(" ", "")
    return path == "resourceGroupName" and old == new


async def _check_absent(client: ArmClient, path: str, api_version: str) -> None:
    response = await client.get(path, api_version)
    if response.status == 200:
        raise AzureError(f"cannot create already existing resource '{path}'")
    if response.status != 404:
        raise AzureError(f"cannot check existence of resource '{path}': status code {response.status}, {response.text}")


async def _abort(context: Context, message: str) -> NoReturn:
    await context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError("unreachable: abort raises")


async def _abort_unfinished(
    context: Context, resource_id: str, state: Struct | None, inputs: Struct, message: str
) -> NoReturn:
    failed = provider_pb2.ErrorResourceInitFailed(id=resource_id, properties=state, reasons=[message], inputs=inputs)
    detail = AnyMessage()
    detail.Pack(failed)
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=message, details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    await _abort(context, message)
