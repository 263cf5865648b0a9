"""Custom images: validation of a PUT, creation, update and deletion.

Implements the rules of DevTest Labs (API version 2018-09-15): a new image has a valid name; the VHD is in the lab's own
storage account, is a complete fixed VHD in a page blob, and must exist until the image is created. Recorded: the
service fills in an author where a PUT has none. Users report `CannotSetProperty` for a PUT that changes where a
standing image came from. Published: a PATCH modifies the tags and ignores all else. Assumed: that it replaces all of
them; the status 400 of that error, and what counts as such a change (`_change_of_source`); that a PUT on a failed image
creates it again; that an empty author is none, and that an update without one keeps it; that a PUT during another
operation is 409 `AnotherOperationInProgress`. Does not handle HTTP; reads blobs through `BlobAccess`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.arm.errors import ArmError, invalid
from localcloud.arm.operations import Operations, Work, retry_headers
from localcloud.arm.store import SOURCES, ArmStore, CustomImage, Fault, Lab, new_properties
from localcloud.arm.vhds import vhd_fault
from localcloud.blobs.access import BlobAccess
from localcloud.fault_rules import Latencies

_SETTABLE = {*SOURCES, "author", "customImagePlan", "dataDiskStorageInfo", "description", "isPlanAuthorized"}
_OS_TYPES = ("Windows", "Linux", "None")
_MADE = ("managedImageId", "managedSnapshotId")
_LISTABLE = re.compile(r"[^<>*%&:\\?/#\x00-\x1f]{1,80}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}(?<![-.])")
"""The rule in `_RULE`, read strictly: letters of other scripts are none, as the documentation has it."""
_RULE = r"^[^_\W][\w-._]{0,79}(?<![-.])$"
"""As users quote Azure's message (Azure/azure-devtestlab, issue 249; the code as Compute returns it with that text)."""


@dataclass(frozen=True)
class Wanted:
    """The image that a PUT requests; `given` are its properties as received, those that a PUT can set."""

    given: dict[str, Any]
    tags: dict[str, str] | None
    location: str | None


@dataclass(frozen=True)
class Started:
    """The result of a call: the image, the state to return, and the operation that it started (None: finished)."""

    image: CustomImage
    state: str
    operation: str | None


def parse_wanted(name: str, body: object) -> Wanted:
    """Check the body of a PUT. Raises ArmError (400)."""
    if not _LISTABLE.fullmatch(name) or name.endswith("."):
        raise _invalid_name()
    if not isinstance(body, dict) or not isinstance(body.get("properties"), dict):
        raise invalid("The request content is not a custom image: it must be a JSON object with 'properties'.")
    properties, tags, location = body["properties"], body.get("tags"), body.get("location")
    properties = {key: value for key, value in properties.items() if value is not None}
    if not properties.keys() & SOURCES:
        raise invalid(f"'properties' must have one of {', '.join(sorted(SOURCES))}.")
    if "vhd" in properties:
        _check_vhd(properties["vhd"])
    if "vm" in properties and not isinstance(properties["vm"], dict):
        raise invalid("'properties.vm' must be an object.")
    for text in ("author", "description", "managedImageId", "managedSnapshotId"):
        if not isinstance(properties.get(text, ""), str):
            raise invalid(f"'properties.{text}' must be text.")
    _check_tags(tags)
    if not (location is None or isinstance(location, str)):
        raise invalid("'location' must be text.")
    return Wanted({key: value for key, value in properties.items() if key in _SETTABLE}, tags, location)


def _check_tags(tags: object) -> None:
    if not (tags is None or (isinstance(tags, dict) and all(isinstance(each, str) for each in tags.values()))):
        raise invalid("'tags' must be an object of texts.")


def _check_vhd(vhd: object) -> None:
    if not isinstance(vhd, dict) or vhd.get("osType") not in _OS_TYPES:
        raise invalid(f"'properties.vhd.osType' must be one of {', '.join(_OS_TYPES)}.")
    if not isinstance(vhd.get("sysPrep", False), bool):
        raise invalid("'properties.vhd.sysPrep' must be true or false.")
    if vhd.get("sysPrep") and vhd["osType"] != "Windows":
        raise invalid(f"'properties.vhd.sysPrep' must be false for a {vhd['osType']} VHD: only Windows is sysprepped.")
    if not isinstance(vhd.get("imageName", ""), str):
        raise invalid("'properties.vhd.imageName' must be the URL of a VHD.")


class CustomImages:
    """The custom images of all labs. `endpoint` returns the blob endpoint of a storage account."""

    def __init__(
        self,
        store: ArmStore,
        operations: Operations,
        blobs: BlobAccess,
        latencies: Callable[[], Latencies],
        endpoint: Callable[[str], str],
    ) -> None:
        self._store, self._operations, self._blobs = store, operations, blobs
        self._latencies, self._endpoint = latencies, endpoint

    async def put(self, lab: Lab, name: str, wanted: Wanted, fault: Fault | None) -> Started:
        """Create or update an image; a creation fails with `fault`, if given. Raises ArmError.

        A PUT on an image that stands never creates it again."""
        existing = lab.images.get(name.lower())
        if existing is not None and existing.operation is not None:
            raise ArmError(
                409,
                "AnotherOperationInProgress",
                f"Another operation is in progress on the custom image '{existing.name}' ({existing.state}).",
                retry_headers(self._store.operations[existing.operation]),
            )
        if existing is not None and existing.state == "Succeeded":
            if changed := _change_of_source(existing.properties, wanted.given):
                text = f"Cannot set or update property '{changed}' of the custom image '{existing.name}'."
                raise ArmError(400, "CannotSetProperty", text)
            self._update(existing, wanted)
            return Started(existing, existing.state, None)
        if existing is None and not _NAME.fullmatch(name):
            raise _invalid_name()
        if "vhd" not in wanted.given or "vm" in wanted.given:
            raise invalid("The embedded cloud makes custom images of VHDs: give 'properties.vhd', not 'properties.vm'.")
        self._check_account(lab, wanted.given["vhd"].get("imageName", ""))
        given = {key: value for key, value in wanted.given.items() if key not in _MADE}
        image = CustomImage(name, new_properties(given), "Creating", wanted.tags, wanted.location)
        lab.images[name.lower()] = image
        return await self._start(lab, image, self._latencies().image_create_seconds, fault)

    def retag(self, image: CustomImage, body: object) -> None:
        """Replace the tags of an image, if the body has any. Raises ArmError (400)."""
        tags = body.get("tags") if isinstance(body, dict) else None
        _check_tags(tags)
        if tags is not None:
            image.tags = tags
            self._store.changed()

    async def delete(self, lab: Lab, name: str) -> Started | None:
        """Start to delete an image, even during its creation; None if it does not exist."""
        image = lab.images.get(name.lower())
        if image is None:
            return None
        if image.operation is not None:
            if image.state == "Deleting":
                return Started(image, image.state, image.operation)
            self._operations.end(
                image, {"code": "OperationPreempted", "message": f"The custom image '{name}' was deleted."}
            )
        image.state = "Deleting"
        return await self._start(lab, image, self._latencies().image_delete_seconds, None)

    def resume(self) -> None:
        """Resume the operations that were active when the cloud stopped. Needs the running event loop."""
        for lab in list(self._store.labs.values()):
            for image in list(lab.images.values()):
                self._operations.resume(image, self._work(lab, image))

    async def _start(self, lab: Lab, image: CustomImage, seconds: float, fault: Fault | None) -> Started:
        state = image.state
        return Started(image, state, await self._operations.start(image, seconds, self._work(lab, image), fault=fault))

    def _work(self, lab: Lab, image: CustomImage) -> Work:
        async def check() -> Fault | None:
            if image.state != "Creating":
                return None
            return await vhd_fault(self._blobs, image.properties["vhd"]["imageName"])

        def settle(fault: Fault | None) -> None:
            if image.state == "Deleting":
                lab.images.pop(image.name.lower(), None)
            elif fault is None:
                image.state = "Succeeded"
                image.properties |= lab.backing(image.name, bool(image.properties["vhd"].get("sysPrep")))
            else:
                image.state = "Failed"

        return Work(check, check, settle)  # the VHD must exist until the image is created

    def _update(self, image: CustomImage, wanted: Wanted) -> None:
        kept = {key: value for key, value in image.properties.items() if key != "description"}
        author = wanted.given.get("author") or kept.get("author")
        image.properties = {**kept, **wanted.given, **({"author": author} if author else {})}
        image.tags, image.location = wanted.tags, wanted.location
        self._store.changed()

    def _check_account(self, lab: Lab, url: str) -> None:
        own = lab.storage_account
        if own is None or not url.lower().startswith(f"{self._endpoint(own).lower()}/"):
            raise ArmError(400, "InvalidStorageAccountForLab", "Invalid storage account for lab")
        if "?" in url:
            raise invalid("'properties.vhd.imageName' must be the URL of a VHD without a query.")


def _invalid_name() -> ArmError:
    text = f"The entity name 'name' is invalid according to its validation rule: {_RULE}."
    return ArmError(400, "InvalidParameter", text)


def _change_of_source(standing: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """Return the property by which a PUT would change where a standing image came from: another VHD, OS type or state
    of it, another VM, another kind of source, or another resource than the one that Azure made of it."""
    sources = [_source(wanted), _source(standing)]
    if sources[0] != sources[1]:
        return str(sources[0][0])
    made = (key for key in _MADE if key in wanted)
    return next((key for key in made if wanted[key].lower() != str(standing.get(key, "")).lower()), None)


def _source(properties: Mapping[str, Any]) -> tuple[Any, ...]:
    vhd, vm = properties.get("vhd"), properties.get("vm")
    if vhd:
        return "vhd", vhd.get("imageName"), vhd.get("osType"), bool(vhd.get("sysPrep"))
    if vm:
        return "vm", str(vm.get("sourceVmId", "")).lower()
    return next(((key, str(properties[key]).lower()) for key in _MADE if properties.get(key)), ("vhd",))
