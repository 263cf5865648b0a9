"""The calls of labs and their custom images (DevTestLab 2018-09-15). The rules of images are in `custom_images`."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from localcloud.arm.custom_images import CustomImages, parse_wanted
from localcloud.arm.routes.responses import accepted, injected_fault, json_body, operation_headers, page
from localcloud.arm.routes.routing import IN_SUBSCRIPTION, LAB, Parts, Route, find_child, find_lab
from localcloud.arm.store import ArmStore, CustomImage, Lab

_NAMESPACE = "Microsoft.DevTestLab"


class LabRoutes:
    """One method per call."""

    def __init__(self, store: ArmStore, images: CustomImages) -> None:
        self._store, self._images = store, images

    def routes(self) -> list[Route]:
        """Return the supported calls."""
        images = LAB + "/customimages"
        image = images + "/(?P<image>[^/]+)"
        return [
            Route("labs", "list", "GET", IN_SUBSCRIPTION + "devtestlab/labs", self.list_labs),
            Route("labs", "get", "GET", LAB, self.get_lab),
            Route("custom images", "list", "GET", images, self.list_images),
            Route("custom images", "get", "GET", image, self.get_image),
            Route("custom images", "put", "PUT", image, self.put_image),
            Route("custom images", "patch", "PATCH", image, self.patch_image),
            Route("custom images", "delete", "DELETE", image, self.delete_image),
        ]

    async def list_labs(self, request: web.Request, parts: Parts) -> web.Response:
        """The labs of a subscription, paged."""
        labs = (lab for lab in self._store.labs.values() if lab.subscription_id == parts["subscription"])
        return page(request, {lab.id.lower(): lab.to_arm() for lab in labs})

    async def get_lab(self, _: web.Request, parts: Parts) -> web.Response:
        """One lab."""
        return web.json_response(find_lab(self._store, parts).to_arm())

    async def list_images(self, request: web.Request, parts: Parts) -> web.Response:
        """The custom images of a lab, paged."""
        lab = find_lab(self._store, parts)
        return page(request, {key: self._shown(lab, image) for key, image in lab.images.items()})

    async def get_image(self, _: web.Request, parts: Parts) -> web.Response:
        """One custom image."""
        lab = find_lab(self._store, parts)
        image = find_child(lab, "customImages", lab.images, parts["image"])
        return web.json_response(self._shown(lab, image))

    async def put_image(self, request: web.Request, parts: Parts) -> web.Response:
        """Create or update a custom image; a creation is a long-running operation."""
        lab = find_lab(self._store, parts)
        wanted = parse_wanted(parts["image"], await json_body(request))
        started = await self._images.put(lab, parts["image"], wanted, injected_fault(request))
        body = lab.image_to_arm(started.image, started.state, self._store.answers)
        if started.operation is None:
            return web.json_response(body)
        operation = self._store.operations[started.operation]
        headers = operation_headers(request, _NAMESPACE, lab, started.operation, operation)
        return web.json_response(body, status=201, headers=headers)

    async def patch_image(self, request: web.Request, parts: Parts) -> web.Response:
        """Replace the tags of a custom image; everything else in the body is ignored, as published."""
        lab = find_lab(self._store, parts)
        image = find_child(lab, "customImages", lab.images, parts["image"])
        self._images.retag(image, await json_body(request))
        return web.json_response(self._shown(lab, image))

    async def delete_image(self, request: web.Request, parts: Parts) -> web.Response:
        """Delete a custom image, a long-running operation; 204 if the image does not exist."""
        lab = find_lab(self._store, parts)
        started = await self._images.delete(lab, parts["image"])
        if started is None or started.operation is None:
            return web.Response(status=204)
        return accepted(request, _NAMESPACE, lab, started.operation, self._store.operations[started.operation])

    def _shown(self, lab: Lab, image: CustomImage) -> dict[str, Any]:
        return lab.image_to_arm(image, image.state, self._store.answers)
