"""The blob service of the embedded cloud, seen through the real client library: Azurite, and what the front adds."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ServiceResponseError
from azure.storage.blob import (
    BlobClient,
    BlobProperties,
    BlobSasPermissions,
    BlobServiceClient,
    ContainerClient,
    generate_blob_sas,
)

from localcloud.client import CloudClient, CloudError

MIB = 1024 * 1024
SIZE = 8 * MIB
PAGE = b"\x5a" * 512


@dataclass(frozen=True)
class Pair:
    """Two storage accounts with a container each; `source` holds one page blob with some pages."""

    cloud: CloudClient
    key: str
    source: BlobClient
    target: ContainerClient

    def url(self, lifetime: timedelta = timedelta(hours=1), **permission: bool) -> str:
        """The source's URL with a SAS (to read, if nothing else is said)."""
        sas = generate_blob_sas(
            str(self.source.account_name),
            self.source.container_name,
            self.source.blob_name,
            account_key=self.key,
            permission=BlobSasPermissions(**(permission or {"read": True})),
            expiry=datetime.now(timezone.utc) + lifetime,
        )
        return f"{self.source.url}?{sas}"

    def copy(self, name: str = "copy.vhd", rule: Mapping[str, object] | None = None, **options: Any) -> BlobClient:
        """Start a copy in the target account; `rule` is the fault action that meets it."""
        if rule is not None:
            self.cloud.set_faults([{"service": "blob", "path": f"/{name}$", "action": rule}])
        blob = self.target.get_blob_client(name)
        blob.start_copy_from_url(self.url(), **options)
        return blob

    def content(self) -> bytes:
        """The source's bytes."""
        return bytes(self.source.download_blob().readall())


@pytest.fixture
def pair(fresh_cloud: CloudClient, accounts: Iterator[str]) -> Pair:
    """Two accounts that no other test uses."""
    status = {each["name"]: each for each in fresh_cloud.status()["storageAccounts"]}
    first, second = (status[next(accounts)] for _ in range(2))

    def container(account: dict[str, str]) -> ContainerClient:
        credential = {"account_name": account["name"], "account_key": account["key"]}
        service = BlobServiceClient(account["blobEndpoint"], credential, retry_total=0)
        return service.create_container("vhds")

    source = container(first).get_blob_client("source.vhd")
    source.create_page_blob(SIZE, metadata={"origin": "source"})
    source.upload_page(PAGE * 8, offset=4096, length=4096)
    source.upload_page(PAGE, offset=SIZE - 512, length=512)
    fresh_cloud.clear_calls()
    return Pair(fresh_cloud, first["key"], source, container(second))


def wait(blob: BlobClient, until: Callable[[BlobProperties], bool]) -> BlobProperties:
    """The blob's properties as soon as they are as wished."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        properties = blob.get_blob_properties()
        if until(properties):
            return properties
        time.sleep(0.02)
    raise AssertionError(f"the copy stayed {properties.copy.status} {properties.copy.progress}")


def ended(properties: BlobProperties) -> bool:
    """Whether a copy is no longer pending."""
    return properties.copy.status != "pending"


def refusal(call: Callable[[], object]) -> tuple[int | None, str | None]:
    """HTTP status and error code that a call is refused with."""
    with pytest.raises(HttpResponseError) as caught:
        call()
    response: Any = caught.value.response
    return response.status_code, response.headers.get("x-ms-error-code")


# What Azurite does must pass the front unharmed.


def test_page_blobs_are_read_and_written_by_ranges(pair: Pair) -> None:
    """Pages, holes, and the list of allocated ranges."""
    assert pair.content()[4096:8192] == PAGE * 8
    assert pair.source.download_blob(offset=4000, length=200).readall() == bytes(96) + PAGE[:104]
    assert [(each.start, each.end) for each in pair.source.list_page_ranges()] == [(4096, 8191), (SIZE - 512, SIZE - 1)]


def test_large_bodies_pass_in_both_directions(pair: Pair) -> None:
    """More than any buffer on the way, as one block blob."""
    blob = pair.target.get_blob_client("large")
    content = uuid.uuid4().bytes * (2 * MIB)
    blob.upload_blob(content)
    assert blob.download_blob().readall() == content


def test_names_with_spaces_and_other_scripts_pass(pair: Pair) -> None:
    """The path reaches the emulator as it was signed."""
    blob = pair.target.get_blob_client("folder/a b%20ü+&.json")
    blob.upload_blob(b"content")
    assert [each.name for each in pair.target.list_blobs()] == ["folder/a b%20ü+&.json"]
    assert blob.download_blob().readall() == b"content"


def test_a_wrong_key_and_a_sas_without_the_right_are_refused(pair: Pair) -> None:
    """The front passes authentication on; it grants nothing."""
    credential = {"account_name": str(pair.source.account_name), "account_key": "QUJD"}
    stranger = BlobClient.from_blob_url(pair.source.url, credential=credential, retry_total=0)
    assert refusal(stranger.get_blob_properties)[0] == 403
    reader = BlobClient.from_blob_url(pair.url(), retry_total=0)
    assert reader.get_blob_properties().size == SIZE
    assert refusal(lambda: reader.upload_page(PAGE, offset=0, length=512))[0] == 403


# Copies.


def test_a_copy_between_accounts_is_done_at_once_by_default(pair: Pair) -> None:
    """Content and properties are there with the first answer, with the source's metadata."""
    blob = pair.copy()
    properties = blob.get_blob_properties()
    assert (properties.copy.status, properties.copy.progress) == ("success", f"{SIZE}/{SIZE}")
    assert properties.metadata == {"origin": "source"}
    assert blob.download_blob().readall() == pair.content()
    calls = [(each["method"], each["status"]) for each in pair.cloud.calls() if "/copy.vhd" in each["path"]]
    assert calls[0] == ("PUT", 202)


def test_a_copy_costs_one_call_of_the_front(pair: Pair) -> None:
    """The emulator's own question whether the source may be read meets neither journal nor fault rules."""
    pair.cloud.set_faults([{"service": "blob", "method": "HEAD", "path": "source", "action": {"status": 500}}])
    pair.cloud.clear_calls()
    pair.copy()
    assert [each["method"] for each in pair.cloud.calls()] == ["PUT"]


@pytest.mark.parametrize("rule", [None, {"copySeconds": 3600}])
def test_a_source_that_may_not_be_read_is_refused_whatever_the_copy_takes(
    pair: Pair, rule: dict[str, object] | None
) -> None:
    """Without SAS as Azure's 404 CannotVerifyCopySource, with an expired one or one without the right 403."""
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
def test_conditions_hold_whatever_the_copy_takes(pair: Pair, rule: dict[str, object] | None) -> None:
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
    """What is written to either later does not show in the other; the emulator alone would show it."""
    before = pair.content()
    blob = pair.copy()
    pair.source.upload_page(b"\1" * 512, offset=0, length=512)
    assert blob.download_blob().readall() == before
    blob.upload_page(b"\2" * 512, offset=512, length=512)
    blob.clear_page(offset=4096, length=512)
    assert pair.content() == b"\1" * 512 + before[512:]


def test_a_slow_copy_is_pending_with_progress_and_then_whole(pair: Pair) -> None:
    """Progress grows, the bytes read as zeros until the end, and then everything is there."""
    pair.cloud.set_latencies({"copySeconds": 0.5, "copyBytesPerSecond": SIZE})
    blob = pair.target.get_blob_client("copy.vhd")
    begun = blob.start_copy_from_url(pair.url(), metadata={"purpose": "staging"})
    assert begun["copy_status"] == "pending"

    first = blob.get_blob_properties()
    assert (first.copy.status, first.copy.id, first.size) == ("pending", begun["copy_id"], SIZE)
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
    assert last.copy.id == begun["copy_id"]
    assert blob.download_blob().readall() == pair.content()
    assert last.metadata == {"purpose": "staging"}


def test_a_pending_copy_shows_in_listings(pair: Pair) -> None:
    """Status, progress and metadata, as in the blob's own properties."""
    pair.copy(rule={"copySeconds": 3600}, metadata={"purpose": "staging"})
    (listed,) = pair.target.list_blobs(include=["copy", "metadata"])
    assert listed.copy.status == "pending"
    assert str(listed.copy.progress).endswith(f"/{SIZE}")
    assert listed.metadata == {"purpose": "staging"}
    assert listed.size == SIZE


def test_a_pending_blob_refuses_every_change(pair: Pair) -> None:
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
    """Zero bytes, its metadata, and free for a new copy; there is nothing to abort a second time."""
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
    """It is pending first, as Azure's are, and leaves an empty blob."""
    blob = pair.target.get_blob_client("copy.vhd")
    rule = {"copyFails": "500 InternalError", "copySeconds": 0.2}
    pair.cloud.set_faults([{"service": "blob", "path": "copy", "times": 1, "action": rule}])
    assert blob.start_copy_from_url(pair.url())["copy_status"] == "pending"
    properties = wait(blob, ended)
    assert (properties.copy.status, properties.copy.status_description) == ("failed", "500 InternalError")
    assert properties.size == 0
    blob.start_copy_from_url(pair.url())
    assert blob.download_blob().readall() == pair.content()


def test_a_stalled_copy_halts_half_way_and_can_be_aborted(pair: Pair) -> None:
    """It stays pending with the same progress."""
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
def test_a_source_that_changes_during_the_copy_makes_it_fail(
    pair: Pair, change: Callable[[BlobClient], object], description: str
) -> None:
    """Deleted or written to: the copy is never a mixture."""
    blob = pair.copy(rule={"copySeconds": 3600})
    change(pair.source)
    properties = blob.get_blob_properties()
    assert properties.copy.status == "failed"
    assert str(properties.copy.status_description).startswith(description)


def test_a_block_blob_is_copied_slowly_too(pair: Pair) -> None:
    """It has no content until the copy is done."""
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


def test_a_hundred_copies_are_in_flight_at_once(pair: Pair) -> None:
    """All are pending together, and all end whole."""
    pair.cloud.set_faults([{"service": "blob", "path": "/many", "action": {"copySeconds": 3}}])
    url = pair.url()
    names = [f"many{number}.vhd" for number in range(100)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: pair.target.get_blob_client(name).start_copy_from_url(url), names))
    listed = list(pair.target.list_blobs(include=["copy"]))
    assert [each.copy.status for each in listed] == ["pending"] * 100
    content = pair.content()
    for name in names:
        blob = pair.target.get_blob_client(name)
        assert wait(blob, ended).copy.status == "success"
    assert pair.target.get_blob_client(names[-1]).download_blob().readall() == content


# Faults, journal, accounts.


def test_a_rule_answers_with_its_error_only_as_often_as_it_says(pair: Pair) -> None:
    """`times` limits hits, the answer carries code, message and Retry-After, and the counts can be read."""
    action = {"status": 503, "code": "ServerBusy", "message": "Slow <down>.", "retryAfter": 7}
    pair.cloud.set_faults([{"service": "blob", "method": "GET", "path": "source.vhd$", "times": 2, "action": action}])
    for _ in range(2):
        with pytest.raises(HttpResponseError) as caught:
            pair.content()
        assert "Slow <down>." in str(caught.value.message)
        response: Any = caught.value.response
        assert (response.status_code, response.headers["x-ms-error-code"]) == (503, "ServerBusy")
        assert response.headers["Retry-After"] == "7"
    assert len(pair.content()) == SIZE
    (rule,) = pair.cloud.faults()
    assert (rule["seen"], rule["hits"]) == (3, 2)


def test_a_rule_strikes_only_the_nth_call_and_another_rule_another(pair: Pair) -> None:
    """Each rule counts for itself; the first that strikes answers."""
    pair.cloud.set_faults(
        [
            {"service": "blob", "path": "SOURCE", "nth": 2, "action": {"status": 500}},
            {"service": "blob", "path": "source", "nth": 3, "action": {"status": 429, "code": "TooMany"}},
        ]
    )
    assert pair.source.exists()
    assert refusal(pair.source.get_blob_properties)[0] == 500
    assert refusal(pair.source.get_blob_properties)[0] == 429
    assert pair.source.exists()


def test_rules_about_copies_do_not_count_other_calls(pair: Pair) -> None:
    """`nth` of a copy rule is the nth copy, however often the blob is asked for."""
    pair.cloud.set_faults(
        [{"service": "blob", "path": "copy", "nth": 2, "times": 1, "action": {"copyFails": "no luck"}}]
    )
    blob = pair.target.get_blob_client("copy.vhd")
    for _ in range(3):
        assert not blob.exists()
    blob.start_copy_from_url(pair.url())
    assert blob.get_blob_properties().copy.status == "success"
    blob.start_copy_from_url(pair.url())
    assert wait(blob, ended).copy.status_description == "no luck"


def test_a_dropped_call_is_a_cut_connection(pair: Pair) -> None:
    """The client sees no answer, the journal a status 0, and the blob is untouched."""
    pair.cloud.set_faults(
        [{"service": "blob", "method": "DELETE", "path": "source", "times": 1, "action": {"drop": True}}]
    )
    with pytest.raises(ServiceResponseError):
        pair.source.delete_blob()
    assert {"service": "blob", "method": "DELETE", "status": 0} in [
        {name: each[name] for name in ("service", "method", "status")} for each in pair.cloud.calls()
    ]
    assert pair.source.exists()


def test_a_delayed_call_is_answered_as_ever(pair: Pair) -> None:
    """A delay alone changes nothing but the time."""
    pair.cloud.set_faults([{"service": "blob", "path": "source", "action": {"delaySeconds": 0.05}}])
    began = time.monotonic()
    assert len(pair.content()) == SIZE
    assert time.monotonic() - began >= 0.05


def test_the_journal_holds_no_signature(pair: Pair) -> None:
    """A SAS in the query is noted without what makes it good."""
    BlobClient.from_blob_url(pair.url()).get_blob_properties()
    (call,) = [each for each in pair.cloud.calls() if "sig=" in each["path"]]
    assert "sig=REDACTED" in call["path"]
    assert call["status"] == 200


def test_accounts_declared_later_work_at_once_and_disturb_nobody(pair: Pair) -> None:
    """A download that is under way goes on, and the new account takes requests with its own key."""
    stream = pair.source.download_blob().chunks()
    next(iter(stream))
    name = f"late{uuid.uuid4().hex[:12]}"
    pair.cloud.seed({"storageAccounts": [name]})
    account = next(each for each in pair.cloud.status()["storageAccounts"] if each["name"] == name)
    service = BlobServiceClient(account["blobEndpoint"], {"account_name": name, "account_key": account["key"]})
    service.create_container("vhds").upload_blob("a", b"content")
    with pytest.raises(ResourceExistsError):
        service.create_container("vhds")
    assert len(pair.content()) == SIZE


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"service": "blob", "path": "(", "action": {"status": 500}}, "not a regular expression"),
        ({"service": "blob", "path": "x", "action": {}}, "give one of the three"),
        ({"service": "blob", "path": "x", "action": {"status": 500, "copyStalls": True}}, "give one of the three"),
        ({"service": "disk", "path": "x", "action": {"status": 500}}, "service"),
        ({"service": "blob", "path": "x", "nht": 1, "action": {"status": 500}}, "nht"),
    ],
)
def test_a_wrong_rule_is_refused_and_the_old_ones_stay(
    fresh_cloud: CloudClient, rule: dict[str, object], words: str
) -> None:
    """The answer says what is wrong with it."""
    good = {"service": "blob", "path": "nothing", "action": {"status": 500}}
    fresh_cloud.set_faults([good])
    with pytest.raises(CloudError, match=words):
        fresh_cloud.set_faults([rule])
    assert fresh_cloud.faults() == [{**good, "seen": 0, "hits": 0}]
