"""TLS connections that take little memory: hundreds of ranges are in flight, each over a connection of its own.

What a connection would keep while it waits for a response: the parsed certificate of the server (10 KiB: one of a
storage account has some fifty names), OpenSSL's buffer for writing (16 KiB), which a session ticket allocates again
after the request is sent, and asyncio's buffer for reading (256 KiB from Python 3.11 on). What a handshake needs in
addition (20 KiB and more) the heap keeps, so few run at a time.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

READ_BYTES = 1024
"""The buffer for reading. A response to a range has no body; its headers fit, or nearly."""

HANDSHAKES = 16
"""How many connections are opened at a time: with some round trips each, a hundred and more within a second."""


class LeanConnector(aiohttp.TCPConnector):
    """Opens up to `HANDSHAKES` connections at a time. The wait does not count for the timeout of connecting."""

    def __init__(
        self, limit: int, tls: ssl.SSLContext, socket_factory: aiohttp.SocketFactoryType | None = None
    ) -> None:
        super().__init__(limit=limit, ssl=tls, socket_factory=socket_factory)
        self._handshakes = asyncio.Semaphore(HANDSHAKES)

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        async with self._handshakes:
            return await super()._create_connection(req, traces, timeout)


class _LeanObject(ssl.SSLObject):
    def getpeercert(self, binary_form: bool = False) -> Any:
        """Return nothing instead of the parsed certificate, which asyncio keeps; OpenSSL checks it with the name."""
        return super().getpeercert(True) if binary_form else None

    def read(self, len: int = 1024, buffer: bytearray | None = None) -> Any:  # type: ignore[override]
        try:
            return super().read(len, buffer)
        except ssl.SSLWantReadError:
            # Sends nothing (SSL_write_ex(3): "can be called with num=0"), but releases the buffer for writing, as each
            # write does (SSL_MODE_RELEASE_BUFFERS in SSL_CTX_set_mode(3), which Python sets).
            with suppress(ssl.SSLError):
                self.write(b"")
            raise


def lean_context() -> ssl.SSLContext:
    """Return a context that trusts what the system trusts. Sets the buffer for reading of this process's connections.

    It cannot be set per connection.
    """
    sslproto.SSLProtocol.max_size = READ_BYTES  # type: ignore[attr-defined]  # Python 3.10 has no such buffer
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = _LeanObject
    return context
