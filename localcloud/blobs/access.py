"""Storage accounts of the embedded cloud, and access to their blobs from inside it.

Keeps the accounts' keys and reads what the resource manager needs of a blob (it checks a VHD before it creates an
image). Requests go to Azurite directly, past the front's fault rules and journal. Does not write blobs; it only removes
containers.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

import aiohttp
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas
from yarl import URL

from localcloud.private_files import read_private, write_private

LOOPBACK = "127.0.0.1"
API_VERSION = "2021-12-02"
VERSION_HEADER = {"x-ms-version": API_VERSION}
_SAS_LIFETIME = timedelta(hours=24)
_SAS_RENEWED_AFTER_SECONDS = 3600.0
_EVERY_PERMISSION = AccountSasPermissions(
    read=True, write=True, delete=True, list=True, add=True, create=True, update=True, process=True, tag=True
)


@dataclass(frozen=True)
class BlobFacts:
    """Facts of a blob: `blob_type` as the service names it (`PageBlob`), `length` in bytes, `copy_status` of its last
    server-side copy (`pending`, `success`, `failed`, `aborted`) or None."""

    blob_type: str
    length: int
    copy_status: str | None


class BlobAccess(Protocol):
    """Blobs of the embedded accounts by path-style URL: `http://host:port/account/container/blob`.

    A query (a SAS) in the URL is ignored, because the caller is the cloud itself."""

    async def stat(self, url: str) -> BlobFacts | None:
        """Return the blob's facts; None if the URL names no blob of an embedded account."""

    async def read(self, url: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`. Raises LookupError if the blob does not exist."""

    async def keys(self, account: str) -> str:
        """Return the account's key (base64). Raises LookupError if the account is not embedded."""

    async def remove_container(self, account: str, container: str) -> None:
        """Remove a container with its blobs, if it exists. Raises LookupError if the account is not embedded,
        aiohttp.ClientError if the removal fails."""


class Accounts:
    """The accounts' names and keys, saved to `path` (mode 0600), or in memory only."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._keys: dict[str, str] = dict(read_private(path)) if path else {}
        self._sas: dict[str, tuple[str, float]] = {}

    @property
    def keys(self) -> Mapping[str, str]:
        """Account -> key (base64)."""
        return self._keys

    def ensure(self, names: Iterable[str]) -> bool:
        """Create keys for new accounts. Returns whether there are new accounts."""
        new = [name for name in names if name not in self._keys]
        self._keys |= {name: base64.b64encode(secrets.token_bytes(64)).decode() for name in new}
        if new and self._path:
            write_private(self._path, self._keys)
        return bool(new)

    def sas(self, account: str) -> str:
        """Return a SAS with every permission for the account. Raises KeyError if the account is not embedded."""
        sas, renewed_at = self._sas.get(account, ("", 0.0))
        if time.monotonic() < renewed_at:
            return sas
        sas = generate_account_sas(
            account,
            self._keys[account],
            ResourceTypes(service=True, container=True, object=True),
            _EVERY_PERMISSION,
            expiry=datetime.now(timezone.utc) + _SAS_LIFETIME,
        )
        self._sas[account] = sas, time.monotonic() + _SAS_RENEWED_AFTER_SECONDS
        return sas


class EmbeddedBlobs:
    """`BlobAccess` through Azurite at `azurite_port`; URLs name the front at `front_port`."""

    def __init__(self, session: aiohttp.ClientSession, accounts: Accounts, azurite_port: int, front_port: int) -> None:
        self._session, self._accounts = session, accounts
        self._azurite_port, self._front_port = azurite_port, front_port

    def endpoint(self, account: str) -> str:
        """Return the account's blob endpoint, as clients use it."""
        return f"http://{LOOPBACK}:{self._front_port}/{account}"

    def inside(self, account: str, container: str, blob: str = "") -> URL:
        """Return the URL of a container or blob at Azurite itself, with a SAS."""
        path = quote("/".join(part for part in (account, container, blob) if part))
        return URL(f"http://{LOOPBACK}:{self._azurite_port}/{path}?{self._accounts.sas(account)}", encoded=True)

    async def stat(self, url: str) -> BlobFacts | None:
        inside = self._translate(url)
        if inside is None:
            return None
        async with self._session.head(inside, headers=VERSION_HEADER) as response:
            if response.status == 404:
                return None
            response.raise_for_status()
            headers = response.headers
            return BlobFacts(headers["x-ms-blob-type"], int(headers["Content-Length"]), headers.get("x-ms-copy-status"))

    async def read(self, url: str, offset: int, length: int) -> bytes:
        inside = self._translate(url)
        if inside is None or length <= 0:
            raise LookupError("the blob is not in the embedded storage accounts")
        headers = {**VERSION_HEADER, "x-ms-range": f"bytes={offset}-{offset + length - 1}"}
        async with self._session.get(inside, headers=headers) as response:
            if response.status in (404, 416):
                raise LookupError("the blob is not in the embedded storage accounts, or is too short")
            response.raise_for_status()
            return await response.read()

    async def keys(self, account: str) -> str:
        return self._accounts.keys[account]

    async def remove_container(self, account: str, container: str) -> None:
        url = self.inside(account, container).update_query(restype="container")
        async with self._session.delete(url, headers=VERSION_HEADER) as response:
            if response.status != 404:
                response.raise_for_status()

    def _translate(self, url: str) -> URL | None:
        try:
            parts = urlsplit(url)
            local = parts.scheme == "http" and parts.port == self._front_port
        except ValueError:
            return None
        account, _, path = unquote(parts.path).lstrip("/").partition("/")
        container, _, blob = path.partition("/")
        if not local or parts.hostname not in (LOOPBACK, "localhost") or account not in self._accounts.keys or not blob:
            return None
        return self.inside(account, container, blob)
