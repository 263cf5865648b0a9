"""The values of a plan for the Compute Gallery of a stack, and the names that follow from a factory image.

`plan` decides them. Names and immutable properties depend on the image alone, so that they stay the same for ever.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timezone
from typing import Literal

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_gallery import AttachedGallery, GalleryFacts, StandingDefinition, StandingVersion
from imagefactory.observed.standing_labs import LabFacts

NAME_LENGTH = 64
"""The longest name of a definition that is created: it is also the offer of its identifier, which Azure limits to 64
characters. A name of a definition may have 80 (learn.microsoft.com, "Naming rules", Microsoft.Compute/galleries)."""

_HASH_LENGTH = 8
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_]*[A-Za-z0-9])?")
_OTHERS = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True)
class Traits:
    """What Azure cannot change in a definition, and a VM must know of its disk."""

    os_type: Literal["Windows", "Linux"]
    generalized: bool
    generation: Literal["V1", "V2"]
    trusted_launch: bool
    """Whether VMs may have Trusted Launch: the feature SecurityType is TrustedLaunchSupported."""

    @staticmethod
    def of(image: FactoryImage) -> Traits:
        """Return the traits of an image. A disk of unknown generation is generation 1, as the older scripts made."""
        generation: Literal["V1", "V2"] = "V2" if image.generation == "V2" else "V1"
        trusted = generation == "V2" and image.security_type == "TrustedLaunch"
        return Traits(image.os_type, image.generalized, generation, trusted)

    @staticmethod
    def of_standing(definition: StandingDefinition) -> Traits:
        """Return the traits of an existing definition."""
        return Traits(
            "Windows" if definition.os_type.lower() == "windows" else "Linux",
            definition.os_state.lower() != "specialized",
            "V2" if definition.generation.upper() == "V2" else "V1",
            definition.security_type.lower().startswith("trustedlaunch"),
        )

    @property
    def os_state(self) -> Literal["Generalized", "Specialized"]:
        """The OS state as Azure writes it."""
        return "Generalized" if self.generalized else "Specialized"

    @property
    def suffix(self) -> str:
        """What the name of a definition says of them; empty for a generalized disk of generation 1."""
        parts = ("gen2" if self.generation == "V2" else "", "trusted" if self.trusted_launch else "")
        return "".join(f"-{part}" for part in (*parts, "" if self.generalized else "specialized") if part)


def definition_name(path: ImagePath, traits: Traits) -> str:
    """Return the name of the definition of an image path: `Win2016.Datacenter`, `Win2016.Datacenter-gen2`.

    A path that such a name cannot repeat, or that would be too long, gets a name with a hash of it, so that all paths
    have different names. Letter case does not count, as in Azure.
    """
    written = path.parts if all(part.isascii() for part in path.parts) else path.key
    parts = [*written[:-1], re.sub(r"(?i)\.json$", "", written[-1])]
    plain, suffix = ".".join(parts), traits.suffix
    is_json = written[-1].lower().endswith(".json")
    if is_json and all(_PLAIN.fullmatch(part) for part in parts) and len(plain) + len(suffix) <= NAME_LENGTH:
        return plain + suffix
    hashed = hashlib.sha256("/".join(path.key).encode()).hexdigest()[:_HASH_LENGTH]
    room = NAME_LENGTH - len(suffix) - _HASH_LENGTH - 1
    return f"{_OTHERS.sub('_', plain)[:room].strip('_') or 'image'}-{hashed}{suffix}"


def version_name(image: FactoryImage) -> str:
    """Return the version of an image: year, month and day, time of day of its saving (UTC), such as `2026.1126.90503`.

    Versions are integers, so they sort as the times of saving do.
    """
    at = image.saved_at.astimezone(timezone.utc)
    return f"{at.year}.{at.month * 100 + at.day}.{at.hour * 10000 + at.minute * 100 + at.second}"


def identifier(publisher: str, name: str, traits: Traits) -> tuple[str, str, str]:
    """Return publisher, offer and SKU of a new definition: unique in its gallery, because its name is."""
    return publisher, name, "gen2" if traits.generation == "V2" else "gen1"


@dataclass(frozen=True)
class GalleryLab:
    """A lab of labs.json, and what it gets by the gallery."""

    lab: TargetLab
    facts: LabFacts | None
    """None: it could not be read, so what the state has of it is kept."""
    images: tuple[FactoryImage, ...] = ()
    """What it gets by the gallery; empty if it gets custom images only."""
    replaced: frozenset[ImagePath] = frozenset()
    """Image paths whose wanted images the lab has as custom images in state Succeeded."""
    is_served: bool = True
    """Whether it gets images by the gallery at all."""
    closed: frozenset[str] = frozenset()
    """File names of the VHDs whose images its ring does not take yet, except those that the lab has."""


@dataclass(frozen=True)
class RecordedVersion:
    """A version as the state has it."""

    key: str
    """`<definition>/<version>`."""
    attempt: int = 1
    stack: str | None = None
    """Its tag Stack."""
    image_path: ImagePath | None = None
    """Its tag ImagePath; None: missing or invalid."""


@dataclass(frozen=True)
class RecordedLab:
    """What the state has of the gallery in one lab."""

    resource_group: str
    definitions: frozenset[str]
    """Names, in lower case, of the definitions that are enabled."""


@dataclass(frozen=True)
class RecordedGallery:
    """What the state has of the stack's gallery. Names are compared case-insensitively, as Azure does."""

    gallery: bool = False
    """Whether it has the gallery itself."""
    definitions: Mapping[str, str] = field(default_factory=dict)
    """Name in lower case -> name in the state."""
    versions: Mapping[str, RecordedVersion] = field(default_factory=dict)
    """By key in lower case."""
    labs: Mapping[str, RecordedLab] = field(default_factory=dict)
    """By label."""

    places: frozenset[tuple[str, str, str]] = frozenset()
    """Subscriptions, resource groups and names of the galleries that its resources belong to, in comparable form: one,
    if any."""

    @property
    def holds_images(self) -> bool:
        """Whether it has anything but the gallery itself."""
        return bool(self.definitions or self.versions or self.labs)


@dataclass(frozen=True)
class PlannedDefinition:
    """A definition that the gallery must contain."""

    name: str
    image_path: ImagePath
    traits: Traits
    identifier: tuple[str, str, str]
    """Publisher, offer and SKU."""
    tags: Mapping[str, str]
    standing: bool = False


@dataclass(frozen=True)
class PlannedVersion:
    """A version that the gallery must contain."""

    image: FactoryImage
    definition: str
    name: str
    regions: tuple[str, ...]
    """Sorted; the one in which it is created is one of them."""
    tags: Mapping[str, str]
    standing: bool = False
    """Whether it exists, finished or in progress."""

    @property
    def key(self) -> str:
        """`<definition>/<version>`, as the names of its resources end."""
        return f"{self.definition}/{self.name}"


@dataclass(frozen=True)
class RetainedVersion:
    """A version that is in the state but not in the plan, and is kept for now."""

    key: str
    """`<definition>/<version>` in the state."""
    image_path: str
    reason: str
    regions: frozenset[str] | None = None
    """Those that have replicas of one that failed, to which it is reduced; None: it keeps what it has."""


@dataclass(frozen=True)
class EnabledDefinition:
    """A definition that users of a lab can use."""

    name: str
    traits: Traits
    reason: str = ""
    """Why it is still enabled although the lab is to have none of its images by the gallery; empty if it is to."""


@dataclass(frozen=True)
class LabGalleryPlan:
    """What one lab must offer of the gallery."""

    label: str
    facts: LabFacts
    attachment: str
    """Name of the attachment: that of the existing one, else the gallery's."""
    definitions: tuple[EnabledDefinition, ...]
    """By name."""


@dataclass(frozen=True)
class UnadoptedPart:
    """A wanted gallery, definition or version that exists and that the state does not contain: it is not declared."""

    key: str
    """Empty for the gallery, `<definition>` or `<definition>/<version>`."""
    part: GalleryFacts | StandingDefinition | StandingVersion
    planned: PlannedDefinition | PlannedVersion | None = None
    """What the plan contains once it is in the state; None for the gallery."""


@dataclass(frozen=True)
class GalleryPlan:
    """What the gallery of a stack must contain, and what labs offer of it."""

    facts: GalleryFacts
    is_managed: bool
    """Whether the stack creates the gallery itself: false if the settings name an existing one by its id."""
    definitions: tuple[PlannedDefinition, ...] = ()
    versions: tuple[PlannedVersion, ...] = ()
    retained: tuple[RetainedVersion, ...] = ()
    kept: tuple[str, ...] = ()
    """Names of definitions that are in the state but not in the plan, and are kept for now."""
    labs: tuple[LabGalleryPlan, ...] = ()
    kept_labs: tuple[str, ...] = ()
    """Labels of labs whose part of the state is kept as it is: they could not be read, or have another gallery."""
    unadopted: tuple[UnadoptedPart, ...] = ()
    replicas: int = 1
    """Per version and region."""
    price: float | None = None
    """Of a GiB of a replica and month; None: not set."""
    revoked: tuple[RetainedVersion, ...] = ()
    """Revoked versions of the state that leave the gallery, each with the reason."""


def attached_of(facts: LabFacts, gallery_id: str) -> AttachedGallery | None:
    """Return the attachment of a gallery to a lab; None: it is not attached."""
    return next((each for each in facts.galleries if each.is_of(gallery_id)), None)
