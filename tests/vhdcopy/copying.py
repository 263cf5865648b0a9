"""The copiers in this process, on the session's embedded cloud: what the tests of copies share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
from azure.storage.blob import BlobClient

from imagefactory.azure.core.clouds import cloud_of
from imagefactory.azure.core.credentials import credential
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.manifests import Manifests
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.azure.storage.page_writer import PageWriter
from imagefactory.configuration.stack_settings import parse_settings
from imagefactory.copying import copier as copiers
from imagefactory.copying.copier import Copied, Copier, CopyRequest, Progress, user_of
from imagefactory.copying.pacing import Pacer
from imagefactory.copying.ranged_copy import RangedCopier
from imagefactory.copying.service_copy import ServiceCopier
from imagefactory.copying.staging import Relay, Staging
from imagefactory.copying.totals import Totals
from imagefactory.images.ranges import Range, pieces
from imagefactory.images.ranges_manifest import Manifest, manifest_bytes, manifest_name, parse_manifest
from imagefactory.observed.blobs import BlobRef
from tests.azure.storage_world import md5
from tests.e2e.world import FACTORY_CONTAINER, MIB, RANGES, STAGING_CONTAINER, Lab, World

DISK_BYTES = 32 * MIB
"""The world's only image, without its footer."""

STALL_SECONDS = 1.0
"""After this time without progress, a copy by the service counts as stalled in tests."""

RELAY_TIMEOUT_SECONDS = 1.0
"""How long a relay waits for planned copies in tests."""


@dataclass
class Shown:
    """What a copier reports while it copies; also the row of a resource."""

    progress: list[Progress] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        self.progress.append(progress)

    def say(self, message: str) -> None:
        self.messages.append(message)

    warn = say


@asynccontextmanager
async def page_blobs(world: World, auth: Literal["aad", "key"] = "aad") -> AsyncIterator[PageBlobs]:
    """The page blobs of all storage accounts, with own connections."""
    factory = {"subscriptionId": world.subscription, "labName": world.factory.name}
    cloud = cloud_of(parse_settings({"cloud": "custom", "factory": factory}, world.environment))
    async with ResourceManager(cloud, credential(cloud)) as arm, StorageAccounts(arm, auth) as accounts:
        yield PageBlobs(accounts)


@asynccontextmanager
async def copier_of(
    world: World,
    auth: Literal["aad", "key"] = "aad",
    totals: Totals | None = None,
    in_flight: int = 64,
    *,
    verify_first: bool = True,
) -> AsyncIterator[RangedCopier]:
    """A copier by ranges with own connections, like that of a provider process."""
    async with page_blobs(world, auth) as blobs, PageWriter(blobs._accounts, in_flight) as writer:
        pacer = Pacer(in_flight)
        yield RangedCopier(blobs, writer, Manifests(blobs), pacer, totals or Totals(), verify_first=verify_first)


@asynccontextmanager
async def service_copier_of(world: World) -> AsyncIterator[ServiceCopier]:
    """A copier that lets the service copy, with own connections."""
    async with page_blobs(world) as blobs:
        yield ServiceCopier(blobs, stall_seconds=STALL_SECONDS)


async def copy_image(
    copier: Copier, world: World, lab: str = "web", shown: Shown | None = None, via: BlobRef | None = None
) -> Copied:
    """Copy the world's only image into a lab."""
    return await copy_of(copier, request_of(world, lab), shown, via)


async def copy_of(
    copier: Copier, request: CopyRequest, shown: Shown | None = None, via: BlobRef | None = None
) -> Copied:
    """Make a copy, for one user."""
    shown = shown or Shown()
    return await copier.copy(request, via, {"user"}, shown, shown.warn)


async def stop_when(shown: Shown, world: World, reached: Callable[[Shown], bool]) -> None:
    """Start a copy, and cancel it as soon as `reached` returns true."""
    async with copier_of(world) as copier:
        copying = asyncio.ensure_future(copy_image(copier, world, shown=shown))
        while not reached(shown):
            await asyncio.sleep(0.01)
            assert not copying.done(), "the copy finished before it could be canceled"
        copying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await copying


@dataclass
class Run:
    """One provider process: its staging, what it showed, and its totals."""

    staging: Staging
    totals: Totals
    shown: Shown = field(default_factory=Shown)

    async def stage(self, world: World, lab: str = "web", relay: Relay | None = None) -> Copied:
        """Stage the world's only image for a lab, which becomes a user of it."""
        return await self.staging.stage(request_of(world, lab), user_of(lab), relay, self.shown)

    async def release(self, world: World, lab: str = "web") -> None:
        """Release what is staged for a lab."""
        await self.staging.release(staged_ref(world, lab), user_of(lab), self.shown)

    async def stage_and_release(self, world: World, lab: str) -> None:
        """Act like VhdCopy and StagedVhdRelease, and check the staged VHD in between."""
        copied = await self.stage(world, lab)
        assert await asyncio.to_thread(staged_equals_source, world, lab)
        facts = await asyncio.to_thread(lambda: staged_blob(world, lab).get_blob_properties().metadata)
        assert facts[copiers.STATE] == copiers.WHOLE and facts[copiers.DIGEST] == copied.digest
        await self.release(world, lab)


@asynccontextmanager
async def a_run(world: World) -> AsyncIterator[Run]:
    """A run whose relays do not wait long."""
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        yield Run(Staging(copier.blobs, copier, relay_timeout=RELAY_TIMEOUT_SECONDS), totals)


def relay_of(world: World, uses: int = 1) -> Relay:
    """The staged VHD of the lab `relay`."""
    return Relay(staged_ref(world, "relay"), uses, user_of("relay"))


def request_of(world: World, lab: str = "web") -> CopyRequest:
    """The copy of the world's only image, as its VHD is now."""
    source = source_blob(world)
    facts = source.get_blob_properties()
    return CopyRequest(
        source=BlobRef(account_id(world, world.factory), source.url),
        source_length=facts.size,
        source_created=facts.creation_time,
        destination=staged_ref(world, lab),
    )


def inputs_of(world: World, lab: str = "web") -> dict[str, Any]:
    """The inputs of a VhdCopy of the world's only image into a lab."""
    (name,) = world.images
    request = request_of(world, lab)
    return {
        "sourceUrl": request.source.url,
        "sourceAccountId": request.source.account_id.lower(),
        "sourceLength": float(request.source_length),
        "sourceCreated": request.source_created.isoformat(),
        "destinationUrl": request.destination.url,
        "destinationAccountId": request.destination.account_id.lower(),
        "imageId": f"{world.labs[lab].id}/customimages/{name}".lower(),
    }


def release_of(copy: dict[str, Any], outputs: Any) -> dict[str, Any]:
    """The inputs of the release that follows a copy, from its inputs and outputs."""
    staged = {"accountId": copy["destinationAccountId"], "imageId": copy["imageId"]}
    return {"url": outputs["url"], "copyId": outputs["copyId"], **staged}


def slow_write(seconds: float) -> dict[str, Any]:
    """A fault rule that delays the range at 8 MiB."""
    rule = {"service": "blob", "method": "PUT", "path": "comp=page(&|$)", "offset": 8 * MIB}
    return {**rule, "action": {"delaySeconds": seconds}}


def source_blob(world: World) -> BlobClient:
    """The factory VHD of the world's only image."""
    (vhd,) = world.images.values()
    return world.service(world.factory).get_blob_client(FACTORY_CONTAINER, vhd)


def source_pieces(world: World) -> tuple[Range, ...]:
    """The ranges that a copy of the world's only image moves."""
    return pieces(allocated(source_blob(world)))


def source_bytes(world: World) -> int:
    """The bytes of these."""
    return sum(part.length for part in source_pieces(world))


def allocated(blob: BlobClient) -> list[Range]:
    """The ranges of a page blob that have data."""
    held = [(each.start or 0, each.end or 0) for each in blob.list_page_ranges()]
    return [Range(start, end - start + 1) for start, end in held]


def staged_blob(world: World, lab: str = "web") -> BlobClient:
    """The world's only image, as it is staged for a lab."""
    (vhd,) = world.images.values()
    return world.service(world.labs[lab]).get_blob_client(STAGING_CONTAINER, vhd)


def staged_ref(world: World, lab: str = "web") -> BlobRef:
    """The place where the world's only image is staged for a lab."""
    return BlobRef(account_id(world, world.labs[lab]), staged_blob(world, lab).url)


def account_id(world: World, lab: Lab) -> str:
    """The ARM id of a lab's storage account."""
    ids = {each["name"]: each["id"] for each in world.cloud.status()["storageAccounts"]}
    return str(ids[lab.account])


def staged_equals_source(world: World, lab: str = "web") -> bool:
    """Whether the staged VHD equals the factory VHD byte for byte."""
    return content_of(staged_blob(world, lab)) == content_of(source_blob(world))


def content_of(blob: BlobClient) -> bytearray:
    """The bytes of a page blob. Only its ranges that have data are read: all else reads as zeros."""
    content = bytearray(blob.get_blob_properties().size)
    for part in allocated(blob):
        content[part.offset : part.end] = blob.download_blob(part.offset, part.length).readall()
    return content


def manifest_of(world: World) -> Manifest | None:
    """The manifest of the world's only image."""
    blob = manifest_blob(world)
    return parse_manifest(blob.download_blob().readall(), RANGES) if blob.exists() else None


def add_md5s(world: World) -> None:
    """Give the manifest of the world's only image the MD5 of each range, like one that `save` wrote."""
    content, manifest = content_of(source_blob(world)), manifest_of(world)
    assert manifest
    md5s = {part: md5(bytes(content[part.offset : part.end])) for part in manifest.ranges}
    manifest_blob(world).upload_blob(manifest_bytes(replace(manifest, md5=md5s)), overwrite=True)


def manifest_blob(world: World) -> BlobClient:
    """The blob of that manifest."""
    (vhd,) = world.images.values()
    return world.service(world.factory).get_blob_client(FACTORY_CONTAINER, manifest_name(vhd))
