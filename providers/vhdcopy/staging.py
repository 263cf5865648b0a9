"""Staged VHDs as all resources of a process share them: each VHD is copied once into an account, and once to a region.

Owns who needs a staged VHD. Custom images that are to be made of it are named in its own metadata, so that another run,
on another machine, knows them; the last one to be made removes it. Copies that read it as their region's relay live in
this process only and are counted here. How bytes move is the copier's business.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from imagefactory.errors import ImageFactoryError
from imagefactory_azure.blobs import BlobRef
from providers.vhdcopy import copier
from providers.vhdcopy.copier import Copied, Copier, CopyError, CopyRequest, Progress, RelayLost

if TYPE_CHECKING:
    from imagefactory_azure.page_blobs import PageBlobs
    from providers.vhdcopy.progress import Row

CLAIMS = 5
"""How often a staged VHD is made again that others removed before it was claimed."""


@dataclass(frozen=True, slots=True)
class Relay:
    """The staged VHD that the accounts of a region copy from, and how many copies of this run do."""

    blob: BlobRef
    uses: int


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
    failed: bool = False
    """Whether one will read it in the next run."""


class Staging:
    """The staged VHDs of one provider process."""

    def __init__(self, blobs: PageBlobs, copier_: Copier) -> None:
        self._blobs, self._copier = blobs, copier_
        self._copying: dict[str, _Copying] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._readers: dict[BlobRef, tuple[CopyRequest, _Readers]] = {}

    async def stage(self, request: CopyRequest, user: str, relay: Relay | None, row: Row) -> Copied:
        """Make the staged VHD exist, be whole and be kept for `user`. Raises `CopyError`, `CloudError`."""
        if relay and relay.blob == request.destination:
            self._expect(request, relay)
            relay = None
        if relay is None:
            return await self._claimed(request, None, user, row)
        at_relay = replace(request, destination=relay.blob)
        async with self._reading(at_relay, relay):
            try:
                await self._join(at_relay, None, None, row)
            except ImageFactoryError as error:
                row.warn(f"the region's own copy failed ({error}); copying from the factory")
                return await self._claimed(request, None, user, row)
            return await self._claimed(request, relay.blob, user, row)

    async def release(self, blob: BlobRef, user: str) -> None:
        """The image `user` stands: remove the staged VHD, unless somebody else needs it. Raises `CloudError`."""
        async with self._locks[blob.url]:
            facts = await self._blobs.facts(blob)
            if facts is None or copier.SOURCE not in facts.metadata:
                return
            others = copier.users_of(facts.metadata) - {user}
            if others or self._is_read(blob):
                metadata = {key: value for key, value in facts.metadata.items() if key != copier.USERS}
                await self._blobs.set_metadata(blob, {**metadata, **copier.users_text(others)}, etag=facts.etag)
            else:
                await copier.remove(self._blobs, blob, facts)

    async def forget(self, request: CopyRequest, user: str, relay: Relay | None) -> None:
        """Neither the copy nor its relay is needed any more by `user`. Raises `CloudError`."""
        facts = await self._blobs.facts(request.destination)
        if facts and request.marked(facts.metadata):
            await self.release(request.destination, user)
        if relay and relay.blob != request.destination:
            await self._drop(replace(request, destination=relay.blob), unfinished=True)

    async def close(self) -> None:
        """Remove relays that were kept for copies that did not come."""
        readers, self._readers = self._readers, {}
        await asyncio.gather(
            *(self._drop(request) for request, counts in readers.values() if not counts.failed),
            return_exceptions=True,
        )

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

    async def _join(self, request: CopyRequest, via: BlobRef | None, user: str | None, row: Row) -> Copied:
        """Take part in the copy into that blob, and begin it where nobody has."""
        url = request.destination.url
        copying = self._copying.get(url)
        if copying is None or copying.task.done():
            copying = self._copying[url] = _Copying()
            copying.task = asyncio.ensure_future(self._copy(copying, request, via))
        copying.rows.append(row)
        if user:
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

    @asynccontextmanager
    async def _reading(self, at_relay: CopyRequest, relay: Relay) -> AsyncIterator[None]:
        readers = self._expect(at_relay, relay)
        readers.under_way += 1
        try:
            yield
        except BaseException:
            readers.failed = True
            raise
        finally:
            readers.under_way -= 1
            readers.to_come -= 1
        if not readers.failed:
            await self._drop(at_relay)

    def _expect(self, at_relay: CopyRequest, relay: Relay) -> _Readers:
        _, readers = self._readers.setdefault(relay.blob, (at_relay, _Readers(to_come=relay.uses)))
        return readers

    def _is_read(self, blob: BlobRef) -> bool:
        _, readers = self._readers.get(blob, (None, _Readers()))
        return readers.under_way > 0 or readers.to_come > 0

    async def _drop(self, request: CopyRequest, *, unfinished: bool = False) -> None:
        """Remove a staged VHD that no image needs and nobody reads; one that is not whole only if told so."""
        blob = request.destination
        async with self._locks[blob.url]:
            facts = None if self._is_read(blob) else await self._blobs.facts(blob)
            if facts is None or not request.marked(facts.metadata) or copier.users_of(facts.metadata):
                return
            if unfinished or copier.is_whole(facts):
                await copier.remove(self._blobs, blob, facts)
