"""The copier that lets the storage service copy, in this process against the real blob emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest

from imagefactory.settings import parse_settings
from imagefactory_azure.blobs import BlobRef
from imagefactory_azure.clouds import cloud_of
from imagefactory_azure.credentials import credential
from imagefactory_azure.page_blobs import PageBlobs
from imagefactory_azure.resource_manager import ResourceManager
from imagefactory_azure.storage import StorageAccounts
from localcloud.client import CloudClient
from providers.vhdcopy.copier import CopyError, CopyRequest
from providers.vhdcopy.service_copy import ServiceCopier
from tests.e2e.world import FACTORY_CONTAINER, MIB, STAGING_CONTAINER, World

STALL_SECONDS = 1.0


@pytest.fixture
def world(
    fresh_cloud: CloudClient,
    shell: dict[str, str],
    accounts: Iterator[str],
    project_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """A factory with one image and the lab `web`; this process signs in as a shell of `dev.py env` would."""
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "ARM_USE_MSI"):
        monkeypatch.setenv(name, shell[name])
    world = World(fresh_cloud, shell, accounts, project_folder)
    world.add_lab("web")
    world.add_images(("Win2016/Datacenter.json", 5), allocated=MIB)
    return world


@asynccontextmanager
async def copier_of(world: World) -> AsyncIterator[ServiceCopier]:
    factory = {"subscriptionId": world.subscription, "labName": world.factory.name}
    cloud = cloud_of(parse_settings({"cloud": "custom", "factory": factory}, world.environment))
    async with ResourceManager(cloud, credential(cloud)) as arm, StorageAccounts(arm) as accounts:
        yield ServiceCopier(PageBlobs(accounts), stall_seconds=STALL_SECONDS)


def request_of(world: World) -> CopyRequest:
    """The copy of the world's one image, as its VHD is now."""
    (vhd,) = world.images.values()
    ids = {each["name"]: each["id"] for each in world.cloud.status()["storageAccounts"]}
    source = world.service(world.factory).get_blob_client(FACTORY_CONTAINER, vhd)
    facts = source.get_blob_properties()
    destination = world.service(world.labs["web"]).get_blob_client(STAGING_CONTAINER, vhd)
    return CopyRequest(
        source=BlobRef(ids[world.factory.account], source.url),
        source_length=facts.size,
        source_created=facts.creation_time,
        destination=BlobRef(ids[world.labs["web"].account], destination.url),
    )


def staged_equals_source(world: World) -> bool:
    (vhd,) = world.images.values()
    staged = world.bytes_of(world.labs["web"], STAGING_CONTAINER, vhd)
    return staged == world.bytes_of(world.factory, FACTORY_CONTAINER, vhd)


async def test_a_copy_that_the_service_forgets_is_aborted_and_started_again(world: World) -> None:
    """No progress for the stated time: the pending copy is aborted, the second one finishes."""
    world.service(world.labs["web"]).create_container(STAGING_CONTAINER)
    world.cloud.set_faults([{"service": "blob", "path": STAGING_CONTAINER, "nth": 1, "action": {"copyStalls": True}}])
    async with copier_of(world) as copier:
        await copier.copy(request_of(world), lambda progress: None)
    assert world.copies() == 2 and staged_equals_source(world)


async def test_a_copy_that_never_moves_is_an_error_and_stays_no_pending_one(world: World) -> None:
    """After the stated number of attempts the error tells of the missing progress."""
    world.cloud.set_faults([{"service": "blob", "path": STAGING_CONTAINER, "action": {"copyStalls": True}}])
    async with copier_of(world) as copier:
        with pytest.raises(CopyError, match="no progress for 1 s"):
            await copier.copy(request_of(world), lambda progress: None)
        assert await copier.is_whole(request_of(world)) is False


async def test_an_unfinished_copy_of_what_the_source_was_before_gives_way_to_the_new_one(world: World) -> None:
    """A VHD that the factory wrote anew under its name is copied over the copy of the old one, which is ours."""
    world.cloud.set_latencies({"copySeconds": 600})
    old = request_of(world)
    async with copier_of(world) as copier:
        source = await copier._checked_source(old)
        await copier._start(old, source, overwrite=False)
    world.cloud.set_latencies({})
    (vhd,) = world.images.values()
    blob = world.service(world.factory).get_blob_client(FACTORY_CONTAINER, vhd)
    content = blob.download_blob().readall()
    before: datetime = blob.get_blob_properties().creation_time
    while blob.get_blob_properties().creation_time == before:
        blob.delete_blob()
        blob.create_page_blob(len(content))
    for offset in range(0, len(content), 4 * MIB):
        page = content[offset : offset + 4 * MIB]
        blob.upload_page(page, offset, len(page))
    async with copier_of(world) as copier:
        await copier.copy(request_of(world), lambda progress: None)
    assert staged_equals_source(world)
