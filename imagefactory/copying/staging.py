"""Staged VHDs as all resources of a process share them: each VHD is copied once into an account, and once to a region.

Owns who needs a staged VHD. Custom images that are to be made of it are named in its own metadata, so that another run,
on another machine, knows them; the last one to be made removes it. Copies that read it as their region's relay live in
this process only and are counted here; its own lab's release waits for them. How bytes move is the copier's business.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from imagefactory.copying import copier
from imagefactory.copying.copier import Copied, Copier, CopyError, CopyRequest, Progress, RelayLost
from imagefactory.errors import ImageFactoryError
from imagefactory.observed.blobs import BlobRef

if TYPE_CHECKING:
    from imagefactory.azure.storage.page_blobs import PageBlobs

PATIENCE_SECONDS = 10.0
"""How long a relay is kept for copies that the plan has and that do not come while no other copy runs."""

LOOK_SECONDS = 0.2
"""Time between two looks whether a relay is still read."""

CLAIMS = 5
"""How often a staged VHD is made again that others removed before it was claimed, and how often one is released that
others write to."""


class Row(Protocol):
    """Where a copy tells the user how it gets on: one row for each resource."""

    def __call__(self, progress: Progress) -> None:
        """Show `progress` if it is time to."""

    def say(self, message: str) -> None:
        """Show what happens instead of a copy."""

    def warn(self, message: str) -> None:
        """Tell what the user must know of this copy also when it is done."""


@dataclass(frozen=True, slots=True)
class Relay:
    """The staged VHD that the accounts of a region copy from, how many do, and for which image it is staged."""

    blob: BlobRef
    uses: int
    owner: str


@dataclass
class _Copying:
    """A copy under way: everybody who waits for it, and whom it will name as its users."""

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
    """Copies that read a relay: those under way, and those that the plan has and that have not come yet."""

    under_way: int = 0
    to_come: int = 0
    last_seen: float = field(default_factory=monotonic)
    """When the last one ended, or the first was expected."""


class Staging:
    """The staged VHDs of one provider process."""

    def __init__(self, blobs: PageBlobs, copier_: Copier, *, patience: float = PATIENCE_SECONDS) -> None:
        self._blobs, self._copier, self._patience = blobs, copier_, patience
        self._copying: dict[str, _Copying] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._readers: defaultdict[BlobRef, _Readers] = defaultdict(_Readers)
        self._released: set[BlobRef] = set()

    async def stage(self, request: CopyRequest, user: str, relay: Relay | None, row: Row) -> Copied:
        """Make the staged VHD exist, be whole and be kept for `user`. Raises `CopyError`, `CloudError`."""
        if relay and relay.blob not in self._readers:
            self._readers[relay.blob].to_come = relay.uses
        if relay is None or relay.blob == request.destination:
            return await self._claimed(request, None, user, row)
        readers = self._readers[relay.blob]
        readers.under_way += 1
        try:
            via = await self._relayed(request, relay, row)
            return await self._claimed(request, via, user, row)
        finally:
            readers.under_way -= 1
            readers.to_come -= 1
            readers.last_seen = monotonic()

    async def release(self, blob: BlobRef, user: str, row: Row | None = None) -> None:
        """The image `user` stands, or is not wanted: remove the staged VHD, unless somebody else needs it.

        Waits for those who read it. Raises `CloudError`.
        """
        while self._is_read(blob):
            if row:
                row.say("kept for copies in its region")
            await asyncio.sleep(LOOK_SECONDS)
        async with self._locks[blob.url]:
            for _ in range(CLAIMS):
                if await self._left(blob, user):
                    return
        raise CopyError(f"{blob.name}: somebody else writes to it all the time; it stays and takes up room. Run again")

    async def _left(self, blob: BlobRef, user: str) -> bool:
        """Remove `user` from the staged VHD, or the VHD with its last user; False if somebody wrote to it meanwhile."""
        facts = await self._blobs.facts(blob)
        if facts is None or copier.SOURCE not in facts.metadata:
            return True
        if others := copier.users_of(facts.metadata) - {user}:
            metadata = {key: value for key, value in facts.metadata.items() if key != copier.USERS}
            return await self._blobs.set_metadata(blob, {**metadata, **copier.users_text(others)}, etag=facts.etag)
        self._released.add(blob)
        removed = await copier.remove(self._blobs, blob, copier.record_of(blob), facts)
        if not removed:
            self._released.discard(blob)
        return removed

    async def forget(self, request: CopyRequest, user: str) -> None:
        """The copy is not needed any more by `user`. Raises `CloudError`."""
        facts = await self._blobs.facts(request.destination)
        if facts and request.marked(facts.metadata):
            await self.release(request.destination, user)

    async def _relayed(self, request: CopyRequest, relay: Relay, row: Row) -> BlobRef | None:
        """The relay, whole; None where the copy does without. It is made for its own lab, whose release removes it."""
        if relay.blob in self._released:
            return None
        try:
            await self._join(replace(request, destination=relay.blob), None, relay.owner, row)
        except ImageFactoryError as error:
            row.warn(f"the region's own copy failed ({error}); copying from the factory")
            return None
        return relay.blob

    async def _claimed(self, request: CopyRequest, via: BlobRef | None, user: str, row: Row) -> Copied:
        for _ in range(CLAIMS):
            try:
                copied = await self._join(request, via, user, row)
            except RelayLost as lost:
                row.warn(f"{lost}; copying from the factory")
                via = None
                continue
            if await self._claim(request, user):
                return copied
        raise CopyError(
            f"{request.destination.name}: somebody removed it {CLAIMS} times; the image is not made. Find out who"
            " deletes it, then run again"
        )

    async def _claim(self, request: CopyRequest, user: str) -> bool:
        """Name `user` in the staged VHD; False where it is not there any more."""
        async with self._locks[request.destination.url]:
            facts = await self._blobs.facts(request.destination)
            if facts is None or not request.marked(facts.metadata) or not copier.is_whole(facts):
                return False
            users = copier.users_of(facts.metadata)
            if user in users:
                return True
            metadata = {**facts.metadata, **copier.users_text(users | {user})}
            return await self._blobs.set_metadata(request.destination, metadata, etag=facts.etag)

    async def _join(self, request: CopyRequest, via: BlobRef | None, user: str, row: Row) -> Copied:
        """Take part in the copy into that blob, and begin it where nobody has."""
        url = request.destination.url
        copying = self._copying.get(url)
        if copying is None or copying.task.done():
            copying = self._copying[url] = _Copying()
            copying.task = asyncio.ensure_future(self._copy(copying, request, via))
        copying.rows.append(row)
        copying.users.add(user)
        try:
            return await asyncio.shield(copying.task)
        finally:
            copying.rows.remove(row)
            if not copying.rows and not copying.task.done():
                copying.task.cancel()
                await asyncio.wait([copying.task])

    async def _copy(self, copying: _Copying, request: CopyRequest, via: BlobRef | None) -> Copied:
        await asyncio.sleep(0)  # who begins it has yet to say that it takes part
        try:
            return await self._copier.copy(request, via, copying.users, copying.report, copying.warn)
        finally:
            self._copying.pop(request.destination.url, None)

    def _is_read(self, blob: BlobRef) -> bool:
        """Whether copies read it, or may yet come to: those of the plan, while others run or shortly after."""
        readers = self._readers.get(blob)
        if readers is None or readers.under_way > 0:
            return readers is not None
        recent = bool(self._copying) or monotonic() - readers.last_seen < self._patience
        return readers.to_come > 0 and recent
