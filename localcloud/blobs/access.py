"""Storage accounts of the embedded cloud, and reading their blobs from inside it.

Owns the accounts' keys and the facts that other emulators need of a blob (ARM checks a VHD before it makes an image).
It asks Azurite itself, past the front's fault rules and journal. Refuses: writing blobs; it only removes containers.
"""

from __future__ import annotations

import base64
import secrets
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
_VERSION = {"x-ms-version": "2021-12-02"}


@dataclass(frozen=True)
class BlobFacts:
    """What a blob is: `blob_type` as the service says it (`PageBlob`), `length` in bytes, `copy_status` of its last
    server-side copy (`pending`, `success`, `failed`, `aborted`) or None."""

    blob_type: str
    length: int
    copy_status: str | None


class BlobAccess(Protocol):
    """Blobs of the embedded accounts by URL, in the path-style form `http://host:port/account/container/blob`.

    A query (a SAS) in the URL is ignored: the caller is the cloud itself."""

    async def stat(self, url: str) -> BlobFacts | None:
        """The blob's facts; None where the URL names no blob of an embedded account."""

    async def read(self, url: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`. Raises LookupError where there is no such blob."""

    async def keys(self, account: str) -> str:
        """The account's key (base64). Raises LookupError for an account that is not embedded."""

    async def remove_container(self, account: str, container: str) -> None:
        """Remove a container with its blobs, if there is one. Raises LookupError for an account that is not embedded,
        aiohttp.ClientError where it cannot be done."""


class Accounts:
    """The accounts' names and keys; kept at `path` (mode 0600), or in memory only."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._keys: dict[str, str] = dict(read_private(path)) if path else {}

    @property
    def keys(self) -> Mapping[str, str]:
        """Account -> key (base64)."""
        return self._keys

    def ensure(self, names: Iterable[str]) -> bool:
        """Make keys for the accounts that have none yet; whether there were such."""
        new = [name for name in names if name not in self._keys]
        self._keys |= {name: base64.b64encode(secrets.token_bytes(64)).decode() for name in new}
        if new and self._path:
            write_private(self._path, self._keys)
        return bool(new)


class EmbeddedBlobs:
    """`BlobAccess` by way of Azurite at `azurite_port`; URLs name the front at `front_port`."""

    def __init__(self, session: aiohttp.ClientSession, accounts: Accounts, azurite_port: int, front_port: int) -> None:
        self._session, self._accounts = session, accounts
        self._azurite_port, self._front_port = azurite_port, front_port

    def endpoint(self, account: str) -> str:
        """The account's blob endpoint, as every client uses it."""
        return f"http://{LOOPBACK}:{self._front_port}/{account}"

    def inside(self, account: str, container: str, blob: str = "") -> URL:
        """The URL of a container or blob at Azurite itself, with every right for an hour."""
        sas = generate_account_sas(
            account,
            self._accounts.keys[account],
            ResourceTypes(service=True, container=True, object=True),
            AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True),
            expiry=datetime.now(timezone.utc) + timedelta(hours=1),
        )
        path = quote("/".join(part for part in (account, container, blob) if part))
        return URL(f"http://{LOOPBACK}:{self._azurite_port}/{path}?{sas}", encoded=True)

    async def stat(self, url: str) -> BlobFacts | None:
        """See BlobAccess."""
        inside = self._translate(url)
        if inside is None:
            return None
        async with self._session.head(inside, headers=_VERSION) as answer:
            if answer.status == 404:
                return None
            answer.raise_for_status()
            about = answer.headers
            return BlobFacts(about["x-ms-blob-type"], int(about["Content-Length"]), about.get("x-ms-copy-status"))

    async def read(self, url: str, offset: int, length: int) -> bytes:
        """See BlobAccess."""
        inside = self._translate(url)
        if inside is None or length <= 0:
            raise LookupError("there is no such blob in the embedded storage accounts")
        wanted = {**_VERSION, "x-ms-range": f"bytes={offset}-{offset + length - 1}"}
        async with self._session.get(inside, headers=wanted) as answer:
            if answer.status in (404, 416):
                raise LookupError("there is no such blob in the embedded storage accounts, or it is shorter")
            answer.raise_for_status()
            return await answer.read()

    async def keys(self, account: str) -> str:
        """See BlobAccess."""
        return self._accounts.keys[account]

    async def remove_container(self, account: str, container: str) -> None:
        """See BlobAccess."""
        url = self.inside(account, container).update_query(restype="container")
        async with self._session.delete(url, headers=_VERSION) as answer:
            if answer.status != 404:
                answer.raise_for_status()

    def _translate(self, url: str) -> URL | None:
        try:
            parts = urlsplit(url)
            ours = parts.scheme == "http" and parts.port == self._front_port
        except ValueError:
            return None
        account, _, path = unquote(parts.path).lstrip("/").partition("/")
        container, _, blob = path.partition("/")
        if not ours or parts.hostname not in (LOOPBACK, "localhost") or account not in self._accounts.keys or not blob:
            return None
        return self.inside(account, container, blob)
