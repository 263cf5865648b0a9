"""The values of a plan: the images that a lab must contain.

`plan` decides them, `crossings` adds the relays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.delivery import Route
from imagefactory.planning.rings import Offering


@dataclass(frozen=True)
class Relay:
    """The account (ARM id) with the staged VHD from which the other accounts of its region copy.

    `uses` counts these copies, one per lab, even if labs share an account.
    """

    account_id: str
    uses: int
    image_id: str
    """ARM id of the image that is created from this staged VHD; the release of this image deletes it."""
    blob_endpoint: str = ""
    """That of the account; empty: the usual one."""
    is_source: bool = False
    """Whether it is the factory's VHD itself, for the factory's region."""


@dataclass(frozen=True)
class PlannedImage:
    """A custom image that a lab must contain."""

    image: FactoryImage
    name: str
    """Name of the custom image: that of the existing image, else that of the factory image."""
    image_id: str
    """ARM id; exactly as listed if the image exists."""
    standing: bool
    """Whether it already exists in the lab, finished or in progress."""
    tags: Mapping[str, str]
    done: bool = False
    """Whether the state has all its resources, so that a run does nothing for it even if the image is missing in the
    lab: only a refresh notices that."""
    relay: Relay | None = None
    """The relay from which its VHD is copied instead of the factory. If it is the lab's own account, its staged VHD is
    kept until the other accounts have read it. None: no other account of the region needs it."""
    retagged: bool = False
    """Whether it exists and somebody changed its tags, so that they are written again."""


@dataclass(frozen=True)
class Recorded:
    """A custom image as the stack's state has it."""

    attempt: int
    """Its tag Attempt, as of `ImageTags`: that of the last try, also if Azure never stored it."""
    vhd_name: str | None = None
    """File name of the factory's VHD; None: its copy, image and release are not all in the state."""
    resource_group: str = ""
    """That of its lab, as the state has it."""
    account_id: str = ""
    """ARM id of the storage account that its VHD was staged in, in lower case; empty: unknown."""
    stack: str | None = None
    """Its tag Stack, as of `ImageTags`."""
    image_path: ImagePath | None = None
    """Its tag ImagePath; None: missing or invalid."""

    def as_tagged(self, image: FactoryImage) -> FactoryImage:
        """Return its factory image with the image path in the letter case of the tag, so that the tag stays."""
        path = self.image_path if self.image_path == image.image_path else None
        return replace(image, image_path=path or image.image_path)


@dataclass(frozen=True)
class Retained:
    """A custom image that is in the state but not in the plan, and is kept for now."""

    name: str
    """Its name in the state."""
    image_path: str
    reason: str


@dataclass(frozen=True)
class Unadopted:
    """A wanted image that exists in its lab and that the state does not contain, so that it is not declared: the engine
    would write to it. `imagefactory adopt` adds it to the state."""

    image: StandingImage
    planned: PlannedImage
    """What the plan contains once the image is in the state; `standing` is false if it failed."""


@dataclass(frozen=True)
class LabPlan:
    """What one lab, which could be read, must contain."""

    label: str
    lab: TargetLab
    facts: LabFacts
    images: tuple[PlannedImage, ...]
    retained: tuple[Retained, ...] = ()
    unadopted: tuple[Unadopted, ...] = ()
    """Wanted images that are not in `images`, because they exist and the state does not contain them."""
    foreign: tuple[StandingImage, ...] = ()
    """Images of other stacks in the place of wanted ones."""
    routes: tuple[Route, ...] = ()
    """Which way each factory image goes to the lab, and why."""
    by_gallery: frozenset[str] = frozenset()
    """File names of the VHDs whose images its users can use by the gallery now."""
    revoked: tuple[Retained, ...] = ()
    """Revoked images in the state that leave the lab, each with the reason."""
    offering: Offering = field(default_factory=lambda: Offering(()))
    """What the lab is offered at the place of its ring."""
