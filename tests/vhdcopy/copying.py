"""The copiers in this process, on the session's embedded cloud: what the tests of one copy share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from azure.storage.blob import BlobClient

from imagefactory.azure.core.clouds import cloud_of
from imagefactory.azure.core.credentials import credential
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.manifests import Manifests
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.azure.storage.page_writer import PageWriter
from imagefactory.configuration.stack_settings import parse_settings
from imagefactory.copying.copier import Copied, Copier, CopyRequest, Progress
from imagefactory.copying.pacing import Pacer
from imagefactory.copying.ranged_copy import RangedCopier
from imagefactory.copying.service_copy import ServiceCopier
from imagefactory.copying.totals import Totals
from imagefactory.images.ranges_manifest import Manifest, manifest_bytes, manifest_name, parse_manifest
from imagefactory.observed.blobs import BlobRef
from tests.azure.storage_world import md5
from tests.e2e.world import FACTORY_CONTAINER, RANGES, STAGING_CONTAINER, Lab, World

STALL_SECONDS = 1.0
"""How soon a copy by the service counts as forgotten in tests."""


@dataclass
class Told:
    """What a copier tells while it copies."""

    progress: list[Progress] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


@asynccontextmanager
async def copier_of(
    world: World,
    method: Literal["ranged", "service"] = "ranged",
    auth: Literal["aad", "key"] = "aad",
    totals: Totals | None = None,
) -> AsyncIterator[Copier]:
    """A copier with connections of its own, as one provider process has it."""
    async with open_copier(world, method, auth, totals) as (_, copier):
        yield copier


@asynccontextmanager
async def open_copier(
    world: World,
    method: Literal["ranged", "service"] = "ranged",
    auth: Literal["aad", "key"] = "aad",
    totals: Totals | None = None,
) -> AsyncIterator[tuple[PageBlobs, Copier]]:
    """The same, with the page blobs that it works on."""
    factory = {"subscriptionId": world.subscription, "labName": world.factory.name}
    cloud = cloud_of(parse_settings({"cloud": "custom", "factory": factory}, world.environment))
    async with (
        ResourceManager(cloud, credential(cloud)) as arm,
        StorageAccounts(arm, auth) as accounts,
        PageWriter(accounts, 64) as writer,
    ):
        blobs = PageBlobs(accounts)
        if method == "service":
            yield blobs, ServiceCopier(blobs, stall_seconds=STALL_SECONDS)
        else:
            yield blobs, RangedCopier(blobs, writer, Manifests(blobs), Pacer(64), totals or Totals())


async def copy_image(
    copier: Copier, world: World, lab: str = "web", told: Told | None = None, via: BlobRef | None = None
) -> Copied:
    """Copy the world's one image into a lab."""
    told = told or Told()
    return await copier.copy(request_of(world, lab), via, {"user"}, told.progress.append, told.messages.append)


def request_of(world: World, lab: str = "web") -> CopyRequest:
    """The copy of the world's one image, as its VHD is now."""
    (vhd,) = world.images.values()
    source = world.service(world.factory).get_blob_client(FACTORY_CONTAINER, vhd)
    facts = source.get_blob_properties()
    return CopyRequest(
        source=BlobRef(account_id(world, world.factory), source.url),
        source_length=facts.size,
        source_created=facts.creation_time,
        destination=staged_ref(world, lab),
    )


def staged_ref(world: World, lab: str = "web") -> BlobRef:
    """Where the world's one image is staged for a lab."""
    (vhd,) = world.images.values()
    blob = world.service(world.labs[lab]).get_blob_client(STAGING_CONTAINER, vhd)
    return BlobRef(account_id(world, world.labs[lab]), blob.url)


def account_id(world: World, lab: Lab) -> str:
    """The ARM id of a lab's storage account."""
    ids = {each["name"]: each["id"] for each in world.cloud.status()["storageAccounts"]}
    return str(ids[lab.account])


def staged_equals_source(world: World, lab: str = "web") -> bool:
    """Byte for byte."""
    (vhd,) = world.images.values()
    staged = world.bytes_of(world.labs[lab], STAGING_CONTAINER, vhd)
    return staged == world.bytes_of(world.factory, FACTORY_CONTAINER, vhd)


def manifest_of(world: World) -> Manifest | None:
    """The manifest of the world's one image."""
    blob = _manifest_blob(world)
    return parse_manifest(blob.download_blob().readall(), RANGES) if blob.exists() else None


def add_md5s(world: World) -> None:
    """Make the manifest of the world's one image one that `save` left: with the MD5 of each range."""
    (vhd,) = world.images.values()
    content, manifest = world.bytes_of(world.factory, FACTORY_CONTAINER, vhd), manifest_of(world)
    assert manifest
    md5s = {part: md5(content[part.offset : part.end]) for part in manifest.ranges}
    _manifest_blob(world).upload_blob(manifest_bytes(replace(manifest, md5=md5s)), overwrite=True)


def _manifest_blob(world: World) -> BlobClient:
    (vhd,) = world.images.values()
    return world.service(world.factory).get_blob_client(FACTORY_CONTAINER, manifest_name(vhd))
