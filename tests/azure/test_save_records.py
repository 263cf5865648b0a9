"""What a save leaves while it is in progress, against the embedded cloud: a name is freed by the save that has it."""

from __future__ import annotations

from typing import Any

import pytest
from azure.storage.blob import BlobProperties
from azure.storage.blob.aio import BlobClient

from imagefactory.azure.storage.save_records import SaveRecords
from tests.azure.storage_world import StorageWorld


async def test_a_reservation_ends_only_by_the_save_that_has_it(storage: StorageWorld) -> None:
    """A save whose name another one reserved since frees nothing; one that is gone is free."""
    async with storage.connect() as connected:
        records = SaveRecords(connected.accounts, storage.source.account_id)
        assert await records.reserve("image", "one") and not await records.reserve("image", "two")
        await records.free("image", "two")
        assert not await records.reserve("image", "two"), "it is still the first one's"
        await records.free("image", "one")
        assert await records.reserve("image", "two")
        await records.free("image", "two")
        await records.free("image", "two")


async def test_a_reservation_that_another_save_takes_meanwhile_stays(
    storage: StorageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the deletion it was freed and reserved again."""
    reservation = storage.client(storage.beside(storage.source, "image.name"))
    async with storage.connect() as connected:
        records = SaveRecords(connected.accounts, storage.source.account_id)
        assert await records.reserve("image", "one")
        properties = BlobClient.get_blob_properties

        async def overtaken(self: BlobClient, **given: Any) -> BlobProperties:
            found = await properties(self, **given)
            reservation.upload_blob(b"", metadata={"guid": "two"}, overwrite=True)
            return found

        monkeypatch.setattr(BlobClient, "get_blob_properties", overtaken)
        await records.free("image", "one")
    assert reservation.get_blob_properties().metadata == {"guid": "two"}
