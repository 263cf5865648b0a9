"""Staged VHDs shared by all resources of a process: each VHD is copied once per storage account and once per region.

Tracks which images and copies still need a staged VHD. Images to be created from it are listed in its metadata, so runs
on other machines see them; the last one created deletes it. Copies that read it as their region's relay exist only in
this process and are counted here; the release of the relay's lab waits for them. Does not move bytes: `copier` does.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from imagefactory.copying import copier
from imagefactory.copying.copier import Copied, Copier, CopyError, CopyRequest, Progress, RelayLost
from imagefactory.copying.fan_out import FanOut
from imagefactory.errors import ImageFactoryError
from imagefactory.images.ranges import fans_out
from imagefactory.observed.blobs import BlobRef

if TYPE_CHECKING:
    from imagefactory.azure.storage.page_blobs import PageBlobs

RELAY_TIMEOUT_SECONDS = 10.0
"""How long a relay is kept for planned copies that have not started, if no other copy runs."""

POLL_SECONDS = 0.2
"""Time between two checks whether a relay is still read."""

CLAIMS = 5
"""How often a staged VHD is copied if other runs remove it before it is claimed, and how often a release is tried if
other clients write to the VHD."""

WAITS = "waiting for another copy in its region to finish, to read from it"
"""The note of a copy that waits for its source."""
WAIT_SECONDS = 1.0
"""How long a copy waits before it says so."""


class Row(Protocol):
    """Shows the user the progress of a copy: one row per resource."""

    def __call__(self, progress: Progress) -> None:
        """Show `progress` if an update is due."""

    def say(self, message: str) -> None:
        """Show what happens instead of a copy."""

    def warn(self, message: str) -> None:
        """Show a warning that is kept after the copy finished."""


@dataclass(frozen=True, slots=True)
class Relay:
    """The staged VHD that the accounts of a region copy from, the number of these copies, and the image it is for.

    In the region of the factory, it is the factory's VHD.
    """

    blob: BlobRef
    uses: int
    owner: str

    @property
    def fans_out(self) -> bool:
        """Whether its copies read each other too."""
        return fans_out(self.uses)


@dataclass
class _Copying:
    """An active copy: the rows of the resources that wait for it, and the users that it will name."""

    users: set[str] = field(default_factory=set)
    rows: list[Row] = field(default_factory=list)
    task: asyncio.Task[Copied] = field(init=False)

    def report(self, progress: Progress) -> None:
        for row in self.rows:
            row(progress)

    def warn(self, message: str) -> None:
        self.rows[0].warn(message)


@dataclass
class _Readers:
    """Copies that read a relay: those that run, and those that are planned and have not started."""

    running: int = 0
    planned: int = 0
    last_seen: float = field(default_factory=monotonic)
    """When the last one finished, or the first was expected."""


class Staging:
    """The staged VHDs of one provider process, with the images and copies that need them."""

    def __init__(self, blobs: PageBlobs, copier_: Copier, *, relay_timeout: float = RELAY_TIMEOUT_SECONDS) -> None:
        self._blobs, self._copier, self._relay_timeout = blobs, copier_, relay_timeout
        self._copying: dict[str, _Copying] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._readers: defaultdict[BlobRef, _Readers] = defaultdict(_Readers)
        self._released: set[BlobRef] = set()
        self._marked: dict[BlobRef, tuple[str, str]] = {}
        """VHDs that were copied here for one user: that user, and the ETag, as long as no other client writes."""
        self._fan_out = FanOut()

    async def stage(self, request: CopyRequest, user: str, relay: Relay | None, row: Row) -> Copied:
        """Copy the staged VHD unless it is finished, and keep it for `user`. Raises `CopyError`, `CloudError`."""
        if relay is None or relay.blob == request.source:
            return await self._claimed(request, relay, user, row)
        if relay.blob not in self._readers:
            self._readers[relay.blob].planned = relay.uses
        if relay.blob == request.destination:
            return await self._claimed(request, relay, user, row)
        readers = self._readers[relay.blob]
        readers.running += 1
        try:
            is_there = await self._relayed(request, relay, row)
            return await self._claimed(request, relay if is_there else None, user, row)
        finally:
            readers.running -= 1
            readers.planned -= 1
            readers.last_seen = monotonic()

    async def release(self, blob: BlobRef, user: str, row: Row | None = None) -> None:
        """Remove `user`, whose image exists or is no longer wanted, and with the last user the staged VHD.

        Waits for copies that read it. Raises `CopyError`, `CloudError`.
        """
        while self._is_read(blob):
            if row:
                row.say("kept for copies in its region")
            await asyncio.sleep(POLL_SECONDS)
        self._fan_out.drop(blob)
        async with self._locks[blob.url]:
            for _ in range(CLAIMS):
                if await self._left(blob, user):
                    return
        raise CopyError(f"{blob.name}: other clients keep writing to it; it is kept and uses storage. Run again")

    async def _left(self, blob: BlobRef, user: str) -> bool:
        """Remove `user` from the staged VHD, or the VHD with its last user; return False if it was just written."""
        owner, etag = self._marked.pop(blob, ("", ""))
        if owner == user:
            return await self._removed(blob, self._blobs.delete(blob, etag=etag))
        facts = await self._blobs.facts(blob)
        if facts is None or copier.SOURCE not in facts.metadata:
            return True
        if others := copier.users_of(facts.metadata) - {user}:
            metadata = {key: value for key, value in facts.metadata.items() if key != copier.USERS}
            return bool(
                await self._blobs.set_metadata(blob, {**metadata, **copier.users_text(others)}, etag=facts.etag)
            )
        return await self._removed(blob, copier.remove(self._blobs, blob, copier.record_of(blob), facts))

    async def _removed(self, blob: BlobRef, removal: Awaitable[bool]) -> bool:
        """Await a removal, during which no copy begins to read the staged VHD; return whether it was removed."""
        self._released.add(blob)
        removed = await removal
        if not removed:
            self._released.discard(blob)
        return removed

    async def forget(self, request: CopyRequest, user: str) -> None:
        """Release the copy for `user`, if it still exists. Raises `CopyError`, `CloudError`."""
        facts = await self._blobs.facts(request.destination)
        if facts and request.marked(facts.metadata):
            await self.release(request.destination, user)

    async def _relayed(self, request: CopyRequest, relay: Relay, row: Row) -> bool:
        """Return whether the relay is complete. It is copied for its own lab, whose release removes it."""
        if relay.blob in self._released:
            return False
        own = replace(request, destination=relay.blob)
        try:
            try:
                await self._join(own, relay, relay.owner, row)
            except RelayLost as lost:
                row.warn(f"{lost}; copying from the factory")
                await self._join(own, None, relay.owner, row)
        except ImageFactoryError as error:
            row.warn(f"the copy to the region's relay failed ({error}); copying from the factory")
            return False
        self._fan_out.complete(request.source, relay.blob, relay.blob)
        return True

    async def _claimed(self, request: CopyRequest, relay: Relay | None, user: str, row: Row) -> Copied:
        source = relay
        for _ in range(CLAIMS):
            try:
                copied = await self._join(request, source, user, row)
            except RelayLost as lost:
                row.warn(f"{lost}; copying from the factory")
                source = None
                continue
            if user in copied.users or await self._claim(request, user):
                if copied.etag and copied.users == {user}:
                    self._marked[request.destination] = user, copied.etag
                if relay:
                    self._fan_out.complete(request.source, request.destination, relay.blob)
                return copied
        raise CopyError(
            f"{request.destination.name}: was removed {CLAIMS} times by another client; the image is not created. Stop"
            " what deletes it, then run again"
        )

    async def _claim(self, request: CopyRequest, user: str) -> bool:
        """Add `user` to the staged VHD; return False if the VHD no longer exists or was changed."""
        async with self._locks[request.destination.url]:
            facts = await self._blobs.facts(request.destination)
            if facts is None or not request.marked(facts.metadata) or not copier.is_whole(facts):
                return False
            users = copier.users_of(facts.metadata)
            if user in users:
                return True
            metadata = {**facts.metadata, **copier.users_text(users | {user})}
            return bool(await self._blobs.set_metadata(request.destination, metadata, etag=facts.etag))

    async def _join(self, request: CopyRequest, relay: Relay | None, user: str, row: Row) -> Copied:
        """Wait for the active copy into that blob; start one if there is none."""
        url = request.destination.url
        copying = self._copying.get(url)
        if copying is None or copying.task.done():
            copying = self._copying[url] = _Copying()
            copying.task = asyncio.ensure_future(self._copy(copying, request, relay))
        copying.rows.append(row)
        copying.users.add(user)
        try:
            return await asyncio.shield(copying.task)
        finally:
            copying.rows.remove(row)
            if not copying.rows and not copying.task.done():
                copying.task.cancel()
                await asyncio.wait([copying.task])

    async def _copy(self, copying: _Copying, request: CopyRequest, relay: Relay | None) -> Copied:
        await asyncio.sleep(0)  # lets the caller add its row and user first
        try:
            if relay is None or not relay.fans_out:
                return await self._copied(copying, request, relay.blob if relay else request.source)
            waits = Progress(0, request.source_length, note=WAITS)
            note = asyncio.get_running_loop().call_later(WAIT_SECONDS, copying.report, waits)
            try:
                async with self._fan_out.reading(request.source, relay.blob) as blob:
                    note.cancel()
                    return await self._copied(copying, request, blob)
            finally:
                note.cancel()
        finally:
            self._copying.pop(request.destination.url, None)

    async def _copied(self, copying: _Copying, request: CopyRequest, blob: BlobRef) -> Copied:
        via = None if blob in {request.source, request.destination} else blob
        try:
            return await self._copier.copy(request, via, copying.users, copying.report, copying.warn)
        except RelayLost:
            self._fan_out.drop(blob)
            raise

    def _is_read(self, blob: BlobRef) -> bool:
        """Return whether copies read it, or planned ones may still start: while others run, or shortly after."""
        if self._fan_out.is_read(blob):
            return True
        readers = self._readers.get(blob)
        if readers is None or readers.running > 0:
            return readers is not None
        recent = bool(self._copying) or monotonic() - readers.last_seen < self._relay_timeout
        return readers.planned > 0 and recent
