"""The last good images: which factory images labs still use, even if the factory has newer ones.

Decides by the custom images of the labs, and by the versions of their stack's Compute Gallery that their users can use.
The owners of labs can set any tags, so a lab keeps up to one image of each of its image paths in labs.json, and never
causes a deletion. Does not consider `keep`, pins or VMs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.images.catalog import Catalog, newest_first
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.factory.staging_needs import StackPlan
from imagefactory.planning.galleries.lab_offers import available


@dataclass(frozen=True)
class LastGood:
    """Reasons to keep factory images, each with the labels of the labs."""

    vhds: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of VHDs, each with the labs in which its image is the newest `Succeeded` one of its path."""
    unknown: Mapping[ImagePath, Sequence[str]] = field(default_factory=dict)
    """Image paths without such an image in any lab that was read, each with the labs that could not be read."""

    def reason_to_keep(self, image: FactoryImage) -> str:
        """Return why the image must be kept; empty if no lab needs it."""
        if labs := self.vhds.get(image.vhd_name):
            return f"it is the newest Succeeded image of its image path in lab {_some(labs)}"
        if labs := self.unknown.get(image.image_path):
            return f"no lab has a Succeeded image of its image path, and lab {_some(labs)} could not be read"
        return ""


def last_good(stacks: Iterable[StackPlan], catalog: Catalog) -> LastGood:
    """Return the images of the catalog that labs use. An image without a date counts as used, never as the newest."""
    images = newest_first(catalog.images)
    vhds: dict[str, set[str]] = {}
    unread: dict[ImagePath, set[str]] = {}
    held: set[ImagePath] = set()
    for stack in stacks:
        for lab in stack.configuration.labs:
            facts, found = stack.labs[lab.key], set[ImagePath]()
            paths = {image.image_path for image in images if lab.takes(image.image_path)}
            if not isinstance(facts, LabFacts):
                for path in paths:
                    unread.setdefault(path, set()).add(lab.label)
                continue
            good = _Good(facts, stack.gallery if isinstance(stack.gallery, GalleryFacts) else None)
            for image in images:
                if image.image_path not in paths - found or not good.holds(image):
                    continue
                held.add(image.image_path)
                if image.saved_at_source == "companion":
                    found.add(image.image_path)
                    vhds.setdefault(image.vhd_name, set()).add(lab.label)
    unknown = {path: sorted(labs) for path, labs in unread.items() if path not in held}
    return LastGood({vhd: sorted(labs) for vhd, labs in vhds.items()}, unknown)


class _Good:
    """The images of a lab that succeeded: as custom images, or as versions of a gallery that it offers."""

    def __init__(self, lab: LabFacts, gallery: GalleryFacts | None) -> None:
        self._lab, self._gallery = lab, gallery
        ours = [image for image in lab.images if image.state == "Succeeded" and image.image_path is not None]
        self._vhds = {image.source_vhd for image in ours}
        self._without_vhd = {(fold(image.name), image.path) for image in ours if image.source_vhd is None}

    def holds(self, image: FactoryImage) -> bool:
        """Match by the tag with the VHD; images of the older scripts lack it and match by name and path."""
        if image.vhd_name in self._vhds or (fold(image.name), image.image_path) in self._without_vhd:
            return True
        return self._gallery is not None and available(self._gallery, self._lab, image)


def _some(labels: Sequence[str]) -> str:
    return labels[0] + (f" and {len(labels) - 1} more" if len(labels) > 1 else "")
