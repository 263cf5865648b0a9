"""Records of saves in progress, against the embedded cloud: only the save that reserved a name frees it."""

from __future__ import annotations

from typing import Any

import pytest
from azure.storage.blob import BlobProperties
from azure.storage.blob.aio import BlobClient

from imagefactory.azure.storage.save_records import SaveRecords
from tests.azure.storage_world import StorageWorld


async def test_only_the_save_that_reserved_a_name_frees_it(storage: StorageWorld) -> None:
    """Another save does not; freeing a name that is not reserved succeeds."""
    async with storage.connect() as connected:
        records = SaveRecords(connected.accounts, storage.source.account_id)
        assert await records.reserve("image", "one") and not await records.reserve("image", "two")
        await records.free("image", "two")
        assert not await records.reserve("image", "two"), "it is still the first one's"
        await records.free("image", "one")
        assert await records.reserve("image", "two")
        await records.free("image", "two")
        await records.free("image", "two")


async def test_a_reservation_that_another_save_makes_meanwhile_is_kept(
    storage: StorageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was freed and reserved again between the check and the deletion."""
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
