"""What Azure says of a lab and of the custom images in it.

Owns the shape of those facts. Refuses to fetch them: `imagefactory_azure` does.
"""

from __future__ import annotations

from dataclasses import dataclass


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
