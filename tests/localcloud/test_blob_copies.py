"""Copies in the blob service of the embedded cloud: pending, aborted, failed and successful, as in Azure."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.storage.blob import BlobClient, BlobProperties

from tests.localcloud.blob_world import PAGE, SIZE, Pair, ended, refusal, wait


def test_a_copy_between_accounts_finishes_immediately_by_default(pair: Pair) -> None:
    """Content, properties and the source's metadata exist at the first response."""
    blob = pair.copy()
    properties = blob.get_blob_properties()
    assert (properties.copy.status, properties.copy.progress) == ("success", f"{SIZE}/{SIZE}")
    assert properties.metadata == {"origin": "source"}
    assert blob.download_blob().readall() == pair.content()
    calls = [(each["method"], each["status"]) for each in pair.cloud.calls() if "/copy.vhd" in each["path"]]
    assert calls[0] == ("PUT", 202)


def test_a_copy_costs_one_call_of_the_front(pair: Pair) -> None:
    """Azurite's own check of the source skips journal and fault rules."""
    pair.cloud.set_faults([{"service": "blob", "method": "HEAD", "path": "source", "action": {"status": 500}}])
    pair.cloud.clear_calls()
    pair.copy()
    assert [each["method"] for each in pair.cloud.calls()] == ["PUT"]


@pytest.mark.parametrize("rule", [None, {"copySeconds": 3600}])
def test_an_unreadable_source_is_rejected_for_copies_of_any_duration(
    pair: Pair, rule: dict[str, object] | None
) -> None:
    """Without SAS as Azure's 404 CannotVerifyCopySource; with an expired or insufficient one 403."""
    if rule:
        pair.cloud.set_faults([{"service": "blob", "path": "copy", "action": rule}])
    blob = pair.target.get_blob_client("copy.vhd")
    assert refusal(lambda: blob.start_copy_from_url(pair.source.url)) == (404, "CannotVerifyCopySource")
    expired = pair.url(lifetime=timedelta(hours=-1))
    assert refusal(lambda: blob.start_copy_from_url(expired)) == (403, "CannotVerifyCopySource")
    blind = pair.url(write=True)
    assert refusal(lambda: blob.start_copy_from_url(blind)) == (403, "CannotVerifyCopySource")
    assert not blob.exists()


@pytest.mark.parametrize("rule", [None, {"copySeconds": 3600}])
def test_conditions_apply_to_copies_of_any_duration(pair: Pair, rule: dict[str, object] | None) -> None:
    """If-None-Match on the destination and If-Match on the source."""
    if rule:
        pair.cloud.set_faults([{"service": "blob", "path": "copy", "action": rule}])
    blob = pair.target.get_blob_client("copy.vhd")
    different: dict[str, Any] = {"source_etag": '"0x1"', "source_match_condition": MatchConditions.IfNotModified}
    assert refusal(lambda: blob.start_copy_from_url(pair.url(), **different))[0] == 412
    blob.create_page_blob(512)
    missing: dict[str, Any] = {"match_condition": MatchConditions.IfMissing}
    assert refusal(lambda: blob.start_copy_from_url(pair.url(), **missing))[0] in (409, 412)
    assert blob.get_blob_properties().size == 512


def test_a_copy_and_its_source_do_not_share_pages(pair: Pair) -> None:
    """A later write to one does not change the other, as it would in Azurite alone."""
    before = pair.content()
    blob = pair.copy()
    pair.source.upload_page(b"\1" * 512, offset=0, length=512)
    assert blob.download_blob().readall() == before
    blob.upload_page(b"\2" * 512, offset=512, length=512)
    blob.clear_page(offset=4096, length=512)
    assert pair.content() == b"\1" * 512 + before[512:]


def test_a_slow_copy_is_pending_with_progress_and_then_complete(pair: Pair) -> None:
    """Progress grows, the bytes read as zeros until the end, then the content is complete."""
    pair.cloud.set_latencies({"copySeconds": 0.5, "copyBytesPerSecond": SIZE})
    blob = pair.target.get_blob_client("copy.vhd")
    started = blob.start_copy_from_url(pair.url(), metadata={"purpose": "staging"})
    assert started["copy_status"] == "pending"

    first = blob.get_blob_properties()
    assert (first.copy.status, first.copy.id, first.size) == ("pending", started["copy_id"], SIZE)
    assert first.metadata == {"purpose": "staging"}
    assert blob.download_blob(offset=4096, length=512).readall() == bytes(512)
    assert list(blob.list_page_ranges()) == []

    progress: list[int] = []

    def note(properties: BlobProperties) -> bool:
        progress.append(int(str(properties.copy.progress).split("/")[0]))
        return ended(properties)

    last = wait(blob, note)
    assert last.copy.status == "success"
    assert progress == sorted(progress) and 0 < progress[len(progress) // 2] < SIZE and progress[-1] == SIZE
    assert last.copy.completion_time is not None
    assert last.copy.id == started["copy_id"]
    assert blob.download_blob().readall() == pair.content()
    assert last.metadata == {"purpose": "staging"}


def test_a_pending_copy_shows_in_listings(pair: Pair) -> None:
    """Status, progress and metadata are the same as in the blob's properties."""
    pair.copy(rule={"copySeconds": 3600}, metadata={"purpose": "staging"})
    (listed,) = pair.target.list_blobs(include=["copy", "metadata"])
    assert listed.copy.status == "pending"
    assert str(listed.copy.progress).endswith(f"/{SIZE}")
    assert listed.metadata == {"purpose": "staging"}
    assert listed.size == SIZE


def test_a_pending_blob_rejects_every_change(pair: Pair) -> None:
    """409 PendingCopyOperation for writes, deletes, metadata and copies to or from it."""
    blob = pair.copy(rule={"copySeconds": 3600})
    elsewhere = pair.target.get_blob_client("elsewhere.vhd")
    changes: list[Callable[[], object]] = [
        lambda: blob.upload_page(PAGE, offset=0, length=512),
        lambda: blob.clear_page(offset=0, length=512),
        lambda: blob.resize_blob(SIZE * 2),
        lambda: blob.set_blob_metadata({"a": "b"}),
        lambda: blob.create_page_blob(512),
        lambda: blob.start_copy_from_url(pair.url()),
        lambda: elsewhere.start_copy_from_url(blob.url),
        lambda: blob.create_snapshot(),
        lambda: blob.delete_blob(),
    ]
    assert [refusal(change) for change in changes] == [(409, "PendingCopyOperation")] * len(changes)
    assert blob.get_blob_properties().copy.status == "pending"


def test_an_aborted_copy_leaves_an_empty_blob(pair: Pair) -> None:
    """It has zero bytes and its metadata, and accepts a new copy; a second abort fails."""
    blob = pair.copy(rule={"copySeconds": 3600}, metadata={"purpose": "staging"})
    copy_id = str(blob.get_blob_properties().copy.id)
    assert refusal(lambda: blob.abort_copy(str(uuid.uuid4())))[0] == 409
    blob.abort_copy(copy_id)
    properties = blob.get_blob_properties()
    assert (properties.copy.status, properties.size) == ("aborted", 0)
    assert properties.metadata == {"purpose": "staging"}
    assert refusal(lambda: blob.abort_copy(copy_id)) == (409, "NoPendingCopyOperation")

    pair.cloud.clear_faults()
    blob.start_copy_from_url(pair.url())
    assert blob.download_blob().readall() == pair.content()
    done = str(blob.get_blob_properties().copy.id)
    assert refusal(lambda: blob.abort_copy(done)) == (409, "NoPendingCopyOperation")


def test_a_copy_fails_with_the_description_of_its_rule(pair: Pair) -> None:
    """As in Azure, it is pending first, and leaves an empty blob."""
    blob = pair.target.get_blob_client("copy.vhd")
    rule = {"copyFails": "500 InternalError", "copySeconds": 0.2}
    pair.cloud.set_faults([{"service": "blob", "path": "copy", "times": 1, "action": rule}])
    assert blob.start_copy_from_url(pair.url())["copy_status"] == "pending"
    properties = wait(blob, ended)
    assert (properties.copy.status, properties.copy.status_description) == ("failed", "500 InternalError")
    assert properties.size == 0
    blob.start_copy_from_url(pair.url())
    assert blob.download_blob().readall() == pair.content()


def test_a_stalled_copy_stops_at_half_and_can_be_aborted(pair: Pair) -> None:
    """It is still pending, with constant progress."""
    blob = pair.copy(rule={"copyStalls": True, "copySeconds": 0})
    halves = [blob.get_blob_properties().copy for _ in range(3)]
    assert {(each.status, each.progress) for each in halves} == {("pending", f"{SIZE // 2}/{SIZE}")}
    blob.abort_copy(str(halves[0].id))
    assert blob.get_blob_properties().copy.status == "aborted"


@pytest.mark.parametrize(
    ("change", "description"),
    [
        (lambda source: source.delete_blob(), "404 BlobNotFound"),
        (lambda source: source.upload_page(PAGE, offset=0, length=512), "412 ConditionNotMet"),
    ],
)
def test_a_copy_fails_if_its_source_changes(
    pair: Pair, change: Callable[[BlobClient], object], description: str
) -> None:
    """A deleted or rewritten source never results in mixed content."""
    blob = pair.copy(rule={"copySeconds": 3600})
    change(pair.source)
    properties = blob.get_blob_properties()
    assert properties.copy.status == "failed"
    assert str(properties.copy.status_description).startswith(description)


def test_a_slow_copy_of_a_block_blob_is_pending(pair: Pair) -> None:
    """It has no content until the copy finishes."""
    original = pair.target.get_blob_client("original.json")
    original.upload_blob(b"content")
    pair.cloud.set_faults([{"service": "blob", "path": "slow", "action": {"copySeconds": 0.3}}])
    blob = pair.target.get_blob_client("slow.json")
    blob.start_copy_from_url(original.url)
    pending = blob.get_blob_properties()
    assert (pending.copy.status, pending.size) == ("pending", 0)
    assert blob.download_blob().readall() == b""
    assert wait(blob, ended).size == 7
    assert blob.download_blob().readall() == b"content"


def test_a_hundred_copies_run_concurrently(pair: Pair) -> None:
    """100 that stall are pending together; 100 that take a second all finish complete."""
    stalled = {"service": "blob", "path": "/stalled", "action": {"copyStalls": True}}
    slow = {"service": "blob", "path": "/slow", "action": {"copySeconds": 1}}
    pair.cloud.set_faults([stalled, slow])
    url = pair.url()
    blobs = [
        pair.target.get_blob_client(f"{kind}{number}.vhd") for kind in ("stalled", "slow") for number in range(100)
    ]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda blob: blob.start_copy_from_url(url), blobs))
    listed = pair.target.list_blobs("stalled", include=["copy"])
    assert [each.copy.status for each in listed] == ["pending"] * 100
    assert [wait(blob, ended).copy.status for blob in blobs[100:]] == ["success"] * 100
    assert blobs[-1].download_blob().readall() == pair.content()
