"""The properties of a blob as the storage service returns them, as a model.

From the headers of a response, or from the SDK. A response that is not as Azure documents it is an error that names the
request. Lets the SDK's other errors pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from azure.storage.blob import BlobType
from azure.storage.blob.aio import BlobClient
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from imagefactory.azure.core.answers import SDK_FAILURES, fitted, misfit
from imagefactory.azure.storage.listings import FromSdk, Size
from imagefactory.observed.blobs import BlobRef


class _Copy(FromSdk):
    id: str | None
    status: str | None
    progress: str | None = Field(pattern=r"^[0-9]+/[0-9]+$")
    status_description: str | None


class BlobHead(FromSdk):
    """What "Get Blob Properties" of the Blob service's REST API returns; a disk has fewer properties."""

    size: Size
    etag: str
    creation_time: datetime | None
    metadata: dict[str, str] | None
    blob_type: BlobType | None
    page_blob_sequence_number: int | None
    written_by: _Copy = Field(alias="copy")
    """The last copy by the service into it."""


async def read_properties(client: BlobClient, **options: Any) -> BlobHead:
    """Return the properties of a blob. Raises `CloudError` for an invalid response, else `AzureError`."""
    subject, request = client.blob_name, f"HEAD {client.container_name}/{client.blob_name}"
    try:
        found = await client.get_blob_properties(**options)
    except SDK_FAILURES:
        raise misfit(subject, request, "a header is missing or invalid") from None
    return fitted(BlobHead, found, subject, request)


_METADATA = "x-ms-meta-"


def _time(text: str) -> datetime:
    try:
        return parsedate_to_datetime(text)
    except (TypeError, ValueError):  # Python 3.10 raises the former too
        raise ValueError("is not a time") from None


class Head(BaseModel):
    """The headers of "Get Blob Properties" of the Blob service's REST API that are used; a disk has fewer."""

    model_config = ConfigDict(frozen=True)

    content_length: Size
    etag: str
    creation_time: Annotated[datetime, BeforeValidator(_time)] | None = None
    blob_type: str = ""
    sequence_number: int | None = None
    copy_id: str | None = None
    copy_status: str | None = None
    copy_progress: str | None = Field(None, pattern=r"^[0-9]+/[0-9]+$")
    copy_status_description: str | None = None
    metadata: dict[str, str]


_HEADERS = {
    "content-length": "content_length",
    "etag": "etag",
    "x-ms-creation-time": "creation_time",
    "x-ms-blob-type": "blob_type",
    "x-ms-blob-sequence-number": "sequence_number",
    "x-ms-copy-id": "copy_id",
    "x-ms-copy-status": "copy_status",
    "x-ms-copy-progress": "copy_progress",
    "x-ms-copy-status-description": "copy_status_description",
}


def head_of(headers: Mapping[str, str], blob: BlobRef) -> Head:
    """Return the properties in the headers of a response. Raises `CloudError` if one is missing or invalid."""
    found: dict[str, Any] = {"metadata": {}}
    for name, value in headers.items():
        lower = name.lower()
        if lower.startswith(_METADATA):
            found["metadata"][name[len(_METADATA) :]] = value
        elif (field := _HEADERS.get(lower)) is not None:
            found[field] = value
    container, _, file_name = urlsplit(blob.url).path.rpartition("/")
    return fitted(Head, found, blob.file_name, f"HEAD {container.rpartition('/')[2]}/{file_name}")
