"""A Compute Gallery with its definitions and versions, and its attachment to a lab, as Azure returned them.

Does not read them: `imagefactory.azure` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.images.timestamps import only_reading


def region_key(region: str) -> str:
    """Return a region in comparable form; Azure writes `West Europe` or `westeurope`."""
    return region.replace(" ", "").lower()


@dataclass(frozen=True)
class StandingVersion:
    """An existing version of a definition."""

    id: str
    name: str
    """Major.Minor.Patch."""
    state: str
    """provisioningState: Succeeded, Creating, Updating, Failed, Deleting."""
    image_path: str | None
    """Tag ImagePath as written; None: the factory did not create the version."""
    source_vhd: str
    """File name of the VHD that it was created from: its tag SourceVhd, else the name in its source's URL; empty:
    unknown."""
    regions: frozenset[str]
    """Its target regions, as `region_key` returns them; of one that failed, those that have its replicas."""
    attempt: int = 1
    """Tag Attempt."""
    saved_at: datetime | None = None
    """Tag SavedAt, UTC."""
    stack: str | None = None
    """Tag Stack."""
    vhds: frozenset[str] = frozenset()
    """File names, in lower case, of the VHDs of all its disks."""
    answer: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The version as Azure returned it."""

    @property
    def location(self) -> str:
        """The region in which it was created, in comparable form; empty: unknown."""
        return region_key(str(self.answer.get("location") or ""))

    @property
    def in_progress(self) -> bool:
        """Whether Azure creates or replicates it, and may be reading its VHD."""
        return self.state in {"Creating", "Updating"}

    @property
    def usable(self) -> bool:
        """Whether it is finished or in progress."""
        return self.state == "Succeeded" or self.in_progress

    @property
    def path(self) -> ImagePath | None:
        """The tag ImagePath; None: it is missing or invalid."""
        return ImagePath.read(self.image_path)

    @property
    def published(self) -> datetime | None:
        """publishedDate, UTC; None: missing or unreadable."""
        profile = (self.answer.get("properties") or {}).get("publishingProfile") or {}
        return only_reading(profile.get("publishedDate"))


@dataclass(frozen=True)
class StandingDefinition:
    """An existing definition of a gallery."""

    id: str
    name: str
    os_type: str
    """Windows or Linux."""
    os_state: str
    """Generalized or Specialized."""
    generation: str
    """V1 or V2."""
    identifier: tuple[str, str, str]
    """Publisher, offer and SKU: unique in the gallery, whatever their letter case."""
    security_type: str = ""
    """The feature SecurityType; empty: it has none."""
    image_path: str | None = None
    """Tag ImagePath as written; None: the factory did not create the definition."""
    stack: str | None = None
    """Tag Stack."""
    versions: tuple[StandingVersion, ...] = ()
    answer: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The definition as Azure returned it."""


@dataclass(frozen=True)
class GalleryFacts:
    """The gallery of a stack: where it is, or where the stack creates it."""

    id: str
    """ARM id: as Azure returned it if the gallery exists, else as the settings name it."""
    region: str
    exists: bool = True
    source_region: str = ""
    """The region of the factory's storage account; empty: that of the gallery."""
    definitions: tuple[StandingDefinition, ...] = ()
    answer: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The gallery as Azure returned it; empty if it does not exist."""

    @property
    def name(self) -> str:
        """The last part of its id."""
        return self.id.rpartition("/")[2]

    def version(self, definition: str, name: str) -> StandingVersion | None:
        """Return the version of that name of the definition of that name; None: it does not exist."""
        return self.by_key.get(fold(f"{definition}/{name}"))

    @cached_property
    def by_key(self) -> Mapping[str, StandingVersion]:
        """Its versions by `<definition>/<version>` in comparable form."""
        return {fold(f"{one.name}/{each.name}"): each for one in self.definitions for each in one.versions}

    @cached_property
    def by_source(self) -> Mapping[str, Sequence[tuple[StandingDefinition, StandingVersion]]]:
        """The versions that the factory created, each with its definition, by the file name of their VHD."""
        found: dict[str, list[tuple[StandingDefinition, StandingVersion]]] = {}
        for one in self.definitions:
            for each in one.versions:
                if each.image_path is not None:
                    found.setdefault(each.source_vhd, []).append((one, each))
        return found

    @property
    def sources(self) -> frozenset[str]:
        """File names of the VHDs of its versions that are finished or in progress."""
        return frozenset(each.source_vhd for each in self.by_key.values() if each.usable)

    @property
    def region_key(self) -> str:
        """Its region in comparable form."""
        return region_key(self.region)

    @property
    def version_region(self) -> str:
        """The region in which versions are created, in comparable form: that of their VHDs.

        Azure finds no source elsewhere; the gallery and its definitions can be in other regions
        (learn.microsoft.com, "Troubleshoot images in an Azure Compute Gallery"; "Store and share images in an Azure
        Compute Gallery", frequently asked questions).
        """
        return region_key(self.source_region or self.region)

    @property
    def place(self) -> tuple[str, str, str]:
        """Its subscription, resource group and name in comparable form."""
        return fold(self.subscription_id), fold(self.resource_group), fold(self.name)

    @property
    def subscription_id(self) -> str:
        """The subscription in its id."""
        return self.id.split("/")[2]

    @property
    def resource_group(self) -> str:
        """The resource group in its id."""
        return self.id.split("/")[4]


@dataclass(frozen=True)
class AttachedGallery:
    """A gallery that is attached to a lab (`Microsoft.DevTestLab/labs/sharedGalleries`)."""

    id: str
    """ARM id of the attachment."""
    gallery_id: str
    enabled: frozenset[str] = frozenset()
    """Names, in lower case, of the definitions that the users of the lab can use."""

    @property
    def name(self) -> str:
        """The last part of its id."""
        return self.id.rpartition("/")[2]

    def is_of(self, gallery_id: str) -> bool:
        """Return whether it attaches that gallery."""
        return self.gallery_id.lower() == gallery_id.lower()
