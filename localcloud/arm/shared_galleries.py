"""Compute Galleries that are attached to labs, and the images that a lab admits from them.

Implements DevTest Labs 2018-10-15-preview, as its specification has it: nothing is long-running, `allowAllImages`
overrides the states of images. Reported by users: an attachment without `location` is refused ("Location is required").
Published: a lab has one gallery at a time. Microsoft's own tests wait minutes until a lab shows new definitions of its
gallery: latency `sharedImageSeconds`. Assumed: the codes and statuses of all refusals (a second gallery is 409
`Conflict`, another `galleryId` 400 `CannotSetProperty`, an unknown gallery or definition 404 `ResourceNotFound`);
`allowAllImages` is Enabled where a PUT has none; images are Disabled until they are enabled. Does not handle HTTP.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from localcloud.arm.errors import ArmError, invalid, resource_not_found
from localcloud.arm.galleries import KIND, Definition, Gallery, SharedGallery
from localcloud.arm.gallery_rules import document
from localcloud.arm.store import ArmStore, Lab
from localcloud.fault_rules import Latencies

_ID = re.compile(
    r"/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers/microsoft\.compute/galleries/([^/]+)", re.IGNORECASE
)
_STATES = ("Enabled", "Disabled")


class SharedGalleries:
    """The attached galleries of all labs."""

    def __init__(self, store: ArmStore, latencies: Callable[[], Latencies]) -> None:
        self._store, self._latencies = store, latencies

    def put(self, lab: Lab, name: str, body: object) -> tuple[SharedGallery, bool]:
        """Attach a gallery, or change the attachment; return whether it is new. Raises ArmError."""
        given, tags, properties = document(body)
        location = given.get("location")
        if not isinstance(location, str) or not location:
            raise ArmError(400, "LocationRequired", "Location is required.")
        id, allow = properties.get("galleryId"), properties.get("allowAllImages", "Enabled")
        parts = _ID.fullmatch(id) if isinstance(id, str) else None
        if parts is None:
            raise invalid("'properties.galleryId' must be the resource id of a gallery.")
        if allow not in _STATES:
            raise invalid(f"'properties.allowAllImages' must be one of {', '.join(_STATES)}.")
        attached = lab.galleries.get(name.lower())
        if attached is None and lab.galleries:
            other = next(iter(lab.galleries.values()))
            text = f"The lab '{lab.name}' has the shared image gallery '{other.name}' attached. Detach it first."
            raise ArmError(409, "Conflict", text)
        if attached is not None and attached.gallery_id.lower() != str(id).lower():
            text = f"Cannot set or update property 'galleryId' of the shared gallery '{attached.name}'."
            raise ArmError(400, "CannotSetProperty", text)
        if self._store.find_gallery(*parts.groups()) is None:
            raise resource_not_found(KIND, parts[3], parts[2])
        if new := attached is None:
            attached = lab.galleries[name.lower()] = SharedGallery(name, str(id), allow, location, tags)
        attached.allow_all_images, attached.location, attached.tags = allow, location, tags
        self._store.changed()
        return attached, new

    def delete(self, lab: Lab, name: str) -> bool:
        """Detach a gallery; return whether it was attached."""
        found = lab.galleries.pop(name.lower(), None)
        self._store.changed()
        return found is not None

    def images(self, attached: SharedGallery) -> dict[str, Definition]:
        """Return the definitions that the lab shows, by lower-case name."""
        gallery = self.gallery(attached)
        newest = time.time() - self._latencies().shared_image_seconds
        if gallery is None or attached.attached > newest:
            return {}
        return {name: each for name, each in gallery.definitions.items() if each.created <= newest}

    def gallery(self, attached: SharedGallery) -> Gallery | None:
        """Return the gallery that is attached; None: it was deleted."""
        parts = _ID.fullmatch(attached.gallery_id)
        return self._store.find_gallery(*parts.groups()) if parts else None

    def put_image(self, attached: SharedGallery, definition: Definition, body: object) -> bool:
        """Enable or disable an image; return whether this is the first time. Raises ArmError."""
        _, _, properties = document(body)
        state = properties.get("enableState")
        if state not in _STATES:
            raise invalid(f"'properties.enableState' must be one of {', '.join(_STATES)}.")
        true: dict[str, Any] = {
            "definitionName": definition.name,
            "osType": definition.properties["osType"],
            "imageType": definition.properties["osState"],
        }
        for key, value in true.items():
            if key in properties and str(properties[key]).lower() != value.lower():
                raise invalid(f"'properties.{key}' must be '{value}', as in the gallery.")
        new = definition.name.lower() not in attached.images
        attached.images[definition.name.lower()] = state
        self._store.changed()
        return new

    def delete_image(self, attached: SharedGallery, name: str) -> bool:
        """Forget the state of an image; return whether it had one."""
        found = attached.images.pop(name.lower(), None)
        self._store.changed()
        return found is not None
