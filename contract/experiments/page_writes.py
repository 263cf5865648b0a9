"""Put Page From URL: digests, conditions, limits and refusals, as the copier relies on them."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from contract.bench import MIB, Bench, dashed, span
from contract.registry import experiment
from contract.sources import ASSUMED, PUBLISHED, RECORDED
from contract.wire import STORAGE_SCOPE, Answer

_WRONG_ETAG, _WRONG_MD5, _WRONG_CRC64 = '"0x8D0000000000000"', "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAA="
_FILL = b"\x5a"


def from_url(bench: Bench, to: str, source: str, *, offset: int = 0, length: int = 512, **headers: str) -> Answer:
    """Put Page From URL, of the same range in both blobs unless headers say otherwise."""
    given = {
        "x-ms-page-write": "update",
        "x-ms-range": span(offset, length),
        "x-ms-copy-source": source,
        "x-ms-source-range": span(offset, length),
    }
    return bench.blob("PUT", to, {**given, **dashed(headers)}, comp="page")


def bearer_source(bench: Bench) -> dict[str, Any]:
    """Return the header with which the source of a page write is read as this identity."""
    return {"x_ms_copy_source_authorization": bench.wire.token(STORAGE_SCOPE)}


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


@experiment("page writes: from a bearer source", creates="2 page blobs of 8 MiB")
def digests(bench: Bench) -> None:
    """Which digests Put Page From URL returns for ranges of 512 bytes, 64 KiB and 4 MiB whose source is read with a
    token, with the right and a wrong `x-ms-source-content-md5`, and whether a wrong CRC64 is refused. Copies are
    verified with the CRC64, what is read from a relay with the MD5."""
    box = bench.container("digests")
    source = bench.page_blob(f"{box}/source", 8 * MIB, at0=_FILL * 65536)
    target, bearer = f"{box}/target", bearer_source(bench)
    bench.page_blob(target, 8 * MIB)
    for what, length in (("512 bytes", 512), ("64 KiB", 65536), ("4 MiB", 4 * MIB)):
        bench.saw(what, from_url(bench, target, source, length=length, **bearer), RECORDED)
    right: dict[str, Any] = {**bearer, "x_ms_source_content_md5": _md5(_FILL * 512)}
    answer = from_url(bench, target, source, **right)
    same = answer.headers.get("content-md5") == _md5(_FILL * 512)
    bench.saw("the right MD5", answer, RECORDED, contentMd5IsTheGiven=same)
    wrong: dict[str, dict[str, Any]] = {
        "MD5": {"x_ms_source_content_md5": _WRONG_MD5},
        "CRC64": {"x_ms_source_content_crc64": _WRONG_CRC64},
    }
    for what, header in wrong.items():
        expected = RECORDED if what == "MD5" else ASSUMED
        bench.saw(f"a wrong {what}", from_url(bench, target, source, **bearer, **header), expected)
    read = bench.blob("GET", target, {"x-ms-range": "bytes=0-65535"})
    bench.saw("what was written", None, PUBLISHED, same=read.content == _FILL * 65536)


@experiment("page writes: conditions and sequence numbers", creates="2 page blobs of 1 MiB")
def conditions(bench: Bench) -> None:
    """What conditions on the source, on the destination and on its sequence number answer when they fail, and whether a
    page write changes ETag and sequence number. The copier writes with the source's ETag."""
    box = bench.container("conditions")
    source = bench.page_blob(f"{box}/source", MIB, at0=_FILL * 512)
    target, bearer = f"{box}/target", bearer_source(bench)
    bench.page_blob(target, MIB)
    failing: dict[str, dict[str, Any]] = {
        "source If-Match": {"x_ms_source_if_match": _WRONG_ETAG},
        "source If-None-Match": {"x_ms_source_if_none_match": bench.blob("HEAD", f"{box}/source").headers["etag"]},
        "source If-Unmodified-Since": {"x_ms_source_if_unmodified_since": "Sat, 01 Jan 2000 00:00:00 GMT"},
        "If-Match": {"If_Match": _WRONG_ETAG},
        "If-None-Match": {"If_None_Match": "*"},
        "sequence number equal": {"x_ms_if_sequence_number_eq": "7"},
        "sequence number less": {"x_ms_if_sequence_number_lt": "0"},
        "a lease that is not there": {"x_ms_lease_id": "11111111-1111-1111-1111-111111111111"},
    }
    for what, headers in failing.items():
        expected = ASSUMED if what == "If-None-Match" else PUBLISHED
        bench.saw(f"fails: {what}", from_url(bench, target, source, **bearer, **headers), expected)
    for action, number in (("update", "5"), ("max", "3"), ("increment", None)):
        given = {"x-ms-sequence-number-action": action} | ({"x-ms-blob-sequence-number": number} if number else {})
        bench.saw(
            f"sequence number: {action}", bench.blob("PUT", target, given, comp="properties"), PUBLISHED, body=False
        )
    before = bench.blob("HEAD", target).headers
    answer = from_url(bench, target, source, **bearer, x_ms_if_sequence_number_le="6", If_Match=before["etag"])
    after = bench.blob("HEAD", target).headers
    changed = before["etag"] != after["etag"], before["etag"] != answer.headers.get("etag")
    bench.saw("with conditions that hold", answer, PUBLISHED, etagChanges=changed[0], answerHasTheNewEtag=changed[1])


@experiment("page writes: limits and refusals", creates="2 page blobs of 8 MiB")
def refusals(bench: Bench) -> None:
    """What is answered to ranges that are too long, unaligned, or beyond a blob, and to sources that are missing,
    cannot be read, or are not page blobs, with or without `x-ms-copy-source-status-code` and `-error-code`. The copier
    decides by status and code whether it retries, gets another token, or gives up."""
    box = bench.container("refusals")
    source = bench.page_blob(f"{box}/source", 8 * MIB, at0=_FILL * 512)
    target, bearer = f"{box}/target", bearer_source(bench)
    bench.page_blob(target, 8 * MIB)
    bench.must(bench.blob("PUT", f"{box}/block", {"x-ms-blob-type": "BlockBlob"}, _FILL * 1024), 201)
    bench.saw("more than 4 MiB", from_url(bench, target, source, length=4 * MIB + 512, **bearer), ASSUMED)
    bench.saw("unaligned", from_url(bench, target, source, offset=100, length=512, **bearer), ASSUMED)
    other: dict[str, Any] = {"x_ms_source_range": span(0, 1024)}
    bench.saw("ranges of two lengths", from_url(bench, target, source, **bearer, **other), ASSUMED)
    beyond: dict[str, Any] = {"x_ms_source_range": span(8 * MIB, 512)}
    bench.saw("beyond the source", from_url(bench, target, source, **bearer, **beyond), ASSUMED)
    beyond = {"x_ms_range": span(8 * MIB, 512)}
    bench.saw("beyond the destination", from_url(bench, target, source, **bearer, **beyond), ASSUMED)
    bench.saw("a missing source", from_url(bench, target, f"{source}x", **bearer), ASSUMED)
    bench.saw("a block blob as source", from_url(bench, target, f"{bench.place.blob}/{box}/block", **bearer), ASSUMED)
    bench.saw("no access to the source", from_url(bench, target, source), PUBLISHED)
    bad: dict[str, Any] = {"x_ms_copy_source_authorization": "Bearer invalid"}
    bench.saw("an invalid token for the source", from_url(bench, target, source, **bad), ASSUMED)
    unsigned = f"{source}?sv=2021-08-06&sr=b&sp=r&se=2020-01-01T00:00:00Z&sig=AAAA"
    bench.saw("an expired SAS for the source", from_url(bench, target, unsigned), PUBLISHED)
    bench.saw("a missing destination", from_url(bench, f"{box}/missing", source, **bearer), PUBLISHED)
    bench.saw("a block blob as destination", from_url(bench, f"{box}/block", source, **bearer), PUBLISHED)


@experiment("page writes: Put Page", creates="1 page blob of 8 MiB")
def plain(bench: Bench) -> None:
    """What Put Page returns, with and without a digest, cleared, too long, and on what ETag conditions do. The copier
    writes the footer and short ranges so."""
    path = f"{bench.container('plain')}/target"
    bench.page_blob(path, 8 * MIB)
    bench.saw("512 bytes", bench.put_page(path, 0, _FILL * 512), PUBLISHED)
    bench.saw("the right MD5", bench.put_page(path, 0, _FILL * 512, Content_MD5=_md5(_FILL * 512)), PUBLISHED)
    bench.saw("a wrong MD5", bench.put_page(path, 0, _FILL * 512, Content_MD5=_WRONG_MD5), PUBLISHED)
    bench.saw("more than 4 MiB", bench.put_page(path, 0, _FILL * (4 * MIB + 512)), ASSUMED)
    clear = {"x-ms-page-write": "clear", "x-ms-range": span(0, 8 * MIB)}
    bench.saw("clear", bench.blob("PUT", path, clear, comp="page"), PUBLISHED)
    bench.saw("a wrong ETag", bench.put_page(path, 0, _FILL * 512, If_Match=_WRONG_ETAG), PUBLISHED)
