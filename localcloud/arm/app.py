"""The resource manager's HTTP side: an aiohttp application for ARM and the identity endpoint.

Owns paths, what every call passes, and the answers but for virtual machines (`compute`). The rules of custom images are
in `custom_images`, the tokens in `identity`.
Paths under `/local/` (the control API, added by the daemon) pass without token, fault rule or journal.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from localcloud.arm.answers import (
    FAILS,
    accepted,
    compute_operation,
    injected_fault,
    json_body,
    lab_operation,
    monitored,
    operation_headers,
    origin,
    page,
)
from localcloud.arm.compute import ComputeRoutes, RouteHandler
from localcloud.arm.custom_images import CustomImages, parse_wanted
from localcloud.arm.errors import ArmError, check_version, resource_not_found
from localcloud.arm.identity import API_VERSION, MANAGEMENT_AUDIENCES, Identity
from localcloud.arm.operations import Operations, retry_headers
from localcloud.arm.store import ArmStore, CustomImage, Lab, Operation
from localcloud.arm.virtual_machines import VirtualMachines
from localcloud.blobs.access import BlobAccess
from localcloud.blobs.disk_access import DISK_ACCOUNT, DiskAccess
from localcloud.fault_rules import Action, Faults, Journal, Kind, Latencies

MAX_BODY_BYTES = 64 * 1024 * 1024
"""Seed documents come through the same application, and may carry companions."""
CONTROL_PREFIX = "/local/"
TOKEN_PATH = "/msi/token"  # noqa: S105 - the path where tokens are asked for, no token

_LAB_NAMESPACE = "Microsoft.DevTestLab"
_GROUP = r"/subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)"
_LABS = _GROUP + r"/providers/microsoft\.devtestlab/labs"
_ACCOUNT = _GROUP + r"/providers/microsoft\.storage/storageaccounts/(?P<account>[^/]+)"
_IN_SUBSCRIPTION = r"/subscriptions/(?P<subscription>[^/]+)/providers/microsoft\."
_OPERATION = "/locations/[^/]+/operations/(?P<operation>[^/]+)"
_NAMESPACE = re.compile(r".*/providers/([^/]+)/", re.IGNORECASE)
_COVERED = (
    "labs (list, get), custom images (list, get, put, delete), a lab's virtual machines (list, get, delete), compute "
    "virtual machines (get), disks (get, beginGetAccess, endGetAccess), operations, storage accounts (get, listKeys) "
    "and resource groups of labs (get)"
)


def build_app(
    store: ArmStore,
    blobs: BlobAccess,
    faults: Faults,
    latencies: Callable[[], Latencies],
    journal: Journal,
    identity: Identity,
    blob_endpoint: Callable[[str], str],
) -> web.Application:
    """The resource manager over `store`.

    `latencies` is asked whenever something begins that takes time; `blob_endpoint` tells an account's blob endpoint
    (`http://127.0.0.1:10000/account`). The application saves the store when it ends.
    """
    operations, access = Operations(store), DiskAccess(store.grants, identity.key)
    images = CustomImages(store, operations, blobs, latencies, blob_endpoint)
    machines = VirtualMachines(store, operations, blobs, access, latencies)
    service = _ResourceManager(store, blobs, images, machines, access, identity, blob_endpoint)
    app = web.Application(middlewares=[_answering(faults, journal)], client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", TOKEN_PATH, service.give_token)
    app.router.add_route("*", "/{path:subscriptions/.*|providers/.*}", service.dispatch)

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        images.resume()
        machines.resume()
        yield
        await operations.close()
        store.save()

    app.cleanup_ctx.append(lifetime)
    return app


class _ResourceManager:
    """One method per call that ARM answers here; `parts` are the path's names, unquoted."""

    def __init__(
        self,
        store: ArmStore,
        blobs: BlobAccess,
        images: CustomImages,
        machines: VirtualMachines,
        access: DiskAccess,
        identity: Identity,
        blob_endpoint: Callable[[str], str],
    ) -> None:
        self._store, self._blobs, self._images, self._identity = store, blobs, images, identity
        self._access, self._blob_endpoint = access, blob_endpoint
        compute = ComputeRoutes(store, machines, access, self._lab)
        image = _LABS + r"/(?P<lab>[^/]+)/customimages/(?P<image>[^/]+)"
        routes: list[tuple[str, str, RouteHandler]] = [
            *compute.routes(_GROUP, _LABS + r"/(?P<lab>[^/]+)"),
            ("GET", image, self.get_image),
            ("PUT", image, self.put_image),
            ("DELETE", image, self.delete_image),
            ("GET", _LABS + r"/(?P<lab>[^/]+)/customimages", self.list_images),
            ("GET", _IN_SUBSCRIPTION + "devtestlab" + _OPERATION, self.get_operation),
            ("GET", _IN_SUBSCRIPTION + "compute" + _OPERATION, self.get_compute_operation),
            ("GET", _IN_SUBSCRIPTION + "devtestlab/labs", self.list_labs),
            ("GET", _LABS + r"/(?P<lab>[^/]+)", self.get_lab),
            ("POST", _ACCOUNT + "/listkeys", self.list_keys),
            ("GET", _ACCOUNT, self.get_account),
            ("GET", _GROUP, self.get_group),
        ]
        self._routes = [(method, re.compile(path, re.IGNORECASE), handler) for method, path, handler in routes]

    async def give_token(self, request: web.Request) -> web.Response:
        """The App Service managed-identity protocol."""
        if not self._identity.knows(request.headers.get("X-IDENTITY-HEADER")):
            raise ArmError(401, "Unauthorized", "The X-IDENTITY-HEADER is missing or wrong.")
        resource = request.query.get("resource")
        if request.method != "GET" or request.query.get("api-version") != API_VERSION or not resource:
            raise ArmError(400, "BadRequest", f"Ask with GET, api-version {API_VERSION} and a resource.")
        token, expires = self._identity.token(resource)
        answer = {"access_token": token, "expires_on": str(expires), "resource": resource, "token_type": "Bearer"}
        return web.json_response(answer)

    async def dispatch(self, request: web.Request) -> web.Response:
        """Check token, version and subscription, and hand over to the call's method."""
        self._identity.check(request.headers.get("Authorization"), (*MANAGEMENT_AUDIENCES, origin(request)))
        path = request.rel_url.raw_path.rstrip("/")
        namespace = _NAMESPACE.match(path + "/")
        check_version(namespace[1].lower() if namespace else "", request.query.get("api-version"))
        for method, pattern, handler in self._routes:
            if method == request.method and (match := pattern.fullmatch(path)):
                parts = {name: unquote(value) for name, value in match.groupdict().items()}
                known = self._store.find_subscription(parts["subscription"])
                if known is None:
                    raise ArmError(
                        404, "SubscriptionNotFound", f"The subscription '{parts['subscription']}' could not be found."
                    )
                return await handler(request, parts | {"subscription": known})
        raise ArmError(
            404,
            "InvalidResourceType",
            f"The embedded cloud does not answer {request.method} {path}. It answers for {_COVERED}.",
        )

    async def list_labs(self, request: web.Request, parts: dict[str, str]) -> web.Response:
        """Labs of a subscription, in pages."""
        labs = (lab for lab in self._store.labs.values() if lab.subscription_id == parts["subscription"])
        return page(request, {lab.id.lower(): _lab(lab) for lab in labs})

    async def get_lab(self, _: web.Request, parts: dict[str, str]) -> web.Response:
        """One lab."""
        return web.json_response(_lab(self._lab(parts)))

    async def list_images(self, request: web.Request, parts: dict[str, str]) -> web.Response:
        """Custom images of a lab, in pages."""
        lab = self._lab(parts)
        return page(request, {key: _image(lab, image, image.state) for key, image in lab.images.items()})

    async def get_image(self, _: web.Request, parts: dict[str, str]) -> web.Response:
        """One custom image."""
        lab = self._lab(parts)
        image = lab.images.get(parts["image"].lower())
        if image is None:
            raise resource_not_found(
                "Microsoft.DevTestLab/labs/customImages", f"{lab.name}/{parts['image']}", lab.resource_group
            )
        return web.json_response(_image(lab, image, image.state))

    async def put_image(self, request: web.Request, parts: dict[str, str]) -> web.Response:
        """Create or update a custom image; a creation is a long-running operation."""
        lab = self._lab(parts)
        wanted = parse_wanted(parts["image"], await json_body(request))
        began = await self._images.put(lab, parts["image"], wanted, injected_fault(request))
        answer = _image(lab, began.image, began.state)
        if began.operation is None:
            return web.json_response(answer)
        operation = self._store.operations[began.operation]
        headers = operation_headers(request, _LAB_NAMESPACE, lab, began.operation, operation)
        return web.json_response(answer, status=201, headers=headers)

    async def delete_image(self, request: web.Request, parts: dict[str, str]) -> web.Response:
        """Delete a custom image, a long-running operation; 204 where there is none."""
        lab = self._lab(parts)
        began = await self._images.delete(lab, parts["image"])
        if began is None or began.operation is None:
            return web.Response(status=204)
        return accepted(request, _LAB_NAMESPACE, lab, began.operation, self._store.operations[began.operation])

    async def get_operation(self, request: web.Request, parts: dict[str, str]) -> web.Response:
        """How a long-running operation of DevTest Labs stands."""
        operation = self._operation(parts)
        if "monitor" in request.query:
            return monitored(operation, None)
        return _stands(operation, lab_operation(operation))

    async def get_compute_operation(self, request: web.Request, parts: dict[str, str]) -> web.Response:
        """How a long-running operation of Compute stands, and what it has made."""
        operation, output = self._operation(parts), None
        if (grant := operation.grant) is not None:
            endpoint = self._blob_endpoint(DISK_ACCOUNT)
            output = {"accessSAS": self._access.url(endpoint, grant.container, grant.id)}
        if "monitor" in request.query:
            return monitored(operation, output)
        return _stands(operation, compute_operation(parts["operation"], operation, output))

    async def get_account(self, _: web.Request, parts: dict[str, str]) -> web.Response:
        """One storage account."""
        lab = self._account(parts)
        name = lab.storage_account
        answer = {
            "id": lab.storage_id,
            "name": name,
            "type": "Microsoft.Storage/storageAccounts",
            "kind": "StorageV2",
            "location": lab.region,
            "properties": {
                "primaryEndpoints": {"blob": f"{self._blob_endpoint(str(name))}/"},
                "primaryLocation": lab.region,
                "provisioningState": "Succeeded",
                "statusOfPrimary": "available",
            },
        }
        return web.json_response(answer)

    async def list_keys(self, _: web.Request, parts: dict[str, str]) -> web.Response:
        """The keys of a storage account."""
        account = str(self._account(parts).storage_account)
        try:
            key = await self._blobs.keys(account)
        except LookupError:
            raise resource_not_found("Microsoft.Storage/storageAccounts", account, parts["group"]) from None
        names = ("key1", "key2")
        return web.json_response({"keys": [{"keyName": each, "value": key, "permissions": "FULL"} for each in names]})

    async def get_group(self, _: web.Request, parts: dict[str, str]) -> web.Response:
        """A resource group; it lies where its first lab lies."""
        wanted = parts["group"].lower()
        labs = (lab for lab in self._store.labs.values() if lab.subscription_id == parts["subscription"])
        lab = next((lab for lab in labs if lab.resource_group.lower() == wanted), None)
        if lab is None:
            raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{parts['group']}' could not be found.")
        answer = {
            "id": f"/subscriptions/{lab.subscription_id}/resourceGroups/{lab.resource_group}",
            "name": lab.resource_group,
            "type": "Microsoft.Resources/resourceGroups",
            "location": lab.region,
            "properties": {"provisioningState": "Succeeded"},
        }
        return web.json_response(answer)

    def _lab(self, parts: dict[str, str]) -> Lab:
        lab = self._store.find_lab(parts["subscription"], parts["group"], parts["lab"])
        if lab is None:
            raise resource_not_found("Microsoft.DevTestLab/labs", parts["lab"], parts["group"])
        return lab

    def _account(self, parts: dict[str, str]) -> Lab:
        lab = self._store.find_account(parts["subscription"], parts["group"], parts["account"])
        if lab is None:
            raise resource_not_found("Microsoft.Storage/storageAccounts", parts["account"], parts["group"])
        return lab

    def _operation(self, parts: dict[str, str]) -> Operation:
        operation = self._store.operations.get(parts["operation"])
        if operation is None:
            raise ArmError(404, "OperationNotFound", f"The operation '{parts['operation']}' was not found.")
        return operation


def _answering(faults: Faults, journal: Journal) -> Middleware:
    """Fault rules strike first; every answer gets request ids and a line in the journal, every error ARM's body."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(CONTROL_PREFIX):
            return await handler(request)
        target = request.rel_url.raw_path_qs
        try:
            action = faults.match("arm", request.method, target, "request")
            await _strike(request, action)
            if request.method in ("PUT", "POST", "DELETE"):
                kind: Kind = "image" if request.method == "PUT" else "operation"
                shaped = faults.match("arm", request.method, target, kind)
                failure = shaped and (shaped.image_fails or shaped.operation_fails)
                if failure:
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
        response.headers["x-ms-request-id"] = response.headers["x-ms-correlation-request-id"] = str(uuid.uuid4())
        return response

    return answer


class _CutOff(Exception):
    """A fault rule cuts the connection."""


async def _strike(request: web.Request, action: Action | None) -> None:
    if action is None:
        return
    if action.delay_seconds:
        await asyncio.sleep(action.delay_seconds)
    if action.drop is True:
        raise _CutOff
    if action.status is not None:
        headers = {} if action.retry_after is None else {"Retry-After": str(action.retry_after)}
        raise ArmError(action.status, action.code, action.message, headers)


def _stands(operation: Operation, document: dict[str, Any]) -> web.Response:
    return web.json_response(document, headers={} if operation.ended else retry_headers(operation))


def _lab(lab: Lab) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "labStorageType": "Standard",
        "createdDate": lab.created,
        "provisioningState": "Succeeded",
        "uniqueIdentifier": lab.unique_identifier,
    }
    if lab.storage_id is not None:
        properties |= {"defaultStorageAccount": lab.storage_id, "artifactsStorageAccount": lab.storage_id}
    return {
        "properties": properties,
        "id": lab.id,
        "name": lab.name,
        "type": "Microsoft.DevTestLab/labs",
        "location": lab.region,
    }


def _image(lab: Lab, image: CustomImage, state: str) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "properties": {**image.properties, "provisioningState": state},
        "id": lab.image_id(image),
        "name": image.name,
        "type": "Microsoft.DevTestLab/labs/customImages",
    }
    if image.location is not None:
        answer["location"] = image.location
    if image.tags is not None:
        answer["tags"] = image.tags
    return answer
