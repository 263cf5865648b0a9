"""Storage accounts by their ARM id: where their blob service is, and what opens it.

Owns the two ways in. `aad`: the run's own identity, by bearer token; no account key is ever asked for. `key`: the
account's key, asked for once per account and process (`listKeys`). No key leaves this module; tokens and SAS are made
for one request, renewed before they end, kept in memory only, and sent to no host but the account's own: no client here
follows a redirect.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any, Literal
from urllib.parse import urlsplit

from azure.core import AsyncPipelineClient
from azure.core.exceptions import AzureError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy, AsyncRetryPolicy, UserAgentPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.storage.blob import (
    BlobSasPermissions,
    ContainerSasPermissions,
    UserDelegationKey,
    generate_blob_sas,
    generate_container_sas,
)
from azure.storage.blob.aio import BlobClient, BlobServiceClient, ExponentialRetry

from imagefactory.aio.once import Once
from imagefactory.aio.renewing import Lasting, Renewing, lasting
from imagefactory.azure.core.clouds import LOOPBACK
from imagefactory.azure.core.errors import cloud_error, data_role, enabled_keys, from_azure
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.access import Access, Bearer, Source
from imagefactory.observed.blobs import BlobRef

API_VERSION = "2023-01-01"
REST_VERSION = "2021-08-06"
"""The storage service's API in requests that are not the SDK's. Azure's answers with the CRC64 of a range are recorded
of this version."""
STORAGE_SCOPE = "https://storage.azure.com/.default"
"""Whom a token for any storage account is for; the same in every cloud (azure-storage-blob's STORAGE_OAUTH_SCOPE)."""
RETRIES = 5
"""Attempts after the first, for a request that the storage service throttles (429), fails (408, 5xx) or drops."""
COPY_SAS_LIFE = timedelta(days=7) - timedelta(hours=1)
"""How long the service may read the source of one Copy Blob. It has no guaranteed speed and starts from zero when it
loses its source; a user delegation key lives no longer than 7 days. Nobody but the service ever gets the SAS."""
RANGE_SAS_LIFE = timedelta(hours=1)
"""Life of a SAS for the copying of ranges, which is renewed."""
CLOCK_SKEW = timedelta(minutes=15)
"""How far back the life of a SAS begins (Azure's advice for clocks that differ)."""

_CLOSED = "its blobs cannot be read or written"


def account_name(account_id: str) -> str:
    """The storage account's name: the last part of its ARM id."""
    return account_id.rpartition("/")[2]


def container_and_blob(service_url: str, blob_url: str) -> tuple[str, str]:
    """Names of the container and the blob in a URL, also in one that was made when the account had another endpoint."""
    account_path = urlsplit(service_url).path.rstrip("/")  # not empty where the endpoint is path-style
    container, _, blob = urlsplit(blob_url).path.removeprefix(account_path).lstrip("/").partition("/")
    return container, blob


class StorageAccounts:
    """Clients of the blob services that one run touches, opened on first use. Use as `async with`.

    Everything raises `CloudError` where nobody can sign in, keys are wanted and cannot be had, or the endpoint is
    neither encrypted nor on this machine; `ImageFactoryError` where an id does not end in the name of an account.
    """

    def __init__(self, arm: ResourceManager, auth: Literal["aad", "key"] = "aad") -> None:
        self.auth = auth
        self._arm = arm
        self._clients: Once[str, BlobServiceClient] = Once()
        self._keys: Once[str, str] = Once()
        self._secrets: Renewing[tuple[str, ...], str] = Renewing()
        self._delegations: Renewing[str, UserDelegationKey] = Renewing()
        self._urls: dict[BlobRef, str] = {}
        self._plain = self._requests(*self._bearer())
        self._lent: dict[str, str] = {}
        self._lent_clients: dict[BlobRef, BlobClient] = {}
        self._lent_plain = self._requests()

    async def __aenter__(self) -> StorageAccounts:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._plain.close()
        await self._lent_plain.close()
        for lent in self._lent_clients.values():
            await lent.close()
        for client in await self._clients.results():
            await client.close()

    async def service(self, account_id: str) -> BlobServiceClient:
        """The blob service of an account."""
        return await self._clients.get(account_id, lambda: self._open(account_id))

    async def client(self, blob: BlobRef) -> BlobClient:
        """The SDK's client of a blob."""
        if blob.account_id in self._lent:
            return self._lent_clients[blob]
        service = await self.service(blob.account_id)
        return service.get_blob_client(*container_and_blob(service.url, blob.url))

    def lend(self, owner_id: str, sas_url: str) -> BlobRef:
        """Take a page blob that somebody opened by a URL with a SAS; `owner_id` stands for its account from now on."""
        url, _, sas = sas_url.partition("?")
        _check_encrypted(url, owner_id.rpartition("/")[2])
        blob = BlobRef(owner_id, url)
        self._lent[owner_id] = sas
        self._lent_clients[blob] = BlobClient.from_blob_url(sas_url, retry_policy=_retries(), permit_redirects=False)
        return blob

    async def give_back(self, owner_id: str) -> None:
        """Forget what `lend` took, and close its client."""
        self._lent.pop(owner_id, None)
        for blob in [each for each in self._lent_clients if each.account_id == owner_id]:
            await self._lent_clients.pop(blob).close()

    def url(self, blob: BlobRef) -> str:
        """The blob's URL, without any query, at the endpoint where its account answers now."""
        if blob.account_id in self._lent:
            return blob.url
        if (url := self._urls.get(blob)) is None:
            endpoint = self._endpoint(account_name(blob.account_id))
            url = self._urls[blob] = "/".join((endpoint, *container_and_blob(endpoint, blob.url)))
        return url

    async def access(self, blob: BlobRef) -> Access:
        """What opens a blob to a request that reads or writes ranges of it."""
        url = self.url(blob)
        if sas := self._lent.get(blob.account_id):
            return Access(f"{url}?{sas}", {})
        if self.auth == "aad":
            return Access(url, {"Authorization": await self._token()})
        sas = await self._secrets.get((blob.account_id, url.rpartition("/")[0]), lambda: self._container_sas(blob))
        return Access(f"{url}?{sas}", {})

    def source(self, blob: BlobRef) -> Source:
        """A blob as something that the service reads ranges from."""
        return _BlobSource(self, blob)

    async def source_access(self, blob: BlobRef) -> Access:
        """What lets the service read a blob: a token for it to pass on, or a SAS."""
        url = self.url(blob)
        if sas := self._lent.get(blob.account_id):
            return Access(f"{url}?{sas}", {})
        if self.auth == "aad":
            return Access(url, {"x-ms-copy-source-authorization": await self._token()})
        sas = await self._secrets.get((blob.account_id, url), lambda: self._blob_sas(blob))
        return Access(f"{url}?{sas}", {})

    def refuse(self, access: Access) -> None:
        """The service did not take `access`: make another one next time."""
        shown = (access.url, *access.headers.values())
        self._secrets.drop(lambda secret: any(text.endswith(secret) for text in shown))

    async def readable_url(self, account_id: str, blob_url: str) -> str:
        """The blob's URL with a SAS that lets the service read it for days. Give it to it, keep it nowhere."""
        service = await self.service(account_id)
        now = datetime.now(timezone.utc)
        key: dict[str, Any] = {"account_key": await self._key(account_id)} if self.auth == "key" else {}
        expiry: datetime | str = now + COPY_SAS_LIFE
        if self.auth == "aad":
            delegation = await self._delegations.get(account_id, lambda: self._delegation(account_id, service))
            key, expiry = {"user_delegation_key": delegation}, str(delegation.signed_expiry)
        sas = generate_blob_sas(
            account_name(account_id),
            *container_and_blob(service.url, blob_url),
            permission=BlobSasPermissions(read=True),
            start=now - CLOCK_SKEW,
            expiry=expiry,
            **key,
        )
        return f"{self.url(BlobRef(account_id, blob_url))}?{sas}"

    async def exists(self, account_id: str) -> bool:
        """Whether there is such an account, as the resource manager knows it."""
        if account_id in self._lent:
            return True
        subject = f"storage account '{account_name(account_id)}'"
        found = await self._arm.get(account_id, API_VERSION, subject=subject, consequence=_CLOSED)
        return found is not None

    async def send(self, request: HttpRequest, blob: BlobRef) -> AsyncHttpResponse:
        """Send a request to the URL of a blob's `access` and read the answer, with the same retries.

        Raises `AzureError` too.
        """
        client = self._lent_plain if blob.account_id in self._lent else self._plain
        return await client.send_request(request)

    def _endpoint(self, account: str) -> str:
        endpoint = self._arm.cloud.blob_service(account)
        _check_encrypted(endpoint, account)
        return endpoint

    @staticmethod
    def _requests(*signing: Bearer) -> AsyncPipelineClient[HttpRequest, AsyncHttpResponse]:
        """A client for requests that are not the SDK's; without a policy that follows redirects, it follows none."""
        retries: Any = AsyncRetryPolicy(retry_total=RETRIES)
        return AsyncPipelineClient("", policies=[UserAgentPolicy(sdk_moniker="imagefactory"), retries, *signing])

    def _bearer(self) -> list[Bearer]:
        """Policies of a client that sends the run's token."""
        if self.auth == "key":
            return []
        return [Bearer(self._token, lambda token: self._secrets.drop(lambda secret: secret == token))]

    async def _token(self) -> str:
        """The value of a header; one text for all requests, for it is long and many are in flight."""
        return await self._secrets.get((STORAGE_SCOPE,), self._ask_token)

    async def _ask_token(self) -> Lasting[str]:
        try:
            token = await self._arm.credential.get_token(STORAGE_SCOPE)
        except AzureError as error:
            raise from_azure(error, "sign-in", "no blob can be read or written") from error
        return lasting(f"Bearer {token.token}", token.expires_on)

    async def _container_sas(self, blob: BlobRef) -> Lasting[str]:
        """For all blobs beside `blob`."""
        container, _ = container_and_blob(self._endpoint(account_name(blob.account_id)), blob.url)
        return await self._signed(
            blob.account_id,
            generate_container_sas,
            container,
            permission=ContainerSasPermissions(read=True, write=True),
        )

    async def _blob_sas(self, blob: BlobRef) -> Lasting[str]:
        names = container_and_blob(self._endpoint(account_name(blob.account_id)), blob.url)
        return await self._signed(blob.account_id, generate_blob_sas, *names, permission=BlobSasPermissions(read=True))

    async def _signed(self, account_id: str, generate: Any, *names: str, permission: Any) -> Lasting[str]:
        now = datetime.now(timezone.utc)
        life = {"permission": permission, "start": now - CLOCK_SKEW, "expiry": now + RANGE_SAS_LIFE}
        sas = generate(account_name(account_id), *names, account_key=await self._key(account_id), **life)
        return lasting(sas, (now + RANGE_SAS_LIFE).timestamp())

    async def _delegation(self, account_id: str, service: BlobServiceClient) -> Lasting[UserDelegationKey]:
        """The key of this identity that signs SAS for an account; after half of its life, the next one."""
        now = datetime.now(timezone.utc)
        try:
            key = await service.get_user_delegation_key(now - CLOCK_SKEW, now + COPY_SAS_LIFE)
        except AzureError as error:
            name = account_name(account_id)
            consequence = "the service cannot be let read its blobs"
            raise from_azure(error, f"storage account '{name}'", consequence, account=name) from error
        end = (now + COPY_SAS_LIFE).timestamp()
        return Lasting(key, (now + COPY_SAS_LIFE / 2).timestamp(), end)

    async def _open(self, account_id: str) -> BlobServiceClient:
        name = account_name(account_id)
        key = await self._key(account_id) if self.auth == "key" else None
        return BlobServiceClient(
            self._endpoint(name),
            credential={"account_name": name, "account_key": key} if key else None,
            retry_policy=_retries(),
            permit_redirects=False,
            _additional_pipeline_policies=[_Throttled(), *self._bearer()],
        )

    async def _key(self, account_id: str) -> str:
        return await self._keys.get(account_id, lambda: self._ask_key(account_id))

    async def _ask_key(self, account_id: str) -> str:
        subject = f"storage account '{account_name(account_id)}'"
        answer = await self._arm.post(f"{account_id}/listKeys", API_VERSION, subject=subject, consequence=_CLOSED)
        try:
            return str(answer["keys"][0]["value"])
        except (KeyError, IndexError, TypeError):
            raise cloud_error(subject, _CLOSED, 0, "", "Azure listed no key for it") from None


def _check_encrypted(endpoint: str, account: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        fact, remedy = f"its endpoint {endpoint} is not encrypted", "Give an endpoint that begins with https"
        raise cloud_error(f"storage account '{account}'", _CLOSED, 0, "", fact, remedy=remedy)


def _retries() -> ExponentialRetry:
    """The SDK's own first wait is 15 s, long for a dropped connection; these are 1, 3, 5, 9 and 17 s."""
    return ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=RETRIES, random_jitter_range=1)


@dataclass(frozen=True, slots=True)
class _BlobSource:
    """A `Source`: a blob, opened as everything of its account is."""

    accounts: StorageAccounts
    blob: BlobRef

    @property
    def name(self) -> str:
        return self.blob.name

    @property
    def remedy(self) -> str:
        account = account_name(self.blob.account_id)
        return enabled_keys(account) if self.accounts.auth == "key" else data_role(account)

    async def access(self) -> Access:
        return await self.accounts.source_access(self.blob)

    def refuse(self, access: Access) -> None:
        self.accounts.refuse(access)


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
