"""The versions of gallery images: creation from VHDs, replication to regions, update and deletion.

Implements the rules of Compute (API version 2024-03-03). Published: the source is a page blob of a storage account in
the version's own region (404 `NotFound`); if replication fails in a region, the next PUT tries again. Recorded (2018,
2020): code and message of that failure. Assumed: the version's region gets its replica first, then the others side by
side; an unusable blob is found by the operation only, and one that goes while a region is replicated fails it; a
deletion ends an operation that is active, and is 409 `OperationNotAllowed` if it is blocked before the end of life; an
update of counts takes no time. Does not handle HTTP; reads blobs through `BlobAccess`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime, timezone
from typing import Any

from localcloud.arm.errors import ArmError
from localcloud.arm.galleries import KIND, Definition, Gallery, Replica, Version
from localcloud.arm.gallery_rules import Started, check_idle, check_place, document, parameter
from localcloud.arm.machines import timestamp
from localcloud.arm.operations import Operations, Work
from localcloud.arm.regions import location_of, short
from localcloud.arm.store import ArmStore, Fault
from localcloud.arm.version_bodies import check_name, disks_of, wanted
from localcloud.arm.vhds import vhd_fault
from localcloud.blobs.access import BlobAccess
from localcloud.fault_rules import Action, Latencies

_ACCOUNT = re.compile(
    r"/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers/microsoft\.storage/storageaccounts/([^/]+)", re.IGNORECASE
)
_GIB = 1024**3


class GalleryVersions:
    """The versions of all galleries. `endpoint` returns the blob endpoint of a storage account."""

    def __init__(
        self,
        store: ArmStore,
        operations: Operations,
        blobs: BlobAccess,
        latencies: Callable[[], Latencies],
        endpoint: Callable[[str], str],
    ) -> None:
        self._store, self._operations, self._blobs = store, operations, blobs
        self._latencies, self._endpoint = latencies, endpoint

    async def put(
        self,
        gallery: Gallery,
        definition: Definition,
        name: str,
        body: object,
        fault: Fault | None,
        rule: Callable[[str], Action | None] = lambda _: None,
    ) -> tuple[dict[str, Any], Started]:
        """Create or update a version; this fails with `fault`, if given. `rule` returns the action of a fault rule on
        the replication to a region. Returns the version as ARM's JSON, as it is when the operation starts: without the
        sizes of its disks if it is new (recorded). Raises ArmError."""
        check_name(name)
        given, tags, properties = document(body)
        location = location_of(given, f"{KIND}/images/versions")
        version = definition.versions.get(name)
        if new := version is None:
            properties = wanted(properties, location, None)
            properties["publishingProfile"]["publishedDate"] = timestamp()
            self._check_sources(properties["storageProfile"], location)
            version = Version(name=name, location=location, properties=properties)
        else:
            check_idle(self._store, version)
            check_place(gallery.resource_group, version, location)
            properties = wanted(properties, location, version)
        version.properties, version.tags = properties, tags
        definition.versions[name] = version
        state = version.state = "Creating" if new else "Updating"
        seconds = self._plan(version, rule)
        work = self._work(definition, version)
        shown = deepcopy(gallery.shown_version(definition, version))
        return shown, Started(
            state, await self._operations.start(version, seconds, work, fault=fault, dated=False), new
        )

    async def delete(self, definition: Definition, version: Version, fault: Fault | None) -> Started:
        """Start to delete a version, even during its creation; this fails with `fault`, if given. Raises ArmError."""
        if version.state == "Deleting" and version.operation is not None:
            return Started(version.state, version.operation)
        end = version.properties["publishingProfile"].get("endOfLifeDate")
        blocks = version.properties["safetyProfile"].get("blockDeletionBeforeEndOfLife")
        if blocks and end and datetime.fromisoformat(end) > datetime.now(timezone.utc):
            text = f"The gallery image version '{version.name}' cannot be deleted before its end of life, {end}."
            raise ArmError(409, "OperationNotAllowed", text)
        if version.operation is not None:
            text = f"The gallery image version '{version.name}' was deleted."
            self._operations.end(version, {"code": "OperationPreempted", "message": text})
        before = version.state if version.state in ("Succeeded", "Failed") else "Failed"
        version.state = "Deleting"
        work = self._work(definition, version, before)
        seconds = self._latencies().gallery_delete_seconds
        return Started("Deleting", await self._operations.start(version, seconds, work, fault=fault, dated=False))

    def resume(self) -> None:
        """Resume the operations that were active when the cloud stopped. Needs the running event loop."""
        for gallery in list(self._store.galleries.values()):
            for definition in list(gallery.definitions.values()):
                for version in list(definition.versions.values()):
                    self._operations.resume(version, self._work(definition, version))

    def _plan(self, version: Version, rule: Callable[[str], Action | None]) -> float:
        """Plan the replicas of regions that have none yet, and drop those of the others; return how long it takes."""
        now, step = time.time(), self._latencies().gallery_replication_seconds
        old, version.replicas = version.replicas, {}
        names = [short(each["name"]) for each in version.regions]
        start = now
        for name in sorted(names, key=lambda each: each != version.location):
            replica = old.get(name)
            if replica is None or replica.state != "Completed":
                action = rule(name)
                seconds = step if action is None or action.replication_seconds is None else action.replication_seconds
                failure = action.replication_fails if action else None
                fault = {"code": failure.code, "message": failure.message} if failure else None
                replica = Replica(start, start + seconds, fault)
            if name == version.location:
                start = max(now, replica.due)
            version.replicas[name] = replica
        version.replicas = {name: version.replicas[name] for name in names}
        return max(0.0, *(each.due - now for each in version.replicas.values()))

    def _work(self, definition: Definition, version: Version, before: str = "Failed") -> Work:
        """Return what an operation on the version does; `before` is its state if a deletion fails."""
        sizes: list[int] = []

        async def replicate() -> Fault | None:
            if version.state == "Deleting":
                return None
            pending = [each for each in version.replicas.values() if each.state == "Replicating"]
            for replica in sorted(pending, key=lambda each: each.due):
                fault = await self._source_fault(version, sizes)
                if fault is None:
                    await asyncio.sleep(max(0.0, replica.due - time.time()))
                    fault = replica.fault or await self._source_fault(version, sizes)
                replica.state = "Failed" if fault else "Completed"
                replica.fault, replica.details = fault, fault["message"] if fault else ""
                self._store.changed()
            return _failure(version)

        def settle(fault: Fault | None) -> None:
            if version.state == "Deleting":
                if fault is None:
                    definition.versions.pop(version.name, None)
                else:
                    version.state = before
                return
            version.state = "Failed" if fault else "Succeeded"
            for replica in version.replicas.values():
                if fault and replica.state == "Replicating":
                    replica.state, replica.fault, replica.details = "Failed", fault, fault["message"]
            for disk, size in zip(disks_of(version.properties["storageProfile"]), sizes, strict=False):
                disk["sizeInGB"] = size

        return Work(replicate, replicate, settle)

    def _check_sources(self, storage: dict[str, Any], location: str) -> None:
        for disk in disks_of(storage):
            id, uri = disk["source"]["storageAccountId"], disk["source"]["uri"]
            parts = _ACCOUNT.fullmatch(id)
            lab = self._store.find_account(*parts.groups()) if parts else None
            if lab is None or short(lab.region) != location:
                raise ArmError(
                    404,
                    "NotFound",
                    f"Source {id} is not found. Please check source exists, and is in the same region as gallery image "
                    "version being created.",
                )
            if not uri.lower().startswith(f"{self._endpoint(str(lab.storage_account)).lower()}/") or "?" in uri:
                raise parameter(f"The uri {uri.partition('?')[0]} is not that of a blob in the storage account {id}.")

    async def _source_fault(self, version: Version, sizes: list[int]) -> Fault | None:
        """Return why no replica can be made of the version's disks; note the sizes of the disks in `sizes`."""
        found = []
        for disk in disks_of(version.properties["storageProfile"]):
            uri = disk["source"]["uri"]
            if fault := await vhd_fault(self._blobs, uri):
                return fault
            facts = await self._blobs.stat(uri)
            found.append(-(-((facts.length if facts else 0) - 512) // _GIB))
        sizes[:] = found
        return None


def _failure(version: Version) -> Fault | None:
    """Return the error of an operation by the regions that failed; the code is that of the first one's rule."""
    failed = {name: each for name, each in version.replicas.items() if each.state == "Failed"}
    if not failed:
        return None
    details = ", ".join(f"{{region:{name}, detail:{each.details}}}" for name, each in failed.items())
    codes = [each.fault["code"] for each in failed.values() if each.fault]
    return {
        "code": codes[0] if codes else "CrpPirReplicationJobsNotCompleted",
        "message": "Gallery replication jobs failed in one or more regions. The failing regions' details are as "
        f"follows: '{details}'. If retry does not work, then please do an update by removing the failed regions and "
        "update again by adding them back.",
    }
