"""What to write so that a lab has exactly one gallery attached and exactly the wanted definitions enabled.

Compares what a lab lists with what is wanted. Names and ids are case-insensitive, because Azure's own casing varies.
Does not send requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from imagefactory.observed.lab_galleries import Attachment, Definition, LabDefinition


@dataclass(frozen=True)
class WantedGallery:
    """The gallery that a lab must have attached, and the definitions that its users can use."""

    gallery_id: str
    name: str
    """The name of a new attachment; an existing one keeps its own."""
    location: str
    """The region of the lab."""
    definitions: tuple[Definition, ...]


def attachment_of(gallery_id: str, attachments: Iterable[Attachment]) -> Attachment | None:
    """Return the attachment of this gallery, whatever its name; None: it is not attached."""
    return next((each for each in attachments if same_id(each.gallery_id, gallery_id)), None)


def other_gallery(gallery_id: str, attachments: Iterable[Attachment]) -> str | None:
    """Return the id of another gallery that is attached; None: there is none. A lab has one gallery at a time."""
    return next((each.gallery_id for each in attachments if not same_id(each.gallery_id, gallery_id)), None)


def attachment_problem(wanted: WantedGallery, attachment: Attachment) -> str:
    """Return how the attachment differs from the wanted one, as a fact; empty: it does not."""
    if attachment.allows_all:
        return "permits all images of its gallery (allowAllImages)"
    if attachment.failed:
        return "has an attachment that failed"
    if attachment.location is not None and _region(attachment.location) != _region(wanted.location):
        return f"has an attachment in {attachment.location}"
    return ""


def to_write(wanted: WantedGallery, listed: Sequence[LabDefinition]) -> tuple[LabDefinition, ...]:
    """Return what differs, as it must be written: wanted definitions enabled, then all others disabled."""
    keys = {definition.key for definition in wanted.definitions}
    enabled = (_enabled(definition, listed) for definition in wanted.definitions)
    surplus = (replace(each, enabled=False) for each in listed if each.enabled and each.definition.key not in keys)
    return tuple(each for each in (*enabled, *surplus) if each is not None)


def usable(
    listed: Iterable[LabDefinition], allows_all: bool, recorded: Iterable[Definition] = ()
) -> tuple[Definition, ...]:
    """Return the definitions that users of the lab can use, in order; one that equals a recorded one is spelled so.

    A lab that allows all images overrides the state of each (API specification 2018-10-15-preview, `allowAllImages`).
    """
    spelled = {_comparable(definition): definition for definition in recorded}
    found = {
        each.definition.key: each.definition for each in listed if (each.enabled or allows_all) and not each.failed
    }
    return in_order(spelled.get(_comparable(definition), definition) for definition in found.values())


def in_order(definitions: Iterable[Definition]) -> tuple[Definition, ...]:
    """Return definitions sorted by name."""
    return tuple(sorted(definitions, key=lambda definition: (definition.key, definition.name)))


def same_id(one: str, other: str) -> bool:
    """Return whether two ARM ids are of the same resource."""
    return one.lower() == other.lower()


def _enabled(definition: Definition, listed: Iterable[LabDefinition]) -> LabDefinition | None:
    """Return how the lab must list the definition; None: it does already."""
    found = next((each for each in listed if each.definition.key == definition.key), None)
    if found is None:
        return LabDefinition(definition.name, definition, enabled=True)
    if found.enabled and not found.failed and _comparable(found.definition) == _comparable(definition):
        return None
    return replace(found, definition=definition, enabled=True, failed=False)


def _comparable(definition: Definition) -> tuple[str, str, str]:
    return definition.key, definition.os_type.lower(), definition.image_type.lower()


def _region(location: str) -> str:
    """Return the name of a region for comparison: Azure accepts `West Europe` for `westeurope`."""
    return location.replace(" ", "").lower()
