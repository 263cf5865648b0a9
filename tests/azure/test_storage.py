"""Access to storage accounts, against the embedded cloud: tokens or keys, renewed, shared, and never shown."""

from __future__ import annotations

import asyncio
import logging
import time
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from azure.core.credentials import AccessToken
from azure.storage.blob.aio import BlobClient

from imagefactory.aio import renewing
from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.blob_lists import list_blobs
from imagefactory.azure.storage.page_writer import RangeRefused, Refusal
from imagefactory.observed.blobs import BlobRef
from tests.azure.storage_world import FIRST, GENERATION, Auth, Connected, StorageWorld, Uncached, crc64
from tests.e2e.world import FACTORY_CONTAINER


def tokens_requested(storage: StorageWorld) -> int:
    """The number of requests for a token for storage; one for the resource manager has another resource."""
    return sum("storage.azure.com" in call["path"] for call in storage.calls("GET", "/msi/token"))


async def everything(storage: StorageWorld, connected: Connected) -> None:
    """Each kind of call that a copy makes."""
    blobs = connected.blobs
    facts = await blobs.facts(storage.source)
    assert facts
    assert await blobs.create(storage.staged, facts.length, {"state": "copying"}, GENERATION) is None
    await storage.copy(connected)
    assert await blobs.read(storage.staged, 0, 512) == storage.content(storage.source)
    staged = await blobs.facts(storage.staged)
    assert staged and await blobs.set_metadata(storage.staged, {"state": "whole"}, etag=staged.etag)
    staged = await blobs.facts(storage.staged)
    assert staged
    assert await blobs.start_copy(storage.source, facts.etag, storage.staged, {}, overwrite_etag=staged.etag)
    record = storage.beside(storage.staged, "record.json.gz")
    assert await blobs.put_document(record, b"{}", {}, overwrite=True)
    assert await blobs.get_document(record) == b"{}"
    for blob in (record, storage.staged):
        facts = await blobs.facts(blob)
        assert facts and await blobs.delete(blob, etag=facts.etag)


async def test_tokens_are_enough_for_all_calls_and_no_key_is_requested(storage: StorageWorld) -> None:
    """Also if the keys of both accounts are disabled; one token is used for all accounts."""
    storage.cloud.set_sign_in(keyless_accounts=[storage.lab.account, storage.world.factory.account])
    storage.cloud.clear_calls()
    async with storage.connect("aad") as connected:
        blobs = connected.blobs
        facts = await blobs.facts(storage.source)
        assert facts and not await blobs.create(storage.staged, facts.length, {}, GENERATION)
        await connected.writer.copy_range(storage.source, facts.etag, storage.staged, GENERATION, FIRST, None)
        first = await blobs.read(storage.staged, FIRST.offset, FIRST.length)
        staged = await blobs.facts(storage.staged)
        assert staged
        assert await blobs.start_copy(storage.source, facts.etag, storage.staged, {}, overwrite_etag=staged.etag)
        assert first == await blobs.read(storage.staged, FIRST.offset, FIRST.length) != bytes(512)
    assert storage.calls("POST", "listKeys") == [] and tokens_requested(storage) == 1


async def test_a_container_with_more_blobs_than_allowed_is_an_error_that_names_it(storage: StorageWorld) -> None:
    """A lab's owner can write millions of blobs; reading stops at the limit."""
    async with storage.connect() as connected:
        account = storage.source.account_id
        count = len(await list_blobs(connected.accounts, account, FACTORY_CONTAINER))
        assert len(await list_blobs(connected.accounts, account, FACTORY_CONTAINER, count)) == count > 1
        with pytest.raises(CloudError, match=f"{FACTORY_CONTAINER}': contains more than {count - 1} blobs"):
            await list_blobs(connected.accounts, account, FACTORY_CONTAINER, count - 1)


async def test_keys_are_enough_for_all_calls_and_are_requested_once_per_account(storage: StorageWorld) -> None:
    """Also if 20 operations start concurrently; no token for storage is requested."""
    async with storage.connect("key") as connected:
        await asyncio.gather(*(connected.blobs.facts(storage.staged) for _ in range(20)))
        await everything(storage, connected)
    assert len(storage.calls("POST", "listKeys")) == 2 and tokens_requested(storage) == 0


@pytest.mark.parametrize("keyless", ["web", "factory"])
async def test_disabled_keys_are_an_error_with_the_setting_that_needs_none(storage: StorageWorld, keyless: str) -> None:
    """For either account and each kind of call: the error names account, setting and role."""
    lab = storage.world.factory if keyless == "factory" else storage.lab
    async with storage.begun("key") as connected:
        etag = storage.etag()
        storage.cloud.set_sign_in(keyless_accounts=[lab.account])
        with pytest.raises(RangeRefused) as range_refused:
            await connected.writer.copy_range(storage.source, etag, storage.staged, GENERATION, FIRST, None)
        with pytest.raises(CloudError) as refused:
            await connected.blobs.facts(storage.source if keyless == "factory" else storage.staged)
    assert range_refused.value.kind is Refusal.REFUSED
    for error in (range_refused.value.error, refused.value):
        remedy = error.diagnostic.remedy
        assert "storageAuth to aad" in remedy and "Storage Blob Data Contributor" in remedy and lab.account in remedy


@pytest.mark.parametrize(
    ("action", "account"),
    [
        ({"status": 403, "code": "AuthorizationPermissionMismatch"}, "web"),
        ({"status": 403, "code": "CannotVerifyCopySource"}, "factory"),
    ],
)
async def test_a_missing_role_is_an_error_with_the_account_where_it_is_missing(
    storage: StorageWorld, action: dict[str, object], account: str
) -> None:
    """The lab's, or the factory's, for which a role to read is enough; the error names what is missing, too."""
    lab = storage.world.factory if account == "factory" else storage.lab
    storage.refuse(action)
    async with storage.begun() as connected:
        with pytest.raises(RangeRefused) as caught:
            await storage.copy(connected)
    remedy = caught.value.error.diagnostic.remedy
    role, verb = ("Reader", "read") if account == "factory" else ("Contributor", "write")
    assert f"Storage Blob Data {role} on storage account '{lab.account}'" in remedy
    assert f"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/{verb} (" in remedy


async def test_a_missing_role_has_a_remedy_in_the_other_calls(storage: StorageWorld) -> None:
    """Facts, reads, listings and writes: the built-in role with the least that has the action."""
    storage.refuse({"status": 403, "code": "AuthorizationPermissionMismatch"}, path=storage.vhd)
    async with storage.connect() as connected:
        for role, call in (
            ("Reader", lambda: connected.blobs.facts(storage.source)),
            ("Reader", lambda: connected.blobs.read(storage.source, 0, 512)),
            ("Reader", lambda: connected.blobs.page_ranges(storage.source)),
            ("Contributor", lambda: connected.blobs.create(storage.staged, 512, {}, GENERATION)),
        ):
            with pytest.raises(CloudError, match=rf"Storage Blob Data {role} on storage account 'spare\d+'"):
                await call()


@pytest.mark.parametrize(
    ("action", "auth"),
    [
        ({"status": 401, "code": "InvalidAuthenticationInfo"}, "aad"),
        ({"status": 401, "code": "CannotVerifyCopySource"}, "aad"),
        ({"status": 403, "code": "AuthenticationFailed"}, "key"),
        ({"status": 403, "code": "CannotVerifyCopySource"}, "key"),
    ],
)
async def test_a_rejected_token_or_sas_is_renewed_once_for_all(
    storage: StorageWorld, action: dict[str, object], auth: Auth
) -> None:
    """After 20 concurrent rejections of one token, the next attempts use one new token, and succeed."""
    async with storage.begun(auth) as connected:
        old = await connected.accounts.access(storage.staged), await connected.accounts.source_access(storage.source)
        before = tokens_requested(storage)
        await asyncio.sleep(1.1)  # a SAS or token that is created within the same second is the same
        storage.refuse(action, times=20)
        refused = await asyncio.gather(*(storage.copy(connected) for _ in range(20)), return_exceptions=True)
        assert all(isinstance(each, RangeRefused) and "UNAUTHORIZED" in each.kind.name for each in refused)
        copied = await asyncio.gather(*(storage.copy(connected) for _ in range(20)))
        new = await connected.accounts.access(storage.staged), await connected.accounts.source_access(storage.source)
    assert set(copied) == {crc64(storage.content(storage.source))}
    at_source = action["code"] == "CannotVerifyCopySource"
    assert new[at_source] != old[at_source]
    assert tokens_requested(storage) - before == (1 if auth == "aad" else 0)


async def test_the_other_calls_renew_a_rejected_token_immediately(storage: StorageWorld) -> None:
    """They are sent again once; a token that is rejected again is an error."""
    storage.refuse({"status": 401, "code": "InvalidAuthenticationInfo"}, path=storage.vhd, times=1)
    async with storage.connect() as connected:
        assert await connected.blobs.facts(storage.source)
        storage.refuse({"status": 401, "code": "InvalidAuthenticationInfo"}, path=storage.vhd)
        for call in (connected.blobs.facts(storage.source), connected.blobs.read(storage.source, 0, 512)):
            with pytest.raises(CloudError, match="Sign in again"):
                await call


async def test_tokens_are_renewed_before_they_expire_during_copies(
    storage: StorageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call is rejected although the first tokens have expired; each is requested once, after half of its life.

    The clocks of this process and of the cloud are set ahead together, so the duration of a call does not matter.
    """
    life, ahead = 800, 0
    monkeypatch.setattr(renewing, "time", SimpleNamespace(time=lambda: time.time() + ahead))
    storage.cloud.set_sign_in(token_seconds=life)
    async with storage.begun() as connected:
        for ahead in range(0, 3 * life, 300):
            storage.cloud.set_sign_in(token_seconds=life, clock_ahead_seconds=ahead)
            await asyncio.gather(*(storage.copy(connected) for _ in range(4)))
        assert tokens_requested(storage) == 3
    assert {call["status"] for call in storage.calls("PUT", "comp=page")} == {201}


async def test_the_services_own_copy_reads_by_a_sas_for_that_blob(storage: StorageWorld, auth: Auth) -> None:
    """Signed with a delegation key of the identity, requested once per account, or with the account's key."""
    async with storage.connect(auth) as connected:
        urls = await asyncio.gather(*(connected.accounts.readable_url(storage.source) for _ in range(5)))
    assert all(url.startswith(f"{storage.source.url}?") and "sp=r&" in url for url in urls)
    assert all(("skoid=" in url) == (auth == "aad") for url in urls)
    assert len(storage.calls("POST", "comp=userdelegationkey")) == (1 if auth == "aad" else 0)


async def test_a_sas_is_sent_to_the_accounts_own_host_only(storage: StorageWorld, auth: Auth) -> None:
    """Whatever host the blob's URL has in a resource."""
    stray = BlobRef(storage.source.account_id, f"https://attacker.example{urlsplit(storage.source.url).path}")
    async with storage.connect(auth) as connected:
        url = await connected.accounts.readable_url(stray)
    assert url.startswith(f"{storage.source.url}?") and "attacker" not in url


async def test_no_secret_is_in_errors_and_logs(
    storage: StorageWorld, auth: Auth, caplog: pytest.LogCaptureFixture
) -> None:
    """No message contains a token, SAS or key, whatever fails, with the SDK's own logging enabled."""
    caplog.set_level(logging.DEBUG)
    async with storage.begun(auth) as connected:
        shown = [
            await connected.accounts.access(storage.staged),
            await connected.accounts.source_access(storage.source),
        ]
        secrets = {text.rpartition(" ")[2] for each in shown for text in each.headers.values()}
        secrets |= {each.url.partition("sig=")[2] for each in shown if "sig=" in each.url}
        url = await connected.accounts.readable_url(storage.source)
        secrets |= {url.partition("sig=")[2]}
        secrets |= {each["key"] for each in storage.cloud.status()["storageAccounts"]}
        texts, etag = [], storage.etag()
        for action, call in (
            ({"status": 403, "code": "AuthorizationFailure", "message": f"denied: {url}"}, "read"),
            ({"status": 403, "code": "AuthorizationFailure", "message": f"denied: {url}"}, "copy"),
            ({"drop": True}, "copy"),
        ):
            storage.refuse(action, path=storage.vhd)
            with pytest.raises((RangeRefused, CloudError)) as caught:
                if call == "read":
                    await connected.blobs.read(storage.source, 0, 512)
                else:
                    await connected.writer.copy_range(storage.source, etag, storage.staged, GENERATION, FIRST, None)
            texts.append(repr(caught.value) + str(caught.value))
    assert all(secrets) and caplog.records
    assert not [secret for secret in secrets if any(secret in text for text in (*texts, caplog.text))]


async def test_tokens_and_keys_are_sent_unencrypted_to_this_machine_only(storage: StorageWorld, auth: Auth) -> None:
    """Another endpoint without TLS is rejected before a token or key is requested."""
    cloud = Cloud(None, storage.cloud.status()["resourceManager"], "http://{account}.blob.example")
    async with ResourceManager(cloud, _NoCredential(cloud)) as arm, StorageAccounts(arm, auth) as accounts:
        for call in (accounts.access(storage.staged), accounts.source_access(storage.source)):
            with pytest.raises(CloudError, match="not encrypted"):
                await call


class _NoCredential(Uncached):
    async def get_token(self, *_: str, **__: object) -> AccessToken:
        raise AssertionError("a token was requested")


async def test_the_client_of_a_disk_is_closed_when_its_access_is_revoked(
    storage: StorageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that saves many disks does not keep an open client for each."""
    closed: list[str] = []

    async def close(client: BlobClient) -> None:
        closed.append(client.url.partition("?")[0])

    monkeypatch.setattr(BlobClient, "close", close)
    async with storage.connect("aad") as connected:
        disk = connected.accounts.lent.add("/disks/os", f"{storage.source.url}?sig=secret")
        other = connected.accounts.lent.add("/disks/data", f"{storage.source.url}2?sig=secret")
        await connected.accounts.lent.remove("/disks/os")
        assert closed == [disk.url]
        await connected.accounts.lent.remove("/disks/os")
    assert closed == [disk.url, other.url]
