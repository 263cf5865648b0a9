"""The copier that moves ranges (Put Page From URL): resumes, verifies, and never touches what is empty.

Owns the life of one staged VHD: begun, taken up or taken over; its ranges moved; compared; marked whole last. What was
moved and found right is recorded beside it, so that a copy that was cut off goes on from there; what the record does
not vouch for is moved again. The source's ETag guards every range, the blob's sequence number every write.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, thread_time
from typing import TYPE_CHECKING

from imagefactory.aio.once import Once
from imagefactory.copying import copier
from imagefactory.copying.copier import Copied, CopyError, CopyRequest, Progress, RelayLost, Report, Warn
from imagefactory.copying.known import Known
from imagefactory.copying.pacing import Pacer
from imagefactory.copying.totals import Totals
from imagefactory.copying.transfer import Job, SourceChanged, Transfer
from imagefactory.errors import ImageFactoryError
from imagefactory.images.ranges import Range, covered, pieces
from imagefactory.images.ranges_manifest import Manifest, ManifestError, manifest_bytes, most_bytes, parse_manifest
from imagefactory.observed.blobs import BlobFacts, BlobRef

if TYPE_CHECKING:
    from imagefactory.azure.storage.manifests import Manifests
    from imagefactory.azure.storage.page_blobs import PageBlobs
    from imagefactory.azure.storage.page_writer import PageWriter

STARTS = 3
"""How often a copy begins anew because its source changed, the first time included."""

RELAY_CHANGES = 5
"""How often in a row a relay may have another ETag, with no range moved in between; its users write its metadata."""

RECORD_SECONDS = 1.0, 10.0
"""Least and greatest time between two records of what is right; it grows with a copy's age, to a tenth of it."""

RECORDS_SHARE = 0.05
"""Of the process's time, records take no more than this, however many copies are in flight and however long they are.
"""

RECORD_CALL_SECONDS = 0.002
"""CPU time of the call that writes a record (the SDK's pipeline)."""

PRESENT_RANGES = 64
"""How many ranges of an unfinished VHD are looked at for each that it shall have, however many somebody made there."""

LAST_RECORD_SECONDS = 1.0
"""How long the last record of a copy that is stopped may take."""

MARK_ATTEMPTS = 5
"""How often the mark is set; a range whose answer was lost may yet arrive and change the ETag, with the same bytes."""

GENERATIONS = 2**31


@dataclass
class _Staged:
    """A staged VHD that is under way: its generation, and the ranges of it that are known to be right."""

    copy_id: str
    generation: int
    right: dict[Range, str] = field(default_factory=dict)


class RangedCopier:
    """A `Copier`; one for the whole provider process, any number of copies in flight."""

    def __init__(
        self, blobs: PageBlobs, writer: PageWriter, manifests: Manifests, pacer: Pacer, totals: Totals
    ) -> None:
        self._blobs, self._writer, self._manifests = blobs, writer, manifests
        self._pacer, self._totals = pacer, totals
        self._known: Once[BlobRef, Known] = Once()
        self._in_flight = 0

    async def copy(
        self, request: CopyRequest, via: BlobRef | None, users: AbstractSet[str], report: Report, warn: Warn
    ) -> Copied:
        """See `Copier`."""
        self._totals.begin()
        self._in_flight += 1
        try:
            for _ in range(STARTS):
                known = await self._known.get(request.source, lambda: self._learn(request, warn))
                try:
                    return await self._copy(request, known, via, users, report, warn)
                except SourceChanged:
                    if not known.is_stale:  # the first copy that notices has it learnt anew, for all
                        known.is_stale = True
                        self._known.forget(request.source)
                    warn(f"{request.source.name} changed while it was copied; the copy begins anew")
        finally:
            self._in_flight -= 1
            if request.manifests:  # nobody else copies from it
                self._known.forget(request.source)
        raise CopyError(
            f"{request.source.name}: it changed {STARTS} times while it was copied; the image is not made. Wait until"
            " nobody writes to it, then run again"
        )

    async def _learn(self, request: CopyRequest, warn: Warn) -> Known:
        source = await copier.checked_source(self._blobs, request)
        allocated = await self._blobs.page_ranges(request.source)
        manifests = request.manifests or self._manifests
        found = await manifests.read(request.source, request.source_length, request.source_created)
        if found.warning:
            warn(found.warning)
        manifest = found.manifest
        if manifest is None:
            return Known(request.source, source, pieces(allocated), None, self._writer, {}, {})
        parts = tuple(sorted(manifest.ranges))
        if beyond := next((part for part in allocated if not covered(part, parts)), None):
            raise CopyError(
                f"{request.source.name}: it holds data at {beyond.offset} that its ranges manifest does not know, so it"
                " was changed after it was saved; it is not copied. Save the image again"
            )
        digests = dict(manifest.ranges), dict(manifest.md5)
        return Known(request.source, source, parts, manifest, self._writer, *digests)

    async def _copy(
        self,
        request: CopyRequest,
        known: Known,
        via: BlobRef | None,
        users: AbstractSet[str],
        report: Report,
        warn: Warn,
    ) -> Copied:
        staged = await self._open(request, known, users, warn)
        if isinstance(staged, Copied):
            return staged
        kept = sum(part.length for part in staged.right)
        await self._move(request, known, staged, via, report)
        manifest = await self._manifest(request, known, via, warn)
        await self._finish(request, known, staged, manifest.digest, users)
        self._totals.end(request.source_length, known.total, kept)
        return Copied(staged.copy_id, manifest.digest)

    async def _finish(
        self, request: CopyRequest, known: Known, staged: _Staged, digest: str, users: AbstractSet[str]
    ) -> None:
        """Check the end, and set the mark that makes it whole, last."""
        alike = await copier.ends_alike(self._blobs, request, known.source)
        for _ in range(MARK_ATTEMPTS):
            facts = await self._blobs.facts(request.destination)
            if facts is None or facts.metadata.get(copier.COPY) != staged.copy_id:
                raise CopyError(
                    f"{request.destination.name}: somebody removed it while it was copied; the image is not made."
                    " Run again"
                )
            if not alike:
                if await copier.remove(self._blobs, request.destination, request.record, facts):
                    raise copier.ends_otherwise(request)
                continue
            metadata = {
                **self._marks(request, known, staged.copy_id),
                copier.STATE: copier.WHOLE,
                copier.DIGEST: digest,
                **copier.users_text(users | copier.users_of(facts.metadata)),
            }
            if await self._blobs.set_metadata(request.destination, metadata, etag=facts.etag):
                with suppress(ImageFactoryError):  # the release removes it too
                    await copier.remove_record(self._blobs, request.record)
                return
        raise CopyError(f"{request.destination.name}: somebody else writes to it; the image is not made. Run again")

    async def _open(self, request: CopyRequest, known: Known, users: AbstractSet[str], warn: Warn) -> _Staged | Copied:
        """What stands at the destination, taken over or taken up; else a new page blob."""
        facts = await self._blobs.facts(request.destination)
        if facts is not None:
            if not request.from_same_source(facts.metadata):
                raise copier.foreign(request)
            if facts.copy and facts.copy.status == "pending":
                await self._blobs.abort_copy(request.destination, facts.copy.id)
            elif request.marked(facts.metadata):
                is_same = facts.metadata.get(copier.ETAG) == known.source.version
                is_whole = copier.is_whole(facts)
                if is_whole and (is_same or not request.source_version):
                    copy_id = facts.metadata.get(copier.COPY) or (facts.copy.id if facts.copy else "")
                    return Copied(copy_id, known.believed(facts.metadata.get(copier.DIGEST, "")))
                if is_same and facts.generation and not is_whole:
                    return await self._take_up(request, known, facts)
                since = "was finished, before it became an image" if is_whole else "began"
                warn(f"{request.source.name} changed since its copy {since}; the copy begins anew")
        return await self._begin(request, known, users, facts)

    async def _begin(
        self, request: CopyRequest, known: Known, users: AbstractSet[str], there: BlobFacts | None
    ) -> _Staged:
        staged = _Staged(uuid.uuid4().hex, random.randrange(1, GENERATIONS))  # noqa: S311 - a number, no secret
        metadata = {
            **self._marks(request, known, staged.copy_id),
            copier.STATE: copier.UNFINISHED,
            **copier.users_text(users),
        }
        made = await self._blobs.create(
            request.destination,
            request.source_length,
            metadata,
            staged.generation,
            overwrite_etag=there.etag if there else None,
        )
        if not made and not await self._is_ours(request, staged):
            raise CopyError(
                f"{request.destination.name}: another run began to copy into it; the image is not made here. Run again"
            )
        return staged

    async def _is_ours(self, request: CopyRequest, staged: _Staged) -> bool:
        """Whether the blob that stands there is the one that was just made, and only the answer was lost."""
        facts = await self._blobs.facts(request.destination)
        return facts is not None and facts.metadata.get(copier.COPY) == staged.copy_id

    async def _take_up(self, request: CopyRequest, known: Known, facts: BlobFacts) -> _Staged:
        """What an earlier run left: the ranges that are there, and right by its record, if the factory confirms it."""
        staged = _Staged(facts.metadata[copier.COPY], facts.generation or 0)
        packed = await self._blobs.get_document(request.record, most_bytes(len(known.parts)))
        if packed is None:
            return staged
        with suppress(ManifestError):
            record = await asyncio.to_thread(parse_manifest, packed, len(known.parts))
            if record.vhd == staged.copy_id:
                present = await self._blobs.page_ranges(request.destination, PRESENT_RANGES * len(known.parts))
                claimed = {part: record.ranges[part] for part in known.parts if part in record.ranges}
                there = {part: digest for part, digest in claimed.items() if covered(part, present)}
                staged.right = dict(await known.confirmed(there))
        return staged

    async def _move(
        self, request: CopyRequest, known: Known, staged: _Staged, via: BlobRef | None, report: Report
    ) -> None:
        kept = moved = sum(part.length for part in staged.right)
        total = known.total

        def done(part: Range, digest: str) -> None:
            nonlocal moved
            staged.right[part] = digest
            known.crc64.setdefault(part, digest)
            moved += part.length
            report(Progress(moved, total, kept))

        report(Progress(moved, total, kept))
        etag = await copier.relay_etag(self._blobs, request, via) if via else known.source.etag
        recording = asyncio.ensure_future(self._keep_record(request, staged))
        changes, before = 0, moved
        try:
            while left := [part for part in known.parts if part not in staged.right]:
                vouch = partial(known.vouch, via) if via else None
                source, to = via or request.source, request.destination
                job = Job(source, etag, to, staged.generation, request.source.name, vouch)
                try:
                    await Transfer(self._writer, self._pacer, self._totals, job, known.crc64, done).run(left)
                except SourceChanged:
                    if via is None:
                        raise
                    # Its users changed, perhaps, and with its metadata the ETag; a whole one is not written any more.
                    if (now := await copier.relay_etag(self._blobs, request, via)) == etag:
                        raise RelayLost(f"{via.name}: it cannot be read any more") from None
                    changes, before = changes + 1 if moved == before else 0, moved
                    if changes >= RELAY_CHANGES:
                        raise RelayLost(f"{via.name}: it changes all the time") from None
                    etag = now
        finally:
            recording.cancel()
            if len(staged.right) < len(known.parts):
                with suppress(ImageFactoryError, asyncio.TimeoutError):
                    await asyncio.wait_for(self._record(request, staged), LAST_RECORD_SECONDS)

    async def _keep_record(self, request: CopyRequest, staged: _Staged) -> None:
        least, greatest = RECORD_SECONDS
        began, recorded, cost = monotonic(), len(staged.right), 0.0
        while True:
            age = (monotonic() - began) / 10
            await asyncio.sleep(max(least, min(greatest, age), self._in_flight * cost / RECORDS_SHARE))
            if len(staged.right) > recorded:
                recorded = len(staged.right)
                with suppress(ImageFactoryError):  # the next one may succeed; without any, more is moved again
                    cost = await self._record(request, staged)

    async def _record(self, request: CopyRequest, staged: _Staged) -> float:
        """Write down what is right; returns the seconds that this kept the process busy."""

        def packed(record: Manifest) -> tuple[bytes, float]:
            began = thread_time()
            return manifest_bytes(record), thread_time() - began

        right = dict(staged.right)
        record = Manifest(staged.copy_id, request.source_length, request.source_created, right)
        content, cost = await asyncio.to_thread(packed, record)
        await self._blobs.put_document(request.record, content, {}, overwrite=True)
        return cost + RECORD_CALL_SECONDS

    async def _manifest(self, request: CopyRequest, known: Known, via: BlobRef | None, warn: Warn) -> Manifest:
        """The factory image's manifest; made from this copy, and left with the image, where there was none.

        A copy that read a relay leaves none.
        """
        async with known.writing:
            if known.manifest is not None:
                return known.manifest
            source = request.source
            digests = {part: known.crc64[part] for part in known.parts}
            made = Manifest(source.file_name, request.source_length, request.source_created, digests)
            if via is None:
                if warning := await (request.manifests or self._manifests).write(source, made):
                    warn(warning)
                known.manifest = made
            return made

    @staticmethod
    def _marks(request: CopyRequest, known: Known, copy_id: str) -> dict[str, str]:
        return {**request.mark, copier.ETAG: known.source.version, copier.COPY: copy_id}
