"""Leases of blobs, as `save` holds them on the record of a disk."""

from __future__ import annotations

from contract.bench import MIB, Bench
from contract.experiments.page_writes import bearer_source, from_url
from contract.registry import experiment
from contract.sources import PUBLISHED
from contract.wire import Answer

_ID, _OTHER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
_PAGE = b"\x5a" * 512


@experiment("leases: of a blob", creates="2 page blobs of 1 MiB")
def leases(bench: Bench) -> None:
    """What acquiring, renewing, changing, breaking and releasing a lease answer, and what writes, deletions and page
    writes from a URL answer without it, with it and with another. Concurrent saves exclude each other by a lease of
    30 s, and a killed one leaves it to expire."""
    box = bench.container("leases")
    path = f"{box}/leased"
    bench.page_blob(path, MIB)
    source = bench.page_blob(f"{box}/source", MIB, at0=_PAGE)

    def lease(action: str, **headers: str) -> Answer:
        given = {f"x-ms-{name.replace('_', '-')}": value for name, value in headers.items()}
        return bench.blob("PUT", path, {"x-ms-lease-action": action, **given}, comp="lease")

    bench.saw("acquire for 10 s", lease("acquire", lease_duration="10"), PUBLISHED)
    bench.saw("acquire for 61 s", lease("acquire", lease_duration="61"), PUBLISHED)
    bench.saw("acquire", lease("acquire", lease_duration="60", proposed_lease_id=_ID), PUBLISHED)
    bench.saw("acquire again", lease("acquire", lease_duration="60", proposed_lease_id=_ID), PUBLISHED)
    bench.saw("acquire by another", lease("acquire", lease_duration="60", proposed_lease_id=_OTHER), PUBLISHED)
    bench.saw("renew", lease("renew", lease_id=_ID), PUBLISHED)
    bench.saw("renew by another", lease("renew", lease_id=_OTHER), PUBLISHED)
    bench.saw("HEAD", bench.blob("HEAD", path), PUBLISHED)
    bench.saw("write without it", bench.put_page(path, 0, _PAGE), PUBLISHED)
    bench.saw("write with another", bench.put_page(path, 0, _PAGE, x_ms_lease_id=_OTHER), PUBLISHED)
    bench.saw("write with it", bench.put_page(path, 0, _PAGE, x_ms_lease_id=_ID), PUBLISHED)
    bearer = bearer_source(bench)
    bench.saw("write from a URL without it", from_url(bench, path, source, **bearer), PUBLISHED)
    bench.saw("write from a URL with it", from_url(bench, path, source, **bearer, x_ms_lease_id=_ID), PUBLISHED)
    bench.saw("metadata without it", bench.blob("PUT", path, {"x-ms-meta-a": "1"}, comp="metadata"), PUBLISHED)
    bench.saw("delete without it", bench.blob("DELETE", path), PUBLISHED)
    bench.saw("change", lease("change", lease_id=_ID, proposed_lease_id=_OTHER), PUBLISHED)
    bench.saw("break", lease("break", lease_break_period="0"), PUBLISHED, body=False)
    bench.saw("acquire after a break", lease("acquire", lease_duration="-1", proposed_lease_id=_ID), PUBLISHED)
    bench.saw("release by another", lease("release", lease_id=_OTHER), PUBLISHED)
    bench.saw("release", lease("release", lease_id=_ID), PUBLISHED)
    bench.saw("release again", lease("release", lease_id=_ID), PUBLISHED)
    bench.saw("write with it after release", bench.put_page(path, 0, _PAGE, x_ms_lease_id=_ID), PUBLISHED)
