"""The last good images: which of the factory's images labs still hold, however many newer ones the factory has.

Decides by the custom images of the labs, which their owners can tag as they like: what one lab claims keeps at most one
image of each image path that labs.json gives it, and never makes an image go. Does not look at `keep`, pins or VMs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.images.catalog import Catalog, newest_first
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.staging_needs import StackPlan


@dataclass(frozen=True)
class LastGood:
    """Reasons to keep factory images, each with the labels of the labs."""

    vhds: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of VHDs, each with the labs in which its image is the newest of its path that is `Succeeded`."""
    unknown: Mapping[ImagePath, Sequence[str]] = field(default_factory=dict)
    """Image paths of which no lab that was read holds such an image, with the labs that could not be read."""

    def reason_to_keep(self, image: FactoryImage) -> str:
        """Why the image must stay; empty: no lab needs it."""
        if labs := self.vhds.get(image.vhd_name):
            return f"the newest of its image path that is Succeeded in lab {_some(labs)}"
        if labs := self.unknown.get(image.image_path):
            return f"its image path is Succeeded in no lab, and lab {_some(labs)} could not be read"
        return ""


def last_good(stacks: Iterable[StackPlan], catalog: Catalog) -> LastGood:
    """What the labs of all stacks hold of the catalog. An image without a date counts as held, never as the newest."""
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
            good = _Good(facts)
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
    """The images of a lab that succeeded."""

    def __init__(self, lab: LabFacts) -> None:
        ours = [image for image in lab.images if image.state == "Succeeded" and image.image_path is not None]
        self._vhds = {image.source_vhd for image in ours}
        self._untold = {(fold(image.name), image.path) for image in ours if image.source_vhd is None}

    def holds(self, image: FactoryImage) -> bool:
        """By the tag that names the VHD; images that the old scripts made have none, but name and path."""
        return image.vhd_name in self._vhds or (fold(image.name), image.image_path) in self._untold


def _some(labels: Sequence[str]) -> str:
    return labels[0] + (f" and {len(labels) - 1} more" if len(labels) > 1 else "")
