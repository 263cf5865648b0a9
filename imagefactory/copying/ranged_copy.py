"""The copier that copies by ranges (Put Page From URL): skips empty ranges, verifies, and resumes.

A copy creates, resumes or adopts the destination VHD, copies its ranges, compares the end, and marks the VHD as
finished last. It records verified ranges beside the VHD, so that the next run resumes an interrupted copy. A range
that the record does not confirm is copied again, unless the service computes the same digest for it and the source.
The source's ETag guards every read, the blob's sequence number every write.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic, thread_time
from typing import TYPE_CHECKING

from imagefactory.aio.once import Once
from imagefactory.copying import copier
from imagefactory.copying.copier import (
    Copied,
    CopyError,
    CopyRequest,
    ManifestStore,
    Progress,
    RelayLost,
    Report,
    Warn,
)
from imagefactory.copying.known_source import KnownSource, not_empty
from imagefactory.copying.pacing import Pacer
from imagefactory.copying.totals import Totals
from imagefactory.copying.transfer import Job, SourceChanged, Tally, Transfer, Vouch
from imagefactory.errors import ImageFactoryError
from imagefactory.images.ranges import Range, covered, pieces
from imagefactory.images.ranges_manifest import (
    SUFFIX,
    Manifest,
    ManifestError,
    manifest_bytes,
    most_bytes,
    parse_manifest,
)
from imagefactory.observed.blobs import BlobFacts, BlobRef

if TYPE_CHECKING:
    from imagefactory.azure.storage.page_blobs import PageBlobs
    from imagefactory.azure.storage.page_writer import PageWriter

STARTS = 3
"""How often a copy starts, the first time included, if its source changes meanwhile."""

RELAY_CHANGES = 5
"""How often in a row a relay may change its ETag without a range copied in between; its users write its metadata."""

RECORD_SECONDS = 1.0, 10.0
"""Least and greatest time between two records of a copy; it grows to a tenth of the copy's age."""

RECORDS_SHARE = 0.05
"""The share of the process's time that all records may take, for any number and length of copies."""

RECORD_CALL_SECONDS = 0.002
"""CPU time of the call that writes a record (the SDK's pipeline)."""

PRESENT_RANGES = 64
"""How many ranges of an unfinished VHD are read for each range of its source; another client may have written more."""

LAST_RECORD_SECONDS = 1.0
"""Timeout of the last record of a copy that fails or is canceled, and of the one that is being written at that time."""

MARK_ATTEMPTS = 5
"""How often the final mark is tried; a range that arrives late may change the ETag, though not the bytes."""

UNVERIFIED = "Start a VM from it before you rely on it, and set imagefactory:copy.verifyFirst to false to stop asking"
"""The remedy where the service computes no digests of a source."""

GENERATIONS = 2**31


class RangedCopier:
    """A `Copier`; one per process, for any number of concurrent copies. Keeps what they share."""

    def __init__(
        self,
        blobs: PageBlobs,
        writer: PageWriter,
        manifests: ManifestStore,
        pacer: Pacer,
        totals: Totals,
        *,
        verify_first: bool = True,
    ) -> None:
        """`verify_first`: compare the ranges of a source without manifest with the CRC64s that the service computes."""
        self.blobs, self.writer, self.manifests = blobs, writer, manifests
        self.pacer, self.totals = pacer, totals
        self.verify_first = verify_first
        self.in_flight = 0
        self._sources: Once[BlobRef, KnownSource] = Once()

    async def copy(
        self, request: CopyRequest, via: BlobRef | None, users: AbstractSet[str], report: Report, warn: Warn
    ) -> Copied:
        """See `Copier`."""
        copy = _Copy(self, request, via, users, report, warn)
        self.totals.begin()
        self.in_flight += 1
        try:
            unreadable: tuple[str, ImageFactoryError] | None = None
            for _ in range(STARTS):
                source = await self._sources.get(request.source, copy.learn)
                if unreadable and unreadable[0] == source.state.version:
                    raise unreadable[1]  # it is there and has not changed, but the service does not find it
                try:
                    return await copy.run(source)
                except SourceChanged as change:
                    unreadable = (source.state.version, change.refusal) if change.refusal else None
                    if not source.is_stale:  # the first copy that notices makes all others read the source again
                        source.is_stale = True
                        self._sources.forget(request.source)
                    if not unreadable:
                        warn(f"{request.source.name} changed during the copy; the copy restarts")
        finally:
            self.in_flight -= 1
            if request.manifests:  # no other copy reads this source
                self._sources.forget(request.source)
        raise CopyError(
            f"{request.source.name}: changed {STARTS} times during the copy; the image is not created. Wait until no"
            " client writes to it, then run again"
        )


@dataclass
class _Unfinished:
    """A destination VHD that is not finished: the copy's id, the blob's generation, and its verified ranges."""

    copy_id: str
    generation: int
    verified: dict[Range, str] = field(default_factory=dict)
    may_have_record: bool = True
    kept: int = field(init=False)
    """Bytes that an earlier run copied."""
    done: int = field(init=False)

    def __post_init__(self) -> None:
        self.kept = self.done = sum(part.length for part in self.verified)


@dataclass
class _Copy:
    """One copy: what was requested, for which users, and where it reports."""

    shared: RangedCopier
    request: CopyRequest
    via: BlobRef | None
    users: AbstractSet[str]
    report: Report
    warn: Warn
    source: KnownSource = field(init=False)
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self.blobs, self.manifests = self.shared.blobs, self.request.manifests or self.shared.manifests

    async def learn(self) -> KnownSource:
        """Read the source's state, ranges and manifest. Raises `CopyError`, `CloudError`."""
        request = self.request
        state = await copier.checked_source(self.blobs, request)
        found = await self.manifests.read(request.source, request.source_length, request.source_created)
        if found.warning:
            self.warn(found.warning)
        unlisted: list[Range] = []
        allocated = await self.blobs.page_ranges(request.source, unlisted=unlisted)
        manifest, writer = found.manifest, self.shared.writer
        if manifest is None:
            filled = await not_empty(writer, request.source, state.etag, pieces(unlisted))
            return KnownSource(request.source, state, pieces(sorted([*allocated, *filled])), None, writer)
        parts = tuple(sorted(manifest.ranges))
        if beyond := next((part for part in allocated if not covered(part, parts)), None):
            raise CopyError(
                f"{request.source.name}: has data at {beyond.offset} that its ranges manifest does not list, so it was"
                " changed after it was saved; it is not copied. Save the image again"
            )
        return KnownSource(request.source, state, parts, manifest, writer, dict(manifest.ranges), dict(manifest.md5))

    async def run(self, source: KnownSource) -> Copied:
        """Copy what the destination lacks. Raises `SourceChanged` and what `Copier.copy` raises."""
        self.source = source
        opened = await self._open()
        if isinstance(opened, Copied):
            return opened
        await self._move(opened)
        manifest = await self._manifest()
        users, etag = await self._finish(opened, manifest.digest)
        self.shared.totals.end(self.request.source_length, source.total, opened.kept)
        return Copied(opened.copy_id, manifest.digest, "resumed" if opened.kept else "copied", users, etag)

    async def _open(self) -> _Unfinished | Copied:
        """Create a page blob; adopt or resume one that exists."""
        request, state = self.request, self.source.state
        facts = await self._create(None)
        if isinstance(facts, _Unfinished):
            return facts
        if not request.from_same_source(facts.metadata):
            raise copier.foreign(request)
        if facts.copy and facts.copy.status == "pending":
            await self.blobs.abort_copy(request.destination, facts.copy.id)
        elif request.marked(facts.metadata):
            is_same = facts.metadata.get(copier.ETAG) == state.version
            is_whole = copier.is_whole(facts)
            if is_whole and (is_same or not request.source_version):
                copy_id = facts.metadata.get(copier.COPY) or (facts.copy.id if facts.copy else "")
                digest = self.source.believed(facts.metadata.get(copier.DIGEST, ""))
                return Copied(copy_id, digest, "already there")
            if is_same and facts.generation and not is_whole:
                return await self._resume(facts)
            since = "was finished, before it became an image" if is_whole else "started"
            self.warn(f"{request.source.name} changed since its copy {since}; the copy restarts")
        created = await self._create(facts)
        if isinstance(created, _Unfinished):
            return created
        name = request.destination.name
        raise CopyError(f"{name}: another run copies into it; the image is not created. Run again")

    async def _create(self, existing: BlobFacts | None) -> _Unfinished | BlobFacts:
        """Create the blob, in place of `existing`; if there is another, return its facts."""
        vhd = _Unfinished(uuid.uuid4().hex, random.randrange(1, GENERATIONS))  # noqa: S311 - not a secret
        # What another copy may have left is removed by the release; a saved VHD has none.
        vhd.may_have_record = existing is not None or self.request.record_suffix != SUFFIX
        other = await self.blobs.create(
            self.request.destination,
            self.request.source_length,
            self._metadata(vhd, copier.UNFINISHED, self.users),
            vhd.generation,
            overwrite_etag=existing.etag if existing else None,
            notice=lambda note: self.report(Progress(0, self.source.total, note=note)),
        )
        return other or vhd

    async def _resume(self, facts: BlobFacts) -> _Unfinished:
        """Return what an earlier run left: its ranges that are right, by its record or by the service's digests."""
        request, parts = self.request, self.source.parts
        vhd = _Unfinished(facts.metadata[copier.COPY], facts.generation or 0)
        packed, recorded = await self.blobs.get_document(request.record, most_bytes(len(parts))), {}
        if packed is not None:
            with suppress(ManifestError):
                record = await asyncio.to_thread(parse_manifest, packed, len(parts))
                recorded = dict(record.ranges) if record.vhd == vhd.copy_id else {}
        verified: dict[Range, str] = {}
        seen: set[Range] = set()
        while True:  # what was in flight when the earlier run was killed arrives meanwhile
            present = await self.blobs.page_ranges(request.destination, PRESENT_RANGES * len(parts), unlisted=[])
            existing = [part for part in parts if part not in seen and covered(part, present)]
            if not existing:
                return replace(vhd, verified=verified)
            verified |= await self.source.kept(request.destination, existing, recorded)
            seen.update(existing)

    async def _move(self, vhd: _Unfinished) -> None:
        """Copy the missing ranges. Meanwhile, and if it fails, record the verified ones."""
        self._report(vhd)
        etag = await copier.relay_etag(self.blobs, self.request, self.via) if self.via else self.source.state.etag
        moved = asyncio.Event()
        recording = asyncio.ensure_future(self._keep_record(vhd, moved))
        try:
            if self.via:
                await self._move_from_relay(vhd, self.via, etag)
            else:
                verifies = self.shared.verify_first and self.source.manifest is None
                await self._transfer(vhd, self.request.source, etag, self.source.expected if verifies else None)
                if verifies and (reason := self.source.digests_refused):
                    self.warn(f"{self.request.source.name}: {reason}; its first copy is not verified. {UNVERIFIED}")
        finally:
            self._report(vhd)
            moved.set()
            complete = len(vhd.verified) == len(self.source.parts)
            try:  # a canceled request may arrive after the record of a complete copy is deleted
                await asyncio.wait([recording], timeout=None if complete else LAST_RECORD_SECONDS)
            finally:
                recording.cancel()
            if not complete:
                with suppress(ImageFactoryError, asyncio.TimeoutError):
                    await asyncio.wait_for(self._record(vhd), LAST_RECORD_SECONDS)

    async def _move_from_relay(self, vhd: _Unfinished, relay: BlobRef, etag: str | None) -> None:
        changes = 0
        while True:
            before = vhd.done
            try:
                return await self._transfer(vhd, relay, etag, partial(self.source.vouch, relay))
            except SourceChanged:
                # Its users may have changed, and with the metadata the ETag; a finished VHD is no longer written.
                if (now := await copier.relay_etag(self.blobs, self.request, relay)) == etag:
                    raise RelayLost(f"{relay.name}: cannot be read anymore") from None
                changes = changes + 1 if vhd.done == before else 0
                if changes >= RELAY_CHANGES:
                    raise RelayLost(f"{relay.name}: changes all the time") from None
                etag = now

    async def _transfer(self, vhd: _Unfinished, source: BlobRef, etag: str | None, vouch: Vouch | None = None) -> None:
        def done(part: Range, digest: str) -> None:
            vhd.verified[part] = digest
            vhd.done += part.length
            known.crc64.setdefault(part, digest)
            self._report(vhd)

        known, shared, name = self.source, self.shared, self.request.source.name
        job = Job(source, etag, self.request.destination, vhd.generation, name, vouch, source != self.request.source)
        transfer = Transfer(shared.writer, shared.pacer, shared.totals, job, known.crc64, done, self.tally)
        await transfer.run([part for part in known.parts if part not in vhd.verified])

    async def _manifest(self) -> Manifest:
        """Return the source's manifest. If there is none, build it and, unless a relay was read, write it."""
        request, source = self.request, self.source
        async with source.writing:
            if source.manifest is not None:
                return source.manifest
            digests = {part: source.crc64[part] for part in source.parts}
            manifest = Manifest(request.source.file_name, request.source_length, request.source_created, digests)
            if self.via is None:
                if warning := await self.manifests.write(request.source, manifest):
                    self.warn(warning)
                source.manifest = manifest
            return manifest

    async def _finish(self, vhd: _Unfinished, digest: str) -> tuple[frozenset[str], str]:
        """Compare the end with the source, then mark the VHD as finished.

        Returns the users that the mark names, and the marked VHD's ETag if no record is beside it.
        """
        request = self.request
        for _ in range(MARK_ATTEMPTS):
            end = await copier.end_of(self.blobs, request, self.source.state)
            if end is None or end[0].metadata.get(copier.COPY) != vhd.copy_id:
                raise copier.removed_meanwhile(request)
            facts, alike = end
            if not alike:
                if await copier.remove(self.blobs, request.destination, request.record, facts):
                    raise copier.ends_otherwise(request)
                continue
            users = frozenset(self.users | copier.users_of(facts.metadata))
            metadata = {**self._metadata(vhd, copier.WHOLE, users), copier.DIGEST: digest}
            if etag := await self.blobs.set_metadata(request.destination, metadata, etag=facts.etag):
                if vhd.may_have_record:
                    with suppress(ImageFactoryError):  # the release removes it too
                        await copier.remove_record(self.blobs, request.record)
                return users, "" if vhd.may_have_record else etag
        raise CopyError(f"{request.destination.name}: another client writes to it; the image is not created. Run again")

    def _metadata(self, vhd: _Unfinished, state: str, users: AbstractSet[str]) -> dict[str, str]:
        marks = {copier.ETAG: self.source.state.version, copier.COPY: vhd.copy_id, copier.STATE: state}
        return {**self.request.mark, **marks, **copier.users_text(users)}

    def _report(self, vhd: _Unfinished) -> None:
        tally = self.tally
        self.report(Progress(vhd.done, self.source.total, vhd.kept, retried=tally.retried, refused=tally.refused))

    async def _keep_record(self, vhd: _Unfinished, moved: asyncio.Event) -> None:
        least, greatest = RECORD_SECONDS
        began, recorded, cost = monotonic(), len(vhd.verified), 0.0
        while True:
            age = (monotonic() - began) / 10
            pause = max(least, min(greatest, age), self.shared.in_flight * cost / RECORDS_SHARE)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(moved.wait(), pause)
                return
            if len(vhd.verified) > recorded:
                recorded = len(vhd.verified)
                with suppress(ImageFactoryError):  # the next one may succeed; without any, more is copied again
                    cost = await self._record(vhd)

    async def _record(self, vhd: _Unfinished) -> float:
        """Record the verified ranges; return the seconds of CPU time that this took."""

        def packed(record: Manifest) -> tuple[bytes, float]:
            began = thread_time()
            return manifest_bytes(record), thread_time() - began

        request, verified = self.request, dict(vhd.verified)
        record = Manifest(vhd.copy_id, request.source_length, request.source_created, verified)
        content, cost = await asyncio.to_thread(packed, record)
        vhd.may_have_record = True
        await self.blobs.put_document(request.record, content, {}, overwrite=True)
        return cost + RECORD_CALL_SECONDS
