"""The blobs of a container as the storage service lists them, each as a model.

A listing that is not as Azure documents it is an error that names the request, never a shorter list. Lets the SDK's
other errors pass: the callers know what they mean.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from azure.core.exceptions import DecodeError
from azure.storage.blob import BlobType
from azure.storage.blob.aio import ContainerClient
from pydantic import BaseModel, ConfigDict, Field

from imagefactory.azure.core.answers import SDK_FAILURES, fitted, misfit

_PER_PAGE = 5000


class FromSdk(BaseModel):
    """Base of the models of values that the SDK returns."""

    model_config = ConfigDict(from_attributes=True, strict=True, frozen=True, arbitrary_types_allowed=True)


class _Lease(FromSdk):
    state: str


class _Copy(FromSdk):
    status: str | None


Size = Annotated[int, Field(ge=0, lt=2**63)]
"""Bytes: Content-Length, a number of 64 bits."""


class ListedBlob(FromSdk):
    """A blob in a listing; what each has is documented in "List Blobs" of the Blob service's REST API."""

    name: str
    container: str
    size: Size
    etag: str
    last_modified: datetime
    creation_time: datetime
    metadata: dict[str, str | None] | None
    blob_type: BlobType
    lease: _Lease
    written_by: _Copy = Field(alias="copy")
    """The last copy by the service into it."""


async def listed(client: ContainerClient, subject: str) -> AsyncIterator[ListedBlob]:
    """Yield all blobs with their metadata and copies. Raises `CloudError` for an invalid listing, else `AzureError`."""
    request = f"GET {client.container_name}?comp=list"
    pages: Any = client.list_blobs(include=["metadata", "copy"], results_per_page=_PER_PAGE).by_page()
    read: set[object] = set()
    while True:
        try:
            blobs = [each async for each in await anext(pages)]
        except StopAsyncIteration:
            return
        except DecodeError:
            raise misfit(subject, request, "it is not XML") from None
        except SDK_FAILURES:
            raise misfit(subject, request, "an element of its XML is missing or invalid") from None
        for blob in blobs:
            yield fitted(ListedBlob, blob, subject, request, f"blob '{blob.name}'")
        marker = pages.continuation_token
        if marker in read:
            raise misfit(subject, request, "its NextMarker is that of a page before it")
        read.add(marker)
