"""Refusals of the storage service: each call acts on the code, and a code that it does not know is an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.storage import containers
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.azure.storage.page_writer import RangeRefused, Refusal
from imagefactory.azure.storage.save_records import SaveRecords
from imagefactory.observed.blobs import BlobRef
from tests.azure.storage_world import FIRST, GENERATION, StorageWorld
from tests.e2e.world import FACTORY_CONTAINER, MIB, STAGING_CONTAINER

LENGTH = 16 * MIB + 512
CODES = ["BlobImmutableDueToPolicy", "InvalidBlobType", "SomethingNew"]

Call = Callable[[PageBlobs, BlobRef], Awaitable[object]]

CALLS: dict[str, Call] = {
    "facts": lambda blobs, blob: blobs.facts(blob),
    "get_document": lambda blobs, blob: blobs.get_document(blob),
    "put_document": lambda blobs, blob: blobs.put_document(blob, b"{}", {}, overwrite=True),
    "put_new_document": lambda blobs, blob: blobs.put_document(blob, b"{}", {}, overwrite=False),
    "create": lambda blobs, blob: blobs.create(blob, LENGTH, {}, GENERATION),
    "set_metadata": lambda blobs, blob: blobs.set_metadata(blob, {}, etag='"0x1"'),
    "abort_copy": lambda blobs, blob: blobs.abort_copy(blob, "1"),
    "delete": lambda blobs, blob: blobs.delete(blob, etag='"0x1"'),
}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("call", CALLS)
async def test_a_409_is_an_error_unless_its_code_says_what_the_call_expects(
    storage: StorageWorld, call: str, code: str
) -> None:
    """None of the calls takes it for a blob that exists, or for one that is already gone."""
    async with storage.begun() as connected:
        for status in (404, 409, 412):
            storage.refuse({"status": status, "code": code}, path=storage.vhd)
            with pytest.raises(CloudError) as caught:
                await CALLS[call](connected.blobs, storage.staged)
            assert (caught.value.status, caught.value.code) == (status, code)


async def test_a_blob_that_another_client_has_a_lease_on_is_not_taken_for_a_changed_one(storage: StorageWorld) -> None:
    """412 LeaseIdMissing, with the remedy that a lease has; before, it was told that others write to the blob."""
    async with storage.begun() as connected:
        etag = storage.etag(storage.staged)
        storage.client(storage.staged).acquire_lease(15)
        with pytest.raises(CloudError, match=r"412 LeaseIdMissing.*holds a lease on it"):
            await connected.blobs.set_metadata(storage.staged, {"state": "whole"}, etag=etag)


async def test_a_container_that_cannot_be_created_is_an_error(storage: StorageWorld) -> None:
    """Only ContainerAlreadyExists means that it exists; before, the copy failed later with 404 ContainerNotFound."""
    storage.refuse({"status": 409, "code": "AccountBeingCreated"}, path=f"{STAGING_CONTAINER}.*restype=container")
    async with storage.connect() as connected:
        with pytest.raises(CloudError, match="409 AccountBeingCreated"):
            await connected.blobs.create(storage.staged, LENGTH, {}, GENERATION)


async def test_a_container_that_is_being_deleted_is_waited_for(
    storage: StorageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deleted it during the run; the wait is shown, and the container is created when Azure permits it."""
    monkeypatch.setattr(containers, "BETWEEN_SECONDS", 0.05)
    notes: list[str] = []
    async with storage.begun() as connected:
        storage.cloud.set_latencies({"containerDeleteSeconds": 1})
        storage.world.service(storage.lab).delete_container(STAGING_CONTAINER)
        assert await connected.blobs.create(storage.staged, LENGTH, {}, GENERATION, notice=notes.append) is None
        assert await connected.blobs.facts(storage.staged)
    storage.cloud.set_latencies({})
    assert set(notes) == {
        f"waiting for container '{STAGING_CONTAINER}' of {storage.lab.account}, which is being deleted"
    }
    created = [call["status"] for call in storage.calls("PUT", "restype=container")]
    assert created.count(201) == 1 and created.count(409) >= 1


async def test_the_factorys_container_is_waited_for_as_well(
    storage: StorageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save begins with its record; while the container is being deleted the listing is empty, not an error."""
    monkeypatch.setattr(containers, "BETWEEN_SECONDS", 0.2)
    notes: list[str] = []
    async with storage.connect() as connected:
        records = SaveRecords(connected.accounts, storage.source.account_id)
        storage.cloud.set_latencies({"containerDeleteSeconds": 4})
        storage.world.service(storage.world.factory).delete_container(FACTORY_CONTAINER)
        assert await records.all() == []
        async with records.hold("g", notice=notes.append) as held:
            await held.remove()
    storage.cloud.set_latencies({})
    assert notes and FACTORY_CONTAINER in notes[0]


async def test_the_wait_for_a_container_ends_with_its_reason(
    storage: StorageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two minutes, here none: the error says what is being deleted and what to do."""
    monkeypatch.setattr(containers, "WAIT_SECONDS", 0.0)
    storage.refuse({"status": 409, "code": "ContainerBeingDeleted"}, path="restype=container")
    async with storage.connect() as connected:
        with pytest.raises(CloudError, match=r"409 ContainerBeingDeleted.*Find out who deletes the container"):
            await connected.blobs.create(storage.staged, LENGTH, {}, GENERATION)


@pytest.mark.parametrize("closed", ["factory", "web"])
@pytest.mark.parametrize("facts", [{"defaultAction": "Deny"}, {"publicNetworkAccess": "Disabled"}])
async def test_network_rules_are_recognized_at_once_at_either_side(
    storage: StorageWorld, closed: str, facts: dict[str, Any]
) -> None:
    """One request, and an error that names the account whose rules deny it."""
    lab = storage.world.factory if closed == "factory" else storage.lab
    async with storage.begun() as connected:
        etag = storage.etag()
        storage.cloud.set_storage_account(lab.account, **facts)
        with pytest.raises(RangeRefused) as caught:
            await connected.writer.copy_range(storage.source, etag, storage.staged, GENERATION, FIRST, None)
        storage.cloud.set_storage_account(lab.account)
    expected = f"403 AuthorizationFailure.*Allow this machine in the network rules of storage account '{lab.account}'"
    assert caught.value.kind is Refusal.REFUSED and caught.value.at_source is (closed == "factory")
    with pytest.raises(CloudError, match=expected):
        raise caught.value.error
    assert len(storage.calls("PUT", "comp=page")) == 1


async def test_the_services_own_copy_names_the_side_that_refused(storage: StorageWorld) -> None:
    """The SDK's error carries the same headers."""
    storage.cloud.set_storage_account(storage.world.factory.account, defaultAction="Allow")
    async with storage.connect() as connected:
        etag = storage.etag()
        storage.refuse(
            {
                "status": 403,
                "code": "CannotVerifyCopySource",
                "copySourceStatus": 403,
                "copySourceCode": "AuthorizationFailure",
            },
            path=storage.vhd,
            method="PUT",
        )
        with pytest.raises(CloudError) as caught:
            await connected.blobs.start_copy(storage.source, etag, storage.staged, {})
    account = storage.world.factory.account
    assert str(caught.value).startswith(f"{account}: {storage.vhd}: Azure returned 403 AuthorizationFailure")
    assert f"network rules of storage account '{account}'" in str(caught.value)


@pytest.mark.parametrize("facts", [{"isHnsEnabled": True}, {"kind": "BlockBlobStorage", "sku": "Premium_LRS"}])
async def test_an_account_that_holds_no_page_blobs_says_so(storage: StorageWorld, facts: dict[str, Any]) -> None:
    """It is not the health of the service."""
    storage.cloud.set_storage_account(storage.lab.account, **facts)
    async with storage.connect() as connected:
        with pytest.raises(CloudError, match=r"409 BlobTypeNotSupported.*general-purpose v2 account"):
            await connected.blobs.create(storage.staged, LENGTH, {}, GENERATION)


async def test_a_disabled_account_is_not_a_missing_role(storage: StorageWorld) -> None:
    """403 AccountIsDisabled."""
    storage.cloud.set_storage_account(storage.lab.account, disabled=True)
    async with storage.connect() as connected:
        with pytest.raises(CloudError, match=rf"403 AccountIsDisabled.*Enable storage account '{storage.lab.account}'"):
            await connected.blobs.facts(storage.staged)


async def test_a_disk_that_refuses_is_not_called_a_storage_account(storage: StorageWorld) -> None:
    """Its network access is that of the disk; before, it was told as network rules of "storage account '<disk>'"."""
    storage.refuse({"status": 403, "code": "AuthorizationFailure"}, path=storage.vhd)
    disk_id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/os-1"
    async with storage.connect() as connected:
        disk = connected.accounts.lent.add(disk_id, f"{storage.source.url}?sig=secret")
        for call in (connected.blobs.facts(disk), connected.blobs.read(disk, 0, 512)):
            with pytest.raises(CloudError, match=r"Allow public access to disk 'os-1'") as caught:
                await call
            assert "storage account" not in str(caught.value) and "secret" not in str(caught.value)
