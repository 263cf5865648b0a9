"""The same disks copied by the project's copier and by AzCopy, under the same limits, in turn.

Both let the service copy ranges. AzCopy copies all VHDs of a container in one job, with its defaults; it moves
each aligned 4 MiB in which the source has data, and verifies nothing. The source has a ranges manifest.
"""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median
from time import monotonic, process_time
from typing import Any

from azure.storage.blob import BlobServiceClient, generate_container_sas

from benchmarks.azcopy.program import RUNS_HERE, AzCopy, AzCopyError
from benchmarks.copier import SOURCES, Disks, open_copier, spread
from benchmarks.sandbox import BenchmarkError, Sandbox
from imagefactory.copying.copier import CopyRequest

MIB = 1024**2
LIMITS = {"blobBytesPerSecond": 60 * MIB, "queueSeconds": 2}
"""Azure publishes 60 MiB/s per page blob."""


@dataclass(frozen=True)
class Run:
    """One copy of all VHDs: wall time, CPU time of the copying process, and bytes that the service wrote."""

    seconds: float
    cpu_seconds: float
    mib: float


@dataclass(frozen=True)
class Beside:
    """Medians of both; the ratios are the project's copier to AzCopy, medians of the rounds."""

    vhds: int
    held_mib: float
    seconds: float
    seconds_azcopy: float
    ratio_seconds: float
    moved_mib: float
    moved_mib_azcopy: float
    ratio_moved: float
    cpu_seconds: float
    cpu_seconds_azcopy: float
    ratio_cpu: float


def run_beside_azcopy(sandbox: Sandbox, *, small: bool) -> list[dict[str, Any]]:
    """Copy one VHD and four at a time. Raises BenchmarkError if this machine cannot run AzCopy."""
    rounds, pieces, mib = (1, 5, 16) if small else (5, 203, 1024)
    with tempfile.TemporaryDirectory(prefix="imagefactory-azcopy-") as folder:
        azcopy = _usable(Path(folder, "azcopy"))
        try:
            return [asdict(asyncio.run(_compare(sandbox, azcopy, each, rounds, pieces, mib))) for each in (1, 4)]
        except AzCopyError as error:
            raise BenchmarkError(str(error)) from None


def _usable(folder: Path) -> AzCopy:
    problem: str | None = "there is no package for this system"
    if RUNS_HERE:
        azcopy = AzCopy(folder)
        if not (problem := azcopy.problem()):
            return azcopy
    fact = " ".join(str(problem).split())
    raise BenchmarkError(
        f"AzCopy: does not run on this machine ({fact}); nothing is compared with it. Measure on Linux on x86-64 with "
        "glib (libglib-2.0.so.0)."
    )


async def _compare(sandbox: Sandbox, azcopy: AzCopy, number: int, rounds: int, pieces: int, mib: int) -> Beside:
    disks = Disks(sandbox)
    factory, target = disks.account(), disks.account()
    parts = spread(pieces, MIB, MIB // 2)
    sources = [disks.make(factory, mib * MIB, parts) for _ in range(number)]
    ours, theirs = [], []
    async with open_copier(sandbox) as copier:
        for source in sources:
            await copier.copy(disks.into(source, target))  # writes the manifest
    sandbox.cloud.set_limits(LIMITS)
    try:
        for _ in range(rounds):
            ours.append(await _by_copier(sandbox, disks, sources, target))
            theirs.append(await asyncio.to_thread(_by_azcopy, sandbox, azcopy, factory, sources, target))
    finally:
        sandbox.cloud.set_limits({})

    def ratio(name: str) -> float:
        pairs = zip(ours, theirs, strict=True)
        return round(float(median(getattr(mine, name) / getattr(other, name) for mine, other in pairs)), 3)

    def middle(runs: list[Run], name: str) -> float:
        return round(float(median(getattr(each, name) for each in runs)), 2)

    return Beside(
        vhds=number,
        held_mib=round(number * (sum(part.length for part in parts) + 512) / MIB, 1),
        seconds=middle(ours, "seconds"),
        seconds_azcopy=middle(theirs, "seconds"),
        ratio_seconds=ratio("seconds"),
        moved_mib=middle(ours, "mib"),
        moved_mib_azcopy=middle(theirs, "mib"),
        ratio_moved=ratio("mib"),
        cpu_seconds=middle(ours, "cpu_seconds"),
        cpu_seconds_azcopy=middle(theirs, "cpu_seconds"),
        ratio_cpu=ratio("cpu_seconds"),
    )


async def _by_copier(sandbox: Sandbox, disks: Disks, sources: list[CopyRequest], target: str) -> Run:
    requests = [disks.into(source, target) for source in sources]
    sandbox.cloud.clear_calls()
    started, used = monotonic(), process_time()
    async with open_copier(sandbox) as copier:
        await asyncio.gather(*(copier.copy(request) for request in requests))
    return Run(monotonic() - started, process_time() - used, _moved(sandbox))


def _by_azcopy(sandbox: Sandbox, azcopy: AzCopy, factory: str, sources: list[CopyRequest], target: str) -> Run:
    name = f"c{uuid.uuid4().hex}"
    with BlobServiceClient(*sandbox.connection(target)) as service:
        service.create_container(name)
    source, destination = _url(sandbox, factory, SOURCES, "rl", "/*"), _url(sandbox, target, name, "rcwl")
    names = ";".join(each.source.file_name for each in sources)
    sandbox.cloud.clear_calls()
    started = monotonic()
    used = azcopy.copy("BlobBlob", source, destination, "--include-pattern", names)
    return Run(monotonic() - started, used, _moved(sandbox))


def _moved(sandbox: Sandbox) -> float:
    return float(
        sum(call["length"] for call in sandbox.cloud.calls() if call["length"] and call["status"] == 201) / MIB
    )


def _url(sandbox: Sandbox, account: str, container: str, permission: str, path: str = "") -> str:
    """Return the URL of a container, or of blobs in it, with a SAS for an hour, signed by the account's key."""
    endpoint, signed = sandbox.connection(account)
    expiry = datetime.now(timezone.utc) + timedelta(hours=1)
    sas = generate_container_sas(
        account, container, account_key=signed["account_key"], permission=permission, expiry=expiry
    )
    return f"{endpoint}/{container}{path}?{sas}"
