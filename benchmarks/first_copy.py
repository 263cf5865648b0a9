"""What it costs to compare the first copy of a VHD with its source: time, CPU time, received bytes.

The copier runs in this process against the embedded cloud, with and without the comparison in turn.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from statistics import median
from time import monotonic, process_time
from typing import Any

import aiohttp

from benchmarks.copier import Disks, open_copier
from benchmarks.sandbox import Sandbox
from imagefactory.azure.storage.manifests import Found
from imagefactory.azure.storage.page_writer import PageWriter
from imagefactory.images.ranges import PIECE_BYTES, Range
from imagefactory.images.ranges_manifest import Manifest
from imagefactory.observed.blobs import BlobRef

MIB, GIB = 1024**2, 1024**3
_RECEIVED = 128
"""Where tcpi_bytes_received is in Linux' struct tcp_info (linux/tcp.h): what arrived, whether it was read or not."""


@dataclass(frozen=True)
class FirstCopy:
    """First copies of one VHD without and with `verifyFirst`; CPU seconds are those of this process per GiB."""

    mib: int
    limit: str
    seconds: float
    seconds_verified: float
    cpu_per_gib: float
    cpu_per_gib_verified: float
    kib_received_per_digest: float
    received_share: float
    """Of the bytes of the VHD."""


class _CountedSocket(socket.socket):
    received = 0

    def close(self) -> None:
        if self.fileno() >= 0:
            facts = self.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED + 8)
            _CountedSocket.received += struct.unpack_from("=Q", facts, _RECEIVED)[0]
        super().close()


class _CountingWriter(PageWriter):
    """Counts what the connections for digests receive."""

    def _narrow_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        made = super()._narrow_socket(address)
        return _CountedSocket(made.family, made.type, made.proto, made.detach())


class _NoManifests:
    """So that each copy is a first one."""

    async def read(self, vhd: BlobRef, length: int, created: datetime) -> Found:
        return Found()

    async def write(self, vhd: BlobRef, manifest: Manifest) -> str:
        return ""


async def measure_first_copy(sandbox: Sandbox, rounds: int, mib: int, limit_mib: int | None) -> FirstCopy:
    """Copy a VHD of `mib` MiB content, in each round once without and once with the comparison."""
    disks = Disks(sandbox)
    factory, target = disks.account(), disks.account()
    size = mib * MIB
    source = disks.make(factory, size + 2 * MIB, [Range(MIB, size)])
    times: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    _CountedSocket.received = 0
    sandbox.cloud.set_limits({"blobBytesPerSecond": limit_mib * MIB, "queueSeconds": 2} if limit_mib else {})
    try:
        for _ in range(rounds):
            for verify in times:
                async with open_copier(sandbox, verify_first=verify, writers=_CountingWriter) as copier:
                    started = monotonic(), process_time()
                    await copier.copy(replace(disks.into(source, target), manifests=_NoManifests()))
                    times[verify].append((monotonic() - started[0], process_time() - started[1]))
    finally:
        sandbox.cloud.set_limits({})
    seconds, cpu = ({verify: median(each[at] for each in times[verify]) for verify in times} for at in (0, 1))
    return FirstCopy(
        mib=mib,
        limit=f"blob {limit_mib} MiB/s" if limit_mib else "none",
        seconds=round(seconds[False], 2),
        seconds_verified=round(seconds[True], 2),
        cpu_per_gib=round(cpu[False] * GIB / size, 3),
        cpu_per_gib_verified=round(cpu[True] * GIB / size, 3),
        kib_received_per_digest=round(_CountedSocket.received / 1024 / rounds / (size // PIECE_BYTES + 1), 1),
        received_share=round(_CountedSocket.received / rounds / size, 4),
    )


async def run_first_copy(sandbox: Sandbox, *, small: bool) -> list[dict[str, Any]]:
    """Measure without a limit and at the limit of a page blob; with `small`, sizes are too small to measure speed."""
    rounds, mib = (1, 8) if small else (5, 512)
    limits = None, 60
    return [asdict(await measure_first_copy(sandbox, rounds, mib, limit)) for limit in limits]
