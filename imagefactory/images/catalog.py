"""The catalog: all factory images that can be distributed, and which blobs are skipped and why.

Matches VHDs with companions. Does not list or read blobs: `imagefactory.azure` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from imagefactory.configuration.image_paths import ImagePath, fold, own_case
from imagefactory.diagnostics import Diagnostic, error, warning
from imagefactory.images.companions import FactoryImage, VhdBlob, metadata_image, parse_companion, stem, with_disk_sizes
from imagefactory.images.disk_layout import DiskLayout
from imagefactory.images.vhd_footer import length_problem

_CONSEQUENCE = "its image is not distributed"
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
"""Names that need no escapes in a URL: Azure and its clients read escapes differently."""


@dataclass(frozen=True)
class BlobDiagnostic:
    """A blob of the factory's container by name, and what is wrong with it."""

    name: str
    reason: Diagnostic
    image: FactoryImage | None = None
    """The image of a VHD that cannot be distributed; None: unknown."""


@dataclass(frozen=True)
class Catalog:
    """The content of the factory."""

    images: tuple[FactoryImage, ...]
    """Newest first."""
    left_out: tuple[BlobDiagnostic, ...] = ()
    """Blobs that are not images (yet)."""
    broken: tuple[BlobDiagnostic, ...] = ()
    """Complete VHDs whose companions cannot be read."""
    unchecked: tuple[Diagnostic, ...] = ()
    """Warnings about VHDs whose layout could not be read."""

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """The notes of the images, and about VHDs that could not be checked."""
        return (*(image.note for image in self.images if image.note), *self.unchecked)

    def in_case_of(self, paths: Iterable[ImagePath]) -> Catalog:
        """Return the catalog with image paths as golden images have them (`paths`), whatever case companions have."""
        own = own_case(paths)
        images = (replace(image, image_path=own.get(image.image_path, image.image_path)) for image in self.images)
        return replace(self, images=tuple(images))

    def with_layouts(self, found: Mapping[str, DiskLayout | Diagnostic]) -> Catalog:
        """Return the catalog with what was found in VHDs (by name): invalid ones are left out, with the reason.

        Windows on a disk with a GPT is generation 2, regardless of the companion. A VHD that could not be read stays an
        image: whether it is valid is unknown, and the copy checks it again.
        """
        images: list[FactoryImage] = []
        left_out: list[BlobDiagnostic] = []
        for image in self.images:
            layout = found.get(image.vhd_name)
            if isinstance(layout, DiskLayout) and layout.problem:
                remedy = "Save the image again, or upload a fixed VHD"
                invalid = _left_out(f"VHD {image.vhd_name}", image.vhd_name, layout.problem, remedy, image.name)
                left_out.append(replace(invalid, image=image))
            elif isinstance(layout, DiskLayout):
                is_v2 = image.os_type == "Windows" and layout.partition_table == "GPT"
                generation = "V2" if is_v2 else image.generation
                images.append(replace(image, generation=generation, partition_table=layout.partition_table))
            else:
                images.append(image)
        unread = (each for each in found.values() if isinstance(each, Diagnostic))
        return replace(
            self,
            images=tuple(images),
            left_out=tuple(sorted((*self.left_out, *left_out), key=lambda left: left.name)),
            unchecked=(*self.unchecked, *sorted(unread, key=Diagnostic.text)),
        )


def newest_first(images: Iterable[FactoryImage]) -> tuple[FactoryImage, ...]:
    """Return the images from the newest to the oldest, those of the same time by name."""
    by_name = sorted(images, key=lambda image: (fold(image.name), image.name, image.vhd_name))
    return tuple(sorted(by_name, key=lambda image: image.saved_at, reverse=True))


def name_warning(image: FactoryImage) -> Diagnostic:
    """Return the warning about an image with a `name_problem`."""
    fact = f"Azure would reject a custom image of its name: {image.name_problem}"
    consequence = "labs that have the image keep it, and no other lab gets it"
    remedy = "Delete it from the factory and save its VM again"
    return warning(f"factory image {image.name}", fact, consequence, remedy)


def companions_to_read(vhds: Iterable[VhdBlob], companion_names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the companions to download: those whose VHD exists and lacks the facts in its metadata."""
    wanted = {stem(vhd.name) for vhd in vhds if not _unfit(vhd) and not metadata_image(vhd)}
    return tuple(sorted(name for name in companion_names if stem(name) in wanted))


def build_catalog(
    vhds: Iterable[VhdBlob], companions: Mapping[str, bytes | Diagnostic], companion_names: Iterable[str] = ()
) -> Catalog:
    """Match VHDs with companions.

    `companions` maps names of documents to their bytes, or to the diagnostic if a download failed. `companion_names`
    are all `.json` blobs of the listing, also those not downloaded, so that companions without VHD are reported.
    """
    vhds = sorted(vhds, key=lambda vhd: vhd.name)
    by_stem = {stem(name): name for name in sorted({*companions, *companion_names})}
    images: list[FactoryImage] = []
    left_out: list[BlobDiagnostic] = []
    broken: list[BlobDiagnostic] = []
    orphans = set(by_stem)
    for vhd in vhds:
        companion_name = by_stem.get(stem(vhd.name))
        orphans.discard(stem(vhd.name))
        if unfit := _unfit(vhd):
            left_out.append(_left_out(f"VHD {vhd.name}", vhd.name, *unfit))
        elif companion_name is None:
            fact = "has no companion, so its save is unfinished"
            remedy = "Wait for the save; if none is running, delete the VHD or recreate its companion"
            left_out.append(_left_out(f"VHD {vhd.name}", vhd.name, fact, remedy))
        elif image := metadata_image(vhd):
            images.append(image)
        else:
            source = companions.get(companion_name) or _unread(companion_name)
            found = source if isinstance(source, Diagnostic) else parse_companion(source, vhd)
            if isinstance(found, Diagnostic):
                broken.append(BlobDiagnostic(vhd.name, found))
            else:
                images.append(found)
    for name in (by_stem[orphan] for orphan in sorted(orphans)):
        fact, remedy = "its VHD is missing", "Delete it, or save the image again"
        left_out.append(_left_out(f"companion {name}", name, fact, remedy))
    data_disks = {disk.vhd_name for image in images for disk in image.data_disks}
    by_name = {vhd.name: vhd for vhd in vhds}
    return Catalog(
        newest_first(with_disk_sizes(image, by_name) for image in images),
        tuple(left for left in left_out if left.name not in data_disks),
        tuple(broken),
    )


def _unfit(vhd: VhdBlob) -> tuple[str, str] | None:
    """Return why a VHD cannot be distributed regardless of its companion, and the remedy."""
    if vhd.copy_status not in {None, "success"}:
        return f"the copy that writes it is {vhd.copy_status}", "Wait for the save, or delete the VHD"
    if vhd.blob_type not in {None, "PageBlob"}:
        return f"is a {vhd.blob_type}, and Azure creates images only from page blobs", "Upload it as a page blob"
    if not _PLAIN.fullmatch(vhd.name):
        return "its name would be escaped in a URL", "Use only letters, digits, '.', '-' and '_' in its name"
    if fact := length_problem(vhd.length):
        return fact, "Upload a fixed VHD whose disk size is a multiple of 1 MiB"
    return None


def _left_out(subject: str, name: str, fact: str, remedy: str, image: str = "") -> BlobDiagnostic:
    consequence = f"its image {image} is not distributed" if image else _CONSEQUENCE
    return BlobDiagnostic(name, warning(subject, fact, consequence, remedy))


def _unread(name: str) -> Diagnostic:
    return error(f"companion {name}", "is empty or was not read", _CONSEQUENCE, "Recreate it")
