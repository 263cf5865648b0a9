"""The catalog: all factory images that can be distributed, and what was left out and why.

Owns the matching of VHDs with companions. Refuses to list or read blobs: `imagefactory.azure` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from imagefactory.configuration.image_paths import fold
from imagefactory.diagnostics import Diagnostic, error, warning
from imagefactory.images.companions import FactoryImage, VhdBlob, metadata_image, parse_companion
from imagefactory.images.vhd_footer import length_diagnostic

_CONSEQUENCE = "no image is distributed from it"
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
"""Names that a URL holds as they are: they travel in URLs, whose escapes Azure and its clients read differently."""


@dataclass(frozen=True)
class LeftOut:
    """A blob of the factory's container that is no image (yet)."""

    name: str
    reason: Diagnostic


@dataclass(frozen=True)
class BrokenCompanion:
    """A companion that could not be read although its VHD is whole."""

    vhd_name: str
    companion_name: str
    diagnostic: Diagnostic


@dataclass(frozen=True)
class Catalog:
    """What the factory holds."""

    images: tuple[FactoryImage, ...]
    """Newest first."""
    left_out: tuple[LeftOut, ...] = ()
    broken: tuple[BrokenCompanion, ...] = ()

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """The notes of the images: what was read with a reservation."""
        return tuple(image.note for image in self.images if image.note)


def newest_first(images: Iterable[FactoryImage]) -> tuple[FactoryImage, ...]:
    """The images from the newest to the oldest, those of one moment by name."""
    by_name = sorted(images, key=lambda image: (fold(image.name), image.name, image.vhd_name))
    return tuple(sorted(by_name, key=lambda image: image.saved_at, reverse=True))


def companions_to_read(vhds: Iterable[VhdBlob], companion_names: Iterable[str]) -> tuple[str, ...]:
    """Names of the companion documents to download: those whose VHD is there and does not carry the facts itself."""
    wanted = {_stem(vhd.name) for vhd in vhds if not _unfit(vhd) and not metadata_image(vhd)}
    return tuple(sorted(name for name in companion_names if _stem(name) in wanted))


def build_catalog(
    vhds: Iterable[VhdBlob], companions: Mapping[str, bytes | Diagnostic], companion_names: Iterable[str] = ()
) -> Catalog:
    """Match VHDs with companions.

    `companions` maps names of documents to their bytes, or to the diagnostic that says why a download failed.
    `companion_names` are all `.json` blobs of the listing, also those not downloaded, so that one without VHD is told.
    """
    vhds = sorted(vhds, key=lambda vhd: vhd.name)
    by_stem = {_stem(name): name for name in sorted({*companions, *companion_names})}
    images: list[FactoryImage] = []
    left_out: list[LeftOut] = []
    broken: list[BrokenCompanion] = []
    orphans = set(by_stem)
    for vhd in vhds:
        companion_name = by_stem.get(_stem(vhd.name))
        orphans.discard(_stem(vhd.name))
        if unfit := _unfit(vhd):
            left_out.append(_left_out(f"VHD {vhd.name}", vhd.name, *unfit))
        elif companion_name is None:
            remedy = "Let the save finish; if none is under way, delete the VHD or write its companion anew"
            left_out.append(
                _left_out(f"VHD {vhd.name}", vhd.name, "has no companion, so its save is unfinished", remedy)
            )
        elif carried := metadata_image(vhd):
            images.append(carried)
        else:
            source = companions.get(companion_name) or _unread(companion_name)
            found = source if isinstance(source, Diagnostic) else parse_companion(source, vhd)
            if isinstance(found, Diagnostic):
                broken.append(BrokenCompanion(vhd.name, companion_name, found))
            else:
                images.append(found)
    for name in (by_stem[stem] for stem in sorted(orphans)):
        fact, remedy = "its VHD is not there", "Delete it, or save the image again"
        left_out.append(_left_out(f"companion {name}", name, fact, remedy))
    data_disks = {disk.vhd_name for image in images for disk in image.data_disks}
    return Catalog(newest_first(images), tuple(left for left in left_out if left.name not in data_disks), tuple(broken))


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _unfit(vhd: VhdBlob) -> tuple[str, str] | None:
    """Why a VHD cannot be distributed whatever its companion says, and the remedy."""
    if vhd.copy_status not in {None, "success"}:
        return f"the copy that writes it is {vhd.copy_status}", "Let the save finish, or delete the VHD"
    if vhd.blob_type not in {None, "PageBlob"}:
        return f"it is a {vhd.blob_type}, and Azure makes images of page blobs only", "Upload it as a page blob"
    if not _PLAIN.fullmatch(vhd.name):
        return "its name cannot stand in a URL as it is", "Save it under a name of letters, digits, '.', '-' and '_'"
    if fact := length_diagnostic(vhd.length):
        return fact, "Upload a fixed VHD whose disk size is a multiple of 1 MiB"
    return None


def _left_out(subject: str, name: str, fact: str, remedy: str) -> LeftOut:
    return LeftOut(name, warning(subject, fact, _CONSEQUENCE, remedy))


def _unread(name: str) -> Diagnostic:
    return error(f"companion {name}", "is empty or was not read", _CONSEQUENCE, "Write it anew")
