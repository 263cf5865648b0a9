"""Digests of ranges in the embedded cloud: a source's MD5 is checked, MD5 and CRC64 of a blob's range are returned."""

from __future__ import annotations

import pytest
import requests

from tests.azure.storage_world import crc64, md5
from tests.localcloud.test_page_writes import MIB, Pair, code, pair

__all__ = ["pair"]


def read(pair: Pair, part: str = f"bytes={MIB}-{MIB + 4095}", **asked: str) -> requests.Response:
    """Send Get Blob for the source, with a bearer token."""
    headers = {"Authorization": pair.token(), "x-ms-version": "2021-08-06", "x-ms-range": part}
    asks = {f"x-ms-range-get-content-{name}": value for name, value in asked.items()}
    sent = {name: value for name, value in {**headers, **asks}.items() if value}
    return requests.get(pair.source.url, headers=sent, timeout=30)


def test_a_source_with_that_md5_is_written_and_the_response_has_the_md5_in_place_of_the_crc64(pair: Pair) -> None:
    """As recorded of Azure (azure-storage-blob's test of it, version 2021-08-06)."""
    answer = pair.write(x_ms_source_content_md5=md5(pair.content))
    assert answer.status_code == 201 and answer.headers["Content-MD5"] == md5(pair.content)
    assert "x-ms-content-crc64" not in answer.headers
    assert pair.target.download_blob(MIB, 4096).readall() == pair.content


def test_a_source_with_another_md5_is_rejected_and_nothing_is_written(pair: Pair) -> None:
    """400 Md5Mismatch, as recorded of Azure."""
    assert code(pair.write(x_ms_source_content_md5=md5(b"POTATO"))) == (400, "Md5Mismatch")
    assert list(pair.target.list_page_ranges()) == []


def test_a_corrupted_page_has_the_md5_of_what_was_written(pair: Pair) -> None:
    """The source is correct, the written bytes are not, and the response shows it."""
    pair.cloud.set_faults([{"service": "blob", "path": "comp=page", "offset": MIB, "action": {"corrupt": True}}])
    answer = pair.write(x_ms_source_content_md5=md5(pair.content))
    written = pair.target.download_blob(MIB, 4096).readall()
    assert answer.status_code == 201 and answer.headers["Content-MD5"] == md5(written) != md5(pair.content)


def test_a_range_is_read_with_its_md5_or_its_crc64(pair: Pair) -> None:
    """Only if requested, even for a range of zeros; the response includes the content."""
    by_md5, by_crc64, by_neither = read(pair, md5="true"), read(pair, crc64="true"), read(pair)
    assert by_md5.headers["Content-MD5"] == md5(pair.content) and "x-ms-content-crc64" not in by_md5.headers
    assert by_crc64.headers["x-ms-content-crc64"] == crc64(pair.content) and "Content-MD5" not in by_crc64.headers
    assert not {"Content-MD5", "x-ms-content-crc64"} & set(by_neither.headers)
    assert by_md5.content == by_crc64.content == by_neither.content == pair.content
    assert read(pair, f"bytes={4 * MIB}-{8 * MIB - 1}", md5="true").headers["Content-MD5"] == md5(bytes(4 * MIB))


def test_the_crc64_is_right_for_any_length_and_across_empty_and_written_pages(pair: Pair) -> None:
    """The emulator takes several bytes a step; what is before `content` and after it reads as zeros."""
    around = bytes(4096) + pair.content + bytes(70_000)
    for first, last in ((4096, 4096), (4097, 4103), (4099, 4111), (1, len(around) - 2)):
        start = MIB - 4096 + first
        answer = read(pair, f"bytes={start}-{start + last - first}", crc64="true")
        assert answer.content == around[first : last + 1]
        assert answer.headers["x-ms-content-crc64"] == crc64(around[first : last + 1])


@pytest.mark.parametrize("name", ["md5", "crc64"])
def test_more_than_4_mib_has_no_digest(pair: Pair, name: str) -> None:
    """400, even without a range."""
    assert code(read(pair, f"bytes=0-{4 * MIB}", **{name: "true"})) == (400, "OutOfRangeInput")
    assert read(pair, "", **{name: "true"}).status_code == 400


def test_both_digests_together_are_rejected(pair: Pair) -> None:
    """As recorded of Azure (by a test of its JavaScript SDK)."""
    assert code(read(pair, md5="true", crc64="true")) == (400, "BothCrc64AndMd5RangeHeaderPresent")
