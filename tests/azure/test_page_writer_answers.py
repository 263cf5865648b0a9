"""Responses of the storage service that the embedded cloud does not return, as they were recorded from Azure.

A stand-in server returns what the test says. `test_page_writer` tests what the calls do to blobs.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web

from imagefactory.azure.storage.lean_tls import lean_context
from imagefactory.azure.storage.page_writer import Digest, PageWriter, RangeRefused, Refusal
from imagefactory.images.ranges import PIECE_BYTES, Range
from tests.azure.in_flight import CRC, SOURCE, STAGED, copy, writing
from tests.azure.storage_world import FIRST, GENERATION
from tests.federation import Answer, make_certificate, serving

MD5 = "IhmUBAsUKUvff7wSjmZjPA=="


@asynccontextmanager
async def answering(answer: Answer, in_flight: int = 4) -> AsyncIterator[PageWriter]:
    """Open a writer whose accounts are all at a server that responds like this."""
    async with serving(answer) as url, writing(url, in_flight) as writer:
        yield writer


async def refusal(writer: PageWriter, digest: str | None = None) -> RangeRefused:
    with pytest.raises(RangeRefused) as caught:
        await copy(writer, digest)
    return caught.value


async def test_if_the_service_returns_another_digest_the_crc64_is_requested() -> None:
    """And that of the source, if it is not known: another client may write to the destination in between."""
    asked: list[tuple[str, str]] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append((request.method, request.raw_path.split("/")[1]))
        if request.method == "PUT":
            return web.Response(status=201, headers={"Content-MD5": "xdYKdCfx8GIslVnayWHipA=="})
        assert request.headers["x-ms-range-get-content-crc64"] == "true"
        assert request.headers["x-ms-range"] == "bytes=0-511"
        return web.Response(status=206, body=bytes(512), headers={"x-ms-content-crc64": CRC})

    async with answering(answer) as writer:
        assert await copy(writer) == CRC
        assert await copy(writer, CRC) == CRC
        refused = await refusal(writer, "AAAAAAAAAAA=")
    assert (refused.kind, refused.found) == (Refusal.OTHER_CONTENT, CRC)
    assert asked.pop(2) == ("GET", "factory") and asked == [("PUT", "lab"), ("GET", "lab")] * 3


async def test_a_service_that_returns_no_crc64_is_an_error() -> None:
    """The copy would not be verified; the remedy is the method that verifies less."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=201 if request.method == "PUT" else 206)

    async with answering(answer) as writer:
        refused = await refusal(writer)
    assert refused.kind is Refusal.REFUSED and "method: service" in refused.error.diagnostic.remedy


async def test_a_request_has_the_headers_that_azure_documents() -> None:
    """Range, source with its ETag and the token to read it, generation; no digest, which Azure does not check."""
    sent: list[web.BaseRequest] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        sent.append(request)
        return web.Response(status=201, headers={"x-ms-content-crc64": CRC})

    async with answering(answer) as writer:
        await copy(writer, CRC, Range(4096, 1024))
    (request,) = sent
    assert request.raw_path == "/lab/imagefactory-staging/a.vhd?comp=page"
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert len(headers.pop("x-ms-client-request-id")) == 36
    source = headers.pop("x-ms-copy-source")
    assert source.endswith("/factory/imagefactoryvhds/a.vhd") and headers.pop("host") in source
    assert headers == {
        "authorization": "Bearer token",
        "x-ms-copy-source-authorization": "Bearer token",
        "content-length": "0",
        "user-agent": "imagefactory",
        "x-ms-version": "2021-08-06",
        "x-ms-page-write": "update",
        "x-ms-range": "bytes=4096-5119",
        "x-ms-source-range": "bytes=4096-5119",
        "x-ms-source-if-match": '"0x8D"',
        "x-ms-if-sequence-number-eq": "7",
    }


@pytest.mark.parametrize("digest", [{"Content-MD5": "xdYKdCfx8GIslVnayWHipA=="}, {"x-ms-content-crc64": CRC}, {}])
async def test_an_md5_counts_as_checked_only_if_the_service_returns_it(digest: dict[str, str]) -> None:
    """The CRC64 is not enough, because content with the same CRC64 can be forged."""
    sent: list[str | None] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        sent.append(request.headers.get("x-ms-source-content-md5"))
        return web.Response(status=201, headers=digest if len(sent) > 1 else {"Content-MD5": MD5})

    async with answering(answer) as writer:
        assert await writer.copy_range(SOURCE, '"0x8D"', STAGED, GENERATION, FIRST, CRC, MD5) == CRC
        with pytest.raises(RangeRefused) as caught:
            await writer.copy_range(SOURCE, '"0x8D"', STAGED, GENERATION, FIRST, CRC, MD5)
    assert caught.value.kind is Refusal.OTHER_CONTENT and sent == [MD5, MD5]


@pytest.mark.parametrize(
    ("kind", "request_header", "digest"),
    [
        (Digest.MD5, "x-ms-range-get-content-md5", {"Content-MD5": MD5}),
        (Digest.CRC64, "x-ms-range-get-content-crc64", {"x-ms-content-crc64": CRC}),
    ],
)
async def test_the_digest_of_a_range_is_requested_without_reading_it(
    kind: Digest, request_header: str, digest: dict[str, str]
) -> None:
    """Of the version with an ETag; no more of the 4 MiB is sent than buffers take."""
    sent: list[web.BaseRequest] = []
    written = 0

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal written
        sent.append(request)
        assert request.transport
        # So that the server can write only what the client accepts.
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        response = web.StreamResponse(status=206, headers={**digest, "Content-Length": str(PIECE_BYTES)})
        await response.prepare(request)
        with suppress(ConnectionError):
            for _ in range(PIECE_BYTES // 4096):
                await response.write(bytes(4096))
                written += 4096
        return response

    async with answering(answer) as writer:
        assert await writer.digest(SOURCE, '"0x8D"', Range(0, PIECE_BYTES), kind) == next(iter(digest.values()))
    (request,) = sent
    assert (
        request.method == "GET"
        and request.headers[request_header] == "true"
        and request.headers["If-Match"] == '"0x8D"'
    )
    assert request.headers["x-ms-range"] == f"bytes=0-{PIECE_BYTES - 1}"
    assert written < 256 * 1024


async def test_a_disk_is_read_by_its_own_sas_url() -> None:
    """No token is sent with it; if the service has no access to it, the remedy is another run."""
    read: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        read.append(request.headers["x-ms-copy-source"])
        assert "x-ms-copy-source-authorization" not in request.headers
        if len(read) > 1:
            return web.Response(status=403, headers={"x-ms-error-code": "CannotVerifyCopySource"})
        return web.Response(status=201, headers={"x-ms-content-crc64": CRC})

    async with answering(answer) as writer:
        disk = writer.accounts.lent.add("/disks/os", "https://md-1.example/disk/abcd?sig=1")
        assert await writer.copy_range(disk, None, STAGED, GENERATION, FIRST, None) == CRC
        with pytest.raises(RangeRefused) as caught:
            await writer.copy_range(disk, None, STAGED, GENERATION, FIRST, None)
    assert caught.value.kind is Refusal.SOURCE_UNAUTHORIZED
    assert "os: abcd: Azure returned 403" in str(caught.value) and "grants access to 'os' again" in str(caught.value)
    assert "sig=" not in str(caught.value)
    assert read == ["https://md-1.example/disk/abcd?sig=1"] * 2


async def test_the_sources_own_error_is_used_if_the_service_returns_it() -> None:
    """Newer API versions return status and message of the source; the digest that the service found is kept too."""

    async def answer(request: web.BaseRequest) -> web.Response:
        text = (
            "\ufeff<?xml version='1.0'?><Error><Code>CannotVerifyCopySource</Code><Message>Could not verify.\nTime:1"
            "</Message><CopySourceStatusCode>404</CopySourceStatusCode><CopySourceErrorMessage>The blob does not exist."
            "</CopySourceErrorMessage><ServerCalculatedCrc>pK+ypU+jreM=</ServerCalculatedCrc></Error>"
        )
        return web.Response(status=500, text=text)

    async with answering(answer) as writer:
        refused = await refusal(writer)
    assert (refused.kind, refused.found) == (Refusal.SOURCE_GONE, "pK+ypU+jreM=")
    assert "factory: a.vhd: Azure returned 404 CannotVerifyCopySource: The blob does not exist" in str(refused)


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [("12", 12, 12), (timedelta(seconds=100), 90, 100), (timedelta(seconds=-100), 0, 0), ("soon", None, None)],
)
async def test_retry_after_may_be_a_time(given: str | timedelta, least: float | None, most: float | None) -> None:
    """A time in the past is 0; an invalid one is None."""
    text = given if isinstance(given, str) else format_datetime(datetime.now(timezone.utc) + given, usegmt=True)

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=503, headers={"x-ms-error-code": "ServerBusy", "Retry-After": text})

    async with answering(answer) as writer:
        refused = await refusal(writer)
    assert refused.kind is Refusal.BUSY
    if least is None or most is None:
        assert refused.retry_after is None
    else:
        assert refused.retry_after is not None and least <= refused.retry_after <= most


async def test_a_response_of_any_size_and_a_redirect_are_errors() -> None:
    """A redirect is not followed, and a long response is not read to its end."""
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.raw_path)
        status, headers = (302, {"Location": "/elsewhere"}) if len(asked) == 1 else (400, {})
        return web.Response(status=status, headers=headers, body=b"<Code>TooLong</Code>" + bytes(50_000_000))

    async with answering(answer) as writer:
        assert (await refusal(writer)).kind is Refusal.REFUSED
        refused = await refusal(writer)
    assert refused.kind is Refusal.REFUSED and "TooLong" in str(refused)
    assert all("comp=page" in path for path in asked)


async def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by all other clients; a host in NO_PROXY is connected to directly."""
    asked: list[str] = []

    async def proxy(request: web.BaseRequest) -> web.Response:
        asked.append(request.raw_path)
        return web.Response(status=201, headers={"x-ms-content-crc64": CRC})

    async with serving(proxy) as url, writing(url) as writer, writing(url) as direct:
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", "elsewhere")
        await copy(writer)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        await copy(direct)
    target = "/lab/imagefactory-staging/a.vhd?comp=page"
    assert asked == [f"{url}{target}", target]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for this machine with its key, which no system trusts."""
    return make_certificate(tmp_path / "certificate.pem")


async def test_a_server_with_an_untrusted_certificate_gets_no_token(certificate: Path) -> None:
    """No request reaches it."""
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.method)
        return web.Response(status=201, headers={"x-ms-content-crc64": CRC})

    async with serving(answer, certificate) as url, writing(url) as writer:
        refused = await refusal(writer)
    assert refused.kind is Refusal.PASSING and "certificate" in str(refused) and asked == []


async def test_a_trusted_certificate_of_another_name_gets_no_token(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL compares the name, although no connection keeps the parsed certificate; under its own name it does."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=201, headers={"x-ms-content-crc64": CRC})

    async with serving(answer, certificate) as url:
        async with writing(url) as writer:
            assert await copy(writer) == CRC
        async with writing(url.replace("127.0.0.1", "localhost")) as writer:
            refused = await refusal(writer)
        _, sender = await asyncio.open_connection(*url.removeprefix("https://").split(":"), ssl=lean_context())
        kept = sender.get_extra_info("peercert")
        sender.close()
    assert refused.kind is Refusal.PASSING and "certificate" in str(refused) and kept is None


async def test_five_hundred_ranges_in_flight_take_little_memory_each(certificate: Path) -> None:
    """Up to 64 KiB of Python's memory, each over its own TLS connection (OpenSSL's share is not counted)."""
    waiting, go = 0, asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.Response:
        nonlocal waiting
        waiting += 1
        if waiting == 500:
            go.set()
        await go.wait()
        return web.Response(status=201, headers={"x-ms-content-crc64": CRC})

    async with serving(answer, certificate) as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.azure.in_flight",
            url,
            "500",
            env={**os.environ, "SSL_CERT_FILE": str(certificate)},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
    assert process.returncode == 0 and waiting == 500
    assert 4 * 1024 < float(printed) < 64 * 1024
