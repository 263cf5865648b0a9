"""Storage accounts by their ARM id: where their blob service is, and the key that opens it.

Owns the account keys: they are asked for once per account and process (`listKeys`), and stay in this module's clients.
Nothing here returns a key; a SAS is made for one blob and handed to the service at once.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from types import TracebackType
from urllib.parse import urlsplit

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.storage.blob import BlobSasPermissions, generate_blob_sas
from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

from imagefactory_azure.errors import cloud_error
from imagefactory_azure.once import Once
from imagefactory_azure.resource_manager import ResourceManager

API_VERSION = "2023-01-01"
RETRIES = 5
"""Attempts after the first, for a request that the storage service throttles (429), fails (408, 5xx) or drops."""
SAS_LIFE = timedelta(days=7)
"""How long the service may read the source of one copy. Copy Blob has no guaranteed speed and starts from zero when it
loses its source, so the life must exceed any copy; nobody but the service ever gets the SAS."""


def account_name(account_id: str) -> str:
    """The storage account's name: the last part of its ARM id."""
    return account_id.rpartition("/")[2]


def container_and_blob(service_url: str, blob_url: str) -> tuple[str, str]:
    """Names of the container and the blob in a URL, also in one that was made when the account had another endpoint."""
    account_path = urlsplit(service_url).path.rstrip("/")  # not empty where the endpoint is path-style
    container, _, blob = urlsplit(blob_url).path.removeprefix(account_path).lstrip("/").partition("/")
    return container, blob


class StorageAccounts:
    """Clients of the blob services that one run touches, opened on first use. Use as `async with`."""

    def __init__(self, arm: ResourceManager) -> None:
        self._arm = arm
        self._clients: Once[str, BlobServiceClient] = Once()
        self._keys: dict[str, str] = {}

    async def __aenter__(self) -> StorageAccounts:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in await self._clients.results():
            await client.close()

    async def service(self, account_id: str) -> BlobServiceClient:
        """The blob service of an account. Raises `CloudError` where its keys cannot be had."""
        return await self._clients.get(account_id, lambda: self._open(account_id))

    async def readable_url(self, account_id: str, blob_url: str) -> str:
        """`blob_url` with a SAS that lets the service read this one blob. Give it to the service, keep it nowhere."""
        service = await self.service(account_id)
        container, blob = container_and_blob(service.url, blob_url)
        now = datetime.now(timezone.utc)
        sas = generate_blob_sas(
            account_name(account_id),
            container,
            blob,
            account_key=self._keys[account_id],
            permission=BlobSasPermissions(read=True),
            start=now - timedelta(minutes=15),
            expiry=now + SAS_LIFE,
        )
        return f"{blob_url}?{sas}"

    async def _open(self, account_id: str) -> BlobServiceClient:
        name = account_name(account_id)
        subject, consequence = f"storage account '{name}'", "its blobs cannot be read or written"
        answer = await self._arm.post(f"{account_id}/listKeys", API_VERSION, subject=subject, consequence=consequence)
        try:
            self._keys[account_id] = answer["keys"][0]["value"]
        except (KeyError, IndexError, TypeError):
            raise cloud_error(subject, consequence, 0, "", "Azure listed no key for it") from None
        return BlobServiceClient(
            self._arm.cloud.blob_service(name),
            credential={"account_name": name, "account_key": self._keys[account_id]},
            # The SDK's own first wait is 15 s, long for a dropped connection; these are 1, 3, 5, 9 and 17 s.
            retry_policy=ExponentialRetry(
                initial_backoff=1, increment_base=2, retry_total=RETRIES, random_jitter_range=1
            ),
            _additional_pipeline_policies=[_Throttled()],
        )


class _Throttled(AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Waits out 429, which the storage SDK's own retries do not know (they take 408 and 5xx)."""

    async def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, AsyncHttpResponse]:
        for attempt in range(RETRIES):
            response = await self.next.send(request)
            if response.http_response.status_code != 429:
                return response
            given = response.http_response.headers.get("Retry-After", "")
            await asyncio.sleep(float(given) if given.isdigit() else 2.0**attempt)
        return await self.next.send(request)
