"""The two ways into a storage account: the run's identity, and the account's key.

No key leaves this module. Tokens and SAS are kept in memory only, renewed before they expire, and sent to no host but
the account's own. Does not decide which way is used: `accounts` does.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

from azure.core.exceptions import AzureError
from azure.storage.blob import (
    BlobSasPermissions,
    ContainerSasPermissions,
    UserDelegationKey,
    generate_blob_sas,
    generate_container_sas,
)
from azure.storage.blob.aio import BlobClient, BlobServiceClient

from imagefactory.aio.once import Once
from imagefactory.aio.renewing import Lasting, Renewing, lasting
from imagefactory.azure.core.answers import SDK_FAILURES, Answer, misfit
from imagefactory.azure.core.errors import cloud_error, consequence, from_azure
from imagefactory.azure.core.refusals import remedy
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.access import Access, Bearer, Secret
from imagefactory.azure.storage.openers import (
    CLOSED,
    Opener,
    account_name,
    check_encrypted,
    client_options,
    container_and_blob,
)
from imagefactory.observed.blobs import BlobRef
from imagefactory.roles.actions import BLOBS

API_VERSION = "2023-01-01"
STORAGE_SCOPE = "https://storage.azure.com/.default"
"""Scope of a token for any storage account, the same in every cloud (azure-storage-blob's STORAGE_OAUTH_SCOPE)."""
COPY_SAS_LIFE = timedelta(days=7) - timedelta(hours=1)
"""How long the service may read the source of one Copy Blob. It has no guaranteed speed and starts from zero if it
loses its source; a user delegation key is valid for up to 7 days. Only the service gets the SAS."""
RANGE_SAS_LIFE = timedelta(hours=1)
"""Life of a SAS for the copying of ranges, which is renewed."""
CLOCK_SKEW = timedelta(minutes=15)
"""How far back the life of a SAS starts (Azure's advice for clocks that differ)."""
CLIENTS = 512
"""Clients of blobs that are kept: of all copies that run at a time. Each is some dozens of KiB and slow to make."""

_KEY_PARTS = ("value", "signed_oid", "signed_tid", "signed_start", "signed_expiry", "signed_service", "signed_version")
"""Of a user delegation key: all that a SAS is made from (REST API, "Get User Delegation Key")."""


class _Key(Answer):
    value: str


class _Keys(Answer):
    keys: list[_Key]


class _Endpoints(Answer):
    blob: str | None = None


class _NetworkRules(Answer):
    default_action: str | None = None
    bypass: str | None = None


class _AccountProperties(Answer):
    is_hns_enabled: bool | None = None
    allowed_copy_scope: str | None = None
    primary_endpoints: _Endpoints | None = None
    public_network_access: str | None = None
    network_acls: _NetworkRules | None = None
    allow_shared_key_access: bool | None = None


class Account(Answer):
    """A storage account as the resource manager shows it."""

    kind: str | None = None
    location: str | None = None
    properties: _AccountProperties | None = None

    @property
    def blob_endpoint(self) -> str:
        """Its blob endpoint; empty: it is not shown."""
        endpoints = self.properties and self.properties.primary_endpoints
        return (endpoints and endpoints.blob) or ""


def _blob_client(service: BlobServiceClient, blob: BlobRef) -> BlobClient:
    return service.get_blob_client(*container_and_blob(service.url, blob.url))


class AccountOpener(Opener):
    """A way into storage accounts by their ARM id, with one client of the blob service per account.

    Raises `CloudError` also if the endpoint is neither encrypted nor on this machine, and `ImageFactoryError` if an id
    does not end in the name of an account.
    """

    def __init__(self, arm: ResourceManager, api_version: str, *signing: Bearer) -> None:
        super().__init__(api_version)
        self._arm, self._signing = arm, signing
        self._services: Once[str, BlobServiceClient] = Once()
        self._blob_client = lru_cache(CLIENTS)(_blob_client)
        self._secrets: Renewing[tuple[str, ...], str] = Renewing()
        self._urls: dict[BlobRef, str] = {}
        self._asked: Once[str, str] = Once()
        self._told: dict[str, str] = {}  # endpoints by id in lower case

    async def service(self, account_id: str) -> BlobServiceClient:
        """Return the client of an account's blob service."""
        return await self._services.get(account_id, lambda: self._open(account_id))

    def learn(self, account_id: str, told: str) -> None:
        """Use the blob endpoint that the resource manager shows for an account; see `Cloud.endpoint_of`."""
        self._told[account_id.lower()] = self._arm.cloud.endpoint_of(account_name(account_id), told)

    async def client(self, blob: BlobRef) -> BlobClient:
        await self._find(blob)
        service = await self.service(blob.account_id)
        return self._blob_client(service, blob)

    async def _url(self, blob: BlobRef) -> str:
        """Return the blob's URL, without a query, at the account's present endpoint."""
        if (url := self._urls.get(blob)) is None:
            await self._find(blob)
            url = "/".join((self.endpoint(blob.account_id), *self._names(blob)))
            await self.service(blob.account_id)  # rejects a version of the API that the SDK does not know
            self._urls[blob] = url
        return url

    def refuse(self, secret: Secret) -> None:
        """Renew a token or SAS that the service rejected, unless that was done already."""
        self._secrets.drop(*secret)

    async def readable_url(self, blob: BlobRef) -> str:
        """Return the blob's URL with a SAS to read it for days. Pass it to the service only; do not keep it."""
        now = datetime.now(timezone.utc)
        expiry, key = await self._copy_key(blob.account_id, now + COPY_SAS_LIFE)
        name = account_name(blob.account_id)
        sas = _blob_sas(name, *self._names(blob), start=now - CLOCK_SKEW, expiry=expiry, **key)
        return f"{await self._url(blob)}?{sas}"

    async def close(self) -> None:
        for service in await self._services.results():
            await service.close()

    @abstractmethod
    async def _copy_key(self, account_id: str, expiry: datetime) -> tuple[datetime | str, dict[str, Any]]:
        """Return the key that signs the SAS of a Copy Blob, as arguments of the SDK, and when that SAS expires."""

    async def _credential(self, account_id: str) -> dict[str, str] | None:
        """Return the credential of the SDK's client; None if a policy signs its requests."""
        return None

    async def _open(self, account_id: str) -> BlobServiceClient:
        credential = await self._credential(account_id)
        options = client_options(self._version, *self._signing)
        try:
            return BlobServiceClient(self.endpoint(account_id), credential=credential, **options)
        except ValueError:  # the SDK's, for a version that it does not know
            subject, fact = (
                "setting imagefactory:storageApiVersion",
                f"{self._version} is not a version that is supported",
            )
            raise cloud_error(subject, fact, consequence=CLOSED, remedy="Remove it, or name another version") from None

    async def _find(self, blob: BlobRef) -> None:
        """Read the endpoint of an account if a blob's URL is in a DNS zone, because a URL proves nothing."""
        cloud, name, key = self._arm.cloud, account_name(blob.account_id), blob.account_id.lower()
        if key in self._told or cloud.endpoint_of(name, blob.url) == cloud.blob_service(name):
            return

        async def ask() -> str:
            with consequence(CLOSED):
                found = await self._arm.get(blob.account_id, API_VERSION, Account, subject=f"storage account '{name}'")
            return found.blob_endpoint if found else ""

        self.learn(blob.account_id, await self._asked.get(key, ask))

    def endpoint(self, account_id: str) -> str:
        """Return the URL of an account's blob service, without a trailing slash."""
        name = account_name(account_id)
        endpoint = self._told.get(account_id.lower()) or self._arm.cloud.blob_service(name)
        check_encrypted(endpoint, name)
        return endpoint

    def _names(self, blob: BlobRef) -> tuple[str, str]:
        return container_and_blob(self.endpoint(blob.account_id), blob.url)


class Identity(AccountOpener):
    """The run's own identity, by bearer token: one for all accounts. Does not request an account key."""

    def __init__(self, arm: ResourceManager, api_version: str) -> None:
        super().__init__(arm, api_version, Bearer(self._token, self.refuse))
        self._delegations: Renewing[str, UserDelegationKey] = Renewing()

    async def access(self, blob: BlobRef) -> Access:
        return await self._with_token(blob, "Authorization")

    async def source_access(self, blob: BlobRef) -> Access:
        return await self._with_token(blob, "x-ms-copy-source-authorization")

    def remedy(self, account_id: str) -> str:
        return remedy(403, "AuthorizationPermissionMismatch", account_id, f"{BLOBS}/read")

    async def _with_token(self, blob: BlobRef, header: str) -> Access:
        url, token = await self._url(blob), await self._token()
        return Access(url, {header: token.value}, token)

    async def _token(self) -> Secret:
        """Return the value of a header; one string for all requests, because it is long and many run concurrently."""
        key = (STORAGE_SCOPE,)
        return Secret(key, await self._secrets.get(key, self._request_token))

    async def _request_token(self) -> Lasting[str]:
        try:
            token = await self._arm.credential.get_token(STORAGE_SCOPE)
        except AzureError as error:
            raise from_azure(error, "authentication", "no blob can be read or written") from error
        return lasting(f"Bearer {token.token}", token.expires_on)

    async def _copy_key(self, account_id: str, expiry: datetime) -> tuple[datetime | str, dict[str, Any]]:
        key = await self._delegations.get(account_id, lambda: self._delegation(account_id))
        return str(key.signed_expiry), {"user_delegation_key": key}

    async def _delegation(self, account_id: str) -> Lasting[UserDelegationKey]:
        """Return the key of this identity that signs SAS for an account; it is renewed after half of its life."""
        service, now = await self.service(account_id), datetime.now(timezone.utc)
        name, fact = account_name(account_id), "the service cannot be given access to its blobs"
        subject = f"storage account '{name}'"
        try:
            key = await service.get_user_delegation_key(
                now - CLOCK_SKEW, now + COPY_SAS_LIFE, retry_on_methods=frozenset({"POST"})
            )
            complete = all(isinstance(getattr(key, part), str) for part in _KEY_PARTS)
        except AzureError as error:
            raise from_azure(error, subject, fact, account=name) from error
        except SDK_FAILURES:
            complete = False
        if not complete:
            raise misfit(subject, "POST /?comp=userdelegationkey", "a part of the key is missing").so(fact)
        return Lasting(key, (now + COPY_SAS_LIFE / 2).timestamp(), (now + COPY_SAS_LIFE).timestamp())


class AccountKey(AccountOpener):
    """The account's key, requested once per account and process (`listKeys`); it signs SAS and the SDK's requests."""

    def __init__(self, arm: ResourceManager, api_version: str) -> None:
        super().__init__(arm, api_version)
        self._keys: Once[str, str] = Once()

    async def access(self, blob: BlobRef) -> Access:
        container = (await self._url(blob)).rpartition("/")[0]  # one SAS for all blobs beside it
        return await self._with_sas(blob, container, _container_sas)

    async def source_access(self, blob: BlobRef) -> Access:
        return await self._with_sas(blob, await self._url(blob), _blob_sas)

    def remedy(self, account_id: str) -> str:
        return remedy(403, "KeyBasedAuthenticationNotPermitted", account_id)

    async def _with_sas(self, blob: BlobRef, scope: str, generate: Callable[..., str]) -> Access:
        async def sign() -> Lasting[str]:
            now = datetime.now(timezone.utc)
            life = {"start": now - CLOCK_SKEW, "expiry": now + RANGE_SAS_LIFE}
            key = await self._key(blob.account_id)
            sas = generate(account_name(blob.account_id), *self._names(blob), account_key=key, **life)
            return lasting(sas, (now + RANGE_SAS_LIFE).timestamp())

        url, key = await self._url(blob), (blob.account_id, scope)
        secret = Secret(key, await self._secrets.get(key, sign))
        return Access(f"{url}?{secret.value}", {}, secret)

    async def _copy_key(self, account_id: str, expiry: datetime) -> tuple[datetime | str, dict[str, Any]]:
        return expiry, {"account_key": await self._key(account_id)}

    async def _credential(self, account_id: str) -> dict[str, str] | None:
        return {"account_name": account_name(account_id), "account_key": await self._key(account_id)}

    async def _key(self, account_id: str) -> str:
        return await self._keys.get(account_id, lambda: self._request_key(account_id))

    async def _request_key(self, account_id: str) -> str:
        subject = f"storage account '{account_name(account_id)}'"
        with consequence(CLOSED):
            found = await self._arm.post(f"{account_id}/listKeys", API_VERSION, _Keys, subject=subject)
            if not found.keys:
                raise cloud_error(subject, "Azure returned no key for it")
            return found.keys[0].value


def _blob_sas(account: str, container: str, blob: str, **given: Any) -> str:
    return generate_blob_sas(account, container, blob, permission=BlobSasPermissions(read=True), **given)


def _container_sas(account: str, container: str, _: str, **given: Any) -> str:
    return generate_container_sas(
        account, container, permission=ContainerSasPermissions(read=True, write=True, delete=True), **given
    )
