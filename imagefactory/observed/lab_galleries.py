"""The gallery that a lab has attached, as Azure returned it: its attachment, and the image definitions in the lab.

Does not read it: `imagefactory.azure.lab_galleries` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Definition:
    """An image definition of a gallery, with what a lab knows of it."""

    name: str
    os_type: str
    """Windows or Linux."""
    image_type: str
    """Generalized or Specialized."""

    @property
    def key(self) -> str:
        """The identity of the definition in its gallery: names of resources are case-insensitive."""
        return self.name.lower()


@dataclass(frozen=True)
class Attachment:
    """A gallery that is attached to a lab."""

    name: str
    gallery_id: str
    location: str | None = None
    """None: Azure did not say."""
    allows_all: bool = False
    """Whether users of the lab can use every image of the gallery, whatever its definition's own state in the lab."""
    failed: bool = False
    tags: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class LabDefinition:
    """A definition as a lab lists it (a "shared image")."""

    name: str
    """The name of the resource, which is the definition's by convention."""
    definition: Definition
    enabled: bool
    """Whether users of the lab can create VMs from it."""
    failed: bool = False
    display_name: str | None = None
