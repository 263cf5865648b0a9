"""One supported call of the resource manager: how it is named, matched and handled; and how the paths begin.

Paths are case-insensitive and an unsupported method is 404, as in Azure; the router of aiohttp does neither.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote

from aiohttp import web

from localcloud.arm.errors import resource_not_found
from localcloud.arm.store import ArmStore, Lab

_Child = TypeVar("_Child")
Parts = dict[str, str]
"""The names in a path, unquoted: `subscription`, `group`, `lab`, ..."""

IN_SUBSCRIPTION = r"/subscriptions/(?P<subscription>[^/]+)/providers/microsoft\."
GROUP = r"/subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)"
LAB = GROUP + r"/providers/microsoft\.devtestlab/labs/(?P<lab>[^/]+)"


@dataclass(frozen=True)
class Route:
    """A supported call: `call` of `subject` (`get` of `labs`; empty: all calls), and the handler of its path."""

    subject: str
    call: str
    method: str
    path: str
    handler: Callable[[web.Request, Parts], Awaitable[web.Response]]
    filtered: bool = False
    """Whether it is answered to every caller, with what the caller may read."""

    def match(self, method: str, path: str) -> Parts | None:
        """Return the names in the path; None if this is another call."""
        found = re.fullmatch(self.path, path, re.IGNORECASE) if method == self.method else None
        return None if found is None else {name: unquote(value) for name, value in found.groupdict().items()}


def supported_calls(routes: Iterable[Route]) -> str:
    """List the calls by subject: `labs (list, get), operations and disks (get)`."""
    calls: dict[str, list[str]] = {}
    for route in routes:
        calls.setdefault(route.subject, []).extend([route.call] if route.call else [])
    *others, last = (f"{subject} ({', '.join(names)})" if names else subject for subject, names in calls.items())
    return f"{', '.join(others)} and {last}"


def find_lab(store: ArmStore, parts: Parts) -> Lab:
    """Return the lab that the path names. Raises ArmError."""
    lab = store.find_lab(parts["subscription"], parts["group"], parts["lab"])
    if lab is None:
        raise resource_not_found("Microsoft.DevTestLab/labs", parts["lab"], parts["group"])
    return lab


def find_child(lab: Lab, kind: str, children: Mapping[str, _Child], name: str) -> _Child:
    """Return the image or virtual machine of that name in the lab; `kind` is that of its ARM type. Raises ArmError."""
    child = children.get(name.lower())
    if child is None:
        raise resource_not_found(f"Microsoft.DevTestLab/labs/{kind}", f"{lab.name}/{name}", lab.resource_group)
    return child
