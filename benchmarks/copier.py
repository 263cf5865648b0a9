"""The product's own copier in this process, and disks for it in the embedded cloud's accounts.

Owns set-up only: what is measured, and how, is `ranges`. The copier is put together as the provider does it.
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

from benchmarks.stage import Stage
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
class Bench:
    """A copier with its connections."""

    copier: Copier
    writer: PageWriter
    blobs: PageBlobs
    totals: Totals

    async def copy(self, source: CopyRequest) -> Copied:
        """One copy that nobody watches."""
        return await self.copier.copy(source, None, {"bench"}, lambda _: None, lambda _: None)


@asynccontextmanager
async def open_bench(stage: Stage, *, service: bool = False, in_flight: int | None = None) -> AsyncIterator[Bench]:
    """The ranged copier, or the one that has the service copy."""
    os.environ.update({name: stage.environment[name] for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER")})
    factory = {"subscriptionId": str(uuid.uuid4()), "labName": "factory"}
    cloud = cloud_of(parse_settings({"cloud": "custom", "factory": factory}, stage.environment))
    pacer, totals = Pacer(in_flight), Totals()
    async with (
        ResourceManager(cloud, credential(cloud, {"ARM_USE_MSI": "true"})) as arm,
        StorageAccounts(arm) as accounts,
        PageWriter(accounts, pacer.in_flight) as writer,
    ):
        blobs = PageBlobs(accounts)
        ranged = RangedCopier(blobs, writer, Manifests(blobs), pacer, totals)
        yield Bench(ServiceCopier(blobs) if service else ranged, writer, blobs, totals)


class Disks:
    """VHDs in a factory account, and requests that copy them into fresh blobs of target accounts."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._accounts = (f"disks{n}" for n in count())

    def account(self) -> str:
        """A storage account that nothing was put into yet."""
        name = next(self._accounts)
        subscription = str(uuid.uuid4())
        lab = {"name": name, "resourceGroup": "bench", "region": "westeurope", "storageAccount": name}
        self._stage.cloud.seed({"subscriptions": [{"subscriptionId": subscription, "labs": [lab]}]})
        return name

    def make(self, account: str, size: int, parts: Sequence[Range]) -> CopyRequest:
        """A VHD of `size` bytes of virtual size whose `parts` hold random bytes, and its footer; no copy yet."""
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
        """A copy of `source` into a fresh blob of `account`."""
        client = self._service(account).get_blob_client(STAGING, f"{uuid.uuid4()}.vhd")
        place = BlobRef(self._id(account), client.url)
        return CopyRequest(source.source, source.source_length, source.source_created, place)

    def many(self, source: CopyRequest, account: str, number: int) -> Iterator[CopyRequest]:
        """So many copies into one account."""
        place = self.into(source, account).destination
        folder = place.url.rpartition("/")[0]
        for _ in range(number):
            there = BlobRef(place.account_id, f"{folder}/{uuid.uuid4()}.vhd")
            yield CopyRequest(source.source, source.source_length, source.source_created, there)

    def _id(self, account: str) -> str:
        known = {each["name"]: each["id"] for each in self._stage.cloud.status()["storageAccounts"]}
        return str(known[account])

    def _service(self, account: str) -> BlobServiceClient:
        known = {each["name"]: each for each in self._stage.cloud.status()["storageAccounts"]}
        key = known[account]["key"]
        return BlobServiceClient(known[account]["blobEndpoint"], {"account_name": account, "account_key": key})


def spread(number: int, length: int, gap: int, start: int = _MIB) -> list[Range]:
    """`number` parts of `length` bytes, `gap` bytes apart."""
    return [Range(start + each * (length + gap), length) for each in range(number)]
