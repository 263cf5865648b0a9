"""Copy Blob between accounts, as `copy: {method: service}` uses it: pending, aborted, deleted."""

from __future__ import annotations

from typing import Any

from contract.bench import MIB, Bench
from contract.experiments.disk_access import opened
from contract.registry import experiment
from contract.sources import ASSUMED, PUBLISHED


@experiment(
    "copies: pending and aborted", creates="copies of an empty managed disk of 32 GiB, aborted", minutes=5, cents=1
)
def copies(bench: Bench) -> None:
    """What a pending copy shows, what a write to it and its deletion answer, what aborting leaves, what aborting
    answers when nothing is pending, and whether a copy goes on if access to its source is revoked. The source is a
    managed disk, so that the copy takes a while."""
    box = bench.container("copies")
    path = f"{box}/copy"
    with opened(bench) as sas, bench.place.slow():
        started = bench.must(bench.blob("PUT", path, {"x-ms-copy-source": sas, "x-ms-meta-kept": "1"}), 202)
        bench.saw("Copy Blob", started, PUBLISHED)
        shown = bench.blob("HEAD", path)
        headers = ("copy-status", "meta-kept", "blob-type")
        told: dict[str, Any] = {name: shown.headers.get(f"x-ms-{name}") for name in headers}
        bench.saw("HEAD while it is pending", None, ASSUMED, status=shown.status, **told)
        bench.saw("a write to it", bench.put_page(path, 0, b"\x5a" * 512), PUBLISHED)
        bench.saw("DELETE while it is pending", bench.blob("DELETE", path), ASSUMED)
        abort = {"x-ms-copy-action": "abort"}
        query: dict[str, Any] = {"comp": "copy", "copyid": started.headers.get("x-ms-copy-id", "")}
        bench.saw("abort", bench.blob("PUT", path, abort, **query), PUBLISHED)
        after = bench.blob("HEAD", path)
        told = {name: after.headers.get(f"x-ms-{name}") for name in ("copy-status", "meta-kept")}
        length = after.headers.get("content-length")
        bench.saw("HEAD after abort", None, ASSUMED, status=after.status, length=length, **told)
        bench.saw("abort again", bench.blob("PUT", path, abort, **query), PUBLISHED)
        second = bench.must(bench.blob("PUT", f"{box}/revoked", {"x-ms-copy-source": sas}), 202)
    shown = bench.blob("HEAD", f"{box}/revoked")
    status = shown.headers.get("x-ms-copy-status")
    bench.saw("a pending copy after revocation", None, ASSUMED, status=shown.status, copyStatus=status)
    query["copyid"] = second.headers.get("x-ms-copy-id", "")
    bench.blob("PUT", f"{box}/revoked", abort, **query)
    bench.page_blob(f"{box}/source", MIB)
    source = {"x-ms-copy-source": f"{bench.place.blob}/{box}/missing"}
    bench.saw("a missing source", bench.blob("PUT", f"{box}/second", source), PUBLISHED)
    bearer = {"x-ms-copy-source": f"{bench.place.blob}/{box}/source"}
    bench.saw("a source of the same account", bench.blob("PUT", f"{box}/third", bearer), PUBLISHED, body=False)
