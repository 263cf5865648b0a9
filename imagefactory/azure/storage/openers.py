"""Ways into page blobs: what each offers, and the one by a SAS URL, as managed disks are read.

A SAS is kept in memory only and sent to no host but the blob's own: no client here follows a redirect. The ways into
storage accounts are in `account_openers`. Does not decide which way is used: `accounts` does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any
from urllib.parse import urlsplit

from azure.storage.blob.aio import BlobClient, ExponentialRetry

from imagefactory.azure.core.environment import transport_options
from imagefactory.azure.core.errors import cloud_error
from imagefactory.azure.core.retries import retries
from imagefactory.azure.storage.access import Access, Bearer
from imagefactory.loopback import LOOPBACK
from imagefactory.observed.blobs import BlobRef

RETRIES = 5
"""Attempts after the first, for a request that the storage service throttles (429), fails (408, 5xx) or drops."""
CLOSED = "its blobs cannot be read or written"


def account_name(account_id: str) -> str:
    """Return the storage account's name: the last part of its ARM id."""
    return account_id.rpartition("/")[2]


def container_and_blob(service_url: str, blob_url: str) -> tuple[str, str]:
    """Return the names of container and blob in a URL, even if the account had another endpoint when it was written."""
    account_path = urlsplit(service_url).path.rstrip("/")  # not empty if the endpoint is path-style
    container, _, blob = urlsplit(blob_url).path.removeprefix(account_path).lstrip("/").partition("/")
    return container, blob


class Opener(ABC):
    """One way into storage accounts. Raises `CloudError` if it grants no access."""

    def __init__(self, api_version: str) -> None:
        self._version = api_version

    @abstractmethod
    async def client(self, blob: BlobRef) -> BlobClient:
        """Return the SDK's client of a blob."""

    @abstractmethod
    async def access(self, blob: BlobRef) -> Access:
        """Return what a request needs to read, write or delete the blob."""

    @abstractmethod
    async def source_access(self, blob: BlobRef) -> Access:
        """Return what the service needs to read the blob: a token to pass on, or a SAS."""

    @abstractmethod
    def remedy(self, account_id: str) -> str:
        """Return what to do if the service may not read the account's blobs."""

    @abstractmethod
    async def close(self) -> None:
        """Close all clients."""


class Lent(Opener):
    """Page blobs that are opened by a URL with a SAS, as a managed disk is; by the id of what lends them."""

    def __init__(self, api_version: str) -> None:
        super().__init__(api_version)
        self._sas: dict[str, str] = {}
        self._clients: dict[BlobRef, BlobClient] = {}

    def __contains__(self, owner_id: str) -> bool:
        return owner_id in self._sas

    def add(self, owner_id: str, sas_url: str) -> BlobRef:
        """Add a page blob; `owner_id` is used in place of an account's id."""
        url, _, sas = sas_url.partition("?")
        blob = BlobRef(owner_id, url)
        try:
            check_encrypted(url, account_name(owner_id))
            self._clients[blob] = BlobClient.from_blob_url(sas_url, **client_options(self._version))
        except ValueError:  # its text would contain the SAS
            raise cloud_error(account_name(owner_id), "the URL that Azure returned is not that of a blob") from None
        self._sas[owner_id] = sas
        return blob

    async def remove(self, owner_id: str) -> None:
        """Forget the blob and close its client."""
        self._sas.pop(owner_id, None)
        for blob in [each for each in self._clients if each.account_id == owner_id]:
            await self._clients.pop(blob).close()

    async def client(self, blob: BlobRef) -> BlobClient:
        return self._clients[blob]

    async def access(self, blob: BlobRef) -> Access:
        return Access(f"{blob.url}?{self._sas[blob.account_id]}", {})

    async def source_access(self, blob: BlobRef) -> Access:
        return await self.access(blob)

    def remedy(self, account_id: str) -> str:
        return f"Run again, which grants access to '{account_name(account_id)}' again"

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()


def check_encrypted(endpoint: str, account: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        fact, remedy = f"its endpoint {endpoint} is not encrypted", "Set an endpoint that starts with https"
        raise cloud_error(f"storage account '{account}'", fact, consequence=CLOSED, remedy=remedy)


def client_options(api_version: str, *signing: Bearer) -> dict[str, Any]:
    """Return the options of an SDK client: no redirects, and azure-core's retries, which also know 429.

    They follow the SDK's own retry policy, which stays with no attempts: it removes options that would reach the
    transport, and sets one on each response that downloads read.
    """
    return {
        "retry_policy": ExponentialRetry(retry_total=0),
        "permit_redirects": False,
        "api_version": api_version,
        "_additional_pipeline_policies": [retries(RETRIES), *signing],
        **transport_options(),
    }
