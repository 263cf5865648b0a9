"""The resource manager as an aiohttp application: tokens, the checks of all calls, fault rules and the journal.

The calls themselves are in `routes`. Paths under `/local/` (the control API, added by the daemon) need no token; fault
rules and the journal skip them.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from email.utils import formatdate
from urllib.parse import unquote

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from localcloud.account_facts import ORDINARY, FactsOf
from localcloud.arm.custom_images import CustomImages
from localcloud.arm.errors import ArmError, check_version
from localcloud.arm.federation import Federation
from localcloud.arm.gallery_rules import Galleries
from localcloud.arm.gallery_versions import GalleryVersions
from localcloud.arm.identity import API_VERSION, MANAGEMENT_AUDIENCES, Identity
from localcloud.arm.operations import Operations
from localcloud.arm.routes.authorization import AuthorizationRoutes
from localcloud.arm.routes.compute import ComputeRoutes
from localcloud.arm.routes.galleries import GalleryRoutes
from localcloud.arm.routes.labs import LabRoutes
from localcloud.arm.routes.operations import OperationRoutes
from localcloud.arm.routes.responses import FAILS, json_body, origin
from localcloud.arm.routes.routing import Route, supported_calls
from localcloud.arm.routes.shared_galleries import SharedGalleryRoutes
from localcloud.arm.routes.storage import StorageRoutes
from localcloud.arm.shared_galleries import SharedGalleries
from localcloud.arm.store import ArmStore
from localcloud.arm.throttling import Throttle
from localcloud.arm.virtual_machines import VirtualMachines
from localcloud.blobs.access import BlobAccess
from localcloud.blobs.disk_access import DiskAccess
from localcloud.fault_rules import Action, Faults, Journal, Kind, Latencies
from localcloud.rights import Assignments, arm_needs

MAX_BODY_BYTES = 64 * 1024 * 1024
"""Seed documents pass through the same application and can contain companions."""
CONTROL_PREFIX = "/local/"
TOKEN_PATH = "/msi/token"  # noqa: S105 - the path that returns tokens, not a token
_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)", re.IGNORECASE)
_ALWAYS = {"Cache-Control": "no-cache", "Expires": "-1", "Pragma": "no-cache", "X-Content-Type-Options": "nosniff"}
"""Headers of every answer (recorded)."""
_REMAINING = web.RequestKey("remaining", dict[str, str])
"""The headers that say how many calls are left."""
_NAMESPACE = re.compile(r".*/providers/([^/]+)/", re.IGNORECASE)


def build_app(
    store: ArmStore,
    blobs: BlobAccess,
    faults: Faults,
    latencies: Callable[[], Latencies],
    journal: Journal,
    identity: Identity,
    blob_endpoint: Callable[[str], str],
    account_facts: FactsOf = lambda _: ORDINARY,
    *,
    throttle: Throttle | None = None,
    assignments: Callable[[], Assignments] = Assignments,
) -> web.Application:
    """Return the resource manager over `store`; it saves the store when it stops.

    `latencies` is called at the start of each operation; `blob_endpoint` returns the blob endpoint of an account
    (`http://127.0.0.1:10000/account`).
    """
    operations, access = Operations(store), DiskAccess(store.grants, identity.key)
    images = CustomImages(store, operations, blobs, latencies, blob_endpoint)
    machines = VirtualMachines(store, operations, blobs, access, latencies)
    versions = GalleryVersions(store, operations, blobs, latencies, blob_endpoint)
    routes = (
        *LabRoutes(store, images).routes(),
        *ComputeRoutes(store, machines, access).routes(),
        *GalleryRoutes(store, Galleries(store, operations), versions, faults).routes(),
        *SharedGalleryRoutes(store, SharedGalleries(store, latencies)).routes(),
        *OperationRoutes(store, access, blob_endpoint).routes(),
        *StorageRoutes(store, blobs, blob_endpoint, account_facts, assignments).routes(),
        *AuthorizationRoutes(store, assignments).routes(),
    )
    manager = _ResourceManager(store, identity, routes, throttle or Throttle(), assignments)
    app = web.Application(middlewares=[_responding(faults, journal, identity)], client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", TOKEN_PATH, manager.get_token)
    Federation(identity).add_routes(app)
    app.router.add_route("*", "/{path:(?i:subscriptions|providers)/.*}", manager.dispatch)

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        images.resume()
        machines.resume()
        versions.resume()
        yield
        await operations.close()
        store.save()

    app.cleanup_ctx.append(lifetime)
    return app


class _ResourceManager:
    """The two entry points: tokens, and the calls of ARM."""

    def __init__(
        self,
        store: ArmStore,
        identity: Identity,
        routes: Sequence[Route],
        throttle: Throttle,
        assignments: Callable[[], Assignments],
    ) -> None:
        self._store, self._identity, self._routes, self._throttle = store, identity, routes, throttle
        self._assignments = assignments

    async def get_token(self, request: web.Request) -> web.Response:
        """The App Service managed-identity protocol."""
        if not self._identity.knows(request.headers.get("X-IDENTITY-HEADER")):
            raise ArmError(401, "Unauthorized", "The X-IDENTITY-HEADER is missing or wrong.")
        resource = request.query.get("resource")
        if request.method != "GET" or request.query.get("api-version") != API_VERSION or not resource:
            raise ArmError(400, "BadRequest", f"Ask with GET, api-version {API_VERSION} and a resource.")
        token, expires = self._identity.token(resource)
        body = {"access_token": token, "expires_on": str(expires), "resource": resource, "token_type": "Bearer"}
        return web.json_response(body)

    async def dispatch(self, request: web.Request) -> web.Response:
        """Check token, rate, version, subscription and roles, then run the handler of the matching route."""
        self._identity.check(request.headers.get("Authorization"), (*MANAGEMENT_AUDIENCES, origin(request)))
        path = request.rel_url.raw_path.rstrip("/")
        if subscription := _SUBSCRIPTION.match(path):
            request[_REMAINING] = self._throttle.admit(subscription[1], request.method)
        namespace = _NAMESPACE.match(path + "/")
        check_version(namespace[1].lower() if namespace else "", request.query.get("api-version"))
        for route in self._routes:
            if (parts := route.match(request.method, path)) is not None:
                named = parts["subscription"]
                declared = self._store.find_subscription(named)
                if declared is None:
                    raise ArmError(404, "SubscriptionNotFound", f"The subscription '{named}' could not be found.")
                if (given := self._assignments()).enforced and not route.filtered:
                    body = await json_body(request) if request.method == "PUT" else None
                    given.check(arm_needs(request.method, unquote(path), request.query, body))
                return await route.handler(request, parts | {"subscription": declared})
        raise ArmError(
            404,
            "InvalidResourceType",
            f"The embedded cloud does not answer {request.method} {path}. "
            f"It answers for {supported_calls(self._routes)}.",
        )


def _responding(faults: Faults, journal: Journal, identity: Identity) -> Middleware:
    """Apply fault rules first; add request ids and a journal entry to each response, ARM's error body to each error."""

    @web.middleware
    async def respond(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(CONTROL_PREFIX):
            return await handler(request)
        target = request.rel_url.raw_path_qs
        try:
            action = faults.match("arm", request.method, target, "request")
            await _apply(action)
            if request.method in ("PUT", "PATCH", "POST", "DELETE"):
                kind: Kind = "image" if request.method in ("PUT", "PATCH") else "operation"
                shaping = faults.match("arm", request.method, target, kind)
                if shaping and (failure := shaping.image_fails or shaping.operation_fails):
                    request[FAILS] = failure
            response = await handler(request)
            if action is not None and action.drop:
                raise _CutOff
        except ArmError as error:
            response = web.json_response(error.body(), status=error.status, headers=error.headers)
        except web.HTTPException as error:
            response = web.json_response(ArmError(error.status, error.reason, error.reason).body(), status=error.status)
        except _CutOff:
            journal.record("arm", request.method, target, 0)
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        journal.record("arm", request.method, target, response.status)
        response.headers.update(_ALWAYS | request.get(_REMAINING, {}))
        response.headers["Date"] = formatdate(time.time() + identity.ahead, usegmt=True)
        response.headers["x-ms-request-id"] = response.headers["x-ms-correlation-request-id"] = str(uuid.uuid4())
        return response

    return respond


class _CutOff(Exception):
    """A fault rule cuts the connection."""


async def _apply(action: Action | None) -> None:
    if action is None:
        return
    if action.delay_seconds:
        await asyncio.sleep(action.delay_seconds)
    if action.drop is True:
        raise _CutOff
    if action.status is not None:
        headers = {} if action.retry_after is None else {"Retry-After": str(action.retry_after)}
        raise ArmError(action.status, action.code, action.message, headers)
