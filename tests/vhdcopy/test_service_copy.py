"""The copier that asks the storage service to copy, in this process against the real blob emulator."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from imagefactory.azure.storage.containers import Notice, ignore
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.copying.copier import CopyError
from imagefactory.copying.service_copy import ServiceCopier
from imagefactory.observed.blobs import CopyState
from tests.e2e.world import FACTORY_CONTAINER, MIB, STAGING_CONTAINER, World
from tests.vhdcopy.copying import (
    content_of,
    copy_image,
    page_blobs,
    request_of,
    service_copier_of,
    source_blob,
    source_pieces,
    staged_equals_source,
    staged_ref,
)
from tests.vhdcopy.forgeries import WISH, stage_as_whole


async def test_a_copy_that_stalls_is_aborted_and_restarted(world: World) -> None:
    """After the timeout without progress, the pending copy is aborted, and the second one finishes."""
    world.service(world.labs["web"]).create_container(STAGING_CONTAINER)
    world.cloud.set_faults([{"service": "blob", "path": STAGING_CONTAINER, "nth": 1, "action": {"copyStalls": True}}])
    async with service_copier_of(world) as copier:
        await copy_image(copier, world)
    assert world.copies() == 2 and staged_equals_source(world)


async def test_a_copy_that_always_stalls_is_an_error_and_is_not_left_pending(world: World) -> None:
    """After the last attempt, the error names the missing progress."""
    world.cloud.set_faults([{"service": "blob", "path": STAGING_CONTAINER, "action": {"copyStalls": True}}])
    async with service_copier_of(world) as copier:
        with pytest.raises(CopyError, match="no progress for 1 s"):
            await copy_image(copier, world)
    (staged,) = world.service(world.labs["web"]).get_container_client(STAGING_CONTAINER).list_blobs(include=["copy"])
    assert staged.copy.status == "aborted"


async def test_an_unfinished_copy_of_an_earlier_version_of_the_source_is_replaced(world: World) -> None:
    """The factory VHD was rewritten under its name: it is copied over the copy of its earlier version."""
    world.cloud.set_latencies({"copySeconds": 600})
    old = request_of(world)
    source = world.service(world.factory).get_blob_client(FACTORY_CONTAINER, old.source.file_name)
    content = bytes(content_of(source))
    container = world.service(world.labs["web"]).create_container(STAGING_CONTAINER)
    container.get_blob_client(old.source.file_name).start_copy_from_url(
        world.readable_url(world.factory, FACTORY_CONTAINER, old.source.file_name), metadata=old.mark
    )
    world.cloud.set_latencies({})
    before: datetime = source.get_blob_properties().creation_time
    while source.get_blob_properties().creation_time == before:
        source.delete_blob()
        source.create_page_blob(len(content))
    for offset in range(0, len(content), 4 * MIB):
        page = content[offset : offset + 4 * MIB]
        source.upload_page(page, offset, len(page))
    async with service_copier_of(world) as copier:
        await copy_image(copier, world)
    assert staged_equals_source(world)


async def test_a_relay_is_not_read_by_a_copier_that_cannot_verify_it(world: World) -> None:
    """The service does not verify digests in its own copy, so the factory VHD is copied."""
    world.add_lab("relay")
    blob = stage_as_whole(world, "relay", source_blob(world), dict.fromkeys(source_pieces(world), ""))
    blob.upload_page(WISH.ljust(512), source_pieces(world)[1].offset, 512)
    async with service_copier_of(world) as copier:
        await copy_image(copier, world, via=staged_ref(world, "relay"))
    assert staged_equals_source(world)


async def test_a_copy_that_another_run_started_meanwhile_is_not_overwritten(world: World) -> None:
    """Only the blob that was read is replaced: the other run's copy is adopted."""
    request = request_of(world)
    container = world.service(world.labs["web"]).create_container(STAGING_CONTAINER)
    blob = container.get_blob_client(request.destination.file_name)
    blob.create_page_blob(request.source_length, metadata=request.mark)
    source = world.readable_url(world.factory, FACTORY_CONTAINER, request.source.file_name)

    begun: list[str] = []

    class Beaten(PageBlobs):
        """Another run starts its copy between the read and the start."""

        async def start_copy(
            self, *given: Any, overwrite_etag: str | None = None, notice: Notice = ignore
        ) -> CopyState | None:
            if overwrite_etag and not begun:
                begun.append(str(blob.start_copy_from_url(source, metadata=request.mark)["copy_id"]))
            return await super().start_copy(*given, overwrite_etag=overwrite_etag)

    async with page_blobs(world) as blobs:
        copied = await copy_image(ServiceCopier(Beaten(blobs._accounts)), world)
    assert [copied.copy_id] == [blob.get_blob_properties().copy.id] == begun and staged_equals_source(world)
