"""labs.json: which lab gets which golden images.

Owns the models of the file, from which the JSON Schema for editors is generated, and the identity of a target lab.
Refuses to look at Azure or at the golden images.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from imagefactory.faults import Location
from imagefactory.image_path import ImagePath, Selector


class LabKey(NamedTuple):
    """What identifies a lab, both in lower case: Azure compares them without regard to case."""

    subscription_id: str
    lab_name: str


@dataclass(frozen=True)
class TargetLab:
    """An entry of labs.json."""

    subscription_id: str
    name: str
    resource_group: str | None
    selectors: tuple[Selector, ...]
    location: Location

    @property
    def key(self) -> LabKey:
        """The identity of the lab."""
        return LabKey(self.subscription_id.lower(), self.name.lower())

    @property
    def label(self) -> str:
        """A short, stable name for Pulumi resources: lab name and 8 hex digits that stand for the subscription."""
        subscription = hashlib.sha256(self.key.subscription_id.encode()).hexdigest()[:8]
        return f"{self.key.lab_name}@{subscription}"

    def takes(self, image_path: ImagePath) -> bool:
        """Whether an entry of ImagePaths matches the image path."""
        return any(selector.matches(image_path) for selector in self.selectors)
