"""The values of Compute Galleries: galleries, definitions, versions with their replicas, attachments to labs; their ids
and ARM's JSON for them.

The forms are recorded (tests of the Azure CLI, 2025 and 2026: ids, `tags` only if given, `provisioningState`, target
regions with count and storage type, dates) or published (`identifier.uniqueName`, the replication status, and DevTest
Labs 2018-10-15-preview for attachments). Does not contain rules: `gallery_rules`, `gallery_versions` and
`shared_galleries` do.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.arm.regions import shown

KIND = "Microsoft.Compute/galleries"
Properties = dict[str, Any]


@dataclass(kw_only=True)
class Kept:
    """What galleries, definitions and versions have in common. `properties` are those that ARM returns, except the
    provisioning state; `location` is the short name of the region; `operation` names the active operation, if any."""

    name: str
    location: str
    properties: Properties
    state: str = "Succeeded"
    tags: dict[str, str] | None = None
    operation: str | None = None

    def to_arm(self, kind: str, id: str, state: str | None = None) -> dict[str, Any]:
        """Return the resource in provisioning state `state` (default: its own) as ARM's JSON."""
        body: dict[str, Any] = {"name": self.name, "id": id, "type": kind, "location": self.location}
        if self.tags is not None:
            body["tags"] = self.tags
        return {**body, "properties": {**self.properties, "provisioningState": state or self.state}}


@dataclass
class Replica:
    """The copies of a version in one region: they are made from `began` to `due`, and fail with `fault`, if given.

    `state` is that of the replication status: Replicating, Completed or Failed."""

    began: float
    due: float
    fault: dict[str, str] | None = None
    state: str = "Replicating"
    details: str = ""

    def to_arm(self, region: str) -> dict[str, Any]:
        """Return the region's part of the replication status."""
        progress = 100 if self.state == "Completed" else 0
        if self.state == "Replicating" and self.due > self.began:
            progress = max(0, min(99, int(100 * (time.time() - self.began) / (self.due - self.began))))
        return {"region": shown(region), "state": self.state, "details": self.details, "progress": progress}


@dataclass(kw_only=True)
class Version(Kept):
    """A version of a definition, with its replicas by the short name of the region."""

    replicas: dict[str, Replica] = field(default_factory=dict)

    @property
    def regions(self) -> list[dict[str, Any]]:
        """The target regions, as ARM shows them."""
        return list(self.properties["publishingProfile"]["targetRegions"])

    def replication_status(self) -> dict[str, Any]:
        """Return the replication status as ARM's JSON."""
        states = {each.state for each in self.replicas.values()}
        aggregated = "Failed" if "Failed" in states else "InProgress" if "Replicating" in states else "Completed"
        summary = [replica.to_arm(region) for region, replica in self.replicas.items()]
        return {"aggregatedState": aggregated, "summary": summary}


@dataclass(kw_only=True)
class Definition(Kept):
    """A definition, with its versions by name; `created` is in seconds since 1970."""

    created: float = field(default_factory=time.time)
    versions: dict[str, Version] = field(default_factory=dict)


@dataclass(kw_only=True)
class Gallery(Kept):
    """A gallery, with its definitions by lower-case name."""

    subscription_id: str
    resource_group: str
    definitions: dict[str, Definition] = field(default_factory=dict)

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> Gallery:
        """Return the gallery that `dataclasses.asdict` gave."""
        definitions = {}
        for name, each in saved["definitions"].items():
            versions = {}
            for key, version in each["versions"].items():
                replicas = {region: Replica(**replica) for region, replica in version["replicas"].items()}
                versions[key] = Version(**{**version, "replicas": replicas})
            definitions[name] = Definition(**{**each, "versions": versions})
        return cls(**{**saved, "definitions": definitions})

    @property
    def region(self) -> str:
        """The short name of the gallery's region."""
        return self.location

    @property
    def key(self) -> tuple[str, str, str]:
        """The key of the store."""
        return self.subscription_id.lower(), self.resource_group.lower(), self.name.lower()

    @property
    def id(self) -> str:
        """The gallery's ARM id."""
        group = f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
        return f"{group}/providers/{KIND}/{self.name}"

    def definition_id(self, definition: Definition) -> str:
        """The ARM id of a definition."""
        return f"{self.id}/images/{definition.name}"

    def version_id(self, definition: Definition, version: Version) -> str:
        """The ARM id of a version."""
        return f"{self.definition_id(definition)}/versions/{version.name}"

    def shown(self, state: str | None = None) -> dict[str, Any]:
        """Return the gallery as ARM's JSON."""
        return self.to_arm(KIND, self.id, state)

    def shown_definition(self, definition: Definition, state: str | None = None) -> dict[str, Any]:
        """Return a definition as ARM's JSON."""
        return definition.to_arm(f"{KIND}/images", self.definition_id(definition), state)

    def shown_version(self, definition: Definition, version: Version) -> dict[str, Any]:
        """Return a version as ARM's JSON."""
        return version.to_arm(f"{KIND}/images/versions", self.version_id(definition, version))


@dataclass
class SharedGallery:
    """The attachment of a gallery to a lab. `images` has the state (Enabled, Disabled) that was set for an image, by
    the lower-case name of its definition; `attached` is in seconds since 1970."""

    name: str
    gallery_id: str
    allow_all_images: str
    location: str
    tags: dict[str, str] | None = None
    images: dict[str, str] = field(default_factory=dict)
    attached: float = field(default_factory=time.time)
    unique_identifier: str = field(default_factory=lambda: str(uuid.uuid4()))

    def to_arm(self, lab_id: str) -> dict[str, Any]:
        """Return the attachment as ARM's JSON, with the casing of the published examples."""
        body: dict[str, Any] = {
            "properties": {
                "galleryId": self.gallery_id,
                "allowAllImages": self.allow_all_images,
                "provisioningState": "Succeeded",
                "uniqueIdentifier": self.unique_identifier,
            },
            "id": f"{lab_id}/sharedgalleries/{self.name}",
            "name": self.name,
            "type": "Microsoft.DevTestLab/labs/sharedGalleries",
            "location": self.location,
        }
        return body if self.tags is None else {**body, "tags": self.tags}

    def image_to_arm(self, lab_id: str, definition: Definition) -> dict[str, Any]:
        """Return a definition as the lab shows it; an attachment that allows all images overrides their states."""
        allowed = self.allow_all_images == "Enabled" or self.images.get(definition.name.lower()) == "Enabled"
        space = uuid.UUID(self.unique_identifier)
        return {
            "properties": {
                "definitionName": definition.name,
                "osType": definition.properties["osType"],
                "imageType": definition.properties["osState"],
                "enableState": "Enabled" if allowed else "Disabled",
                "displayName": definition.name,
                "provisioningState": "Succeeded",
                "uniqueIdentifier": str(uuid.uuid5(space, definition.name.lower())),
            },
            "id": f"{lab_id}/sharedgalleries/{self.name}/sharedimages/{definition.name}",
            "name": definition.name,
            "type": "Microsoft.DevTestLab/labs/sharedGalleries/sharedImages",
        }
