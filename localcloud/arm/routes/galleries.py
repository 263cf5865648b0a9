"""The calls of Compute Galleries, their definitions and versions (Compute 2024-03-03).

The rules are in `gallery_rules` and `gallery_versions`. As recorded: a PUT is answered 201 (new) or 200 with the
resource and `Azure-AsyncOperation` only, whose path has `capsOperations`. As published: a deletion has `Location` too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from localcloud.arm.errors import ArmError, resource_not_found
from localcloud.arm.galleries import KIND, Definition, Gallery, Version
from localcloud.arm.gallery_rules import Galleries, Started
from localcloud.arm.gallery_versions import GalleryVersions
from localcloud.arm.routes.responses import accepted, injected_fault, json_body, operation_headers, page
from localcloud.arm.routes.routing import GROUP, IN_SUBSCRIPTION, Parts, Route
from localcloud.arm.store import ArmStore
from localcloud.fault_rules import Action, Faults

_NAMESPACE, _OPERATIONS = "Microsoft.Compute", "capsOperations"
_NOTIFIES = {"Azure-AsyncNotification": "Enabled"}
"""Recorded."""


class GalleryRoutes:
    """One method per call."""

    def __init__(self, store: ArmStore, galleries: Galleries, versions: GalleryVersions, faults: Faults) -> None:
        self._store, self._galleries, self._versions, self._faults = store, galleries, versions, faults

    def routes(self) -> list[Route]:
        """Return the supported calls."""
        galleries = GROUP + r"/providers/microsoft\.compute/galleries"
        gallery = galleries + "/(?P<gallery>[^/]+)"
        image = gallery + "/images/(?P<image>[^/]+)"
        version = image + "/versions/(?P<version>[^/]+)"
        return [
            Route("galleries", "list", "GET", IN_SUBSCRIPTION + "compute/galleries", self.list_galleries),
            Route("galleries", "list by group", "GET", galleries, self.list_galleries),
            Route("galleries", "get", "GET", gallery, self.get_gallery),
            Route("galleries", "put", "PUT", gallery, self.put_gallery),
            Route("galleries", "patch", "PATCH", gallery, self.put_gallery),
            Route("galleries", "delete", "DELETE", gallery, self.delete_gallery),
            Route("gallery images", "list", "GET", gallery + "/images", self.list_images),
            Route("gallery images", "get", "GET", image, self.get_image),
            Route("gallery images", "put", "PUT", image, self.put_image),
            Route("gallery images", "patch", "PATCH", image, self.put_image),
            Route("gallery images", "delete", "DELETE", image, self.delete_image),
            Route("gallery image versions", "list", "GET", image + "/versions", self.list_versions),
            Route("gallery image versions", "get", "GET", version, self.get_version),
            Route("gallery image versions", "put", "PUT", version, self.put_version),
            Route("gallery image versions", "patch", "PATCH", version, self.put_version),
            Route("gallery image versions", "delete", "DELETE", version, self.delete_version),
        ]

    async def list_galleries(self, request: web.Request, parts: Parts) -> web.Response:
        """The galleries of a subscription or of a resource group, paged."""
        group = parts.get("group")
        if group is not None and self._store.find_group(parts["subscription"], group) is None:
            raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        found = (
            each
            for each in self._store.galleries.values()
            if each.subscription_id.lower() == parts["subscription"].lower()
            and (group is None or group.lower() == each.resource_group.lower())
        )
        return page(request, {each.id.lower(): self._told(each.shown()) for each in found})

    async def get_gallery(self, _: web.Request, parts: Parts) -> web.Response:
        """One gallery."""
        return web.json_response(self._told(self._gallery(parts).shown()))

    async def put_gallery(self, request: web.Request, parts: Parts) -> web.Response:
        """Create or update a gallery, a long-running operation."""
        body = await self._body(request, lambda: self._gallery(parts).shown())
        where = parts["subscription"], parts["group"], parts["gallery"]
        gallery, started = await self._galleries.put(*where, body, injected_fault(request))
        return self._started(request, gallery, gallery.shown(started.state), started)

    async def delete_gallery(self, request: web.Request, parts: Parts) -> web.Response:
        """Delete a gallery, a long-running operation; 204 if it does not exist."""
        gallery = self._find(parts)
        if gallery is None:
            return web.Response(status=204)
        return self._deleted(request, gallery, await self._galleries.delete(gallery, injected_fault(request)))

    async def list_images(self, request: web.Request, parts: Parts) -> web.Response:
        """The definitions of a gallery, paged."""
        gallery = self._gallery(parts, nested=True)
        return page(
            request, {key: self._told(gallery.shown_definition(each)) for key, each in gallery.definitions.items()}
        )

    async def get_image(self, _: web.Request, parts: Parts) -> web.Response:
        """One definition."""
        gallery, definition = self._definition(parts)
        return web.json_response(self._told(gallery.shown_definition(definition)))

    async def put_image(self, request: web.Request, parts: Parts) -> web.Response:
        """Create or update a definition, a long-running operation."""
        gallery = self._gallery(parts, nested=True)

        def standing() -> dict[str, Any]:
            return gallery.shown_definition(self._definition(parts)[1])

        body, fault = await self._body(request, standing), injected_fault(request)
        definition, started = await self._galleries.put_definition(gallery, parts["image"], body, fault)
        return self._started(request, gallery, gallery.shown_definition(definition, started.state), started)

    async def delete_image(self, request: web.Request, parts: Parts) -> web.Response:
        """Delete a definition, a long-running operation; 204 if it does not exist."""
        gallery = self._find(parts)
        definition = gallery.definitions.get(parts["image"].lower()) if gallery else None
        if gallery is None or definition is None:
            return web.Response(status=204)
        fault = injected_fault(request)
        return self._deleted(request, gallery, await self._galleries.delete_definition(gallery, definition, fault))

    async def list_versions(self, request: web.Request, parts: Parts) -> web.Response:
        """The versions of a definition, paged."""
        gallery, definition = self._definition(parts, nested=True)
        versions = definition.versions
        return page(
            request, {key: self._told(gallery.shown_version(definition, each)) for key, each in versions.items()}
        )

    async def get_version(self, request: web.Request, parts: Parts) -> web.Response:
        """One version, with its replication status if `$expand` asks for it."""
        gallery, definition, version = self._version(parts)
        body = self._told(gallery.shown_version(definition, version))
        if request.query.get("$expand", "").lower() == "replicationstatus":
            body["properties"]["replicationStatus"] = version.replication_status()
        return web.json_response(body)

    async def put_version(self, request: web.Request, parts: Parts) -> web.Response:
        """Create or update a version, a long-running operation."""
        gallery, definition = self._definition(parts, nested=True)

        def standing() -> dict[str, Any]:
            return gallery.shown_version(definition, self._version(parts)[2])

        def rule(region: str) -> Action | None:
            path = f"{request.rel_url.raw_path}/regions/{region}"
            return self._faults.match("arm", request.method, path, "replication")

        body, fault = await self._body(request, standing), injected_fault(request)
        shown, started = await self._versions.put(gallery, definition, parts["version"], body, fault, rule)
        return self._started(request, gallery, shown, started)

    async def delete_version(self, request: web.Request, parts: Parts) -> web.Response:
        """Delete a version, a long-running operation; 204 if it does not exist."""
        gallery = self._find(parts)
        definition = gallery.definitions.get(parts["image"].lower()) if gallery else None
        version = definition.versions.get(parts["version"]) if definition else None
        if gallery is None or definition is None or version is None:
            return web.Response(status=204)
        fault = injected_fault(request)
        return self._deleted(request, gallery, await self._versions.delete(definition, version, fault))

    async def _body(self, request: web.Request, standing: Any) -> Any:
        """Return the body of a PUT; that of a PATCH is merged into the resource that stands."""
        body = await json_body(request)
        return merged(standing(), body) if request.method == "PATCH" and isinstance(body, dict) else body

    def _told(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._store.answers.of_gallery(body)

    def _started(self, request: web.Request, gallery: Gallery, body: dict[str, Any], started: Started) -> web.Response:
        operation = self._store.operations[started.operation]
        headers = operation_headers(request, _NAMESPACE, gallery, started.operation, operation, _OPERATIONS)
        status = 201 if started.created else 200
        return web.json_response(self._told(body), status=status, headers={**headers, **_NOTIFIES})

    def _deleted(self, request: web.Request, gallery: Gallery, started: Started) -> web.Response:
        operation = self._store.operations[started.operation]
        return accepted(request, _NAMESPACE, gallery, started.operation, operation, _OPERATIONS)

    def _find(self, parts: Parts) -> Gallery | None:
        return self._store.find_gallery(parts["subscription"], parts["group"], parts["gallery"])

    def _gallery(self, parts: Parts, *, nested: bool = False) -> Gallery:
        """Return the gallery in the path, as the resource itself or as the parent of one. Raises ArmError (404)."""
        gallery = self._find(parts)
        if gallery is None:
            if nested:
                raise _no_parent(parts["gallery"])
            raise resource_not_found(KIND, parts["gallery"], parts["group"])
        return gallery

    def _definition(self, parts: Parts, *, nested: bool = False) -> tuple[Gallery, Definition]:
        gallery = self._gallery(parts, nested=True)
        definition = gallery.definitions.get(parts["image"].lower())
        if definition is None:
            name = f"{gallery.name}/{parts['image']}"
            raise _no_parent(name) if nested else resource_not_found(f"{KIND}/images", name, gallery.resource_group)
        return gallery, definition

    def _version(self, parts: Parts) -> tuple[Gallery, Definition, Version]:
        gallery, definition = self._definition(parts, nested=True)
        version = definition.versions.get(parts["version"])
        if version is None:
            name = f"{gallery.name}/{definition.name}/{parts['version']}"
            raise resource_not_found(f"{KIND}/images/versions", name, gallery.resource_group)
        return gallery, definition, version


def merged(standing: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with the values of another merged into it; lists are replaced."""
    inner = {
        key: merged(standing[key], value)
        for key, value in change.items()
        if isinstance(value, dict) and isinstance(standing.get(key), dict) and key != "tags"
    }
    return {**standing, **change, **inner}


def _no_parent(name: str) -> ArmError:
    text = f"Can not perform requested operation on nested resource. Parent resource '{name}' not found."
    return ArmError(404, "ParentResourceNotFound", text)
