"""Read access to managed disks: the grants in force, and the SAS that they give.

Owns where a disk's bytes lie (one account of the cloud's own, one container per disk, as in Azure), and the making and
judging of a disk's SAS, which names a stored grant (`si`) as Azure's does: where the grant is gone, the SAS is dead.
The grants themselves are kept by the resource manager's store. Refuses: HTTP, and whether access may be granted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import string
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode

DISK_ACCOUNT = "md-localcloud"
"""Named as Azure names its own; no seed can declare an account with a hyphen."""
DISK_BLOB = "abcd"


@dataclass
class Grant:
    """Access to the disk in `container` until `expires`, in seconds since 1970."""

    container: str
    expires: float


class DiskAccess:
    """The grants by their ids. `key` signs the SAS; who has the same two is the same."""

    def __init__(self, grants: MutableMapping[str, Grant], key: bytes) -> None:
        self._grants, self._key = grants, key

    def url(self, endpoint: str, container: str, grant: str) -> str:
        """The disk's URL below the account's blob endpoint, with the SAS of a grant, also of one that is over."""
        query = {"sv": "2018-03-28", "sr": "b", "si": grant, "sig": self._signature(container, grant)}
        return f"{endpoint}/{container}/{DISK_BLOB}?{urlencode(query)}"

    def give(self, container: str, grant: str, seconds: float) -> None:
        """Put a grant in force for `seconds`, beside those that there are."""
        self._grants[grant] = Grant(container, time.time() + seconds)

    def revoke(self, container: str) -> None:
        """End every grant of a disk."""
        for name in [name for name, each in self._grants.items() if each.container == container]:
            del self._grants[name]

    def active(self, container: str) -> int:
        """How many grants of a disk are in force."""
        return sum(each.container == container and each.expires > time.time() for each in self._grants.values())

    def opens(self, path: str, query: str) -> bool:
        """Whether this SAS opens this path (`/account/container/blob`) now, for reading."""
        given = dict(parse_qsl(query))
        account, container, blob = (*unquote(path).lstrip("/").split("/", 2), "", "")[:3]
        grant = self._grants.get(given.get("si", ""))
        return (
            (account, blob) == (DISK_ACCOUNT, DISK_BLOB)
            and grant is not None
            and grant.container == container
            and grant.expires > time.time()
            and hmac.compare_digest(self._signature(container, given["si"]).encode(), given.get("sig", "").encode())
        )

    def _signature(self, container: str, grant: str) -> str:
        value = hmac.new(self._key, f"disk {container} {grant}".encode(), hashlib.sha256).digest()
        return base64.b64encode(value).decode()


def new_container() -> str:
    """A container name as Azure gives them to disks."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))
