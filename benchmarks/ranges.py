"""The copier by ranges: how little it moves, how near it comes to the limits, what it costs.

Everything runs in this process against the embedded cloud; limits and latencies are what the cloud enforces. Rounds of
what is compared are run by turns.
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

from benchmarks.copier import STAGING, Bench, Disks, open_bench, spread
from benchmarks.stage import Stage
from imagefactory.copying.copier import CopyRequest
from imagefactory.images.ranges import PIECE_BYTES, Range, pieces
from localcloud.client import CloudClient

MIB, GIB = 1024**2, 1024**3
BLOBS_PER_SECOND = 6


@dataclass(frozen=True)
class Least:
    """A copy against the least that it could be: bytes that are held, requests of at most 4 MiB that cover them."""

    disk: str
    held_mib: float
    moved_ratio: float
    writes: int
    writes_ratio: float
    other_requests: int


@dataclass(frozen=True)
class Reached:
    """How much of a limit was used, from the first request of the first copy to the end of the last."""

    limit: str
    blobs: int
    mib: float
    seconds: float
    reached: float
    refused: int


@dataclass(frozen=True)
class Memory:
    """Resident memory that so many copies in flight add, and per request in flight."""

    copies: int
    requests_in_flight: int
    added_mib: float
    kib_per_request: float


@dataclass(frozen=True)
class Cost:
    """CPU seconds of this process per GiB, against the SDK's own call for the same ranges."""

    mib: float
    product: float
    sdk: float
    ratio: float


def least_requests(held: Sequence[Range]) -> int:
    """The fewest ranges of at most 4 MiB that cover everything that is held."""
    number, end = 0, 0
    for part in held:
        while part.end > end:
            end = max(end, part.offset) + PIECE_BYTES
            number += 1
    return number


async def measure_least(stage: Stage, scale: int) -> list[Least]:
    """Disks of different kinds, copied once each; the copy that makes the manifest, and one that has it."""
    disks = Disks(stage)
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
        held = [*parts, Range(size, 512)]
        for suffix in ("first copy", "with manifest"):
            stage.cloud.clear_calls()
            async with open_bench(stage) as bench:
                await bench.copy(disks.into(source, target))
            calls = stage.cloud.calls()
            blob_calls = [call for call in calls if call["service"] == "blob"]
            writes = [call["length"] for call in blob_calls if call["length"]]
            bytes_held = sum(part.length for part in held)
            found.append(
                Least(
                    disk=f"{name}, {suffix}",
                    held_mib=round(bytes_held / MIB, 2),
                    moved_ratio=round(sum(writes) / bytes_held, 3),
                    writes=len(writes),
                    writes_ratio=round(len(writes) / least_requests(held), 2),
                    other_requests=len(calls) - len(writes),
                )
            )
    return found


async def measure_limits(stage: Stage, blobs: Sequence[int], seconds: float, account_mib: float) -> list[Reached]:
    """One blob at its own limit; so many blobs at their account's; with patient queues and with refusals."""
    disks = Disks(stage)
    factory = disks.account()
    found = [await _reach(stage, disks, factory, "none", {}, max(blobs), 8 * seconds * account_mib / max(blobs))]
    blob_limit = {"blobBytesPerSecond": 60 * MIB}
    for queue, name in ((2.0, ""), (0.25, ", refusals")):
        limits = {**blob_limit, "queueSeconds": queue}
        found.append(await _reach(stage, disks, factory, f"blob 60 MiB/s{name}", limits, 1, 60 * seconds))
        for number in blobs:
            limits = {"accountBytesPerSecond": account_mib * MIB, "queueSeconds": queue}
            label = f"account {account_mib:g} MiB/s{name}"
            # Longer with more blobs, so that each is more than its beginning and its end, as real disks are.
            lasting = max(seconds, number / BLOBS_PER_SECOND) if seconds > 1 else seconds
            found.append(await _reach(stage, disks, factory, label, limits, number, account_mib * lasting / number))
    return found


async def _reach(
    stage: Stage, disks: Disks, factory: str, label: str, limits: dict[str, float], number: int, mib_each: float
) -> Reached:
    size = max(PIECE_BYTES, int(mib_each * MIB) // PIECE_BYTES * PIECE_BYTES)
    source = disks.make(factory, size + 2 * MIB, [Range(MIB, size)])
    target = disks.account()
    async with open_bench(stage) as bench:
        await bench.copy(disks.into(source, disks.account()))  # so that the manifest is there and its digests are known
        stage.cloud.clear_calls()
        stage.cloud.set_limits(limits)
        try:
            began = monotonic()
            await _all(bench, disks.many(source, target, number))
            seconds = monotonic() - began
        finally:
            stage.cloud.set_limits({})
    writes = [call for call in stage.cloud.calls() if call["length"]]
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


async def _all(bench: Bench, requests: Any) -> None:
    await asyncio.gather(*(bench.copy(request) for request in requests))


async def measure_against_service(stage: Stage, rounds: int, scale: int) -> dict[str, Any]:
    """A disk that is a quarter full, both ways at 60 MiB/s: the service's copy takes the whole length's time."""
    disks = Disks(stage)
    factory, target = disks.account(), disks.account()
    source = disks.make(factory, 64 * scale * MIB, spread(1, 16 * scale * MIB, 0))
    times: dict[bool, list[float]] = {False: [], True: []}
    stage.cloud.set_limits({"blobBytesPerSecond": 60 * MIB, "queueSeconds": 2})
    stage.cloud.set_latencies({"copyBytesPerSecond": 60 * MIB})
    try:
        for _ in range(rounds):
            for service in (False, True):
                async with open_bench(stage, service=service) as bench:
                    began = monotonic()
                    await bench.copy(disks.into(source, target))
                    times[service].append(monotonic() - began)
    finally:
        stage.cloud.set_limits({})
        stage.cloud.set_latencies({})
    ranged, by_service = median(times[False]), median(times[True])
    return {
        "length_mib": 64 * scale,
        "held_mib": 16 * scale,
        "ranged_seconds": round(ranged, 2),
        "service_seconds": round(by_service, 2),
        "ratio": round(ranged / by_service, 2),
    }


async def measure_cost(stage: Stage, rounds: int, scale: int) -> Cost:
    """The same ranges by the product and by the SDK, 16 in flight, by turns."""
    disks = Disks(stage)
    factory, target = disks.account(), disks.account()
    size = 64 * scale * MIB
    parts = pieces([Range(MIB, size), Range(size + 2 * MIB, 512)])
    source = disks.make(factory, size + 2 * MIB, [Range(MIB, size)])
    spent: dict[str, list[float]] = {"product": [], "sdk": []}
    async with open_bench(stage) as bench:
        await bench.copy(disks.into(source, target))
        for _ in range(rounds):
            request = disks.into(source, target)
            began = process_time()
            await bench.copy(request)
            spent["product"].append(process_time() - began)
            spent["sdk"].append(await _by_sdk(stage, source, disks.into(source, target), parts))
    product, sdk = (median(each) * GIB / size for each in spent.values())
    return Cost(round(size / MIB, 1), round(product, 3), round(sdk, 3), round(product / sdk, 2))


async def _by_sdk(stage: Stage, source: CopyRequest, request: CopyRequest, parts: Sequence[Range]) -> float:
    from azure.storage.blob import generate_blob_sas

    known = {each["name"]: each for each in stage.cloud.status()["storageAccounts"]}
    names = [place.account_id.rpartition("/")[2] for place in (source.source, request.destination)]
    container, vhd = source.source.url.split("/")[-2:]
    sas = generate_blob_sas(
        names[0], container, vhd, account_key=known[names[0]]["key"], permission="r", expiry="2099-01-01T00:00:00Z"
    )
    credential = {"account_name": names[1], "account_key": known[names[1]]["key"]}
    async with BlobServiceClient(known[names[1]]["blobEndpoint"], credential) as service:
        blob = service.get_blob_client(STAGING, request.destination.file_name)
        await blob.create_page_blob(source.source_length)
        places = asyncio.Semaphore(16)

        async def move(part: Range) -> None:
            async with places:
                url = f"{source.source.url}?{sas}"
                await blob.upload_pages_from_url(url, part.offset, part.length, part.offset)

        began = process_time()
        await asyncio.gather(*(move(part) for part in parts))
        return process_time() - began


def measure_memory(stage: Stage, copies: Sequence[int]) -> list[Memory]:
    """A process of its own for each number of copies, all of whose requests the emulator holds back."""
    found = []
    for number in copies:
        ended = subprocess.run(
            [sys.executable, "-m", "benchmarks.ranges", stage.cloud.base_url, str(number)],
            env=dict(stage.environment),
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(Memory(**json.loads(ended.stdout)))
    return found


async def _hold(stage: Stage, number: int) -> Memory:
    disks = Disks(stage)
    factory, target = disks.account(), disks.account()
    size = 64 * MIB
    source = disks.make(factory, size + 2 * MIB, [Range(MIB, size)])
    async with open_bench(stage) as bench:
        await bench.copy(disks.into(source, disks.account()))
        stage.cloud.set_latencies({"pageSeconds": 600})
        before = _resident()
        tasks = [asyncio.ensure_future(bench.copy(each)) for each in disks.many(source, target, number)]
        highest, steady = 0, 0
        while steady < 10:
            await asyncio.sleep(0.5)
            now = _resident()
            highest, steady = max(highest, now), steady + 1 if now <= highest else 0
        in_flight = min(512, 16 * number)
        for task in tasks:
            task.cancel()
        stage.cloud.set_latencies({})
        await asyncio.gather(*tasks, return_exceptions=True)
    added = highest - before
    return Memory(number, in_flight, round(added / MIB, 1), round(added / 1024 / in_flight, 1))


def _resident() -> int:
    """Resident memory of this process in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def run_ranges(stage: Stage, *, small: bool) -> list[dict[str, Any]]:
    """All figures, one table row each; `small` runs everything with numbers that tell nothing of speed."""
    scale, rounds, seconds = (1, 1, 0.5) if small else (8, 5, 8.0)
    blobs, held = ((1, 2), (1,)) if small else ((1, 20, 200), (1, 100, 1000))
    rows: list[dict[str, Any]] = []
    rows += [{"measured": "least", **asdict(each)} for each in asyncio.run(measure_least(stage, scale))]
    rows += [
        {"measured": "limit", **asdict(each)} for each in asyncio.run(measure_limits(stage, blobs, seconds, 300.0))
    ]
    rows.append({"measured": "service", **asyncio.run(measure_against_service(stage, rounds, scale))})
    rows.append({"measured": "cpu per GiB", **asdict(asyncio.run(measure_cost(stage, rounds, scale)))})
    rows += [{"measured": "memory", **asdict(each)} for each in measure_memory(stage, held)]
    return rows


if __name__ == "__main__":
    import os

    client = CloudClient(sys.argv[1])
    print(json.dumps(asdict(asyncio.run(_hold(Stage(client, dict(os.environ), Path()), int(sys.argv[2]))))))
