"""Whether an image can be made of a VHD in its present state, as DevTest Labs and Compute ask."""

from __future__ import annotations

from aiohttp import ClientError

from imagefactory.images.vhd_footer import FOOTER_BYTES, footer_problem
from localcloud.blobs.access import BlobAccess


async def vhd_fault(blobs: BlobAccess, url: str) -> dict[str, str] | None:
    """Return the error (`code`, `message`) with which Azure refuses the blob; None: it is a complete fixed VHD."""
    try:
        return await _blob_fault(blobs, url)
    except ClientError as error:
        return {"code": "InternalServerError", "message": f"The source blob {url} could not be read ({error})."}


async def _blob_fault(blobs: BlobAccess, url: str) -> dict[str, str] | None:
    facts = await blobs.stat(url)
    if facts is None:
        return {"code": "SourceBlobNotFound", "message": f"The source blob {url} does not exist."}
    if facts.copy_status == "pending":
        return {"code": "PendingCopyOperation", "message": f"The source blob {url} is still being copied."}
    if facts.copy_status in ("failed", "aborted"):
        return {"code": "InvalidVhd", "message": f"The copy of the source blob {url} has {facts.copy_status}."}
    if facts.blob_type != "PageBlob":
        return {"code": "InvalidVhd", "message": f"The source blob {url} is a {facts.blob_type}, not a page blob."}
    end = min(facts.length, FOOTER_BYTES)
    try:
        footer = await blobs.read(url, facts.length - end, end) if end else b""
    except LookupError:
        return {"code": "SourceBlobNotFound", "message": f"The source blob {url} does not exist."}
    if why := footer_problem(footer, facts.length):
        return {"code": "InvalidVhd", "message": f"The source blob {url} is not a usable VHD: {why}."}
    return None
