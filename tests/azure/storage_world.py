"""A VHD in the factory's storage account and the blob where it is staged, for the tests of storage.

Opens the connections of a test, and reads what the accounts contain. Computes CRC64 from its definition, so that
neither the product nor the emulator confirms itself.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from azure.core.credentials import AccessToken
from azure.storage.blob import BlobClient

from imagefactory.azure.core.clouds import Cloud, cloud_of
from imagefactory.azure.core.credentials import credential
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.azure.storage.page_writer import PageWriter
from imagefactory.configuration.stack_settings import parse_settings
from imagefactory.images.ranges import Range
from imagefactory.observed.blobs import BlobRef
from tests.e2e.world import FACTORY_CONTAINER, STAGING_CONTAINER, Lab, World

Auth = Literal["aad", "key"]
GENERATION = 7
FIRST = Range(0, 512)
"""The disk's first page, which contains its partition table."""


@dataclass(frozen=True)
class Connected:
    """The product's connections to storage."""

    accounts: StorageAccounts
    blobs: PageBlobs
    writer: PageWriter


@dataclass(frozen=True)
class StorageWorld:
    """One VHD of the factory and the lab `web`."""

    world: World

    @property
    def cloud(self) -> Any:
        """The embedded cloud."""
        return self.world.cloud

    @property
    def lab(self) -> Lab:
        """The lab where the VHD is staged."""
        return self.world.labs["web"]

    @property
    def vhd(self) -> str:
        """The VHD's file name."""
        (name,) = self.world.images.values()
        return name

    @property
    def source(self) -> BlobRef:
        """The factory's VHD."""
        return self._ref(self.world.factory, FACTORY_CONTAINER, self.vhd)

    @property
    def staged(self) -> BlobRef:
        """The blob where it is staged."""
        return self._ref(self.lab, STAGING_CONTAINER, self.vhd)

    def beside(self, blob: BlobRef, name: str) -> BlobRef:
        """Another blob in the same container."""
        return BlobRef(blob.account_id, f"{blob.url.rpartition('/')[0]}/{name}")

    @asynccontextmanager
    async def connect(self, auth: Auth = "aad", in_flight: int = 16) -> AsyncIterator[Connected]:
        """Open the connections of one process."""
        factory = {"subscriptionId": self.world.subscription, "labName": self.world.factory.name}
        cloud = cloud_of(parse_settings({"cloud": "custom", "factory": factory}, self.world.environment))
        async with (
            ResourceManager(cloud, Uncached(cloud)) as arm,
            StorageAccounts(arm, auth) as accounts,
            PageWriter(accounts, in_flight) as writer,
        ):
            yield Connected(accounts, PageBlobs(accounts), writer)

    @asynccontextmanager
    async def begun(self, auth: Auth = "aad") -> AsyncIterator[Connected]:
        """Open connections, create an empty page blob where the VHD is staged, and clear the journal of calls."""
        async with self.connect(auth) as connected:
            length = self.client(self.source).get_blob_properties().size
            assert await connected.blobs.create(self.staged, length, {}, GENERATION) is None
            self.cloud.clear_calls()
            yield connected

    async def copy(self, connected: Connected, part: Range = FIRST, digest: str | None = None) -> str:
        """Copy a range of the VHD in its present version."""
        return await connected.writer.copy_range(self.source, self.etag(), self.staged, GENERATION, part, digest)

    def etag(self, blob: BlobRef | None = None) -> str:
        """The present ETag of a blob; of the factory's VHD if none is passed."""
        return str(self.client(blob or self.source).get_blob_properties().etag)

    def client(self, blob: BlobRef) -> BlobClient:
        """The SDK's client of a blob, by the account's key."""
        name = blob.account_id.rpartition("/")[2]
        lab = next(
            lab for lab in (self.world.factory, *self.world.labs.values()) if lab.account.lower() == name.lower()
        )
        return self.world.service(lab).get_blob_client(*blob.url.split("/")[-2:])

    def content(self, blob: BlobRef, part: Range = FIRST) -> bytes:
        """Bytes of a blob."""
        return bytes(self.client(blob).download_blob(part.offset, part.length).readall())

    def calls(self, method: str = "", path: str = "") -> list[Mapping[str, Any]]:
        """Calls in the journal, by method and part of the path."""
        return [
            call for call in self.cloud.calls() if call["method"] in (method or call["method"]) and path in call["path"]
        ]

    def refuse(self, action: Mapping[str, object], path: str = "comp=page", **rule: object) -> None:
        """Set one fault rule of the blob service."""
        self.cloud.set_faults([{"service": "blob", "path": path, **rule, "action": dict(action)}])

    def _ref(self, lab: Lab, container: str, name: str) -> BlobRef:
        ids = {each["name"]: each["id"] for each in self.cloud.status()["storageAccounts"]}
        return BlobRef(str(ids[lab.account]), self.world.service(lab).get_blob_client(container, name).url)


class Token:
    """A credential for a stand-in server, which accepts any token."""

    async def get_token(self, *_: str, **__: object) -> AccessToken:
        """A token for an hour."""
        return AccessToken("token", int(time.time()) + 3600)

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Token:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""


class Uncached(Token):
    """The credential of the environment, without a cache, like the Azure CLI's.

    A managed identity's credential keeps a token until shortly before it expires, even if a service rejects it.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A new token."""
        async with credential(self._cloud) as fresh:
            return await fresh.get_token(*scopes, **options)


def crc64(content: bytes) -> str:
    """CRC64 as Azure writes it, bit by bit."""
    crc = (1 << 64) - 1
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x9A6C9329AC4BC9B5 if crc & 1 else 0)
    return base64.b64encode((crc ^ (1 << 64) - 1).to_bytes(8, "little")).decode()


def md5(content: bytes) -> str:
    """MD5 as Azure writes it."""
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
