"""The copier by ranges: how much it copies, how much of the limits it uses, and its memory and CPU time.

Everything runs in this process against the embedded cloud, which enforces limits and latencies. Compared variants run
in turn.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import monotonic, process_time
from typing import Any

from azure.storage.blob.aio import BlobServiceClient

from benchmarks.copier import STAGING, Disks, open_copier, spread
from benchmarks.sandbox import Sandbox
from imagefactory.copying.copier import CopyRequest
from imagefactory.images.ranges import PIECE_BYTES, Range, pieces
from localcloud.client import CloudClient
from toolchain.checkout import Checkout

MIB, GIB = 1024**2, 1024**3
BLOBS_PER_SECOND = 6


@dataclass(frozen=True)
class Least:
    """A copy compared with the minimum: the allocated bytes, and the requests of up to 4 MiB that cover them."""

    disk: str
    held_mib: float
    moved_ratio: float
    writes: int
    writes_ratio: float
    other_requests: int


@dataclass(frozen=True)
class Reached:
    """The used share of a limit, from the first request of the first copy to the end of the last."""

    limit: str
    blobs: int
    mib: float
    seconds: float
    reached: float
    refused: int


@dataclass(frozen=True)
class Memory:
    """Resident memory that concurrent copies add, in total and per request in flight."""

    copies: int
    requests_in_flight: int
    added_mib: float
    kib_per_request: float


@dataclass(frozen=True)
class Cost:
    """CPU seconds of this process per GiB, compared with the SDK's method for the same ranges."""

    mib: float
    product: float
    sdk: float
    ratio: float


def least_requests(allocated: Sequence[Range]) -> int:
    """Return the minimum number of ranges of up to 4 MiB that cover all allocated bytes."""
    number, end = 0, 0
    for part in allocated:
        while part.end > end:
            end = max(end, part.offset) + PIECE_BYTES
            number += 1
    return number


async def measure_least(sandbox: Sandbox, scale: int) -> list[Least]:
    """Copy disks of several kinds twice: without a ranges manifest, which the copy creates, and with it."""
    disks = Disks(sandbox)
    factory, target = disks.account(), disks.account()
    kinds = {
        "dense": spread(1, 16 * scale * MIB, 0),
        "files": spread(24 * scale, 300 * 1024, 40 * 1024),
        "fragmented": spread(24 * scale, 64 * 1024, 200 * 1024),
        "empty": [],
    }
    found = []
    for name, parts in kinds.items():
        size = 64 * scale * MIB
        source = disks.make(factory, size, parts)
        allocated = [*parts, Range(size, 512)]
        for suffix in ("first copy", "with manifest"):
            sandbox.cloud.clear_calls()
            async with open_copier(sandbox) as copier:
                await copier.copy(disks.into(source, target))
            calls = sandbox.cloud.calls()
            blob_calls = [call for call in calls if call["service"] == "blob"]
            writes = [call["length"] for call in blob_calls if call["length"]]
            allocated_bytes = sum(part.length for part in allocated)
            found.append(
                Least(
                    disk=f"{name}, {suffix}",
                    held_mib=round(allocated_bytes / MIB, 2),
                    moved_ratio=round(sum(writes) / allocated_bytes, 3),
                    writes=len(writes),
                    writes_ratio=round(len(writes) / least_requests(allocated), 2),
                    other_requests=len(calls) - len(writes),
                )
            )
    return found


async def measure_limits(sandbox: Sandbox, blobs: Sequence[int], seconds: float, account_mib: float) -> list[Reached]:
    """Copy one blob at a blob's limit and many at an account's, with long queues and with writes rejected as busy."""
    disks = Disks(sandbox)
    factory = disks.account()
    found = [await _reach(sandbox, disks, factory, "none", {}, max(blobs), 8 * seconds * account_mib / max(blobs))]
    blob_limit = {"blobBytesPerSecond": 60 * MIB}
    for queue, name in ((2.0, ""), (0.25, ", refusals")):
        limits = {**blob_limit, "queueSeconds": queue}
        found.append(await _reach(sandbox, disks, factory, f"blob 60 MiB/s{name}", limits, 1, 60 * seconds))
        for number in blobs:
            limits = {"accountBytesPerSecond": account_mib * MIB, "queueSeconds": queue}
            label = f"account {account_mib:g} MiB/s{name}"
            # Longer with more blobs, so that each is large enough to reach a steady rate, as real disks do.
            lasting = max(seconds, number / BLOBS_PER_SECOND) if seconds > 1 else seconds
            found.append(await _reach(sandbox, disks, factory, label, limits, number, account_mib * lasting / number))
    return found


async def _reach(
    sandbox: Sandbox, disks: Disks, factory: str, label: str, limits: dict[str, float], number: int, mib_each: float
) -> Reached:
    size = max(PIECE_BYTES, int(mib_each * MIB) // PIECE_BYTES * PIECE_BYTES)
    source = disks.make(factory, size + 2 * MIB, [Range(MIB, size)])
    target = disks.account()
    async with open_copier(sandbox) as copier:
        await copier.copy(disks.into(source, disks.account()))  # writes the manifest with its digests
        sandbox.cloud.clear_calls()
        sandbox.cloud.set_limits(limits)
        try:
            started = monotonic()
            await asyncio.gather(*(copier.copy(request) for request in disks.many(source, target, number)))
            seconds = monotonic() - started
        finally:
            sandbox.cloud.set_limits({})
    writes = [call for call in sandbox.cloud.calls() if call["length"]]
    moved = sum(call["length"] for call in writes if call["status"] == 201)
    limit = min((value for name, value in limits.items() if name.endswith("BytesPerSecond")), default=0.0)
    return Reached(
        limit=label,
        blobs=number,
        mib=round(moved / MIB, 1),
        seconds=round(seconds, 2),
        reached=round(moved / seconds / (limit or MIB), 3 if limit else 1),
        refused=sum(call["status"] != 201 for call in writes),
    )


async def measure_against_service(sandbox: Sandbox, rounds: int, scale: int) -> dict[str, Any]:
    """Copy a disk that is a quarter full in both ways at 60 MiB/s; the storage service copies its entire length."""
    disks = Disks(sandbox)
    factory, target = disks.account(), disks.account()
    source = disks.make(factory, 64 * scale * MIB, spread(1, 16 * scale * MIB, 0))
    times: dict[bool, list[float]] = {False: [], True: []}
    sandbox.cloud.set_limits({"blobBytesPerSecond": 60 * MIB, "queueSeconds": 2})
    sandbox.cloud.set_latencies({"copyBytesPerSecond": 60 * MIB})
    try:
        for _ in range(rounds):
            for service in (False, True):
                async with open_copier(sandbox, service=service) as copier:
                    started = monotonic()
                    await copier.copy(disks.into(source, target))
                    times[service].append(monotonic() - started)
    finally:
        sandbox.cloud.set_limits({})
        sandbox.cloud.set_latencies({})
    ranged, by_service = median(times[False]), median(times[True])
    return {
        "length_mib": 64 * scale,
        "held_mib": 16 * scale,
        "ranged_seconds": round(ranged, 2),
        "service_seconds": round(by_service, 2),
        "ratio": round(ranged / by_service, 2),
    }


async def measure_cost(sandbox: Sandbox, rounds: int, scale: int) -> Cost:
    """Copy the same ranges with the product and with the SDK, 16 in flight, in turn."""
    disks = Disks(sandbox)
    factory, target = disks.account(), disks.account()
    size = 64 * scale * MIB
    parts = pieces([Range(MIB, size), Range(size + 2 * MIB, 512)])
    source = disks.make(factory, size + 2 * MIB, [Range(MIB, size)])
    spent: dict[str, list[float]] = {"product": [], "sdk": []}
    async with open_copier(sandbox) as copier:
        await copier.copy(disks.into(source, target))
        for _ in range(rounds):
            request = disks.into(source, target)
            started = process_time()
            await copier.copy(request)
            spent["product"].append(process_time() - started)
            spent["sdk"].append(await _by_sdk(sandbox, source, disks.into(source, target), parts))
    product, sdk = (median(each) * GIB / size for each in spent.values())
    return Cost(round(size / MIB, 1), round(product, 3), round(sdk, 3), round(product / sdk, 2))


async def _by_sdk(sandbox: Sandbox, source: CopyRequest, request: CopyRequest, parts: Sequence[Range]) -> float:
    from azure.storage.blob import generate_blob_sas

    names = [place.account_id.rpartition("/")[2] for place in (source.source, request.destination)]
    container, vhd = source.source.url.split("/")[-2:]
    sas = generate_blob_sas(
        names[0],
        container,
        vhd,
        account_key=sandbox.accounts()[names[0]]["key"],
        permission="r",
        expiry="2099-01-01T00:00:00Z",
    )
    async with BlobServiceClient(*sandbox.connection(names[1])) as service:
        blob = service.get_blob_client(STAGING, request.destination.file_name)
        await blob.create_page_blob(source.source_length)
        places = asyncio.Semaphore(16)

        async def copy(part: Range) -> None:
            async with places:
                url = f"{source.source.url}?{sas}"
                await blob.upload_pages_from_url(url, part.offset, part.length, part.offset)

        started = process_time()
        await asyncio.gather(*(copy(part) for part in parts))
        return process_time() - started


def measure_memory(sandbox: Sandbox, copies: Sequence[int]) -> list[Memory]:
    """Measure each number of copies in a new process, while the emulator delays all of their requests."""
    found = []
    for number in copies:
        done = subprocess.run(
            [Checkout.here().python, "-m", "benchmarks.ranges", sandbox.cloud.base_url, str(number)],
            env=dict(sandbox.environment),
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(Memory(**json.loads(done.stdout)))
    return found


async def _memory(sandbox: Sandbox, number: int) -> Memory:
    disks = Disks(sandbox)
    factory, target = disks.account(), disks.account()
    size = 64 * MIB
    source = disks.make(factory, size + 2 * MIB, [Range(MIB, size)])
    async with open_copier(sandbox) as copier:
        await copier.copy(disks.into(source, disks.account()))
        sandbox.cloud.set_latencies({"pageSeconds": 600})
        before = _resident()
        tasks = [asyncio.ensure_future(copier.copy(each)) for each in disks.many(source, target, number)]
        highest, steady = 0, 0
        while steady < 10:
            await asyncio.sleep(0.5)
            now = _resident()
            highest, steady = max(highest, now), steady + 1 if now <= highest else 0
        in_flight = min(512, 16 * number)
        for task in tasks:
            task.cancel()
        sandbox.cloud.set_latencies({})
        await asyncio.gather(*tasks, return_exceptions=True)
    added = highest - before
    return Memory(number, in_flight, round(added / MIB, 1), round(added / 1024 / in_flight, 1))


def _resident() -> int:
    """Return the resident memory of this process in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def run_ranges(sandbox: Sandbox, *, small: bool) -> list[dict[str, Any]]:
    """Run all measurements; return a table row for each. With `small`, sizes are too small to measure speed."""
    scale, rounds, seconds, account_mib = (1, 1, 0.1, 60.0) if small else (8, 5, 8.0, 300.0)
    blobs, copies = ((1, 2), (1,)) if small else ((1, 20, 200), (1, 100, 1000))
    rows: list[dict[str, Any]] = []
    rows += [{"measured": "least", **asdict(each)} for each in asyncio.run(measure_least(sandbox, scale))]
    rows += [
        {"measured": "limit", **asdict(each)}
        for each in asyncio.run(measure_limits(sandbox, blobs, seconds, account_mib))
    ]
    rows.append({"measured": "service", **asyncio.run(measure_against_service(sandbox, rounds, scale))})
    rows.append({"measured": "cpu per GiB", **asdict(asyncio.run(measure_cost(sandbox, rounds, scale)))})
    rows += [{"measured": "memory", **asdict(each)} for each in measure_memory(sandbox, copies)]
    return rows


if __name__ == "__main__":
    import os

    client = CloudClient(sys.argv[1])
    print(json.dumps(asdict(asyncio.run(_memory(Sandbox(client, dict(os.environ), Path()), int(sys.argv[2]))))))
