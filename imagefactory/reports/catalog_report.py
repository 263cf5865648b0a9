"""The catalog report: every factory image with its age, its version and the labs that contain it.

Matches custom images with factory images, and orders versions. Does not format: table, JSON and page
(`imagefactory.reports.catalog_page`) are rendered from this one value.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.labs_file import LabKey, TargetLab
from imagefactory.diagnostics import Diagnostic
from imagefactory.images.catalog import BlobDiagnostic, Catalog, name_warning
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.galleries.lab_offers import available
from imagefactory.planning.labs.deletion_guard import HeldImage, held_images
from imagefactory.planning.labs.ownership import Ownership


@dataclass(frozen=True)
class ReportedImage:
    """A factory image, with what depends on the rest of the catalog and on the labs."""

    image: FactoryImage
    age: timedelta
    """Time since it was saved; negative if its timestamp is in the future."""
    version: int
    """Position among the images of its image path, 1 for the newest."""
    versions: int
    """Number of images of its image path."""
    held_by: tuple[HeldImage, ...] = ()
    """By lab; also empty if no lab was read."""
    offered_by: tuple[TargetLab, ...] = ()
    """The labs whose users can use its version in the Compute Gallery of the stack, by label."""


@dataclass(frozen=True)
class ReportedLab:
    """A target lab, with what was read of it."""

    lab: TargetLab
    found: LabFacts | Diagnostic
    """A diagnostic: it could not be read, so its images are unknown."""


@dataclass(frozen=True)
class CatalogReport:
    """The state of the factory at a time."""

    factory: str
    """Name of the factory lab."""
    made_at: datetime
    """UTC."""
    images: tuple[ReportedImage, ...]
    """Newest first."""
    left_out: tuple[BlobDiagnostic, ...]
    """Blobs without an image, by name; VHDs with a companion that cannot be read too, and VHDs of images whose names
    Azure would reject, if no lab has them."""
    warnings: tuple[Diagnostic, ...]
    labs: tuple[ReportedLab, ...] | None
    """The labs of labs.json, in its order; None: no lab was read."""

    @property
    def by_image_path(self) -> tuple[ReportedImage, ...]:
        """The images by image path, then newest first."""
        return tuple(sorted(self.images, key=lambda one: (one.image.image_path, one.version)))

    @property
    def image_paths(self) -> int:
        """Number of image paths that have an image."""
        return sum(one.version == 1 for one in self.images)

    @property
    def unread_labs(self) -> tuple[tuple[TargetLab, Diagnostic], ...]:
        """The labs that could not be read, with the reasons."""
        return tuple((one.lab, one.found) for one in self.labs or () if isinstance(one.found, Diagnostic))

    def lab_name(self, lab: TargetLab) -> str:
        """Return the lab's name, with its subscription and resource group as far as labs of that name differ in it."""
        others = [one.lab.key for one in self.labs or () if one.lab.key.lab_name == lab.key.lab_name]
        beside = [key for key in others if key.subscription_id == lab.key.subscription_id]
        place = [lab.subscription_id] if len(beside) < len(others) else []
        place += [lab.resource_group] if lab.resource_group and len(beside) > 1 else []
        return f"{lab.name} ({', '.join(place)})" if place else lab.name


def report_catalog(
    catalog: Catalog,
    factory: str,
    now: datetime,
    labs: Iterable[TargetLab] | None = None,
    found: Mapping[LabKey, LabFacts | Diagnostic] | None = None,
    gallery: GalleryFacts | Diagnostic | None = None,
) -> CatalogReport:
    """Return the report at `now` (UTC). `labs`: the target labs; None: no lab was read. `found`: by lab. `gallery`: the
    stack's, or why it could not be read."""
    reported = None if labs is None else tuple(ReportedLab(lab, (found or {})[lab.key]) for lab in labs)
    by_vhd, by_name = _held(reported or ())
    # A tag names the VHD; without the tag (old PowerShell scripts) custom and factory image have the same name.
    holders = {image: (*by_vhd[image.vhd_name], *by_name[image.name.lower()]) for image in catalog.images}
    offers = {image: _offering(reported or (), gallery, image) for image in catalog.images}
    rejected = [image for image in catalog.images if image.name_problem and not (holders[image] or offers[image])]
    counts = Counter(image.image_path for image in catalog.images if image not in rejected)
    seen: Counter[ImagePath] = Counter()
    images = []
    for image in catalog.images:
        if image in rejected:
            continue
        seen[image.image_path] += 1
        images.append(
            ReportedImage(
                image,
                now - image.saved_at,
                seen[image.image_path],
                counts[image.image_path],
                tuple(sorted(holders[image], key=lambda held: (held.lab.label, held.image.name.lower()))),
                offers[image],
            )
        )
    left_out = (*catalog.left_out, *catalog.broken)
    left_out += tuple(BlobDiagnostic(image.vhd_name, name_warning(image)) for image in rejected)
    by_blob = tuple(sorted(left_out, key=lambda left: left.name))
    warnings = (*catalog.warnings, *((gallery,) if isinstance(gallery, Diagnostic) else ()))
    return CatalogReport(factory, now, tuple(images), by_blob, warnings, reported)


def _offering(
    labs: Iterable[ReportedLab], gallery: GalleryFacts | Diagnostic | None, image: FactoryImage
) -> tuple[TargetLab, ...]:
    if not isinstance(gallery, GalleryFacts):
        return ()
    offering = (one.lab for one in labs if isinstance(one.found, LabFacts) and available(gallery, one.found, image))
    return tuple(sorted(offering, key=lambda lab: lab.label))


def _held(labs: Iterable[ReportedLab]) -> tuple[Mapping[str, list[HeldImage]], Mapping[str, list[HeldImage]]]:
    """Return the factory's images in the labs: by the VHD in their tag, and those without that tag by name."""
    by_vhd: dict[str, list[HeldImage]] = defaultdict(list)
    by_name: dict[str, list[HeldImage]] = defaultdict(list)
    readable = ((one.lab, one.found) for one in labs if isinstance(one.found, LabFacts))
    for held in held_images(readable, Ownership()):
        if held.image.source_vhd is None:
            by_name[held.image.name.lower()].append(held)
        else:
            by_vhd[held.image.source_vhd].append(held)
    return by_vhd, by_name


def traits_text(image: FactoryImage) -> str:
    """Return what is special of an image's disk, for a list: `generation 2, Trusted Launch`; empty: nothing."""
    parts = (
        "" if image.generation != "V2" else "generation 2",
        "Trusted Launch" if image.security_type else "",
        f"{len(image.data_disks)} data disk{'' if len(image.data_disks) == 1 else 's'}" if image.data_disks else "",
    )
    return ", ".join(part for part in parts if part)


def age_text(age: timedelta) -> str:
    """Return an age in words, rounded down: `under an hour`, `5 hours`, `1 day`; `2 days in the future` if negative."""
    hours = abs(age) // timedelta(hours=1)
    number, unit = (hours // 24, "day") if hours >= 24 else (hours, "hour")
    words = f"{number} {unit}{'' if number == 1 else 's'}" if number else "under an hour"
    return f"{words} in the future" if number and age < timedelta() else words


def size_text(size: int) -> str:
    """Return bytes as GiB with two decimals."""
    return f"{size / 1024**3:.2f} GiB"
