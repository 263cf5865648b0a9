"""The product's copier in this process, as the plugin builds it, and disks for it in the embedded cloud's accounts.

Does not measure: `ranges` does.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from azure.storage.blob import BlobServiceClient

from benchmarks.sandbox import Sandbox
from imagefactory.azure.core.clouds import cloud_of
from imagefactory.azure.core.credentials import credential
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.manifests import Manifests
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.azure.storage.page_writer import PageWriter
from imagefactory.configuration.stack_settings import parse_settings
from imagefactory.copying.copier import Copied, Copier, CopyRequest
from imagefactory.copying.pacing import Pacer
from imagefactory.copying.ranged_copy import RangedCopier
from imagefactory.copying.service_copy import ServiceCopier
from imagefactory.copying.totals import Totals
from imagefactory.images.ranges import PIECE_BYTES, Range
from imagefactory.observed.blobs import BlobRef
from localcloud.vhd import footer

SOURCES, STAGING = "imagefactoryvhds", "imagefactory-staging"
_MIB = 1024 * 1024


@dataclass(frozen=True)
class ConnectedCopier:
    """A copier with its connections."""

    copier: Copier
    writer: PageWriter
    blobs: PageBlobs
    totals: Totals

    async def copy(self, source: CopyRequest) -> Copied:
        """Copy without reporting progress."""
        return await self.copier.copy(source, None, {"bench"}, lambda _: None, lambda _: None)


@asynccontextmanager
async def open_copier(
    sandbox: Sandbox, *, service: bool = False, verify_first: bool = True, writers: type[PageWriter] = PageWriter
) -> AsyncIterator[ConnectedCopier]:
    """Connect the copier by ranges or, with `service`, the one that asks the storage service to copy."""
    os.environ.update({name: sandbox.environment[name] for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER")})
    factory = {"subscriptionId": str(uuid.uuid4()), "labName": "factory"}
    cloud = cloud_of(parse_settings({"cloud": "custom", "factory": factory}, sandbox.environment))
    pacer, totals = Pacer(None), Totals()
    async with (
        ResourceManager(cloud, credential(cloud, {"ARM_USE_MSI": "true"})) as arm,
        StorageAccounts(arm) as accounts,
        writers(accounts, pacer.in_flight) as writer,
    ):
        blobs = PageBlobs(accounts)
        ranged = RangedCopier(blobs, writer, Manifests(blobs), pacer, totals, verify_first=verify_first)
        yield ConnectedCopier(ServiceCopier(blobs) if service else ranged, writer, blobs, totals)


class Disks:
    """VHDs in a factory account, and requests to copy them to new blobs of target accounts."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._accounts = (f"disks{n}" for n in count())

    def account(self) -> str:
        """Create an empty storage account and return its name."""
        name = next(self._accounts)
        subscription = str(uuid.uuid4())
        lab = {"name": name, "resourceGroup": "bench", "region": "westeurope", "storageAccount": name}
        self._sandbox.cloud.seed({"subscriptions": [{"subscriptionId": subscription, "labs": [lab]}]})
        return name

    def make(self, account: str, size: int, parts: Sequence[Range]) -> CopyRequest:
        """Create a VHD with a virtual size of `size` bytes and random bytes in `parts`; return it as a source."""
        service = self._service(account)
        container = service.get_container_client(SOURCES)
        if not container.exists():
            container.create_container()
        blob = container.get_blob_client(f"{uuid.uuid4()}.vhd")
        blob.create_page_blob(size + 512)
        for part in parts:
            for offset in range(part.offset, part.end, PIECE_BYTES):
                length = min(PIECE_BYTES, part.end - offset)
                blob.upload_page(random.randbytes(length), offset, length)  # noqa: S311 - content of a disk
        blob.upload_page(footer(size, uuid.uuid4()), size, 512)
        facts = blob.get_blob_properties()
        place = BlobRef(self._id(account), blob.url)
        return CopyRequest(place, facts.size, facts.creation_time, place)

    def into(self, source: CopyRequest, account: str) -> CopyRequest:
        """Return a request to copy `source` to a new blob of `account`."""
        client = self._service(account).get_blob_client(STAGING, f"{uuid.uuid4()}.vhd")
        place = BlobRef(self._id(account), client.url)
        return CopyRequest(source.source, source.source_length, source.source_created, place)

    def many(self, source: CopyRequest, account: str, number: int) -> Iterator[CopyRequest]:
        """Yield `number` requests to copy `source` to one account."""
        place = self.into(source, account).destination
        folder = place.url.rpartition("/")[0]
        for _ in range(number):
            blob = BlobRef(place.account_id, f"{folder}/{uuid.uuid4()}.vhd")
            yield CopyRequest(source.source, source.source_length, source.source_created, blob)

    def _id(self, account: str) -> str:
        return str(self._sandbox.accounts()[account]["id"])

    def _service(self, account: str) -> BlobServiceClient:
        return BlobServiceClient(*self._sandbox.connection(account))


def spread(number: int, length: int, gap: int, start: int = _MIB) -> list[Range]:
    """Return `number` ranges of `length` bytes, `gap` bytes apart."""
    return [Range(start + each * (length + gap), length) for each in range(number)]
