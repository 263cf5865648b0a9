"""The calls of galleries that are attached to labs (DevTestLab 2018-10-15-preview).

The rules are in `shared_galleries`.
"""

from __future__ import annotations

from aiohttp import web

from localcloud.arm.errors import ArmError, resource_not_found
from localcloud.arm.galleries import Definition, SharedGallery
from localcloud.arm.routes.responses import json_body, page
from localcloud.arm.routes.routing import LAB, Parts, Route, find_child, find_lab
from localcloud.arm.shared_galleries import SharedGalleries
from localcloud.arm.store import ArmStore, Lab

_VERSION = "2018-10-15-preview"
"""The only API version that knows attached galleries."""


class SharedGalleryRoutes:
    """One method per call."""

    def __init__(self, store: ArmStore, shared: SharedGalleries) -> None:
        self._store, self._shared = store, shared

    def routes(self) -> list[Route]:
        """Return the supported calls."""
        galleries = LAB + "/sharedgalleries"
        gallery = galleries + "/(?P<gallery>[^/]+)"
        images = gallery + "/sharedimages"
        image = images + "/(?P<image>[^/]+)"
        return [
            Route("shared galleries", "list", "GET", galleries, self.list_galleries),
            Route("shared galleries", "get", "GET", gallery, self.get_gallery),
            Route("shared galleries", "put", "PUT", gallery, self.put_gallery),
            Route("shared galleries", "delete", "DELETE", gallery, self.delete_gallery),
            Route("shared images", "list", "GET", images, self.list_images),
            Route("shared images", "get", "GET", image, self.get_image),
            Route("shared images", "put", "PUT", image, self.put_image),
            Route("shared images", "delete", "DELETE", image, self.delete_image),
        ]

    async def list_galleries(self, request: web.Request, parts: Parts) -> web.Response:
        """The galleries that are attached to a lab, paged."""
        lab = self._lab(request, parts)
        return page(request, {key: each.to_arm(lab.id) for key, each in lab.galleries.items()})

    async def get_gallery(self, request: web.Request, parts: Parts) -> web.Response:
        """One attached gallery."""
        lab, attached = self._attached(request, parts)
        return web.json_response(attached.to_arm(lab.id))

    async def put_gallery(self, request: web.Request, parts: Parts) -> web.Response:
        """Attach a gallery, or change the attachment."""
        lab = self._lab(request, parts)
        attached, new = self._shared.put(lab, parts["gallery"], await json_body(request))
        return web.json_response(attached.to_arm(lab.id), status=201 if new else 200)

    async def delete_gallery(self, request: web.Request, parts: Parts) -> web.Response:
        """Detach a gallery; 204 if it is not attached."""
        lab = self._lab(request, parts)
        return web.Response(status=200 if self._shared.delete(lab, parts["gallery"]) else 204)

    async def list_images(self, request: web.Request, parts: Parts) -> web.Response:
        """The images of an attached gallery, paged."""
        lab, attached = self._attached(request, parts)
        images = self._shared.images(attached)
        return page(request, {key: attached.image_to_arm(lab.id, each) for key, each in images.items()})

    async def get_image(self, request: web.Request, parts: Parts) -> web.Response:
        """One image of an attached gallery."""
        lab, attached, definition = self._image(request, parts)
        return web.json_response(attached.image_to_arm(lab.id, definition))

    async def put_image(self, request: web.Request, parts: Parts) -> web.Response:
        """Enable or disable an image."""
        lab, attached, definition = self._image(request, parts)
        new = self._shared.put_image(attached, definition, await json_body(request))
        return web.json_response(attached.image_to_arm(lab.id, definition), status=201 if new else 200)

    async def delete_image(self, request: web.Request, parts: Parts) -> web.Response:
        """Forget the state of an image; 204 if none was set."""
        _, attached = self._attached(request, parts)
        return web.Response(status=200 if self._shared.delete_image(attached, parts["image"]) else 204)

    def _lab(self, request: web.Request, parts: Parts) -> Lab:
        if (given := request.query.get("api-version")) != _VERSION:
            raise ArmError(
                400,
                "NoRegisteredProviderFound",
                f"No registered resource provider found for location '' and API version '{given}' for type "
                f"'labs/sharedgalleries'. The supported api-versions are '{_VERSION}'.",
            )
        return find_lab(self._store, parts)

    def _attached(self, request: web.Request, parts: Parts) -> tuple[Lab, SharedGallery]:
        lab = self._lab(request, parts)
        return lab, find_child(lab, "sharedGalleries", lab.galleries, parts["gallery"])

    def _image(self, request: web.Request, parts: Parts) -> tuple[Lab, SharedGallery, Definition]:
        lab, attached = self._attached(request, parts)
        definition = self._shared.images(attached).get(parts["image"].lower())
        if definition is None:
            name = f"{lab.name}/{attached.name}/{parts['image']}"
            raise resource_not_found("Microsoft.DevTestLab/labs/sharedGalleries/sharedImages", name, lab.resource_group)
        return lab, attached, definition
