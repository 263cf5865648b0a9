"""The resource manager's HTTP side: an aiohttp application for ARM and the identity endpoint.

Owns paths, paging, headers and answers. The rules of custom images are in `custom_images`, the tokens in `identity`.
Paths under `/local/` (the control API, added by the daemon) pass without token, fault rule or journal.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlencode

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from localcloud.arm.custom_images import CustomImages, parse_wanted, retry_headers
from localcloud.arm.errors import ArmError, check_version, invalid, resource_not_found
from localcloud.arm.identity import API_VERSION, MANAGEMENT_AUDIENCES, Identity
from localcloud.arm.store import ArmStore, CustomImage, Lab
from localcloud.blobs.access import BlobAccess
from localcloud.faults import Action, Faults, ImageFailure, Journal, Latencies

PAGE_SIZE = 50
MAX_BODY_BYTES = 64 * 1024 * 1024
"""Seed documents come through the same application, and may carry companions."""
CONTROL_PREFIX = "/local/"
TOKEN_PATH = "/msi/token"  # noqa: S105 - the path where tokens are asked for, no token

_GROUP = r"/subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)"
_LABS = _GROUP + r"/providers/microsoft\.devtestlab/labs"
_ACCOUNT = _GROUP + r"/providers/microsoft\.storage/storageaccounts/(?P<account>[^/]+)"
_IN_SUBSCRIPTION = r"/subscriptions/(?P<subscription>[^/]+)/providers/microsoft\.devtestlab"
_NAMESPACE = re.compile(r".*/providers/([^/]+)/", re.IGNORECASE)
_COVERED = (
    "labs (list, get), custom images (list, get, put, delete), their operations, storage accounts (get, listKeys) "
    "and resource groups (get)"
)

_IMAGE_FAILS = web.RequestKey("image_fails", ImageFailure)
_Handler = Callable[[web.Request, dict[str, str]], Awaitable[web.Response]]


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
    images = CustomImages(store, blobs, latencies, blob_endpoint)
    service = _ResourceManager(store, blobs, images, identity, blob_endpoint)
    app = web.Application(middlewares=[_answering(faults, journal)], client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", TOKEN_PATH, service.give_token)
    app.router.add_route("*", "/{path:subscriptions/.*|providers/.*}", service.dispatch)

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        images.resume()
        yield
        await images.close()
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
        identity: Identity,
        blob_endpoint: Callable[[str], str],
    ) -> None:
        self._store, self._blobs, self._images, self._identity = store, blobs, images, identity
        self._blob_endpoint = blob_endpoint
        image = _LABS + r"/(?P<lab>[^/]+)/customimages/(?P<image>[^/]+)"
        routes: list[tuple[str, str, _Handler]] = [
            ("GET", image, self.get_image),
            ("PUT", image, self.put_image),
            ("DELETE", image, self.delete_image),
            ("GET", _LABS + r"/(?P<lab>[^/]+)/customimages", self.list_images),
            ("GET", _IN_SUBSCRIPTION + r"/locations/[^/]+/operations/(?P<operation>[^/]+)", self.get_operation),
            ("GET", _IN_SUBSCRIPTION + "/labs", self.list_labs),
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
        self._identity.check(request.headers.get("Authorization"), (*MANAGEMENT_AUDIENCES, _origin(request)))
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
        return _page(request, {lab.id.lower(): _lab(lab) for lab in labs})

    async def get_lab(self, _: web.Request, parts: dict[str, str]) -> web.Response:
        """One lab."""
        return web.json_response(_lab(self._lab(parts)))

    async def list_images(self, request: web.Request, parts: dict[str, str]) -> web.Response:
        """Custom images of a lab, in pages."""
        lab = self._lab(parts)
        return _page(request, {key: _image(lab, image, image.state) for key, image in lab.images.items()})

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
        try:
            body = json.loads(await request.read())
        except ValueError:
            raise invalid("The request content is not JSON.") from None
        began = await self._images.put(
            lab, parts["image"], parse_wanted(parts["image"], body), request.get(_IMAGE_FAILS)
        )
        answer = _image(lab, began.image, began.state)
        if began.operation is None:
            return web.json_response(answer)
        return web.json_response(answer, status=201, headers=self._operation_headers(request, lab, began.operation))

    async def delete_image(self, request: web.Request, parts: dict[str, str]) -> web.Response:
        """Delete a custom image, a long-running operation; 204 where there is none."""
        lab = self._lab(parts)
        began = await self._images.delete(lab, parts["image"])
        if began is None or began.operation is None:
            return web.Response(status=204)
        headers = self._operation_headers(request, lab, began.operation)
        monitor = headers["Azure-AsyncOperation"].replace("?", "?monitor=true&")
        return web.Response(status=202, headers={**headers, "Location": monitor})

    async def get_operation(self, request: web.Request, parts: dict[str, str]) -> web.Response:
        """How a long-running operation stands."""
        operation = self._store.operations.get(parts["operation"])
        if operation is None:
            raise ArmError(404, "OperationNotFound", f"The operation '{parts['operation']}' was not found.")
        if operation.ended is None:
            return web.json_response({"status": "Running"}, headers=retry_headers(operation))
        if operation.fault is not None:
            return web.json_response({"status": "Failed", "error": operation.fault})
        return web.json_response({"status": "Succeeded"})

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

    def _operation_headers(self, request: web.Request, lab: Lab, operation: str) -> dict[str, str]:
        path = f"/subscriptions/{lab.subscription_id}/providers/Microsoft.DevTestLab/locations/{lab.region}"
        url = f"{_origin(request)}{path}/operations/{operation}?api-version={request.query['api-version']}"
        return {"Azure-AsyncOperation": url, **retry_headers(self._store.operations[operation])}


def _answering(faults: Faults, journal: Journal) -> Middleware:
    """Fault rules strike first; every answer gets request ids and a line in the journal, every error ARM's body."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(CONTROL_PREFIX):
            return await handler(request)
        target = request.rel_url.raw_path_qs
        try:
            await _strike(request, faults.match("arm", request.method, target, "request"))
            shaped = faults.match("arm", "PUT", target, "image") if request.method == "PUT" else None
            if shaped is not None and shaped.image_fails is not None:
                request[_IMAGE_FAILS] = shaped.image_fails
            response = await handler(request)
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
    if action.drop:
        raise _CutOff
    if action.status is not None:
        headers = {} if action.retry_after is None else {"Retry-After": str(action.retry_after)}
        raise ArmError(action.status, action.code, action.message, headers)


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _page(request: web.Request, items: Mapping[str, dict[str, Any]]) -> web.Response:
    """One page of a collection, sorted by its keys; `$top` limits all pages together, as OData says."""
    query = dict(request.query)
    top = query.get("$top")
    if top is not None and not (top.isascii() and top.isdigit() and int(top) > 0):
        raise ArmError(400, "InvalidQueryParameter", f"The value '{top}' of $top is not a positive number.")
    rest = sorted(key for key in items if key > query.get("$skiptoken", ""))[: int(top) if top else None]
    page = rest[:PAGE_SIZE]
    answer: dict[str, Any] = {"value": [items[key] for key in page]}
    if len(rest) > len(page):
        query["$skiptoken"] = page[-1]
        if top:
            query["$top"] = str(int(top) - len(page))
        answer["nextLink"] = f"{_origin(request)}{request.rel_url.raw_path}?{urlencode(query)}"
    return web.json_response(answer)


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
