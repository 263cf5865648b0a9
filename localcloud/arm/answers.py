"""What the answers of all resource providers have in common: pages, and the documents of long-running operations.

Owns their shapes; it decides nothing. Its callers know the resources.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from localcloud.arm.errors import ArmError, invalid
from localcloud.arm.operations import retry_headers
from localcloud.arm.store import Fault, Lab, Operation
from localcloud.fault_rules import OperationFailure

PAGE_SIZE = 50
FAILS = web.RequestKey("fails", OperationFailure)
"""How a fault rule has the operation end that this request begins."""


def origin(request: web.Request) -> str:
    """Scheme, host and port that the caller reached this service by."""
    return f"{request.scheme}://{request.host}"


def injected_fault(request: web.Request) -> Fault | None:
    """What the operation that this request begins shall end with, if a fault rule says so."""
    failure = request.get(FAILS)
    return {"code": failure.code, "message": failure.message} if failure else None


async def json_body(request: web.Request) -> Any:
    """The request's JSON. Raises ArmError."""
    try:
        return json.loads(await request.read())
    except ValueError:
        raise invalid("The request content is not JSON.") from None


def page(request: web.Request, items: Mapping[str, dict[str, Any]]) -> web.Response:
    """One page of a collection, sorted by its keys; `$top` limits all pages together, as OData says."""
    query = dict(request.query)
    top = query.get("$top")
    if top is not None and not (top.isascii() and top.isdigit() and int(top) > 0):
        raise ArmError(400, "InvalidQueryParameter", f"The value '{top}' of $top is not a positive number.")
    rest = sorted(key for key in items if key > query.get("$skiptoken", ""))[: int(top) if top else None]
    shown = rest[:PAGE_SIZE]
    answer: dict[str, Any] = {"value": [items[key] for key in shown]}
    if len(rest) > len(shown):
        query["$skiptoken"] = shown[-1]
        if top:
            query["$top"] = str(int(top) - len(shown))
        answer["nextLink"] = f"{origin(request)}{request.rel_url.raw_path}?{urlencode(query)}"
    return web.json_response(answer)


def operation_headers(
    request: web.Request, namespace: str, lab: Lab, name: str, operation: Operation
) -> dict[str, str]:
    """Where to ask how an operation stands, and when."""
    path = f"/subscriptions/{lab.subscription_id}/providers/{namespace}/locations/{lab.region}"
    url = f"{origin(request)}{path}/operations/{name}?api-version={request.query['api-version']}"
    return {"Azure-AsyncOperation": url, **retry_headers(operation)}


def accepted(request: web.Request, namespace: str, lab: Lab, name: str, operation: Operation) -> web.Response:
    """202 of a call whose operation has begun."""
    headers = operation_headers(request, namespace, lab, name, operation)
    monitor = headers["Azure-AsyncOperation"].replace("?", "?monitor=true&")
    return web.Response(status=202, headers={**headers, "Location": monitor})


def compute_operation(name: str, operation: Operation, output: Mapping[str, str] | None) -> dict[str, Any]:
    """The operation's document as Compute writes it; `output` is what it has made."""
    answer: dict[str, Any] = {"startTime": _time(operation.began), "status": "InProgress", "name": name}
    if operation.ended is None:
        return answer
    answer |= {"endTime": _time(operation.ended), "status": "Failed" if operation.fault else "Succeeded"}
    if operation.fault is not None:
        return answer | {"error": operation.fault}
    return answer | ({"properties": {"output": output}} if output is not None else {})


def lab_operation(operation: Operation) -> dict[str, Any]:
    """The operation's document as DevTest Labs writes it."""
    if operation.ended is None:
        return {"status": "Running"}
    return {"status": "Failed", "error": operation.fault} if operation.fault else {"status": "Succeeded"}


def monitored(operation: Operation, output: Mapping[str, str] | None) -> web.Response:
    """What `Location` answers: 202 until the operation has ended, then its result."""
    if operation.ended is None:
        return web.Response(status=202, headers=retry_headers(operation))
    if operation.fault is not None:
        raise ArmError(409, operation.fault["code"], operation.fault["message"])
    return web.Response() if output is None else web.json_response(output)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()
