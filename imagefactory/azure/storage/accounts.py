"""Storage accounts by their ARM id, as one run uses them: each opened in the way that the run has for it.

`aad`: the run's own identity, by bearer token. `key`: the account's key. A managed disk that was lent: its SAS URL.
`account_openers` and `openers` have the three ways; this module only chooses.
"""

from __future__ import annotations

from types import TracebackType
from typing import Literal

from azure.storage.blob.aio import BlobClient, BlobServiceClient

from imagefactory.azure.core.answers import Answer
from imagefactory.azure.core.errors import consequence
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.access import Access
from imagefactory.azure.storage.account_openers import API_VERSION, AccountKey, AccountOpener, Identity
from imagefactory.azure.storage.openers import CLOSED, Lent, Opener, account_name
from imagefactory.azure.storage.small_requests import SmallRequests
from imagefactory.observed.blobs import BlobRef

REST_VERSION = "2021-08-06"
"""The storage service's API in all requests, those of the SDK included, unless the settings name another. Azure's
responses with the CRC64 of a range were recorded with this version; the SDK's own is newer than some clouds."""


class StorageAccounts:
    """The storage accounts of one run, opened on first use. Use as `async with`. For what is raised see `openers`."""

    def __init__(
        self, arm: ResourceManager, auth: Literal["aad", "key"] = "aad", api_version: str | None = None
    ) -> None:
        self._arm = arm
        self.api_version = api_version or REST_VERSION
        way = Identity if auth == "aad" else AccountKey
        self._own: AccountOpener = way(arm, self.api_version)
        self.lent = Lent(self.api_version)
        self.requests = SmallRequests(self, self.api_version)

    async def __aenter__(self) -> StorageAccounts:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.requests.close()
        await self._own.close()
        await self.lent.close()

    async def service(self, account_id: str) -> BlobServiceClient:
        """Return the client of an account's blob service."""
        return await self._own.service(account_id)

    async def client(self, blob: BlobRef) -> BlobClient:
        """Return the SDK's client of a blob."""
        return await self._opener(blob.account_id).client(blob)

    async def access(self, blob: BlobRef) -> Access:
        """Return what a request needs to read, write or delete a blob."""
        return await self._opener(blob.account_id).access(blob)

    async def source_access(self, blob: BlobRef) -> Access:
        """Return what the service needs to read a blob: a token to pass on, or a SAS."""
        return await self._opener(blob.account_id).source_access(blob)

    def source_remedy(self, blob: BlobRef) -> str:
        """Return what to do if the service may not read a blob."""
        return self._opener(blob.account_id).remedy(blob.account_id)

    def refuse(self, access: Access) -> None:
        """Renew what is in `access`, because the service rejected it."""
        if access.secret:
            self._own.refuse(access.secret)

    async def readable_url(self, blob: BlobRef) -> str:
        """Return a blob's URL with a SAS to read it for days. Pass it to the service only; do not keep it."""
        return await self._own.readable_url(blob)

    def learn(self, account_id: str, told: str) -> None:
        """Use the blob endpoint that the resource manager shows for an account, if tokens may be sent there."""
        self._own.learn(account_id, told)

    def endpoint(self, account_id: str) -> str:
        """Return the URL of an account's blob service, without a trailing slash."""
        return self._own.endpoint(account_id)

    async def exists(self, account_id: str) -> bool:
        """Return whether the account exists, according to the resource manager."""
        if account_id in self.lent:
            return True
        with consequence(CLOSED):
            subject = f"storage account '{account_name(account_id)}'"
            return await self._arm.get(account_id, API_VERSION, Answer, subject=subject) is not None

    def _opener(self, account_id: str) -> Opener:
        return self.lent if account_id in self.lent else self._own
