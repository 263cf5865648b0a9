"""Which URLs may carry a credential: over TLS, or to a server on this machine."""

from __future__ import annotations

from urllib.parse import SplitResult

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""The hosts of this machine."""


def is_protected(url: SplitResult) -> bool:
    """Return whether nobody else can read what is sent to a URL."""
    return url.scheme == "https" or (url.scheme == "http" and url.hostname in LOOPBACK)
