"""The blob service of the embedded cloud through the real client library: Azurite, and what the front adds to it."""

from __future__ import annotations

import time
import uuid
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ServiceResponseError
from azure.storage.blob import BlobClient, BlobServiceClient

from localcloud.client import CloudClient, CloudError
from tests.localcloud.blob_world import MIB, PAGE, SIZE, Pair, ended, refusal, wait


def test_page_blobs_are_read_and_written_by_ranges(pair: Pair) -> None:
    """Pages, holes, and the list of allocated ranges."""
    assert pair.content()[4096:8192] == PAGE * 8
    assert pair.source.download_blob(offset=4000, length=200).readall() == bytes(96) + PAGE[:104]
    assert [(each.start, each.end) for each in pair.source.list_page_ranges()] == [(4096, 8191), (SIZE - 512, SIZE - 1)]


def test_large_bodies_pass_in_both_directions(pair: Pair) -> None:
    """A block blob larger than any buffer is written and read."""
    blob = pair.target.get_blob_client("large")
    content = uuid.uuid4().bytes * (2 * MIB)
    blob.upload_blob(content)
    assert blob.download_blob().readall() == content


def test_names_with_spaces_and_other_scripts_pass(pair: Pair) -> None:
    """The path reaches Azurite as it was signed."""
    blob = pair.target.get_blob_client("folder/a b%20ü+&.json")
    blob.upload_blob(b"content")
    assert [each.name for each in pair.target.list_blobs()] == ["folder/a b%20ü+&.json"]
    assert blob.download_blob().readall() == b"content"


def test_a_wrong_key_and_an_insufficient_sas_are_rejected(pair: Pair) -> None:
    """The front forwards authentication and grants nothing."""
    credential = {"account_name": str(pair.source.account_name), "account_key": "QUJD"}
    stranger = BlobClient.from_blob_url(pair.source.url, credential=credential, retry_total=0)
    assert refusal(stranger.get_blob_properties)[0] == 403
    reader = BlobClient.from_blob_url(pair.url(), retry_total=0)
    assert reader.get_blob_properties().size == SIZE
    assert refusal(lambda: reader.upload_page(PAGE, offset=0, length=512))[0] == 403


def test_a_rule_returns_its_error_only_as_often_as_it_says(pair: Pair) -> None:
    """`times` limits hits, the response has code, message and Retry-After, and the counts are readable."""
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


def test_two_rules_apply_to_the_calls_of_their_own_nth(pair: Pair) -> None:
    """Each rule counts separately; the first rule that applies determines the response."""
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
    """`nth` of a copy rule is the nth copy, regardless of other requests for the blob."""
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
    """The client gets no response, the journal has status 0, and the blob is not changed."""
    pair.cloud.set_faults(
        [{"service": "blob", "method": "DELETE", "path": "source", "times": 1, "action": {"drop": True}}]
    )
    with pytest.raises(ServiceResponseError):
        pair.source.delete_blob()
    assert {"service": "blob", "method": "DELETE", "status": 0} in [
        {name: each[name] for name in ("service", "method", "status")} for each in pair.cloud.calls()
    ]
    assert pair.source.exists()


def test_a_delayed_call_gets_the_usual_response(pair: Pair) -> None:
    """A delay changes only the duration."""
    pair.cloud.set_faults([{"service": "blob", "path": "source", "action": {"delaySeconds": 0.05}}])
    began = time.monotonic()
    assert len(pair.content()) == SIZE
    assert time.monotonic() - began >= 0.05


def test_the_journal_contains_no_signature(pair: Pair) -> None:
    """A SAS in the query is recorded without its signature."""
    BlobClient.from_blob_url(pair.url()).get_blob_properties()
    (call,) = [each for each in pair.cloud.calls() if "sig=" in each["path"]]
    assert "sig=REDACTED" in call["path"]
    assert call["status"] == 200


def test_accounts_declared_later_work_immediately_and_affect_no_client(pair: Pair) -> None:
    """An active download continues, and the new account accepts requests with its own key."""
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
        ({"service": "blob", "path": "x", "action": {}}, "set exactly one of the five"),
        (
            {"service": "blob", "path": "x", "action": {"status": 500, "copyStalls": True}},
            "set exactly one of the five",
        ),
        ({"service": "disk", "path": "x", "action": {"status": 500}}, "service"),
        ({"service": "blob", "path": "x", "nht": 1, "action": {"status": 500}}, "nht"),
    ],
)
def test_a_wrong_rule_is_rejected_and_the_old_ones_are_kept(
    fresh_cloud: CloudClient, rule: dict[str, object], words: str
) -> None:
    """The error names the problem."""
    good = {"service": "blob", "path": "nothing", "action": {"status": 500}}
    fresh_cloud.set_faults([good])
    with pytest.raises(CloudError, match=words):
        fresh_cloud.set_faults([rule])
    assert fresh_cloud.faults() == [{**good, "seen": 0, "hits": 0}]


def test_a_rule_fails_get_page_ranges_above_a_length(pair: Pair) -> None:
    """As Azure does with large fragmented disks; without a range, the complete blob is listed."""
    rule = {"service": "blob", "path": f"{pair.source.blob_name}.*comp=pagelist", "longerThan": 8192, "times": 2}
    pair.cloud.set_faults([{**rule, "action": {"status": 500, "code": "OperationTimedOut"}}])
    assert [each.start for each in pair.source.list_page_ranges(offset=0, length=8192)] == [4096]
    spans: list[dict[str, Any]] = [{}, {"offset": 0, "length": 8704}]
    for span in spans:
        with pytest.raises(HttpResponseError, match="OperationTimedOut"):
            list(pair.source.list_page_ranges(**span))
    assert len(list(pair.source.list_page_ranges())) == 2


def test_the_response_about_a_missing_blobs_properties_says_that_it_ends(pair: Pair) -> None:
    """As Azure's does: otherwise a client cannot use the connection again."""
    pair.source.delete_blob()
    place = urlsplit(pair.url())
    connection = HTTPConnection(place.netloc)
    connection.request("HEAD", f"{place.path}?{place.query}")
    response = connection.getresponse()
    found = [response.getheader(name) for name in ("x-ms-error-code", "Content-Length", "Connection")]
    assert (response.status, found) == (404, ["BlobNotFound", "0", None])
    connection.close()
