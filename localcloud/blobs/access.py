"""Reading blobs from inside the embedded cloud, past the front's fault rules and journal.

Owns: the facts that other emulators need of a blob (ARM checks a VHD before it makes an image). Refuses: writing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class BlobFacts:
    """What a blob is: `blob_type` as the service says it (`PageBlob`), `length` in bytes, `copy_status` of its last
    server-side copy (`pending`, `success`, `failed`, `aborted`) or None."""

    blob_type: str
    length: int
    copy_status: str | None


class BlobAccess(Protocol):
    """Blobs of the embedded accounts by URL, in any of the path-style forms `http://host:port/account/container/blob`.

    A query (a SAS) in the URL is ignored: the caller is the cloud itself."""

    async def stat(self, url: str) -> BlobFacts | None:
        """The blob's facts; None where the URL names no blob of an embedded account."""

    async def read(self, url: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`. Raises LookupError where there is no such blob."""

    async def keys(self, account: str) -> str:
        """The account's key (base64). Raises LookupError for an account that is not embedded."""
