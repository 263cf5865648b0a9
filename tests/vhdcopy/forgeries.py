"""What the owner of a lab's storage account can forge: bytes with the same CRC64, staged VHDs and records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from azure.storage.blob import BlobClient

from imagefactory.copying import copier
from imagefactory.copying.copier import CopyRequest
from imagefactory.images.ranges import Range
from imagefactory.images.ranges_manifest import Manifest, manifest_bytes
from tests.e2e.world import STAGING_CONTAINER, World
from tests.vhdcopy.copying import request_of, staged_blob, staged_ref

WISH = b"foreign code"
"""What the owner writes into each range."""


def blob_at(world: World, lab: str, name: str) -> BlobClient:
    """A blob of a lab's staging container, opened with the account's key."""
    return world.service(world.labs[lab]).get_blob_client(STAGING_CONTAINER, name)


def with_same_crc64(old: bytes, wish: bytes) -> bytes:
    """Replace the start of `old` by `wish` and 8 bytes, so that the CRC64 of any content around it is the same.

    CRC64 is linear: a difference followed by its own remainder by the polynomial has no effect.
    """
    remainder = 0
    for before, after in zip(old, wish, strict=False):
        remainder ^= before ^ after
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x9A6C9329AC4BC9B5 if remainder & 1 else 0)
    fix = zip(old[len(wish) : len(wish) + 8], remainder.to_bytes(8, "little"), strict=True)
    return wish + bytes(before ^ change for before, change in fix) + old[len(wish) + 8 :]


def forge(blob: BlobClient, parts: tuple[Range, ...], footer: int) -> None:
    """Write foreign code into the first page of each range, except the footer at `footer`."""
    for part in parts:
        if part.offset != footer:
            page = bytes(blob.download_blob(part.offset, 512).readall())
            blob.upload_page(with_same_crc64(page, WISH), part.offset, 512)


def stage_as_whole(world: World, lab: str, source: BlobClient, digests: Mapping[Range, str]) -> BlobClient:
    """Upload the ranges of `source` where a lab's VHD is staged, marked as a finished copy of the factory VHD."""
    request = request_of(world, lab)
    facts = source.get_blob_properties()
    container = world.service(world.labs[lab]).get_container_client(STAGING_CONTAINER)
    if not container.exists():
        container.create_container()
    marks = {
        **request.mark,
        copier.ETAG: facts.etag,
        copier.COPY: "forged",
        copier.STATE: copier.WHOLE,
        copier.DIGEST: Manifest("", request.source_length, request.source_created, digests).digest,
    }
    blob = container.get_blob_client(request.destination.file_name)
    blob.create_page_blob(request.source_length, metadata=marks, sequence_number=7)
    fill(blob, source, digests)
    return blob


def fill(blob: BlobClient, source: BlobClient, parts: Mapping[Range, Any]) -> None:
    """Copy ranges through this machine."""
    for part in parts:
        blob.upload_page(bytes(source.download_blob(part.offset, part.length).readall()), part.offset, part.length)


def leave_record(world: World, lab: str, request: CopyRequest, digests: Mapping[Range, str]) -> None:
    """Write a record with `digests` beside the unfinished VHD of a lab."""
    copy_id = staged_blob(world, lab).get_blob_properties().metadata[copier.COPY]
    record = Manifest(copy_id, request.source_length, request.source_created, digests)
    blob_at(world, lab, replace(request, destination=staged_ref(world, lab)).record.file_name).upload_blob(
        manifest_bytes(record), overwrite=True
    )
