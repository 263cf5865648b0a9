"""The properties of a blob as the storage service returns them, as a model.

A response that is not as Azure documents it is an error that names the request. Lets the SDK's other errors pass.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from azure.storage.blob import BlobType
from azure.storage.blob.aio import BlobClient
from pydantic import Field

from imagefactory.azure.core.answers import SDK_FAILURES, fitted, misfit
from imagefactory.azure.storage.listings import FromSdk, Size


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
