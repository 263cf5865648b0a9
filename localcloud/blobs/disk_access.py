"""Read access to managed disks: the active grants, and their SAS.

A disk's bytes are in an account of the cloud itself, in one container per disk, as in Azure. A disk's SAS names a
stored grant (`si`), as Azure's does: without the grant, the SAS is invalid. The resource manager's store saves the
grants. Does not handle HTTP or decide whether access may be granted.
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
"""Named like Azure's; a seed cannot declare it, because account names have no hyphen."""
DISK_BLOB = "abcd"


@dataclass
class Grant:
    """Access to the disk in `container` until `expires`, in seconds since 1970. If not `usable`, its SAS alone does not
    open the disk: it needs a token too, or a private endpoint, and the embedded cloud has neither."""

    container: str
    expires: float
    usable: bool = True


class DiskAccess:
    """The grants by id; `key` signs the SAS. Objects with the same grants and key are interchangeable."""

    def __init__(self, grants: MutableMapping[str, Grant], key: bytes) -> None:
        self._grants, self._key = grants, key

    def url(self, endpoint: str, container: str, grant: str) -> str:
        """Return the disk's URL below the account's blob endpoint, with the SAS of a grant, even of an expired one."""
        query = {"sv": "2018-03-28", "sr": "b", "si": grant, "sig": self._signature(container, grant)}
        return f"{endpoint}/{container}/{DISK_BLOB}?{urlencode(query)}"

    def grant(self, container: str, grant: str, seconds: float, usable: bool = True) -> None:
        """Add a grant for `seconds`; existing grants are kept."""
        self._grants[grant] = Grant(container, time.time() + seconds, usable)

    def revoke(self, container: str) -> None:
        """Remove every grant of a disk."""
        for name in [name for name, each in self._grants.items() if each.container == container]:
            del self._grants[name]

    def active(self, container: str) -> int:
        """Return the number of active grants of a disk."""
        return sum(each.container == container and each.expires > time.time() for each in self._grants.values())

    def opens(self, path: str, query: str) -> bool:
        """Return whether this SAS is valid now for reading this path (`/account/container/blob`)."""
        given = dict(parse_qsl(query))
        account, container, blob = (*unquote(path).lstrip("/").split("/", 2), "", "")[:3]
        grant = self._grants.get(given.get("si", ""))
        return (
            (account, blob) == (DISK_ACCOUNT, DISK_BLOB)
            and grant is not None
            and grant.container == container
            and grant.usable
            and grant.expires > time.time()
            and hmac.compare_digest(self._signature(container, given["si"]).encode(), given.get("sig", "").encode())
        )

    def _signature(self, container: str, grant: str) -> str:
        value = hmac.new(self._key, f"disk {container} {grant}".encode(), hashlib.sha256).digest()
        return base64.b64encode(value).decode()


def new_container() -> str:
    """Return a container name like those of Azure's disks."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))
