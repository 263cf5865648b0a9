"""The plan: what each lab must hold, each omission with its reason.

Owns the rules from catalog, labs and policy to images. Refuses to act: programs and reports read the same value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imagefactory.catalog import Catalog
from imagefactory.companion import FactoryImage
from imagefactory.configuration import Configuration
from imagefactory.faults import Fault
from imagefactory.lab_facts import LabFacts
from imagefactory.labs import LabKey, TargetLab
from imagefactory.settings import Policy


@dataclass(frozen=True)
class PlannedImage:
    """A custom image that a lab must hold."""

    image: FactoryImage
    name: str
    """Name of the custom image: as it stands in the lab, else the factory image's name."""
    image_id: str
    """ARM id; exactly as the service lists it where the image stands."""
    standing: bool
    """Whether it stands in the lab already, finished or being made, and is taken over."""
    tags: Mapping[str, str]


@dataclass(frozen=True)
class LabPlan:
    """What one readable lab must hold."""

    key: LabKey
    label: str
    lab: TargetLab
    facts: LabFacts
    images: tuple[PlannedImage, ...]


@dataclass(frozen=True)
class Omission:
    """A factory image that a lab (None: any lab) does not get."""

    lab: str | None
    image: str | None
    image_path: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """Everything that readers need; `failures` that are not empty mean: serve the labs, delete nothing, then fail."""

    labs: tuple[LabPlan, ...]
    omissions: tuple[Omission, ...] = ()
    warnings: tuple[Fault, ...] = ()
    failures: tuple[Fault, ...] = ()

    def to_json(self) -> str:
        """The plan as a JSON document."""
        raise NotImplementedError


def build_plan(
    configuration: Configuration,
    catalog: Catalog,
    factory: LabFacts,
    labs: Mapping[LabKey, LabFacts | Fault],
    policy: Policy,
) -> Plan:
    """Decide what each lab must hold. Deterministic whatever the order of its inputs."""
    raise NotImplementedError
