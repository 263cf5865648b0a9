"""Storage accounts by their ARM id: where their blob service is, and what opens it.

Owns the ways in. `aad`: the run's own identity, by bearer token, also towards the source of a copy; no account key is
ever asked for. `key`: the account's key, asked for once per account and process (`listKeys`). Nothing here returns a
key; tokens and SAS are made for one use, renewed before they end, and kept in memory only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any, Literal
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.storage.blob import BlobSasPermissions, UserDelegationKey, generate_blob_sas, generate_container_sas
from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

from imagefactory_azure.blobs import BlobRef
from imagefactory_azure.clouds import LOOPBACK
from imagefactory_azure.errors import cloud_error, from_azure
from imagefactory_azure.once import Once
from imagefactory_azure.resource_manager import ResourceManager
from imagefactory_azure.tokens import Bearer, Tokens

API_VERSION = "2023-01-01"
STORAGE_SCOPE = "https://storage.azure.com/.default"
"""Whom a token for any storage account is for, the same in every cloud (azure-storage-blob's STORAGE_OAUTH_SCOPE)."""
RETRIES = 5
"""Attempts after the first, for a request that the storage service throttles (429), fails (408, 5xx) or drops."""
SAS_LIFE = timedelta(days=7) - timedelta(hours=1)
"""How long the service may read the source of one Copy Blob. It has no guaranteed speed and starts from zero when it
loses its source; a user delegation key cannot live longer than 7 days. Nobody but the service ever gets the SAS."""
DELEGATION_RENEWED_AFTER = timedelta(minutes=30)
RANGE_SAS_LIFE = timedelta(hours=1)
"""Life of a SAS for the copying of ranges; at half of it the next one is made."""
CLOCK_SKEW = timedelta(minutes=15)
"""How far back the life of a SAS begins (Azure's advice for clocks that differ)."""


def account_name(account_id: str) -> str:
    """The storage account's name: the last part of its ARM id."""
    return account_id.rpartition("/")[2]


def container_and_blob(service_url: str, blob_url: str) -> tuple[str, str]:
    """Names of the container and the blob in a URL, also in one that was made when the account had another endpoint."""
    account_path = urlsplit(service_url).path.rstrip("/")  # not empty where the endpoint is path-style
    container, _, blob = urlsplit(blob_url).path.removeprefix(account_path).lstrip("/").partition("/")
    return container, blob


@dataclass(frozen=True, slots=True)
class Access:
    """What opens a blob to one request: a query without `?` (perhaps empty), and headers. Keep it nowhere."""

    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class StorageAccounts:
    """Clients of the blob services that one run touches, opened on first use. Use as `async with`."""

    def __init__(self, arm: ResourceManager, auth: Literal["aad", "key"] = "aad") -> None:
        self._arm, self._auth = arm, auth
        self._tokens = Tokens(arm.credential)
        self._clients: Once[str, BlobServiceClient] = Once()
        self._keys: dict[str, str] = {}
        self._delegations: Once[str, tuple[UserDelegationKey, datetime]] = Once()
        self._granted: dict[tuple[str, str], tuple[Access, datetime]] = {}

    async def __aenter__(self) -> StorageAccounts:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in await self._clients.results():
            await client.close()

    async def service(self, account_id: str) -> BlobServiceClient:
        """The blob service of an account. Raises `CloudError` where its keys are wanted and cannot be had."""
        return await self._clients.get(account_id, lambda: self._open(account_id))

    async def blob_url(self, blob: BlobRef) -> str:
        """The blob's URL at the endpoint where its account answers now, without any query. Raises `CloudError`."""
        service = await self.service(blob.account_id)
        return str(service.get_blob_client(*container_and_blob(service.url, blob.url)).url)

    async def access(self, blob: BlobRef) -> Access:
        """What opens a blob to a request that writes it: a bearer token, or a SAS for its container.

        Raises `CloudError`.
        """
        if self._auth == "aad":
            return Access(headers={"Authorization": await self._bearer()})
        service = await self.service(blob.account_id)
        container, _ = container_and_blob(service.url, blob.url)
        return self._signed(blob.account_id, container, None, "rcwd")

    async def source_access(self, blob: BlobRef) -> Access:
        """What lets the service read a blob as the source of a range: a token to pass on, or a read SAS for it."""
        if self._auth == "aad":
            return Access(headers={"x-ms-copy-source-authorization": await self._bearer()})
        service = await self.service(blob.account_id)
        return self._signed(blob.account_id, *container_and_blob(service.url, blob.url), "r")

    def renew(self, blob: BlobRef) -> None:
        """The service refused what opened `blob`: make it anew next time."""
        self._tokens.forget(STORAGE_SCOPE)
        for key in [key for key in self._granted if key[0] == blob.account_id]:
            del self._granted[key]

    async def readable_url(self, account_id: str, blob_url: str) -> str:
        """`blob_url` with a SAS that lets the service read this one blob for days. Give it to the service, keep it not.

        Raises `CloudError`.
        """
        service = await self.service(account_id)
        now = datetime.now(timezone.utc)
        if self._auth == "aad":
            signer: dict[str, Any] = {"user_delegation_key": await self._delegation(account_id, service)}
        else:
            signer = {"account_key": self._keys[account_id]}
        sas = generate_blob_sas(
            account_name(account_id),
            *container_and_blob(service.url, blob_url),
            permission=BlobSasPermissions(read=True),
            start=now - CLOCK_SKEW,
            expiry=now + SAS_LIFE - DELEGATION_RENEWED_AFTER,  # never beyond the key's own end
            **signer,
        )
        return f"{blob_url}?{sas}"

    async def _bearer(self) -> str:
        subject, consequence = "sign-in", "no blob can be read or written"
        try:
            return f"Bearer {(await self._tokens.get_token(STORAGE_SCOPE)).token}"
        except AzureError as error:
            raise from_azure(error, subject, consequence) from error

    def _signed(self, account_id: str, container: str, blob: str | None, permission: str) -> Access:
        """A SAS made with the account's key, for half of its life."""
        now = datetime.now(timezone.utc)
        access, renewed_at = self._granted.get((account_id, f"{container}/{blob}/{permission}"), (Access(), now))
        if now < renewed_at:
            return access
        life: dict[str, Any] = {"permission": permission, "start": now - CLOCK_SKEW, "expiry": now + RANGE_SAS_LIFE}
        name, key = account_name(account_id), self._keys[account_id]
        sas = (
            generate_blob_sas(name, container, blob, account_key=key, **life)
            if blob
            else generate_container_sas(name, container, account_key=key, **life)
        )
        self._granted[account_id, f"{container}/{blob}/{permission}"] = Access(sas), now + RANGE_SAS_LIFE / 2
        return Access(sas)

    async def _delegation(self, account_id: str, service: BlobServiceClient) -> UserDelegationKey:
        """The key of this identity that signs SAS for an account; good for the whole life of a SAS made now."""

        async def ask() -> tuple[UserDelegationKey, datetime]:
            now = datetime.now(timezone.utc)
            subject = f"storage account '{account_name(account_id)}'"
            try:
                key = await service.get_user_delegation_key(now - CLOCK_SKEW, now + SAS_LIFE)
            except AzureError as error:
                raise from_azure(error, subject, "the service cannot be let read its blobs") from error
            return key, now + DELEGATION_RENEWED_AFTER

        key, renewed_at = await self._delegations.get(account_id, ask)
        if datetime.now(timezone.utc) >= renewed_at:
            self._delegations.forget(account_id)
            key, _ = await self._delegations.get(account_id, ask)
        return key

    async def _open(self, account_id: str) -> BlobServiceClient:
        name = account_name(account_id)
        endpoint = self._arm.cloud.blob_service(name)
        policies: list[Any] = [_Throttled()]
        credential = None
        if self._auth == "key":
            self._keys[account_id] = await self._key(account_id)
            credential = {"account_name": name, "account_key": self._keys[account_id]}
        else:
            policies.append(Bearer(self._tokens, STORAGE_SCOPE, loopback=urlsplit(endpoint).hostname in LOOPBACK))
        return BlobServiceClient(
            endpoint,
            credential=credential,
            # The SDK's own first wait is 15 s, long for a dropped connection; these are 1, 3, 5, 9 and 17 s.
            retry_policy=ExponentialRetry(
                initial_backoff=1, increment_base=2, retry_total=RETRIES, random_jitter_range=1
            ),
            _additional_pipeline_policies=policies,
        )

    async def _key(self, account_id: str) -> str:
        subject, consequence = f"storage account '{account_name(account_id)}'", "its blobs cannot be read or written"
        answer = await self._arm.post(f"{account_id}/listKeys", API_VERSION, subject=subject, consequence=consequence)
        try:
            return str(answer["keys"][0]["value"])
        except (KeyError, IndexError, TypeError):
            raise cloud_error(subject, consequence, 0, "", "Azure listed no key for it") from None


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
