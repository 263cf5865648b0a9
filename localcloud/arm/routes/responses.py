"""What the calls of all resource providers share: JSON bodies, pages and the headers of long-running operations."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Protocol
from urllib.parse import urlencode

from aiohttp import web

from localcloud.arm.errors import ArmError, invalid
from localcloud.arm.operations import retry_headers
from localcloud.arm.store import Fault, Operation
from localcloud.fault_rules import OperationFailure

PAGE_SIZE = 50
_FIRST_TICK = datetime(1, 1, 1, tzinfo=timezone.utc)
FAILS = web.RequestKey("fails", OperationFailure)
"""How the operation that this request starts must fail, by a fault rule."""


class Place(Protocol):
    """What a resource belongs to, as the URLs of its operations name it."""

    @property
    def subscription_id(self) -> str: ...
    @property
    def region(self) -> str: ...


def origin(request: web.Request) -> str:
    """Return scheme, host and port of the request's URL."""
    return f"{request.scheme}://{request.host}"


def injected_fault(request: web.Request) -> Fault | None:
    """Return the error that a fault rule sets for the operation that this request starts."""
    failure = request.get(FAILS)
    return {"code": failure.code, "message": failure.message} if failure else None


async def json_body(request: web.Request) -> Any:
    """Return the request's JSON. Raises ArmError."""
    try:
        return json.loads(await request.read())
    except ValueError:
        raise invalid("The request content is not JSON.") from None


def page(request: web.Request, items: Mapping[str, dict[str, Any]]) -> web.Response:
    """Return one page of a collection, sorted by key; `$top` limits all pages together, as in OData."""
    query = dict(request.query)
    top = query.get("$top")
    if top is not None and not (top.isascii() and top.isdigit() and int(top) > 0):
        raise ArmError(400, "InvalidQueryParameter", f"The value '{top}' of $top is not a positive number.")
    rest = sorted(key for key in items if key > query.get("$skiptoken", ""))[: int(top) if top else None]
    shown = rest[:PAGE_SIZE]
    body: dict[str, Any] = {"value": [items[key] for key in shown]}
    if len(rest) > len(shown):
        query["$skiptoken"] = shown[-1]
        if top:
            query["$top"] = str(int(top) - len(shown))
        body["nextLink"] = f"{origin(request)}{request.rel_url.raw_path}?{urlencode(query)}"
    return web.json_response(body)


def operation_headers(
    request: web.Request, namespace: str, place: Place, name: str, operation: Operation, kind: str = "operations"
) -> dict[str, str]:
    """Return the headers that say where and when to poll an operation."""
    path = f"/subscriptions/{place.subscription_id}/providers/{namespace}/locations/{place.region}"
    query = urlencode({"api-version": request.query["api-version"], **signature(name, operation)})
    url = f"{origin(request)}{path}/{kind}/{name}?{query}"
    return {"Azure-AsyncOperation": url, **retry_headers(operation)}


def signature(name: str, operation: Operation) -> dict[str, str]:
    """Return the rest of the query of an operation's URL, in the recorded form: time in ticks of .NET, certificate,
    signature, digest; some 3,100 characters. It proves nothing here, but has to be sent as it was given."""

    def letters(bytes_: int) -> str:
        return urlsafe_b64encode(hashlib.shake_256(name.encode()).digest(bytes_)).decode().rstrip("=")

    ticks = (datetime.fromtimestamp(operation.began, timezone.utc) - _FIRST_TICK).total_seconds() * 10**7
    return {"t": str(int(ticks)), "c": f"MII{letters(2025)}", "s": letters(256), "h": letters(32)}


def accepted(
    request: web.Request, namespace: str, place: Place, name: str, operation: Operation, kind: str = "operations"
) -> web.Response:
    """Return 202 for a call that started an operation; DevTest Labs gives no `Location` (recorded)."""
    headers = operation_headers(request, namespace, place, name, operation, kind)
    if namespace != "Microsoft.DevTestLab":
        headers["Location"] = headers["Azure-AsyncOperation"].replace("?", "?monitor=true&")
    return web.Response(status=202, headers=headers)
