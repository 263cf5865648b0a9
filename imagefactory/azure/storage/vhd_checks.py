"""The footers and partition tables of the factory's VHDs, before they are copied.

Sends two small requests per VHD, for up to 32 VHDs at a time, and returns the catalog without invalid VHDs. Does not
choose the VHDs: `imagefactory.planning.labs.vhd_checks` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.diagnostics import Diagnostic, Severity
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import FactoryImage
from imagefactory.images.disk_layout import HEAD_BYTES, DiskLayout, read_layout
from imagefactory.images.vhd_footer import FOOTER_BYTES
from imagefactory.observed.blobs import BlobRef

CONCURRENT_VHDS = 32


async def check_vhds(
    blobs: PageBlobs,
    catalog: Catalog,
    container: BlobRef,
    unchecked: Callable[[Catalog], Iterable[FactoryImage]],
) -> Catalog:
    """Read the VHDs in the factory's `container` that `unchecked` names for a catalog, until it names no other one.

    A VHD that cannot be read is a warning in the catalog.
    """
    gate, seen = asyncio.Semaphore(CONCURRENT_VHDS), set[str]()
    while images := {image.vhd_name: image for image in unchecked(catalog) if image.vhd_name not in seen}:
        seen |= images.keys()
        layouts = await asyncio.gather(*(_layout(blobs, image, container, gate) for image in images.values()))
        catalog = catalog.with_layouts(dict(zip(images, layouts, strict=True)))
    return catalog


async def _layout(
    blobs: PageBlobs, image: FactoryImage, container: BlobRef, gate: asyncio.Semaphore
) -> DiskLayout | Diagnostic:
    vhd = BlobRef(container.account_id, f"{container.url}/{image.vhd_name}")
    async with gate:
        try:
            footer = await blobs.read(vhd, image.length - FOOTER_BYTES, FOOTER_BYTES)
            head = await blobs.read(vhd, 0, HEAD_BYTES)
        except CloudError as error:
            consequence = "its footer and partition table are unknown until it is copied"
            subject = f"VHD {image.vhd_name}"
            return replace(error.diagnostic, severity=Severity.WARNING, subject=subject, consequence=consequence)
    return read_layout(head, footer, image.length)
