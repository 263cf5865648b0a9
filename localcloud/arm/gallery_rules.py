"""Galleries and their definitions: validation of a PUT, creation, update and deletion.

Implements the rules of Compute (API version 2024-03-03). Names and identifiers, and the message of each refusal, are
published ("Troubleshoot images in an Azure Compute Gallery"). Recorded: 409 `PropertyChangeNotAllowed`, and 409
`CannotDeleteResource` while something is in it. Reported by users: 409 `OperationNotAllowed` for an identifier that
another definition has. Published: features change only with `allowUpdateImage`. Assumed: identifiers are compared
without their casing, other wrong values are 400 `InvalidParameter`, and a PUT during another operation is 409
`Conflict`. Does not handle HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from localcloud.arm.errors import ArmError, invalid
from localcloud.arm.galleries import KIND, Definition, Gallery, Kept, Properties
from localcloud.arm.operations import Operations, Work, retry_headers
from localcloud.arm.regions import location_of
from localcloud.arm.store import ArmStore, Fault

_GALLERY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._]{0,78}[A-Za-z0-9])?")
_DEFINITION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,78}[A-Za-z0-9])?")
_PART = re.compile(r"[A-Za-z0-9._-]*[A-Za-z0-9_-]")
_PARTS = {"publisher": 128, "offer": 64, "sku": 64}
_CHOICES = {
    "osType": ("Windows", "Linux"),
    "osState": ("Generalized", "Specialized"),
    "hyperVGeneration": ("V1", "V2"),
    "architecture": ("x64", "Arm64"),
}
_DEFAULTS = {"hyperVGeneration": "V1", "architecture": "x64"}
"""Recorded."""
_FIXED = ("osType", "osState", "hyperVGeneration", "architecture", "purchasePlan", "eula")
_SETTABLE = {*_CHOICES, "identifier", "features", "purchasePlan", "eula", "description", "privacyStatementUri"} | {
    *("releaseNoteUri", "endOfLifeDate", "recommended", "disallowed")
}


@dataclass(frozen=True)
class Started:
    """The result of a call: the state to show, the operation that it started, and whether the resource is new."""

    state: str
    operation: str
    created: bool = False


def parameter(message: str) -> ArmError:
    """Return the error for a wrong value."""
    return ArmError(400, "InvalidParameter", message)


def fixed(path: str) -> ArmError:
    """Return the error for a change of a property that cannot change."""
    return ArmError(409, "PropertyChangeNotAllowed", f"Changing property '{path}' is not allowed.")


def document(body: object) -> tuple[dict[str, Any], dict[str, str] | None, Properties]:
    """Return a PUT's body, its tags, and its properties without nulls. Raises ArmError (400)."""
    if not isinstance(body, dict) or not isinstance(body.get("properties") or {}, dict):
        raise invalid("The request content must be a JSON object, and so must its 'properties'.")
    tags = body.get("tags")
    if not (tags is None or (isinstance(tags, dict) and all(isinstance(each, str) for each in tags.values()))):
        raise invalid("'tags' must be an object of texts.")
    properties = {key: value for key, value in (body.get("properties") or {}).items() if value is not None}
    return body, tags, properties


def check_place(group: str, existing: Kept, location: str) -> None:
    """Refuse another location than that of the resource that stands. Raises ArmError (409)."""
    if location != existing.location:
        raise ArmError(
            409,
            "InvalidResourceLocation",
            f"The resource '{existing.name}' already exists in location '{existing.location}' in resource group "
            f"'{group}'. A resource with the same name cannot be created in location '{location}'. Please select a new "
            "resource name.",
        )


def end_of_life(given: object, before: object) -> str | None:
    """Return a date as Compute shows it (recorded): in UTC, with decimals only if it has any. Raises ArmError (400)."""
    if given is None:
        return None
    try:
        # Python 3.10 reads neither a `Z` nor 7 decimals.
        text = re.sub(r"(\.\d{6})\d+", r"\1", str(given).replace("Z", "+00:00").replace("z", "+00:00"))
        date = datetime.fromisoformat(re.sub(r"\.(\d{1,5})(?!\d)", lambda part: f".{part[1]:0<6}", text))
    except ValueError:
        path = "properties.publishingProfile.endOfLifeDate"
        raise parameter(f"Could not convert string to DateTimeOffset: {given}. Path '{path}'") from None
    date = date.replace(tzinfo=date.tzinfo or timezone.utc).astimezone(timezone.utc)
    text = date.isoformat()
    if text != before and date <= datetime.now(timezone.utc):
        raise parameter("EndOfLifeDate must be set to a future date.")
    return text


class Galleries:
    """The galleries of all subscriptions, and their definitions."""

    def __init__(self, store: ArmStore, operations: Operations) -> None:
        self._store, self._operations = store, operations

    async def put(
        self, subscription: str, group: str, name: str, body: object, fault: Fault | None
    ) -> tuple[Gallery, Started]:
        """Create or update a gallery. Raises ArmError."""
        if not _GALLERY.fullmatch(name):
            raise parameter(
                "Gallery name is invalid. Allowed characters are English alphanumeric characters, with underscores, "
                "and periods allowed in the middle, up to 80 characters total. All other special characters, including "
                "dashes, are disallowed."
            )
        given, tags, properties = document(body)
        location = location_of(given, KIND)
        known = self._store.find_group(subscription, group)
        if known is None:
            raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        identifier = {"uniqueName": f"{subscription}-{name.upper()}"}
        shown = {**{key: properties[key] for key in ("description",) if key in properties}, "identifier": identifier}
        gallery = self._store.find_gallery(subscription, group, name)
        if new := gallery is None:
            gallery = Gallery(
                name=name, location=location, properties=shown, subscription_id=subscription, resource_group=known[0]
            )
        else:
            check_place(group, gallery, location)
        return gallery, await self._put(gallery, self._store.galleries, gallery.key, shown, tags, new, fault)

    async def put_definition(
        self, gallery: Gallery, name: str, body: object, fault: Fault | None
    ) -> tuple[Definition, Started]:
        """Create or update a definition. Raises ArmError."""
        if not _DEFINITION.fullmatch(name):
            rule = r"^[^_\W][\w-._]{0,79}(?<![-.])$"
            raise parameter(f"The entity name 'galleryImageName' is invalid according to its validation rule: {rule}.")
        given, tags, properties = document(body)
        location = location_of(given, f"{KIND}/images")
        definition = gallery.definitions.get(name.lower())
        wanted = _definition(properties, definition)
        if definition is not None:
            check_place(gallery.resource_group, definition, location)
            _check_change(definition.properties, wanted, bool(properties.get("allowUpdateImage")))
        triple = _triple(wanted)
        for other in gallery.definitions.values():
            if other is not definition and _triple(other.properties) == triple:
                text = ", ".join(f"{key}:{wanted['identifier'][key]}" for key in _PARTS)
                raise ArmError(
                    409,
                    "OperationNotAllowed",
                    f"Gallery image: {other.name} identified by ({text}) already exists. Choose a different publisher, "
                    "offer, sku combination.",
                )
        if new := definition is None:
            definition = Definition(name=name, location=location, properties=wanted)
        held = gallery.definitions
        return definition, await self._put(definition, held, name.lower(), wanted, tags, new, fault)

    async def delete(self, gallery: Gallery, fault: Fault | None) -> Started:
        """Start to delete a gallery. Raises ArmError (409) while it has definitions."""
        _check_empty(gallery.id, {gallery.definition_id(each) for each in gallery.definitions.values()})
        return await self._delete(gallery, self._store.galleries, gallery.key, fault)

    async def delete_definition(self, gallery: Gallery, definition: Definition, fault: Fault | None) -> Started:
        """Start to delete a definition. Raises ArmError (409) while it has versions."""
        versions = {gallery.version_id(definition, each) for each in definition.versions.values()}
        _check_empty(gallery.definition_id(definition), versions)
        return await self._delete(definition, gallery.definitions, definition.name.lower(), fault)

    async def _put(
        self,
        item: Any,
        held: dict[Any, Any],
        key: object,
        properties: Properties,
        tags: dict[str, str] | None,
        new: bool,
        fault: Fault | None,
    ) -> Started:
        check_idle(self._store, item)
        held[key] = item
        item.properties, item.tags = properties, tags
        item.state = state = "Creating" if new else "Updating"

        def settle(fault: Fault | None) -> None:
            item.state = "Failed" if fault else "Succeeded"

        return Started(
            state, await self._operations.start(item, 0, Work(_free, _free, settle), fault=fault, dated=False), new
        )

    async def _delete(self, item: Kept, held: dict[Any, Any], key: object, fault: Fault | None) -> Started:
        check_idle(self._store, item)

        def settle(fault: Fault | None) -> None:
            if fault is None:
                held.pop(key, None)

        work = Work(_free, _free, settle)
        return Started("Deleting", await self._operations.start(item, 0, work, fault=fault, dated=False))


def check_idle(store: ArmStore, item: Kept) -> None:
    """Refuse a call while another operation is active. Raises ArmError (409)."""
    if item.operation is not None:
        text = f"Another operation is in progress on the resource '{item.name}' ({item.state}). Retry later."
        raise ArmError(409, "Conflict", text, retry_headers(store.operations[item.operation]))


async def _free() -> Fault | None:
    return None


def _check_empty(id: str, nested: set[str]) -> None:
    if nested:
        names = ", ".join(f"'{each.partition('/providers/')[2]}'" for each in sorted(nested)[:3])
        raise ArmError(
            409,
            "CannotDeleteResource",
            f"Cannot delete resource while nested resources exist. Some existing nested resource IDs include: {names}. "
            "Please delete all nested resources before deleting this resource.",
        )


def _definition(given: Mapping[str, Any], existing: Definition | None) -> Properties:
    """Return the properties of a definition that a PUT asks for, with defaults and without empty values."""
    wanted = {**_DEFAULTS, **{key: value for key, value in given.items() if key in _SETTABLE and value not in ([], {})}}
    for key, choices in _CHOICES.items():
        if wanted.get(key) not in choices:
            raise parameter(
                f"The value of parameter galleryImage.properties.{key} is invalid: '{wanted.get(key)}'. Possible "
                f"values are {', '.join(choices)}."
            )
    identifier = wanted.get("identifier")
    for key, longest in _PARTS.items():
        value = identifier.get(key) if isinstance(identifier, dict) else None
        if not isinstance(value, str) or len(value) > longest or not _PART.fullmatch(value):
            raise parameter(
                f"Asset name galleryImage.properties.identifier.{key} is not valid. It cannot be empty. Allowed "
                "characters are uppercase or lowercase letters, digits, hyphen(-), period (.), underscore (_). Names "
                f"are not allowed to end with period(.). The length of the name cannot exceed {longest} characters."
            )
    if "endOfLifeDate" in wanted:
        before = existing.properties.get("endOfLifeDate") if existing else None
        wanted["endOfLifeDate"] = end_of_life(wanted["endOfLifeDate"], before)
    return wanted


def _check_change(standing: Mapping[str, Any], wanted: Mapping[str, Any], features_may: bool) -> None:
    for key in _FIXED:
        if standing.get(key) != wanted.get(key):
            raise fixed(f"galleryImage.properties.{key}")
    for key in _PARTS:
        if standing["identifier"][key] != wanted["identifier"][key]:
            raise fixed(f"galleryImage.properties.identifier.{key}")
    if not features_may and _features(standing) != _features(wanted):
        raise fixed("galleryImage.properties.features")


def _features(properties: Mapping[str, Any]) -> dict[str, object]:
    return {str(each.get("name")): each.get("value") for each in properties.get("features", [])}


def _triple(properties: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(properties["identifier"][key].lower() for key in _PARTS)
