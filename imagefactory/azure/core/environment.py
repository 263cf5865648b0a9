"""What of the machine's environment requests heed: its proxies.

azure-core lets aiohttp read them, and the user's netrc file, with each request, in a thread; see `aiohttp.client`.
Requests here have their own credentials, never those of a netrc file.
"""

from __future__ import annotations

from typing import Any
from urllib.request import getproxies


def transport_options() -> dict[str, Any]:
    """Return the option of azure-core's transport that reads the environment only if there may be a proxy in it."""
    return {"use_env_settings": bool(getproxies())}
