"""The calls that poll long-running operations, in the forms of DevTest Labs and of Compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from aiohttp import web

from localcloud.arm.errors import ArmError
from localcloud.arm.operations import retry_headers
from localcloud.arm.routes.responses import signature
from localcloud.arm.routes.routing import IN_SUBSCRIPTION, Parts, Route
from localcloud.arm.store import ArmStore, Operation
from localcloud.blobs.disk_access import DISK_ACCOUNT, DiskAccess


class OperationRoutes:
    """One method per resource provider; `blob_endpoint` returns the blob endpoint of an account."""

    def __init__(self, store: ArmStore, access: DiskAccess, blob_endpoint: Callable[[str], str]) -> None:
        self._store, self._access, self._blob_endpoint = store, access, blob_endpoint

    def routes(self) -> list[Route]:
        """Return the supported calls."""
        operation = "/locations/[^/]+/(caps|disk)?operations/(?P<operation>[^/]+)"
        return [
            Route("operations", "", "GET", f"{IN_SUBSCRIPTION}devtestlab{operation}", self.get_lab_operation),
            Route("operations", "", "GET", f"{IN_SUBSCRIPTION}compute{operation}", self.get_compute_operation),
        ]

    async def get_lab_operation(self, request: web.Request, parts: Parts) -> web.Response:
        """The state of an operation of DevTest Labs."""
        operation = self._operation(request, parts)
        if operation.ended is None:
            status: dict[str, Any] = {"status": "Running"}
        elif operation.fault is None:
            status = {"status": "Succeeded"}
        else:
            status = {"status": "Failed", "error": operation.fault}
        return _response(request, operation, status, None)

    async def get_compute_operation(self, request: web.Request, parts: Parts) -> web.Response:
        """The state of an operation of Compute, with its result."""
        operation, output = self._operation(request, parts), None
        if (grant := operation.grant) is not None:
            endpoint = self._blob_endpoint(DISK_ACCOUNT)
            output = {"accessSAS": self._access.url(endpoint, grant.container, grant.id)}
        status: dict[str, Any] = {
            "startTime": _time(operation.began),
            "status": "InProgress",
            "name": parts["operation"],
        }
        if operation.ended is not None:
            status |= {"endTime": _time(operation.ended), "status": "Failed" if operation.fault else "Succeeded"}
            if operation.fault is not None:
                status["error"] = operation.fault
            elif output is not None:
                status["properties"] = {"output": output}
        return _response(request, operation, status, output)

    def _operation(self, request: web.Request, parts: Parts) -> Operation:
        operation = self._store.operations.get(parts["operation"])
        if operation is None:
            raise ArmError(404, "OperationNotFound", f"The operation '{parts['operation']}' was not found.")
        if not signature(parts["operation"], operation).items() <= dict(request.query).items():
            raise ArmError(403, "AuthorizationFailed", "The URL of the operation is not the one that was given.")
        return operation


def _response(
    request: web.Request, operation: Operation, status: Mapping[str, Any], output: Mapping[str, str] | None
) -> web.Response:
    """Return `status`, as at `Azure-AsyncOperation`; at `Location`, 202 until the operation finishes, then `output`."""
    if "monitor" not in request.query:
        return web.json_response(status, headers={} if operation.ended else retry_headers(operation))
    if operation.ended is None:
        return web.Response(status=202, headers=retry_headers(operation))
    if operation.fault is not None:
        raise ArmError(409, operation.fault["code"], operation.fault["message"])
    return web.Response() if output is None else web.json_response(output)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()
