"""Values about blobs. Imports no Azure SDK, because a preview needs only these values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

STAGING_CONTAINER = "imagefactory-staging"
"""The container in a lab's storage account for staged VHDs; it is kept after they are deleted."""


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A blob: the ARM id of its storage account and its URL without a query."""

    account_id: str
    url: str

    @property
    def file_name(self) -> str:
        """The last part of its path."""
        return self.url.rpartition("/")[2]

    @property
    def name(self) -> str:
        """Account and file name, for messages."""
        return f"{self.account_id.rpartition('/')[2]}: {self.file_name}"


@dataclass(frozen=True, slots=True)
class CopyState:
    """A copy operation of the storage service: status is pending, success, failed or aborted; sizes in bytes."""

    id: str
    status: str
    done: int = 0
    total: int = 0
    reason: str = ""


@dataclass(frozen=True)
class BlobFacts:
    """The response to a HEAD request for a blob. Length in bytes."""

    length: int
    is_page_blob: bool
    created: datetime
    etag: str
    metadata: Mapping[str, str]
    copy: CopyState | None
    generation: int | None = None
    """A page blob's sequence number."""
