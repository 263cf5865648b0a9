"""Memory that each request in flight takes, over TLS.

A stand-in of the storage service in this process, with certificates of the size of Azure's, responds when the expected
number of requests is in flight. A separate process sends them by the product's writer and reports its peak (Linux).

`python -m benchmarks.memory URL COUNT [trace]` is that process.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import tempfile
import tracemalloc
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address
from pathlib import Path
from time import time
from typing import Any

from aiohttp import web
from azure.core.credentials import AccessToken
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.sandbox import BenchmarkError
from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.resource_manager import ResourceManager
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.page_writer import PageWriter
from imagefactory.images.ranges import Range
from imagefactory.observed.blobs import BlobRef
from toolchain.checkout import Checkout

CRC, FIRST = "ERTjv26IbjE=", "bytes=0-511"
ZONES = 50
"""A certificate of Azure's blob service has a name for each DNS zone, `*.z1.blob.storage.azure.net` to `*.z50...`."""


@dataclass(frozen=True)
class InFlight:
    """The peak of resident memory that requests in flight add, and the part of it that Python allocates, for each."""

    requests: int
    added_mib: float
    kib_per_request: float
    python_kib_per_request: float


class _Token:
    """A credential whose tokens have the length of those of Microsoft Entra."""

    async def get_token(self, *_: str, **__: object) -> AccessToken:
        return AccessToken("t" * 1700, int(time()) + 3600)

    async def close(self) -> None:
        return

    async def __aenter__(self) -> _Token:
        return self

    async def __aexit__(self, *_: object) -> None:
        return


def run_memory(*, small: bool) -> list[dict[str, Any]]:
    """Measure several numbers of requests; with `small`, a few."""
    with tempfile.TemporaryDirectory(prefix="imagefactory-memory-") as name:
        trusted, served = _certificates(Path(name))
        return [asdict(asyncio.run(_measure(trusted, served, count))) for count in ((8,) if small else (128, 512))]


async def _measure(trusted: Path, served: Path, count: int) -> InFlight:
    found = [await _in_process(trusted, served, count, trace=trace) for trace in (False, True)]
    resident, traced = (each / 1024 / count for each in found)
    return InFlight(count, round(found[0] / 1024**2, 1), round(resident, 1), round(traced, 1))


async def _in_process(trusted: Path, served: Path, count: int, *, trace: bool) -> int:
    waiting, go = 0, asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.Response:
        nonlocal waiting
        if request.headers["x-ms-range"] != FIRST:
            waiting += 1
            if waiting == count:
                go.set()
            await go.wait()
        return web.Response(status=201, headers={"x-ms-content-crc64": CRC})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(served)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        command = ["-m", "benchmarks.memory", f"https://127.0.0.1:{runner.addresses[0][1]}"]
        process = await asyncio.create_subprocess_exec(
            Checkout.here().python,
            *command,
            str(count),
            *(["trace"] if trace else []),
            env={**os.environ, "SSL_CERT_FILE": str(trusted)},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
    finally:
        await runner.cleanup()
    if process.returncode or waiting != count:
        raise BenchmarkError(f"memory: {waiting} of {count} requests were in flight; nothing is measured. See above.")
    return int(json.loads(printed))


async def _peak(url: str, count: int, *, trace: bool) -> int:
    """Return the bytes that `count` requests in flight add at most: resident ones, or those that Python traces."""
    cloud = Cloud(None, url, f"{url}/{{account}}")
    source, target = (
        BlobRef("/accounts/factory", f"{url}/factory/vhds/a"),
        BlobRef("/accounts/lab", f"{url}/lab/vhds/a"),
    )
    async with (
        ResourceManager(cloud, _Token()) as arm,
        StorageAccounts(arm) as accounts,
        PageWriter(accounts, count) as writer,
    ):

        async def copy(offset: int, length: int = 4096) -> None:
            await writer.copy_range(source, None, target, 0, Range(offset, length), CRC)

        await copy(0, 512)
        before = _reset_peak()
        if trace:
            tracemalloc.start()
        await asyncio.gather(*(copy(4096 * number) for number in range(count)))
        return tracemalloc.get_traced_memory()[1] if trace else _status("VmHWM") - before


def _reset_peak() -> int:
    """Let the peak start anew (proc(5)); return what is resident."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _certificates(folder: Path) -> tuple[Path, Path]:
    """Write what to trust, and what a server sends with its key: its own certificate and that of its issuer."""
    root, issuer, own = (rsa.generate_private_key(public_exponent=65537, key_size=size) for size in (4096, 4096, 2048))
    zones = (x509.DNSName(f"*.z{number}.blob.storage.azure.net") for number in range(ZONES))
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1")), *zones])
    trusted = _certificate("root", root, "root", root, x509.BasicConstraints(ca=True, path_length=None))
    chain = [
        _certificate("server", own, "issuer", issuer, names),
        _certificate("issuer", issuer, "root", root, x509.BasicConstraints(ca=True, path_length=None)),
    ]
    form = serialization.Encoding.PEM
    key = own.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "trusted.pem").write_bytes(trusted.public_bytes(form))
    (folder / "served.pem").write_bytes(key + b"".join(each.public_bytes(form) for each in chain))
    return folder / "trusted.pem", folder / "served.pem"


def _certificate(
    name: str, key: rsa.RSAPrivateKey, issuer: str, issuer_key: rsa.RSAPrivateKey, extension: x509.ExtensionType
) -> x509.Certificate:
    subject, by = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, each)]) for each in (name, issuer))
    now, day = datetime.now(timezone.utc), timedelta(days=1)
    builder = x509.CertificateBuilder(by, subject, key.public_key(), x509.random_serial_number(), now - day, now + day)
    return builder.add_extension(extension, critical=False).sign(issuer_key, hashes.SHA256())


if __name__ == "__main__":
    server, number, *options = sys.argv[1:]
    print(json.dumps(asyncio.run(_peak(server, int(number), trace=bool(options)))))
