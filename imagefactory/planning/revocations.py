"""Which images are revoked: factory images, and what labs and galleries have of them.

Does not decide what follows: `retention` does for what is offered, the modules `retirement` for what leaves.
"""

from __future__ import annotations

from imagefactory.configuration.image_names import name_beside
from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.configuration.stack_settings import Policy
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import FactoryImage, stem
from imagefactory.observed.standing_gallery import StandingVersion
from imagefactory.observed.standing_labs import StandingImage


class Revocations:
    """The reasons of a policy. All methods return one as `revoked: <reason>`; empty if the image is not revoked."""

    def __init__(self, catalog: Catalog, policy: Policy) -> None:
        self._revoked = sorted(policy.revoked.items())
        known = (*catalog.images, *(each.image for each in catalog.left_out if each.image))
        self._by_vhd = {image.vhd_name: image for image in known}

    def of_image(self, image: FactoryImage) -> str:
        """Tell of a factory image."""
        return self._reason(image.image_path, image.name)

    def of_standing(self, image: StandingImage) -> str:
        """Tell of a custom image: by the factory image that it was made from; if the factory no longer has that, by its
        own name and the one of its VHD. One that the factory did not make is never revoked."""
        if image.image_path is None:
            return ""
        source = self._by_vhd.get(image.source_vhd or "")
        return self.of_image(source) if source else self._reason(image.path, image.name, image.source_vhd or "")

    def of_version(self, version: StandingVersion) -> str:
        """Tell of a gallery version, whose own name is only a time."""
        if version.image_path is None:
            return ""
        source = self._by_vhd.get(version.source_vhd)
        return self.of_image(source) if source else self._reason(version.path, "", version.source_vhd)

    def _reason(self, path: ImagePath | None, name: str, lost_vhd: str = "") -> str:
        """`lost_vhd` is a VHD that the factory no longer has. Its name without suffix can be revoked as well, because a
        gallery version has no other name of an image; an image beside another one is named after its VHD."""
        for one, reason in self._revoked:
            beside = fold(name) == fold(name_beside(one.name, lost_vhd)) and one.path in {None, path}
            if one.is_of(path, name) or (lost_vhd and (one.is_of(path, stem(lost_vhd)) or beside)):
                return f"revoked: {reason}"
        return ""
