"""Get Page Ranges, and the digests of ranges that Get Blob returns."""

from __future__ import annotations

from contract.bench import MIB, Bench, span
from contract.registry import experiment
from contract.sources import ASSUMED, PUBLISHED, RECORDED
from contract.wire import Answer

_FILL = b"\x5a"


@experiment("page ranges: lists and pages", creates="1 page blob of 8 MiB with a snapshot")
def lists(bench: Bench) -> None:
    """How pages are listed: adjacent writes joined or not, cut at the asked range or not, in pages by `maxresults` and
    `marker`, after a clear, of an empty blob, beyond its end, with a failing condition, and as the difference to a
    snapshot. The copier copies only what is listed, and skips the rest as zeros."""
    box = bench.container("ranges")
    path = f"{box}/blob"
    bench.page_blob(path, 8 * MIB)
    bench.saw("an empty blob", bench.blob("GET", path, comp="pagelist"), PUBLISHED)
    for offset in (0, 512, 4096, MIB, 2 * MIB):
        bench.must(bench.put_page(path, offset, _FILL * 512), 201)
    whole = bench.blob("GET", path, comp="pagelist")
    bench.saw("two adjacent and three other pages", whole, ASSUMED)
    inside = bench.blob("GET", path, {"x-ms-range": span(256 * 2, MIB)}, comp="pagelist")
    bench.saw("a range that begins after the first page", inside, PUBLISHED)
    beyond = bench.blob("GET", path, {"x-ms-range": span(8 * MIB, 512)}, comp="pagelist")
    bench.saw("a range beyond the end", beyond, ASSUMED)
    first = bench.blob("GET", path, comp="pagelist", maxresults="2")
    bench.saw("maxresults=2", first, ASSUMED)
    if marker := (first.xml.findtext("NextMarker") if first.xml is not None else None):
        bench.saw("its next page", bench.blob("GET", path, comp="pagelist", maxresults="2", marker=marker), PUBLISHED)
    wrong = bench.blob("GET", path, {"If-Match": '"0x8D0000000000000"'}, comp="pagelist")
    bench.saw("a wrong ETag", wrong, PUBLISHED)
    snapshot = bench.must(bench.blob("PUT", path, comp="snapshot"), 201).headers["x-ms-snapshot"]
    clear = {"x-ms-page-write": "clear", "x-ms-range": span(0, 512)}
    bench.must(bench.blob("PUT", path, clear, comp="page"), 201)
    bench.must(bench.put_page(path, 3 * MIB, _FILL * 512), 201)
    bench.saw("after a clear", bench.blob("GET", path, comp="pagelist"), PUBLISHED)
    bench.saw("since a snapshot", bench.blob("GET", path, comp="pagelist", prevsnapshot=snapshot), ASSUMED)
    bench.saw("of a snapshot", bench.blob("GET", path, comp="pagelist", snapshot=snapshot), PUBLISHED)
    bench.must(bench.blob("DELETE", path, {"x-ms-delete-snapshots": "include"}), 202)
    bench.saw("a missing blob", bench.blob("GET", path, comp="pagelist"), PUBLISHED)


@experiment("page ranges: digests of Get Blob", creates="1 page blob of 8 MiB")
def digests(bench: Bench) -> None:
    """Which digest Get Blob returns for up to 4 MiB, and what it answers for more, without a range, and for both
    digests together. Where a write returned no CRC64, it is asked for so; the MD5s of a manifest come from it."""
    path = f"{bench.container('ranges-md5')}/blob"
    bench.page_blob(path, 8 * MIB, at0=_FILL * 512)

    def get(length: int | None, *kinds: str) -> Answer:
        headers = {f"x-ms-range-get-content-{kind}": "true" for kind in kinds}
        return bench.blob("GET", path, headers if length is None else {**headers, "x-ms-range": span(0, length)})

    for kind, source in (("md5", PUBLISHED), ("crc64", RECORDED)):
        bench.saw(f"{kind} of 512 bytes", get(512, kind), source, body=False)
        bench.saw(f"{kind} of 4 MiB", get(4 * MIB, kind), source, body=False)
        bench.saw(f"{kind} of more than 4 MiB", get(4 * MIB + 512, kind), ASSUMED, body=False)
        bench.saw(f"{kind} without a range", get(None, kind), ASSUMED, body=False)
    bench.saw("both", get(512, "md5", "crc64"), RECORDED)
    bench.saw("a range beyond the end", bench.blob("GET", path, {"x-ms-range": span(8 * MIB, 512)}), ASSUMED)
    unaligned = bench.blob("GET", path, {"x-ms-range": "bytes=1-3"})
    bench.saw("an unaligned range", unaligned, PUBLISHED, bytes=len(unaligned.content))
