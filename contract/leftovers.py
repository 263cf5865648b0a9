"""Cleaning up: finds what runs of the contract created, by its name, and deletes it.

Deletes nothing else. Everything is found by listing, so it does not matter how the run that created it ended.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from contract.bench import Bench
from contract.wire import Answer, ContractError
from imagefactory.observed.arm_ids import DISK

_OWN = re.compile(r"contract[-_][0-9a-f]{8}[-_]")
"""In the name of everything that a run creates; not always at its start, because some experiments are about names."""


@dataclass
class Found:
    """What is in the place: of runs (`own`, ids and container names), and of others (names of images and VMs)."""

    machines: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    disks: list[str] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    attached: list[str] = field(default_factory=list)
    galleries: list[str] = field(default_factory=list)
    """With what is in them, before them."""
    others: list[str] = field(default_factory=list)
    grants: bool = False
    """Whether access to the disk of an embedded place is active."""

    @property
    def own(self) -> list[str]:
        """All that runs created, in the order in which it is deleted."""
        own = (self.machines, self.images, self.disks, self.attached, self.galleries, self.containers)
        return [each for kind in own for each in kind]


def find(bench: Bench) -> Found:
    """List the place. Raises ContractError."""
    place, found = bench.place, Found()
    for kind, own in (("virtualmachines", found.machines), ("customimages", found.images)):
        for each in _listed(bench, f"{place.lab_id}/{kind}", "labs"):
            if _OWN.search(str(each["name"])):
                own.append(str(each["id"]))
            else:
                found.others.append(str(each["name"]))
    if place.disk is None:
        disks = f"{place.group_id}/providers/Microsoft.Compute/disks"
        # Where disks cannot be listed, a run could not create one either.
        may = bench.arm("GET", disks, versions="disks").status not in (403, 404)
        for each in _listed(bench, disks, "disks") if may else ():
            # A lab VM's disk, which can be in the same group, goes with its machine.
            if _OWN.match(str(each["name"])) and not each.get("managedBy") and DISK.of(each):
                found.disks.append(str(each["id"]))
    else:
        state = bench.must(bench.arm("GET", place.disk, versions="disks"), 200).json["properties"].get("diskState")
        found.grants = state == "ActiveSAS"
    found.attached += _own(bench, f"{place.lab_id}/sharedgalleries", "sharedGalleries")
    for gallery in _own(bench, f"{place.group_id}/providers/Microsoft.Compute/galleries", "galleries"):
        for image in _listed(bench, f"{gallery}/images", "galleries"):
            found.galleries += [str(each["id"]) for each in _listed(bench, f"{image['id']}/versions", "galleries")]
            found.galleries.append(str(image["id"]))
        found.galleries.append(gallery)
    marker = ""
    while True:
        query: dict[str, Any] = {"comp": "list", "prefix": "contract-", **({"marker": marker} if marker else {})}
        page = bench.must(bench.blob("GET", "", **query), 200).xml
        names = [] if page is None else [each.text or "" for each in page.iterfind("Containers/Container/Name")]
        found.containers += [name for name in names if _OWN.match(name)]
        marker = "" if page is None else page.findtext("NextMarker") or ""
        if not marker:
            return found


def clean(bench: Bench, say: Callable[[str], None]) -> list[str]:
    """Delete what all runs created in the place. Return the problems, each with its remedy; empty if nothing is left.

    Raises ContractError if the place cannot be listed."""
    found, problems = find(bench), list[str]()

    def attempt(what: str, act: Callable[[], Answer | None], *fine: int) -> Answer | None:
        try:
            answer = act()
        except ContractError as error:
            problems.append(f"{what}: was not deleted ({error}). Delete it by hand, or run the contract again.")
            return None
        if answer and answer.status not in (200, 202, 204, 404, *fine):
            fact = f"was not deleted ({answer.status} {answer.code or ''})"
            problems.append(f"{what}: {fact}. Delete it by hand, or run the contract again.")
            return None
        return answer

    if bench.place.disk and found.grants:
        attempt("access to the disk", lambda: bench.arm("POST", f"{bench.place.disk}/endGetAccess", versions="disks"))
    started: list[tuple[str, Answer]] = []
    for machine in found.machines:
        for disk in _disks_of(bench, machine):
            _revoke(bench, attempt, disk)
        if answer := attempt(machine, lambda machine=machine: bench.arm("DELETE", machine)):  # type: ignore[misc]
            started.append((machine, answer))
    _await(bench, attempt, started)
    started = []
    for image in found.images:
        if answer := attempt(image, lambda image=image: bench.arm("DELETE", quote(image, safe="/"))):  # type: ignore[misc]
            started.append((image, answer))
    _await(bench, attempt, started)
    started = []
    for disk in found.disks:
        _revoke(bench, attempt, disk)
        if answer := attempt(disk, lambda disk=disk: bench.arm("DELETE", disk, versions="disks")):  # type: ignore[misc]
            started.append((disk, answer))
    _await(bench, attempt, started)
    for each in found.attached:
        attempt(each, lambda each=each: bench.arm("DELETE", each, versions="sharedGalleries"))  # type: ignore[misc]
    for each in found.galleries:
        if answer := attempt(each, lambda each=each: bench.arm("DELETE", each, versions="galleries")):  # type: ignore[misc]
            _await(bench, attempt, [(each, answer)])
    for name in found.containers:
        # 409: it is being deleted already, which takes a while.
        attempt(name, lambda name=name: bench.blob("DELETE", name, restype="container"), 409)  # type: ignore[misc]
    if found.own:
        say(f"Cleaned up: {len(found.own) - len(problems)} of {len(found.own)}.")
    return problems


def _await(bench: Bench, attempt: Any, started: list[tuple[str, Answer]]) -> None:
    for what, answer in started:
        ended = attempt(what, lambda answer=answer: bench.ended(answer))
        if ended and (ended.json or {}).get("status") == "Failed":
            code = (ended.json.get("error") or {}).get("code")
            attempt(what, lambda code=code: _fail(f"its deletion failed: {code}"))


def _fail(fact: str) -> None:
    raise ContractError(fact)


def _revoke(bench: Bench, attempt: Any, disk: str) -> None:
    if answer := attempt(disk, lambda: bench.arm("POST", f"{disk}/endGetAccess", versions="disks"), 409):
        attempt(disk, lambda: bench.ended(answer))


def _disks_of(bench: Bench, machine: str) -> list[str]:
    shown = bench.arm("GET", machine).json or {}
    compute = shown.get("properties", {}).get("computeId")
    if not compute:
        return []
    storage = (bench.arm("GET", compute, versions="compute").json or {}).get("properties", {}).get("storageProfile", {})
    disk = storage.get("osDisk", {}).get("managedDisk", {}).get("id")
    return [disk] if DISK.parse(disk) else []


def _own(bench: Bench, path: str, versions: str) -> list[str]:
    """Return the ids of what runs created in a list; none where it cannot be read: then a run could create none."""
    if bench.arm("GET", path, versions=versions).status in (400, 403, 404):
        return []
    return [str(each["id"]) for each in _listed(bench, path, versions) if _OWN.match(str(each["name"]))]


def _listed(bench: Bench, path: str, versions: str) -> Iterator[dict[str, Any]]:
    page = bench.must(bench.arm("GET", path, versions=versions), 200).json
    while True:
        yield from page["value"]
        if not page.get("nextLink"):
            return
        page = bench.must(bench.arm("GET", page["nextLink"]), 200).json
