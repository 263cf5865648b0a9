"""The calls of a copy, against the embedded cloud: facts, creation, reads, metadata, records and deletion."""

from __future__ import annotations

import asyncio

import pytest

from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.images.ranges import PIECE_BYTES, Range
from imagefactory.observed.blobs import BlobRef
from tests.azure.storage_world import FIRST, GENERATION, Auth, StorageWorld
from tests.e2e.world import MIB

LENGTH = 16 * MIB + 512


async def begin(storage: StorageWorld, blobs: PageBlobs, generation: int = GENERATION, etag: str | None = None) -> bool:
    metadata = {"copy": str(generation)}
    return not await blobs.create(storage.staged, LENGTH, metadata, generation, overwrite_etag=etag)


async def test_a_staged_vhd_is_created_empty_with_its_length_metadata_and_generation(
    storage: StorageWorld, auth: Auth
) -> None:
    """Its container is created if it is missing; its facts contain what a resumed copy needs."""
    async with storage.connect(auth) as connected:
        assert await connected.blobs.facts(storage.staged) is None
        assert await begin(storage, connected.blobs)
        facts = await connected.blobs.facts(storage.staged)
        assert facts and (facts.length, facts.generation, facts.is_page_blob) == (LENGTH, GENERATION, True)
        assert facts.metadata == {"copy": str(GENERATION)} and facts.copy is None
        assert await connected.blobs.page_ranges(storage.staged) == []


async def test_an_existing_blob_is_overwritten_only_if_it_has_not_changed(storage: StorageWorld) -> None:
    """If another client creates or changes it at the same time, nothing is overwritten."""
    async with storage.connect() as connected:
        blobs = connected.blobs
        begun = await asyncio.gather(*(begin(storage, blobs, generation) for generation in range(1, 9)))
        assert sum(begun) == 1
        seen = await blobs.facts(storage.staged)
        assert seen and await blobs.set_metadata(storage.staged, {"copy": "changed"}, etag=seen.etag)
        assert not await begin(storage, blobs, 9, seen.etag)
        now = await blobs.facts(storage.staged)
        assert now and now.metadata == {"copy": "changed"} and await begin(storage, blobs, 9, now.etag)
        assert await blobs.delete(storage.staged, etag=storage.etag(storage.staged))
        with pytest.raises(CloudError, match="no VHD can be staged there"):
            await begin(storage, blobs, 10, now.etag)


async def test_a_creation_whose_response_was_lost_is_recognized(storage: StorageWorld) -> None:
    """The next attempt finds the blob of the first, and succeeds."""
    async with storage.connect() as connected:
        assert await begin(storage, connected.blobs)
        assert await connected.blobs.delete(storage.staged, etag=storage.etag(storage.staged))
        storage.refuse({"drop": "after"}, path=storage.vhd, method="PUT", times=1)
        assert await begin(storage, connected.blobs)
        assert not await begin(storage, connected.blobs, GENERATION + 1)


async def test_metadata_are_set_only_on_an_unchanged_blob(storage: StorageWorld) -> None:
    """If it has another ETag, or was deleted, nothing is written."""
    async with storage.begun() as connected:
        blobs = connected.blobs
        seen = await blobs.facts(storage.staged)
        assert seen and await blobs.set_metadata(storage.staged, {"state": "whole"}, etag=seen.etag)
        assert not await blobs.set_metadata(storage.staged, {"state": "late"}, etag=seen.etag)
        now = await blobs.facts(storage.staged)
        assert now and now.metadata == {"state": "whole"} and now.generation == GENERATION
        assert await blobs.delete(storage.staged, etag=storage.etag(storage.staged))
        assert not await blobs.set_metadata(storage.staged, {"state": "late"}, etag=now.etag)


async def test_only_an_unchanged_blob_is_deleted(storage: StorageWorld, auth: Auth) -> None:
    """If it has another ETag it is kept; deleting one that does not exist succeeds."""
    async with storage.begun(auth) as connected:
        blobs = connected.blobs
        seen = await blobs.facts(storage.staged)
        assert seen and await blobs.set_metadata(storage.staged, {"users": "another"}, etag=seen.etag)
        assert not await blobs.delete(storage.staged, etag=seen.etag)
        now = await blobs.facts(storage.staged)
        assert now and now.metadata == {"users": "another"}
        assert await blobs.delete(storage.staged, etag=now.etag) and await blobs.facts(storage.staged) is None
        assert await blobs.delete(storage.staged, etag=now.etag)


async def test_all_allocated_ranges_of_a_fragmented_disk_are_returned(storage: StorageWorld) -> None:
    """Every second page of 512 KiB: 512 ranges, in order."""
    async with storage.begun() as connected:
        staged = storage.client(storage.staged)
        pages = [Range(offset, 512) for offset in range(0, MIB // 2, 1024)]
        staged.upload_page(b"\x01" * (MIB // 2), 0, MIB // 2)
        await asyncio.gather(*(asyncio.to_thread(staged.clear_page, page.offset + 512, 512) for page in pages))
        assert await connected.blobs.page_ranges(storage.staged) == pages
        allocated = await connected.blobs.page_ranges(storage.source)
    assert sum(part.length for part in allocated) >= MIB and allocated == sorted(allocated)
    held = b"".join(storage.content(storage.source, part) for part in allocated)
    whole = bytes(storage.client(storage.source).download_blob().readall())
    assert len(whole) - whole.count(0) == len(held) - held.count(0)


async def test_a_read_of_a_page_blob_costs_one_request(storage: StorageWorld, auth: Auth) -> None:
    """Also at its end, one byte beyond, and together with its facts; if the blob does not exist, the error names it."""
    async with storage.connect(auth) as connected:
        storage.cloud.clear_calls()
        footer = await connected.blobs.read(storage.source, LENGTH - 512, 513)
        assert len(storage.calls("GET", storage.vhd)) == 1 and storage.calls("GET", "comp=pagelist") == []
        assert len(footer) == 512 and footer.startswith(b"conectix")
        storage.cloud.clear_calls()
        end = await connected.blobs.read_with_facts(storage.source, LENGTH - 512, 513)
        assert len(storage.calls("GET", storage.vhd)) == 1 and storage.calls("HEAD", storage.vhd) == []
        assert end == (await connected.blobs.facts(storage.source), footer)
        gone = storage.beside(storage.source, "gone.vhd")
        with pytest.raises(CloudError, match=r"gone\.vhd: Azure returned 404 BlobNotFound") as caught:
            await connected.blobs.read(gone, 0, 512)
        assert caught.value.status == 404 and await connected.blobs.read_with_facts(gone, 0, 512) is None


@pytest.mark.parametrize("action", [{"drop": True}, {"status": 500}, {"status": 429, "retryAfter": 0}])
async def test_each_call_is_sent_again_after_a_transient_error(
    storage: StorageWorld, action: dict[str, object]
) -> None:
    """A request of this project, one of the SDK, and the POST for the key that signs a SAS."""
    async with storage.begun() as connected:
        storage.refuse(action, path=storage.vhd, times=1)
        assert await connected.blobs.read(storage.source, 0, 512) == storage.content(storage.source)
        storage.refuse(action, path=storage.vhd, times=1)
        assert await connected.blobs.facts(storage.staged)
        storage.refuse(action, path="comp=userdelegationkey", times=1)
        assert "sig=" in await connected.accounts.readable_url(storage.source)
        assert [rule["hits"] for rule in storage.cloud.faults()] == [1]


async def test_a_record_is_kept_read_back_and_overwritten(storage: StorageWorld, auth: Auth) -> None:
    """A missing one is None; an existing one that is not to be overwritten is kept."""
    async with storage.begun(auth) as connected:
        blobs, record = connected.blobs, storage.beside(storage.staged, "a.ranges.json.gz")
        assert await blobs.get_document(record) is None
        assert await blobs.put_document(record, b"one", {"digest": "1"}, overwrite=False)
        assert not await blobs.put_document(record, b"two", {}, overwrite=False)
        assert await blobs.get_document(record) == b"one"
        assert await blobs.put_document(record, b"", {}, overwrite=True)
        assert await blobs.get_document(record) == b""


async def test_a_blob_of_a_deleted_account_does_not_exist_and_its_deletion_succeeds(
    storage: StorageWorld, auth: Auth
) -> None:
    """A lab may be deleted with its account; only then does no response mean that."""
    gone = BlobRef(f"{storage.staged.account_id.rpartition('/')[0]}/gone", storage.staged.url)
    async with storage.connect(auth) as connected:
        assert await connected.blobs.facts(gone) is None
        assert await connected.blobs.get_document(gone) is None
        assert await connected.blobs.delete(gone, etag='"0x8D"')
        assert not await connected.accounts.exists(gone.account_id)
        assert await connected.accounts.exists(storage.staged.account_id)


async def test_a_range_of_the_largest_size_is_written_completely(storage: StorageWorld) -> None:
    """4 MiB, the maximum of one request; with the first page it is all that is allocated."""
    async with storage.begun() as connected:
        await storage.copy(connected)
        await storage.copy(connected, Range(PIECE_BYTES, PIECE_BYTES))
        assert await connected.blobs.page_ranges(storage.staged) == [FIRST, Range(PIECE_BYTES, PIECE_BYTES)]
