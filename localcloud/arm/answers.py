"""How the resource manager answers about custom images and galleries, where records and publications of Azure differ.

Recorded of DevTest Labs (API version 2018-09-15): no `location`, whatever the PUT had, and ids in the service's own
casing. Published: its examples have a `location`, and the documented form of a resource id is
`/subscriptions/{}/resourceGroups/{}/providers/Microsoft.DevTestLab/...`. A policy of effect `modify` can add tags to
every image (documentation of Azure Policy); that it replaces the same tags of an image is one of its two forms.

Of galleries (API version 2024-03-03), recorded are all properties with their defaults. Published: only what the PUT of
an example had, regions by either form of their names, ids in any letter case (documentation of Resource Manager).
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Literal

from pydantic import Field

from localcloud.arm.regions import short, shown
from localcloud.fault_rules import Settings


class Answers(Settings):
    """The form of all answers about custom images, and about galleries, definitions and versions."""

    custom_image_answers: Literal["recorded", "published"] = "recorded"
    gallery_answers: Literal["recorded", "sparse"] = "recorded"
    policy_tags: dict[str, str] = Field(default_factory=dict)
    """Tags that a policy adds to every such resource; they replace its own of the same name."""

    def of_gallery(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return ARM's JSON for a gallery, a definition or a version in this form."""
        told = deepcopy(body)
        if self.policy_tags:
            told["tags"] = {**(told.get("tags") or {}), **self.policy_tags}
        if self.gallery_answers == "recorded":
            return told
        properties = told["properties"]
        told["id"], told["location"] = told["id"].lower(), shown(told["location"])
        for key in ("safetyProfile", "architecture"):
            properties.pop(key, None)
        published = properties.get("publishingProfile", {})
        for key in ("replicaCount", "excludeFromLatest", "storageAccountType"):
            published.pop(key, None)
        for region in published.get("targetRegions", ()):
            region["name"] = short(region["name"])
            region.pop("storageAccountType", None)
        storage = properties.get("storageProfile", {})
        for disk in (storage.get("osDiskImage", {}), *storage.get("dataDiskImages", ())):
            disk.pop("hostCaching", None)
        return told
