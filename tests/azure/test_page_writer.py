"""The call that copies a range, against the embedded cloud: what it writes and returns, and how it sorts errors."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from imagefactory.azure.storage.page_writer import RangeRefused, Refusal
from imagefactory.images.ranges import Range
from tests.azure.storage_world import FIRST, GENERATION, Auth, StorageWorld, crc64
from tests.e2e.world import MIB

CHUNK = Range(4 * MIB, 4 * MIB)
OTHER = "AAAAAAAAAAA="


async def refusal_of(storage: StorageWorld, auth: Auth = "aad", digest: str | None = None) -> RangeRefused:
    """Copy the first page, and return the error."""
    async with storage.begun(auth) as connected:
        with pytest.raises(RangeRefused) as caught:
            await storage.copy(connected, digest=digest)
    return caught.value


def writes(storage: StorageWorld) -> int:
    return len(storage.calls("PUT", "comp=page"))


async def test_the_service_writes_a_range_and_returns_its_digest(storage: StorageWorld, auth: Auth) -> None:
    """Only that range, with one request; the digest is the CRC64 of the source's range."""
    async with storage.begun(auth) as connected:
        digest = await storage.copy(connected)
        assert digest == crc64(storage.content(storage.source)) != crc64(bytes(512))
        assert storage.content(storage.staged, Range(0, 1024)) == storage.content(storage.source) + bytes(512)
        assert await connected.blobs.page_ranges(storage.staged) == [FIRST]
        assert writes(storage) == 1
        assert await storage.copy(connected, digest=digest) == digest
        await storage.copy(connected, CHUNK)
    assert storage.content(storage.staged, CHUNK) == storage.content(storage.source, CHUNK)


async def test_a_range_with_another_digest_than_required_is_an_error_with_both(storage: StorageWorld) -> None:
    """The error names the digest that was found and the required one."""
    refused = await refusal_of(storage, digest=OTHER)
    found = crc64(storage.content(storage.source))
    assert (refused.kind, refused.found) == (Refusal.OTHER_CONTENT, found)
    assert found in str(refused) and OTHER in str(refused)


async def test_a_range_that_the_service_damages_is_detected(storage: StorageWorld) -> None:
    """One changed byte in 4 MiB; the next copy of the range repairs it."""
    async with storage.begun() as connected:
        must = await storage.copy(connected, CHUNK)
        storage.refuse({"corrupt": True}, times=1)
        with pytest.raises(RangeRefused) as caught:
            await storage.copy(connected, CHUNK, must)
        assert caught.value.kind is Refusal.OTHER_CONTENT and caught.value.found not in {"", must}
        assert await storage.copy(connected, CHUNK, must) == must
    assert storage.content(storage.staged, CHUNK) == storage.content(storage.source, CHUNK)


SOURCE = "CannotVerifyCopySource"


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ({"status": 503, "code": "ServerBusy"}, Refusal.BUSY),
        ({"status": 429, "code": "TooManyRequests"}, Refusal.BUSY),
        ({"status": 503, "code": SOURCE}, Refusal.BUSY),
        ({"status": 503, "code": "OperationTimedOut"}, Refusal.PASSING),
        ({"status": 500, "code": "OperationTimedOut"}, Refusal.PASSING),
        ({"status": 500, "code": SOURCE}, Refusal.PASSING),
        ({"status": 502, "code": "BadGateway"}, Refusal.PASSING),
        ({"status": 504, "code": "GatewayTimeout"}, Refusal.PASSING),
        ({"status": 408, "code": "RequestTimeout"}, Refusal.PASSING),
        ({"drop": True}, Refusal.PASSING),
        ({"drop": "after"}, Refusal.PASSING),
        ({"status": 401, "code": "InvalidAuthenticationInfo"}, Refusal.UNAUTHORIZED),
        ({"status": 403, "code": "AuthenticationFailed"}, Refusal.UNAUTHORIZED),
        ({"status": 401, "code": SOURCE}, Refusal.SOURCE_UNAUTHORIZED),
        ({"status": 403, "code": SOURCE}, Refusal.SOURCE_UNAUTHORIZED),
        ({"status": 412, "code": SOURCE}, Refusal.SOURCE_CHANGED),
        ({"status": 404, "code": SOURCE}, Refusal.SOURCE_GONE),
        ({"status": 409, "code": SOURCE}, Refusal.REFUSED),
        ({"status": 400, "code": "Crc64Mismatch"}, Refusal.OTHER_CONTENT),
        ({"status": 412, "code": "SequenceNumberConditionNotMet"}, Refusal.DESTINATION_CHANGED),
        ({"status": 412, "code": "LeaseIdMissing"}, Refusal.REFUSED),
        ({"status": 403, "code": "AuthorizationPermissionMismatch"}, Refusal.REFUSED),
        ({"status": 400, "code": "InvalidHeaderValue"}, Refusal.REFUSED),
    ],
)
async def test_each_error_has_its_kind_and_costs_one_call(
    storage: StorageWorld, action: Mapping[str, object], kind: Refusal
) -> None:
    """The copier decides by the kind what to do; nothing is sent again here."""
    storage.refuse(action)
    refused = await refusal_of(storage)
    assert refused.kind is kind and refused.retry_after is None
    assert writes(storage) == 1
    assert storage.lab.account in str(refused) and storage.world.factory.account in str(refused)
    assert str(action.get("code", "no response")) in str(refused)


async def test_retry_after_is_returned_in_seconds(storage: StorageWorld) -> None:
    """As the service sent it."""
    storage.refuse({"status": 503, "code": "ServerBusy", "retryAfter": 7})
    assert (await refusal_of(storage)).retry_after == 7.0


async def test_a_range_whose_response_was_lost_is_written(storage: StorageWorld) -> None:
    """The connection broke after the service had written it; the same range can be sent again."""
    storage.refuse({"drop": "after"}, times=1)
    async with storage.begun() as connected:
        with pytest.raises(RangeRefused):
            await storage.copy(connected)
        assert storage.content(storage.staged) == storage.content(storage.source)
        assert await storage.copy(connected) == crc64(storage.content(storage.source))


async def test_a_changed_or_deleted_source_is_not_copied(storage: StorageWorld, auth: Auth) -> None:
    """Each request has its ETag as a condition; the destination is not changed."""
    async with storage.begun(auth) as connected:
        before = storage.etag()
        storage.client(storage.source).set_blob_metadata({"touched": "yes"})
        with pytest.raises(RangeRefused) as caught:
            await connected.writer.copy_range(storage.source, before, storage.staged, GENERATION, FIRST, None)
        assert caught.value.kind is Refusal.SOURCE_CHANGED
        gone = storage.beside(storage.source, "gone.vhd")
        with pytest.raises(RangeRefused) as caught:
            await connected.writer.copy_range(gone, None, storage.staged, GENERATION, FIRST, None)
        assert caught.value.kind is Refusal.SOURCE_GONE
        assert await connected.blobs.page_ranges(storage.staged) == []


async def test_a_write_of_an_older_copy_is_rejected(storage: StorageWorld) -> None:
    """If the blob was recreated with another generation, or deleted, no byte of the older copy is written."""
    async with storage.begun() as connected:
        there = await connected.blobs.facts(storage.staged)
        assert there and not await connected.blobs.create(
            storage.staged, there.length, {}, 8, overwrite_etag=there.etag
        )
        with pytest.raises(RangeRefused) as caught:
            await storage.copy(connected)
        assert caught.value.kind is Refusal.DESTINATION_CHANGED
        assert await connected.blobs.page_ranges(storage.staged) == []
        assert await connected.blobs.delete(storage.staged, etag=storage.etag(storage.staged))
        with pytest.raises(RangeRefused) as caught:
            await storage.copy(connected)
        assert caught.value.kind is Refusal.DESTINATION_CHANGED


async def test_more_calls_than_connections_wait_for_their_turn(storage: StorageWorld) -> None:
    """2 connections, 60 concurrent calls: all succeed, none is lost or sent twice."""
    async with storage.begun(), storage.connect(in_flight=2) as connected:
        etag = storage.etag()
        parts = [Range(512 * page, 512) for page in range(60)]
        digests = await asyncio.gather(
            *(
                connected.writer.copy_range(storage.source, etag, storage.staged, GENERATION, part, None)
                for part in parts
            )
        )
    assert digests == [crc64(storage.content(storage.source, part)) for part in parts]
    assert writes(storage) == 60


async def test_a_canceled_call_releases_its_connection(storage: StorageWorld) -> None:
    """With one connection only, the next call does not wait."""
    storage.refuse({"delaySeconds": 30}, times=1)
    async with storage.begun(), storage.connect(in_flight=1) as connected:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(storage.copy(connected), 1.0)
        assert storage.cloud.faults()[0]["hits"] == 1
        assert await storage.copy(connected) == crc64(storage.content(storage.source))
