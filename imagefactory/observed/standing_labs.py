"""Labs and their custom images, as Azure returned them. Does not read them: `imagefactory.azure` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.diagnostics import Diagnostic
from imagefactory.observed.lab_machines import LabMachine
from imagefactory.observed.standing_gallery import AttachedGallery, region_key
from imagefactory.observed.storage_accounts import AccountFacts


@dataclass(frozen=True)
class StandingImage:
    """An existing custom image, as listed."""

    id: str
    name: str
    state: str
    """provisioningState: Succeeded, Creating, Updating, Failed, Deleting, and others."""
    image_path: str | None
    """Tag ImagePath as written, so possibly with backslashes; None: the factory did not create the image."""
    source_vhd: str | None
    """Tag SourceVhd: file name of the factory's VHD; images of the older scripts have none."""
    vhd_url: str | None
    """properties.vhd.imageName: the staged VHD from which the image was created."""
    attempt: int = 1
    """Tag Attempt: the number of the attempt that created it, if earlier ones failed."""
    saved_at: datetime | None = None
    """Tag SavedAt: when its VHD was saved, UTC; images of the older scripts have none."""
    created: datetime | None = None
    """properties.creationDate, UTC."""
    stack: str | None = None
    """Tag Stack: the stack (`project/stack`) that created it; images of earlier versions have none."""
    retagged: bool = False
    """Whether somebody changed its tags ImagePath or SourceVhd, so that these values are from the state instead."""
    answer: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The image as Azure returned it."""

    @property
    def in_progress(self) -> bool:
        """Whether the service is creating or updating it, so that its VHD must be kept."""
        return self.state in {"Creating", "Updating"}

    @property
    def staged_name(self) -> str:
        """File name of the staged VHD from which it was created; empty: unknown. Its owner can write any value."""
        return (self.vhd_url or "").partition("?")[0].rpartition("/")[2]

    @property
    def usable(self) -> bool:
        """Whether it is finished or in progress."""
        return self.state == "Succeeded" or self.in_progress

    @cached_property
    def path(self) -> ImagePath | None:
        """The tag ImagePath; None: it is missing or invalid."""
        return ImagePath.read(self.image_path)

    def holds(self, vhd_name: str, name: str) -> bool:
        """Return whether the factory created it from that VHD; images of the older scripts match by their name."""
        if self.image_path is None:
            return False
        return fold(self.name) == fold(name) if self.source_vhd is None else self.source_vhd == vhd_name


@dataclass(frozen=True)
class LabFacts:
    """A DevTest lab and its custom images. Ids and names as Azure lists them."""

    id: str
    subscription_id: str
    resource_group: str
    name: str
    region: str
    storage_account_id: str | None
    """properties.artifactsStorageAccount."""
    images: tuple[StandingImage, ...] = ()
    account: AccountFacts | Diagnostic | None = None
    """Its storage account, or why it cannot be seen; None: it has none, or it was not read."""
    galleries: tuple[AttachedGallery, ...] = ()
    """The Compute Galleries that are attached to it; read only if the stack has a gallery."""
    machines: tuple[LabMachine, ...] | Diagnostic | None = None
    """Its VMs, or why they cannot be listed; None: they were not, because no setting needs them."""

    @cached_property
    def by_name(self) -> Mapping[str, StandingImage]:
        """Its images by folded name."""
        return {fold(each.name): each for each in self.images}

    @cached_property
    def _by_source(self) -> Mapping[tuple[str, bool], list[StandingImage]]:
        """What the factory created, by the name of the VHD; images of the older scripts (False) by their own name."""
        found: dict[tuple[str, bool], list[StandingImage]] = {}
        for each in self.images:
            if each.image_path is not None:
                key = (fold(each.name), False) if each.source_vhd is None else (each.source_vhd, True)
                found.setdefault(key, []).append(each)
        return found

    def holding(self, vhd_name: str, name: str) -> list[StandingImage]:
        """Return the images that `holds` is true of."""
        return [*self._by_source.get((vhd_name, True), ()), *self._by_source.get((fold(name), False), ())]

    @property
    def storage_account(self) -> str:
        """The name of its storage account; empty if it has none."""
        return (self.storage_account_id or "").rpartition("/")[2]

    @property
    def blob_endpoint(self) -> str:
        """The blob endpoint of its storage account as the resource manager shows it; empty: unknown."""
        return self.account.blob_endpoint if isinstance(self.account, AccountFacts) else ""

    @property
    def region_key(self) -> str:
        """Its region in comparable form."""
        return region_key(self.region)
