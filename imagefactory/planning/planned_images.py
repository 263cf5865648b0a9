"""What a plan is made of: the images that a lab must hold.

Owns the values only; `plan` decides them, `crossings` adds the ways between regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imagefactory.configuration.labs_file import TargetLab
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_labs import LabFacts


@dataclass(frozen=True)
class Relay:
    """The account (ARM id) from whose staged VHD the other accounts of its region copy.

    `uses` counts the copies that do so, one for each lab, also where labs share an account.
    """

    account_id: str
    uses: int
    image_id: str
    """ARM id of the image that this staged VHD is made for; its release removes it."""


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
    done: bool = False
    """Whether the state has all its resources, so that a run does nothing for it even if the image is missing in the
    lab: only a refresh notices that."""
    relay: Relay | None = None
    """Where its VHD is copied from in place of the factory, also where that is the lab's own account: its staged VHD is
    kept until the others have read it. None: no other account of the region needs it."""


@dataclass(frozen=True)
class Retained:
    """A custom image that the state contains, that the plan does not want, and that is kept all the same."""

    name: str
    """As the state has it."""
    image_path: str
    reason: str


@dataclass(frozen=True)
class LabPlan:
    """What one readable lab must hold."""

    label: str
    lab: TargetLab
    facts: LabFacts
    images: tuple[PlannedImage, ...]
    retained: tuple[Retained, ...] = ()
