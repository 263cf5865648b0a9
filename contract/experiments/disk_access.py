"""Access to a managed disk by a SAS: grants, what they change on the disk, and revocation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from contract.bench import MIB, Bench, span
from contract.experiments.page_writes import from_url
from contract.registry import experiment
from contract.sources import ASSUMED, PUBLISHED
from contract.wire import Answer

_COST = 1.0
_CREATES = "1 empty managed disk of 32 GiB (Standard HDD)"


def disk_of(bench: Bench) -> str:
    """Return the id of a disk to experiment with; on Azure, one is created in the lab's resource group."""
    if bench.place.disk:
        return bench.place.disk
    disk = f"{bench.place.group_id}/providers/Microsoft.Compute/disks/{bench.name('disk')}"
    if bench.arm("GET", disk, versions="disks").status != 200:
        create_disk(bench, disk)
    return disk


def create_disk(bench: Bench, disk: str, **properties: str) -> None:
    """Create an empty disk. Raises ContractError, also if that is not permitted."""
    body = {
        "location": bench.place.region,
        "sku": {"name": "Standard_LRS"},
        "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 32, **properties},
    }
    bench.ended(bench.must(bench.arm("PUT", disk, body, versions="disks"), 200, 201, 202))


def grant(bench: Bench, disk: str, seconds: int = 3600, **body: Any) -> Answer:
    """Grant read access; return the first answer."""
    wanted = {"access": "Read", "durationInSeconds": seconds, **body}
    return bench.arm("POST", f"{disk}/beginGetAccess", wanted, versions="disks")


def sas_of(bench: Bench, answer: Answer) -> str:
    """Return the SAS of a grant. Raises ContractError without one."""
    ended = bench.ended(bench.must(answer, 200, 202))
    body = ended.json or {}
    output = body.get("properties", {}).get("output", body)
    found = output.get("accessSAS") or output.get("accessSas")
    return str(found) if found else bench.must(ended, 0).request


def revoke(bench: Bench, disk: str) -> Answer:
    """Revoke all access, and wait for the end; return the first answer."""
    answer = bench.arm("POST", f"{disk}/endGetAccess", versions="disks")
    bench.ended(answer)
    return answer


@contextmanager
def opened(bench: Bench) -> Iterator[str]:
    """Yield the SAS of a disk; access is revoked afterwards."""
    disk = disk_of(bench)
    try:
        yield sas_of(bench, grant(bench, disk))
    finally:
        revoke(bench, disk)


def _read(bench: Bench, sas: str) -> Answer:
    headers = {"x-ms-version": bench.place.storage_version, "x-ms-range": span(0, 512)}
    return bench.wire.send("GET", sas, None, headers)


def _facts(bench: Bench, disk: str) -> tuple[Answer, dict[str, Any]]:
    answer = bench.must(bench.arm("GET", disk, versions="disks"), 200)
    return answer, (answer.json or {}).get("properties", {})


@experiment("disks: grants", creates=_CREATES, minutes=5, cents=_COST)
def grants(bench: Bench) -> None:
    """What a grant answers and how it is polled, what a second grant while one is active returns, whether ETag and
    `LastOwnershipUpdateTime` of the disk change by grant and revocation, and what revoking ends. `save` tells by that
    time whether a disk was used since a killed run, and revokes what that run left."""
    disk = disk_of(bench)
    revoke(bench, disk)
    before, was = _facts(bench, disk)
    first = grant(bench, disk)
    bench.saw("grant", first, PUBLISHED)
    ended = bench.ended(first)
    bench.saw("its operation, ended", ended, PUBLISHED)
    if location := first.headers.get("location"):
        bench.saw("its Location, ended", bench.arm("GET", location), PUBLISHED)
    sas = sas_of(bench, first)
    bench.saw("the SAS", None, PUBLISHED, parameters=[name for name, _ in parse_qsl(urlsplit(sas).query)])
    during, active = _facts(bench, disk)
    bench.saw(
        "the disk while access is active",
        None,
        ASSUMED,
        diskState=active.get("diskState"),
        etag="etag" in during.headers,
        etagChanges=during.headers.get("etag") != before.headers.get("etag"),
        hasTime="LastOwnershipUpdateTime" in active,
        timeChanges=active.get("LastOwnershipUpdateTime") != was.get("LastOwnershipUpdateTime"),
    )
    second = grant(bench, disk)
    bench.saw("a second grant", second, ASSUMED)
    other = sas_of(bench, second) if second.status in (200, 202) else ""
    bench.saw("its SAS", None, ASSUMED, same=other == sas)
    reads: dict[str, Any] = {"first": _read(bench, sas).status, "second": _read(bench, other).status if other else None}
    bench.saw("reading with both", None, ASSUMED, **reads)
    bench.saw("revoke", revoke(bench, disk), PUBLISHED)
    reads = {"first": _read(bench, sas).status, "second": _read(bench, other).status if other else None}
    bench.saw("reading after it", _read(bench, sas), ASSUMED, **reads)
    after, ended_with = _facts(bench, disk)
    bench.saw(
        "the disk after it",
        None,
        ASSUMED,
        diskState=ended_with.get("diskState"),
        etagChanges=after.headers.get("etag") != before.headers.get("etag"),
        timeChanges=ended_with.get("LastOwnershipUpdateTime") != was.get("LastOwnershipUpdateTime"),
    )
    bench.saw("revoke without access", revoke(bench, disk), ASSUMED)


@experiment("disks: refused grants", creates=_CREATES, minutes=3, cents=_COST)
def refused(bench: Bench) -> None:
    """What a grant for no time, for more than 60 days and in another format answers."""
    disk = disk_of(bench)
    bodies: dict[str, dict[str, Any]] = {
        "0 s": {"seconds": 0},
        "more than 60 days": {"seconds": 60 * 24 * 3600 + 1},
        "as VHDX": {"fileFormat": "VHDX"},
    }
    for what, body in bodies.items():
        bench.saw(what, grant(bench, disk, **body), PUBLISHED)
    revoke(bench, disk)


@experiment("disks: grants that meet", creates=_CREATES, minutes=3, cents=_COST)
def meeting(bench: Bench) -> None:
    """What a grant answers while another is in progress, and how one ends that is in progress when access is revoked.
    Two runs of `save` can meet so."""
    disk = disk_of(bench)
    revoke(bench, disk)
    with bench.place.slow():
        first = bench.must(grant(bench, disk), 202)
        bench.saw("polling", bench.arm("GET", first.headers["azure-asyncoperation"], versions="disks"), PUBLISHED)
        bench.saw("a grant during a grant", grant(bench, disk), ASSUMED)
    revoked = bench.arm("POST", f"{disk}/endGetAccess", versions="disks")
    bench.saw("revoke during a grant", revoked, ASSUMED)
    bench.saw("the grant's operation", bench.ended(first), ASSUMED)
    bench.ended(revoked)
    revoke(bench, disk)


@experiment("disks: revocation under a running read", creates=_CREATES, minutes=5, cents=_COST)
def running(bench: Bench) -> None:
    """Whether a read that has begun ends well if access is revoked meanwhile, and what the next one answers. A copy of
    ranges must stop, and be taken up by the next run."""
    disk = disk_of(bench)
    with opened(bench) as sas, bench.wire.reading(sas) as chunks:
        begun = bool(next(chunks, b""))
        revoke(bench, disk)
        rest = 0
        while rest < 8 * MIB and (chunk := next(chunks, b"")):
            rest += len(chunk)
        bench.saw("the running read", None, ASSUMED, begun=begun, goesOnFor8MiB=rest >= 8 * MIB)
        bench.saw("the next read", _read(bench, sas), ASSUMED)


@experiment("disks: as the source of page writes", creates=f"{_CREATES}, 1 page blob of 1 MiB", minutes=4, cents=_COST)
def source(bench: Bench) -> None:
    """Which digests Put Page From URL returns for a disk's SAS, whether a disk accepts conditions, as a source and when
    it is read, and what is answered after revocation. `save` copies disks so, without conditions."""
    box = bench.container("disk")
    target = f"{box}/target"
    bench.page_blob(target, MIB)
    with opened(bench) as sas:
        bench.saw("512 bytes", from_url(bench, target, sas), PUBLISHED)
        bench.saw("64 KiB", from_url(bench, target, sas, length=65536), PUBLISHED)
        bench.saw("a condition on the source", from_url(bench, target, sas, x_ms_source_if_none_match="*"), PUBLISHED)
        headers = {"x-ms-version": bench.place.storage_version}
        conditional = {**headers, "If-Match": '"0x8D0000000000000"'}
        bench.saw("HEAD with a condition", bench.wire.send("HEAD", sas, None, conditional), PUBLISHED)
        head = bench.wire.send("HEAD", sas, None, headers)
        shown = sorted(name for name in head.headers if name in ("etag", "content-md5", "last-modified"))
        bench.saw("HEAD", None, ASSUMED, status=head.status, shown=shown)
        listed = bench.wire.send("GET", f"{sas}&comp=pagelist", None, headers)
        bench.saw("its page ranges", listed, PUBLISHED, body=False)
        written = bench.wire.send("DELETE", sas, None, headers)
        bench.saw("DELETE with the SAS", written, ASSUMED, body=False)
    bench.saw("after revocation", from_url(bench, target, sas), ASSUMED)


@experiment(
    "disks: deletion while access is active",
    creates=_CREATES,
    minutes=3,
    cents=_COST,
    not_modelled="the embedded cloud does not delete disks by themselves, only with their machine",
)
def deletion(bench: Bench) -> None:
    """What deleting a disk answers while access is active. `clean-vms` deletes machines whose disks may be read."""
    disk = disk_of(bench)
    with opened(bench):
        answer = bench.arm("DELETE", disk, versions="disks")
        bench.saw("DELETE while access is active", answer, PUBLISHED)
        if answer.status == 202:
            bench.saw("its operation, ended", bench.ended(answer), PUBLISHED)


@experiment(
    "disks: network policies",
    creates="2 empty managed disks of 32 GiB (Standard HDD)",
    minutes=5,
    cents=2 * _COST,
    not_modelled="the resource manager of the embedded cloud creates no disks; the control API sets these policies",
)
def policies(bench: Bench) -> None:
    """What granting access to a disk with `networkAccessPolicy` DenyAll answers, and what reading one with
    `publicNetworkAccess` Disabled does with a valid SAS. `save` names the policy as the reason if it fails."""
    closed = {"DenyAll": {"networkAccessPolicy": "DenyAll"}, "Disabled": {"publicNetworkAccess": "Disabled"}}
    for what, properties in closed.items():
        disk = f"{bench.place.group_id}/providers/Microsoft.Compute/disks/{bench.name(what.lower())}"
        create_disk(bench, disk, **properties)
        answer = grant(bench, disk)
        bench.saw(f"{what}: grant", answer, ASSUMED)
        if answer.status == 202:
            ended = bench.ended(answer)
            bench.saw(f"{what}: its operation, ended", ended, ASSUMED)
            if (ended.json or {}).get("status") == "Succeeded":
                bench.saw(f"{what}: reading", _read(bench, sas_of(bench, answer)), PUBLISHED)
            revoke(bench, disk)
