"""Page writes of the embedded cloud: from a URL, with authorization, faults and limits."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient, BlobServiceClient, generate_blob_sas
from hypothesis import given
from hypothesis import strategies as st

from localcloud.blobs.limits import Limits, Turnstile
from localcloud.client import CloudClient
from tests.azure.storage_world import crc64

MIB = 1024 * 1024
CHECK_VALUE = 0xAE8B14860A799888
"""CRC-64/NVME of the text 123456789 (catalogue of parametrised CRC algorithms)."""


class Pair:
    """A page blob with data, and an empty one in another account."""

    def __init__(self, cloud: CloudClient, names: Iterator[str]) -> None:
        self.cloud, self.accounts = cloud, {"from": next(names), "to": next(names)}
        for account in self.accounts.values():
            self.service(account).create_container("disks")
        self.source, self.target = (self.client(account) for account in self.accounts.values())
        self.source.create_page_blob(8 * MIB)
        self.content = random.Random(7).randbytes(4096)
        self.source.upload_page(self.content, MIB, len(self.content))
        self.target.create_page_blob(8 * MIB, sequence_number=7)

    def about(self, account: str) -> dict[str, Any]:
        return next(each for each in self.cloud.status()["storageAccounts"] if each["name"] == account)

    def service(self, account: str) -> BlobServiceClient:
        about = self.about(account)
        return BlobServiceClient(about["blobEndpoint"], {"account_name": account, "account_key": about["key"]})

    def client(self, account: str) -> BlobClient:
        return self.service(account).get_blob_client("disks", "a.vhd")

    def sas(self, **signer: Any) -> str:
        """Return the source's URL with a SAS."""
        account = self.accounts["from"]
        signer = signer or {"account_key": self.about(account)["key"]}
        expiry = signer.pop("expiry", datetime.now(timezone.utc) + timedelta(hours=1))
        sas = generate_blob_sas(account, "disks", "a.vhd", permission="r", expiry=expiry, **signer)
        return f"{self.source.url}?{sas}"

    def token(self) -> str:
        status = self.cloud.status()
        answer = requests.get(
            status["identityEndpoint"],
            params={"api-version": "2019-08-01", "resource": "https://storage.azure.com"},
            headers={"X-IDENTITY-HEADER": status["identityHeader"]},
            timeout=10,
        )
        return f"Bearer {answer.json()['access_token']}"

    def write(self, offset: int = MIB, length: int = 4096, timeout: float = 30, **headers: str) -> requests.Response:
        """Send Put Page From URL, by default with bearer tokens for both sides."""
        where = f"bytes={offset}-{offset + length - 1}"
        own = {
            "x-ms-version": "2021-12-02",
            "x-ms-page-write": "update",
            "x-ms-copy-source": self.source.url,
            "x-ms-copy-source-authorization": self.token(),
            "Authorization": self.token(),
            "x-ms-source-range": where,
            "x-ms-range": where,
            "Content-Length": "0",
        }
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in {**own, **given}.items() if value}
        return requests.put(f"{self.target.url}?comp=page", headers=sent, timeout=timeout)


@pytest.fixture
def pair(fresh_cloud: CloudClient, accounts: Iterator[str]) -> Pair:
    """Two fresh accounts."""
    return Pair(fresh_cloud, accounts)


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.headers.get("x-ms-error-code", "")


def test_the_digest_is_azures_crc64(pair: Pair) -> None:
    """It matches the catalog's check value, and the written bytes."""
    assert base64.b64decode(crc64(b"123456789")) == CHECK_VALUE.to_bytes(8, "little")
    answer = pair.write()
    assert answer.status_code == 201 and answer.headers["x-ms-content-crc64"] == crc64(pair.content)
    assert pair.target.download_blob(MIB, 4096).readall() == pair.content


def test_a_range_is_written_from_the_source_holes_as_zeros(pair: Pair) -> None:
    """The SDK's own call; the range counts as allocated, even if the source's is not."""
    pair.target.upload_pages_from_url(pair.sas(), 2 * MIB, 2 * MIB, 0)
    assert pair.target.download_blob().readall() == bytes(3 * MIB) + pair.content + bytes(5 * MIB - 4096)
    allocated = [(each.start or 0, each.end or 0) for each in pair.target.list_page_ranges()]
    assert allocated[0][0] == 2 * MIB and allocated[-1][1] == 4 * MIB - 1
    pair.source.upload_page(bytes(512), MIB, 512)
    assert pair.target.download_blob(3 * MIB, 512).readall() == pair.content[:512], "the two share no page"


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"source_etag": '"0x1"', "source_match_condition": MatchConditions.IfNotModified}, "SourceConditionNotMet"),
        ({"if_sequence_number_eq": 8}, "SequenceNumberConditionNotMet"),
        ({"etag": '"0x1"', "match_condition": MatchConditions.IfNotModified}, "ConditionNotMet"),
    ],
)
def test_conditions_are_checked(pair: Pair, given: dict[str, Any], refusal: str) -> None:
    """412, with the code of the condition that failed; and no byte is written."""
    with pytest.raises(HttpResponseError) as caught:
        pair.target.upload_pages_from_url(pair.sas(), 0, 512, MIB, **given)
    assert caught.value.status_code == 412 and getattr(caught.value, "error_code", None) == refusal
    assert list(pair.target.list_page_ranges()) == []


@pytest.mark.parametrize(("offset", "length"), [(MIB + 1, 512), (MIB, 100), (0, 8 * MIB), (8 * MIB, 512)])
def test_an_invalid_range_is_rejected(pair: Pair, offset: int, length: int) -> None:
    """Not of whole pages, of more than 4 MiB, or beyond the end."""
    assert pair.write(offset, length).status_code == 416


def test_only_a_page_blob_has_pages_to_write(pair: Pair) -> None:
    """A block blob is rejected with 409 and kept (documentation of the blob service's error codes)."""
    pair.target.delete_blob()
    pair.target.upload_blob(b"kept", blob_type="BlockBlob")
    assert code(pair.write(0, 512)) == (409, "InvalidBlobType")
    assert pair.target.download_blob().readall() == b"kept"


def test_tokens_authorize_both_sides(pair: Pair) -> None:
    """An invalid token, or one for another audience, is rejected as in Azure."""
    assert code(pair.write(Authorization="Bearer nonsense")) == (401, "InvalidAuthenticationInfo")
    assert code(pair.write(x_ms_copy_source_authorization="Bearer nonsense")) == (401, "CannotVerifyCopySource")
    assert pair.write(x_ms_copy_source_authorization="").status_code in {401, 403, 404}
    challenge = pair.write(Authorization="Bearer nonsense").headers["WWW-Authenticate"]
    assert "resource_id=https://storage.azure.com" in challenge


def test_a_client_cannot_authorize_a_source_itself(pair: Pair) -> None:
    """The front removes its own header from requests of clients."""
    answer = pair.write(x_ms_copy_source_authorization="", x_localcloud_source="open", x_localcloud_corrupt="yes")
    assert code(answer)[1] == "CannotVerifyCopySource"


def test_a_sas_of_a_delegation_key_opens_a_source_until_it_expires(pair: Pair) -> None:
    """Created by the real SDK; an expired or forged one is rejected."""
    now = datetime.now(timezone.utc)
    start, end = (f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in (now, now + timedelta(days=1)))
    body = f"<KeyInfo><Start>{start}</Start><Expiry>{end}</Expiry></KeyInfo>"
    url = f"{pair.service(pair.accounts['from']).url}?restype=service&comp=userdelegationkey"
    headers = {"Authorization": pair.token(), "x-ms-version": "2021-12-02"}
    answer = requests.post(url, data=body, headers=headers, timeout=10)
    from xml.etree import ElementTree

    from azure.storage.blob import UserDelegationKey

    values = {each.tag: each.text for each in ElementTree.fromstring(answer.text)}  # noqa: S314 - from the embedded cloud
    key = UserDelegationKey()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
    for name in ("oid", "tid", "start", "expiry", "service", "version"):
        setattr(key, f"signed_{name}", values[f"Signed{name.capitalize()}"])
    key.value = values["Value"]
    good, expired = (
        pair.sas(user_delegation_key=key),
        pair.sas(user_delegation_key=key, expiry=now - timedelta(hours=1)),
    )
    assert pair.write(x_ms_copy_source=good, x_ms_copy_source_authorization="").status_code == 201
    assert requests.get(good, timeout=10).status_code == 200
    unsigned = good.partition("&sig=")[0]
    for bad in (expired, f"{unsigned}&sig=AAAA", f"{unsigned}&sig=%C3%A9"):
        assert code(pair.write(x_ms_copy_source=bad, x_ms_copy_source_authorization=""))[0] == 403
        assert requests.get(bad, timeout=10).status_code == 403


def test_accounts_with_disabled_keys_reject_keys_on_both_sides(pair: Pair) -> None:
    """Shared Key and a key's SAS get 403; tokens still work."""
    by_key = pair.sas()
    pair.cloud.set_sign_in(keyless_accounts=list(pair.accounts.values()))
    with pytest.raises(HttpResponseError, match="KeyBasedAuthenticationNotPermitted"):
        pair.target.get_blob_properties()
    assert code(requests.get(by_key, timeout=10)) == (403, "KeyBasedAuthenticationNotPermitted")
    refused = pair.write(x_ms_copy_source=by_key, x_ms_copy_source_authorization="")
    assert code(refused) == (403, "CannotVerifyCopySource")
    assert pair.write().status_code == 201


def test_a_token_expires(pair: Pair) -> None:
    """One with a very short lifetime is rejected soon after."""
    pair.cloud.set_sign_in(token_seconds=0.001)
    short = pair.token()
    assert code(pair.write(Authorization=short)) == (401, "InvalidAuthenticationInfo")


def test_a_corrupted_page_has_the_digest_of_what_was_written(pair: Pair) -> None:
    """One byte differs, and the digest in the response shows it."""
    rule = {"service": "blob", "path": "comp=page", "offset": MIB, "action": {"corrupt": True}}
    pair.cloud.set_faults([rule])
    answer = pair.write()
    written = pair.target.download_blob(MIB, 4096).readall()
    assert answer.headers["x-ms-content-crc64"] == crc64(written) != crc64(pair.content)
    assert sum(a != b for a, b in zip(written, pair.content, strict=True)) == 1


@pytest.mark.parametrize(("drop", "written"), [(True, False), ("after", True)])
def test_a_dropped_call_happened_or_not(pair: Pair, drop: object, written: bool) -> None:
    """`after` loses only the response; the journal records a cut connection."""
    pair.cloud.set_faults([{"service": "blob", "path": "comp=page$", "offset": MIB, "action": {"drop": drop}}])
    pair.cloud.clear_calls()
    with pytest.raises(requests.ConnectionError):
        pair.write()
    assert bool(list(pair.target.list_page_ranges())) is written
    (call,) = [call for call in pair.cloud.calls() if call["length"]]
    assert (call["status"], call["offset"], call["length"]) == (0, MIB, 4096)


def test_a_rule_with_an_offset_applies_to_the_range_that_contains_it(pair: Pair) -> None:
    """It counts no other call."""
    pair.cloud.set_faults([{"service": "blob", "path": "", "offset": MIB + 512, "action": {"status": 503}}])
    assert pair.write(length=512).status_code == 201 and pair.write(length=1024).status_code == 503
    assert [rule["seen"] for rule in pair.cloud.faults()] == [1]


def test_a_write_that_would_wait_too_long_is_rejected(pair: Pair) -> None:
    """503 ServerBusy beyond the queue; without limits it succeeds."""
    pair.cloud.set_limits({"blobBytesPerSecond": 512, "queueSeconds": 0})
    with ThreadPoolExecutor() as both:
        answers = list(both.map(lambda _: code(pair.write(length=1024)), range(2)))
    assert sorted(answers) == [(201, ""), (503, "ServerBusy")]
    pair.cloud.set_limits({})
    assert pair.write().status_code == 201


def test_a_write_whose_client_left_before_its_turn_is_not_applied(pair: Pair) -> None:
    """It is rejected, as it would have been without a queue; the writes after it have their turn."""
    pair.cloud.set_limits({"blobBytesPerSecond": 512, "queueSeconds": 60})
    with pytest.raises(requests.Timeout):
        pair.write(length=1024, timeout=0.2)
    assert pair.write(MIB + 2048, length=512).status_code == 201
    assert [each.start for each in pair.target.list_page_ranges()] == [MIB + 2048]
    writes = [call for call in pair.cloud.calls() if call["length"] and pair.accounts["to"] in call["path"]]
    assert sorted((call["status"], call["length"]) for call in writes) == [(201, 512), (503, 1024)]


writes = st.lists(
    st.tuples(st.floats(0, 2), st.sampled_from(["/a/c/1", "/a/c/2", "/b/c/1"]), st.integers(1, 8)), max_size=40
)
"""Pause, blob, pages."""


@given(writes)
def test_no_blob_and_no_account_exceeds_its_limits(writes: list[tuple[float, str, int]]) -> None:
    """Accepted writes finish at the allowed rates, and wait at most for the queue and their own time."""
    turnstile = Turnstile()
    turnstile.set(Limits(blob_bytes_per_second=1024, account_bytes_per_second=1536, queue_seconds=3))
    now, done = 0.0, list[tuple[float, str, int]]()
    for pause, blob, pages in writes:
        now += pause
        wait = turnstile.wait(now, blob, pages * 512)
        if wait is not None:
            assert wait <= 3 + pages * 512 / 1024 + 1e-9
            done.append((now + wait, blob, pages * 512))
    for share, rate in ((3, 1024), (1, 1536)):
        for key in {"/".join(blob.split("/")[: share + 1]) for _, blob, _ in done}:
            total = sum(length for _, blob, length in done if blob.startswith(key))
            assert total <= rate * (max(end for end, blob, _ in done if blob.startswith(key)) + 1e-9)


def test_a_change_of_latencies_ends_the_waits_that_have_begun(pair: Pair) -> None:
    """The write, which would wait longer than its client does, is done at once."""
    watch = {"service": "blob", "method": "PUT", "path": "comp=page", "nth": 1000, "action": {"status": 500}}
    pair.cloud.set_faults([watch])
    pair.cloud.set_latencies({"pageSeconds": 600})
    with ThreadPoolExecutor() as executor:
        writing = executor.submit(pair.write)
        while pair.cloud.faults()[0]["seen"] == 0:
            time.sleep(0.05)
        assert not writing.done()
        pair.cloud.set_latencies({})
        assert writing.result().status_code == 201
