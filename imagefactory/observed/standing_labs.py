"""What Azure says of a lab and of the custom images in it.

Owns the shape of those facts. Refuses to fetch them: `imagefactory.azure` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from imagefactory.configuration.image_paths import ImagePath, fold


@dataclass(frozen=True)
class StandingImage:
    """A custom image as the service lists it."""

    id: str
    name: str
    state: str
    """provisioningState: Succeeded, Creating, Updating, Failed, Deleting and whatever Azure adds."""
    image_path: str | None
    """Tag ImagePath as it stands there, so perhaps with backslashes; None: the factory did not make the image."""
    source_vhd: str | None
    """Tag SourceVhd: file name of the factory's VHD; images made by the old scripts have none."""
    vhd_url: str | None
    """properties.vhd.imageName: the staged VHD that the image was made from."""
    attempt: int = 1
    """Tag Attempt: the how manieth time it was made, for one that failed before."""
    saved_at: datetime | None = None
    """Tag SavedAt: when its VHD was saved, UTC; images made by the old scripts have none."""
    created: datetime | None = None
    """properties.creationDate, UTC."""

    @property
    def in_progress(self) -> bool:
        """Whether the service is still working on it, so that its VHD must not be touched."""
        return self.state in {"Creating", "Updating"}

    @property
    def staged_name(self) -> str:
        """File name of the staged VHD that it was made from; empty: not told. Its owner can write anything there."""
        return (self.vhd_url or "").partition("?")[0].rpartition("/")[2]

    @property
    def usable(self) -> bool:
        """Whether it is finished, or is being created."""
        return self.state == "Succeeded" or self.in_progress

    @property
    def path(self) -> ImagePath | None:
        """The tag ImagePath; None: it is missing or invalid."""
        try:
            return ImagePath.parse(self.image_path or "")
        except ValueError:
            return None

    def holds(self, vhd_name: str, name: str) -> bool:
        """Whether the factory made it from that VHD; images of the old scripts name no VHD, so their name decides."""
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

    @property
    def storage_account(self) -> str:
        """The name of its storage account; empty where it has none."""
        return (self.storage_account_id or "").rpartition("/")[2]

    @property
    def region_key(self) -> str:
        """Its region as it can be compared; Azure writes one as `West Europe` or `westeurope`."""
        return self.region.replace(" ", "").lower()
