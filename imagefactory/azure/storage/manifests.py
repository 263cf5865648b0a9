"""The ranges manifests beside the factory's VHDs: reading and writing them.

A manifest that does not fit, or cannot be written, is a warning for the caller to show and does not stop a copy.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.images import ranges_manifest
from imagefactory.images.ranges_manifest import Manifest, ManifestError
from imagefactory.observed.blobs import BlobRef


@dataclass(frozen=True, slots=True)
class Found:
    """The manifest of a VHD, if one fits it; else what is wrong with it, if there is one."""

    manifest: Manifest | None = None
    warning: str = ""


class Manifests:
    """The manifests of VHDs."""

    def __init__(self, blobs: PageBlobs) -> None:
        self._blobs = blobs

    async def read(self, vhd: BlobRef, length: int, created: datetime) -> Found:
        """Return the manifest of a VHD of that length (bytes) and creation time.

        Raises `CloudError` if it cannot be read, because the copy would not be verified.
        """
        place = _beside(vhd)
        ranges = ranges_manifest.most_ranges(length)
        packed = await self._blobs.get_document(place, ranges_manifest.most_bytes(ranges))
        if packed is None:
            return Found()
        try:
            manifest = await asyncio.to_thread(ranges_manifest.parse_manifest, packed, ranges)
        except ManifestError as error:
            return Found(warning=f"{place.name}: {error}; it is kept, and the copy is not compared with it")
        if (manifest.length, manifest.created) != (length, created):
            return Found(warning=f"{place.name}: describes a VHD that was replaced; the copy is not compared with it")
        return Found(manifest)

    async def write(self, vhd: BlobRef, manifest: Manifest, *, overwrite: bool = False) -> str:
        """Write the manifest of a VHD, unless one exists and is not to be overwritten.

        Returns a warning if that fails, else an empty string.
        """
        place = _beside(vhd)
        about = {"digest": manifest.digest, "allocated": str(manifest.allocated)}
        try:
            packed = await asyncio.to_thread(ranges_manifest.manifest_bytes, manifest)
            await self._blobs.put_document(place, packed, about, overwrite=overwrite)
        except CloudError as error:
            told = error.diagnostic
            fact = f"{place.name}: cannot be written ({told.fact}), so later copies are not compared with it"
            return f"{fact}. {told.remedy}"
        return ""


def _beside(vhd: BlobRef) -> BlobRef:
    folder, _, name = vhd.url.rpartition("/")
    return BlobRef(vhd.account_id, f"{folder}/{ranges_manifest.manifest_name(name)}")
