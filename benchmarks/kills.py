"""How much is moved in all if a copy is killed in its middle and the next one ends it.

The copier that is killed is a process of its own; everything runs against the embedded cloud.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from benchmarks.copier import Disks, open_copier
from benchmarks.sandbox import Sandbox
from imagefactory.copying.copier import CopyRequest
from imagefactory.images.ranges import PIECE_BYTES, Range
from imagefactory.observed.blobs import BlobRef
from localcloud.client import CloudClient
from toolchain.checkout import Checkout

MIB = 1024**2
SEED = 7


@dataclass(frozen=True)
class Kill:
    """One VHD whose copy was killed: what was moved before and in all, compared with its content."""

    mib: int
    mib_per_second: float
    manifest: bool
    moved_before: float
    moved_ratio: float
    kept_mib: float
    digests: int
    """Requests for digests of the unfinished copy."""


async def measure_kill(sandbox: Sandbox, mib: int, mib_per_second: float, share: float, *, manifest: bool) -> Kill:
    """Kill a copy of a VHD of `mib` MiB content when `share` of it is moved, and copy it again."""
    disks = Disks(sandbox)
    size = mib * MIB
    source = disks.make(disks.account(), size + 2 * MIB, [Range(MIB, size)])
    if manifest:
        async with open_copier(sandbox) as copier:
            await copier.copy(disks.into(source, disks.account()))
    request = disks.into(source, disks.account())
    sandbox.cloud.set_limits({"blobBytesPerSecond": mib_per_second * MIB, "queueSeconds": 2})
    sandbox.cloud.clear_calls()
    try:
        with _copying(sandbox, request) as process:
            while process.poll() is None and _moved(sandbox) < share * size:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.02)
            process.kill()
        before = _moved(sandbox)
        async with open_copier(sandbox) as copier:
            await copier.copy(request)
            kept = copier.totals.kept
    finally:
        sandbox.cloud.set_limits({})
    path, content = request.destination.file_name, size + 512
    digests = sum(call["method"] == "GET" and call["path"].endswith(path) for call in sandbox.cloud.calls())
    return Kill(
        mib=mib,
        mib_per_second=mib_per_second,
        manifest=manifest,
        moved_before=round(before / content, 3),
        moved_ratio=round(_moved(sandbox) / content, 3),
        kept_mib=round(kept / MIB, 1),
        digests=digests - 1,  # the other one is that of its footer
    )


@contextmanager
def _copying(sandbox: Sandbox, request: CopyRequest) -> Iterator[Popen[str]]:
    given = {
        "source": asdict(request.source),
        "destination": asdict(request.destination),
        "length": request.source_length,
        "created": request.source_created.isoformat(),
    }
    command = [str(Checkout.here().python), "-m", "benchmarks.kills", sandbox.cloud.base_url, json.dumps(given)]
    with Popen(command, env=dict(sandbox.environment), stderr=PIPE, text=True) as process:
        yield process


def _moved(sandbox: Sandbox) -> int:
    """Return the bytes of all ranges that were written since the journal was cleared."""
    return sum(call["length"] for call in sandbox.cloud.calls() if call["length"] and call["status"] == 201)


async def _copy(sandbox: Sandbox, given: dict[str, Any]) -> None:
    source, destination = (BlobRef(**given[name]) for name in ("source", "destination"))
    created = datetime.fromisoformat(given["created"])
    async with open_copier(sandbox) as copier:
        await copier.copy(CopyRequest(source, given["length"], created, destination))


async def run_kills(sandbox: Sandbox, *, small: bool) -> list[dict[str, Any]]:
    """Kill copies at moments from a seed, with and without manifest in turn; with `small`, one copy of few ranges."""
    draw, mib, rounds = random.Random(SEED), 16 if small else 128, 1 if small else 6  # noqa: S311 - not a secret
    shares = [draw.uniform(2 * PIECE_BYTES / MIB / mib, 0.9) for _ in range(rounds)]
    return [
        asdict(await measure_kill(sandbox, mib, 16, share, manifest=bool(number % 2)))
        for number, share in enumerate(shares)
    ]


if __name__ == "__main__":
    client = CloudClient(sys.argv[1])
    asyncio.run(_copy(Sandbox(client, dict(os.environ), Path()), json.loads(sys.argv[2])))
