"""The catalog: all factory images that can be distributed, and what was left out and why.

Owns the matching of VHDs with companions. Refuses to list or read blobs: `imagefactory_azure` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from imagefactory.companion import FactoryImage, VhdBlob
from imagefactory.faults import Fault


@dataclass(frozen=True)
class LeftOut:
    """A blob of the factory's container that is no image (yet)."""

    name: str
    reason: Fault


@dataclass(frozen=True)
class BrokenCompanion:
    """A companion that could not be read although its VHD is whole."""

    vhd_name: str
    companion_name: str
    fault: Fault


@dataclass(frozen=True)
class Catalog:
    """What the factory holds."""

    images: tuple[FactoryImage, ...]
    """Newest first."""
    left_out: tuple[LeftOut, ...] = ()
    broken: tuple[BrokenCompanion, ...] = ()

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """The notes of the images: what was read with a reservation."""
        return tuple(image.note for image in self.images if image.note)


def companions_to_read(vhds: Iterable[VhdBlob], companion_names: Iterable[str]) -> tuple[str, ...]:
    """Names of the companion documents to download: those whose VHD is there and does not carry the facts itself."""
    raise NotImplementedError


def build_catalog(
    vhds: Iterable[VhdBlob], companions: Mapping[str, bytes | Fault], companion_names: Iterable[str] = ()
) -> Catalog:
    """Match VHDs with companions.

    `companions` maps names of documents to their bytes, or to the fault that says why they could not be downloaded.
    `companion_names` are all `.json` blobs of the listing, also those not downloaded, so that one without VHD is told.
    """
    raise NotImplementedError
