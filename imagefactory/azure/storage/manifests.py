"""The ranges manifests beside the factory's VHDs.

Owns reading and leaving them. Neither may stop a copy: what is wrong becomes a warning that the caller shows.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.images.ranges_manifest import (
    Manifest,
    ManifestError,
    manifest_bytes,
    manifest_name,
    most_bytes,
    most_ranges,
    parse_manifest,
)
from imagefactory.observed.blobs import BlobRef


@dataclass(frozen=True, slots=True)
class Found:
    """The manifest of a VHD, if there is one that fits it; and what is wrong with one that does not."""

    manifest: Manifest | None = None
    warning: str = ""


class Manifests:
    """Manifests by the VHD that they tell of."""

    def __init__(self, blobs: PageBlobs) -> None:
        self._blobs = blobs

    async def read(self, vhd: BlobRef, length: int, created: datetime) -> Found:
        """The manifest of a VHD of that length (bytes) and creation time. Raises `CloudError` where none can be read.

        That it cannot be read is an error, for the copy would go unverified.
        """
        place = _beside(vhd)
        ranges = most_ranges(length)
        packed = await self._blobs.get_document(place, most_bytes(ranges))
        if packed is None:
            return Found()
        try:
            manifest = await asyncio.to_thread(parse_manifest, packed, ranges)
        except ManifestError as error:
            return Found(warning=f"{place.name}: {error}; it is left there, and the copy is not compared with it")
        if (manifest.length, manifest.created) != (length, created):
            return Found(
                warning=f"{place.name}: it tells of a VHD that was there before; the copy is not compared with it"
            )
        return Found(manifest)

    async def write(self, vhd: BlobRef, manifest: Manifest, *, overwrite: bool = False) -> str:
        """Leave `manifest` with its VHD, unless one is there that is not to be overwritten.

        Returns a warning where that is refused, else nothing.
        """
        place = _beside(vhd)
        about = {"digest": manifest.digest, "allocated": str(manifest.allocated)}
        try:
            packed = await asyncio.to_thread(manifest_bytes, manifest)
            await self._blobs.put_document(place, packed, about, overwrite=overwrite)
        except CloudError as error:
            reason = error.diagnostic.fact
            return f"{place.name}: cannot be written ({reason}), so later copies are not compared with it"
        return ""


def _beside(vhd: BlobRef) -> BlobRef:
    folder, _, name = vhd.url.rpartition("/")
    return BlobRef(vhd.account_id, f"{folder}/{manifest_name(name)}")
