"""What a copier does, whatever way it copies: the interface between the resource and the transfer.

Owns the values that cross it and the rules common to all ways: what a staged VHD says of itself in its blob metadata,
and when a source is fit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from imagefactory.errors import ImageFactoryError
from imagefactory.images.ranges_manifest import SUFFIX
from imagefactory.images.vhd_footer import FOOTER_BYTES, footer_problem
from imagefactory.observed.blobs import BlobFacts, BlobRef

if TYPE_CHECKING:
    from imagefactory.azure.storage.manifests import Found
    from imagefactory.azure.storage.page_blobs import PageBlobs
    from imagefactory.images.ranges_manifest import Manifest

SHORTEST_WAIT, LONGEST_WAIT = 0.2, 15.0
"""Bounds of the time between two looks at a copy, in seconds."""


def poll_delay(elapsed: float) -> float:
    """Seconds until the next look at a copy that has run for `elapsed` seconds and is still pending.

    The copy is to be noticed within 10 % of its own time after its end, bounds apart. The wait is less than a tenth of
    the elapsed time, for the look itself takes time too where many copies run.
    """
    return min(LONGEST_WAIT, max(SHORTEST_WAIT, elapsed / 15))


SOURCE, CREATED, ETAG = "imagefactorysource", "imagefactorycreated", "imagefactoryetag"
COPY, STATE, DIGEST, USERS = "imagefactorycopy", "imagefactorystate", "imagefactorydigest", "imagefactoryusers"
"""Keys of a staged VHD's metadata: the factory's VHD (URL, creation time, ETag), this copy of it, how far it is."""

WHOLE, UNFINISHED = "whole", "copying"


class CopyError(ImageFactoryError):
    """A copy that cannot be made or finished; the text tells subject, fact, consequence and remedy."""


class ManifestStore(Protocol):
    """Reads and writes the ranges manifest of a VHD. A warning says what could not be read or written."""

    async def read(self, vhd: BlobRef, length: int, created: datetime) -> Found:
        """The manifest of a VHD of that length (bytes) and creation time. Raises `CloudError`."""
        ...

    async def write(self, vhd: BlobRef, manifest: Manifest) -> str:
        """Write the manifest; returns a warning if that fails, else nothing."""
        ...


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """One factory VHD (as it was when the plan was made) and the place where it is to be staged. Length in bytes."""

    source: BlobRef
    source_length: int
    source_created: datetime
    destination: BlobRef
    source_id: str = ""
    """What tells the source from others where its URL does not, as for a disk; empty: its URL."""
    source_version: str = ""
    """Tells one state of the source from another where no condition may be put on its reading, as for a disk, which
    nobody can write while it is open; empty: its ETag does. If it is given, a whole copy is taken over only if it was
    made of this state."""
    record_suffix: str = SUFFIX
    """What the record of the unfinished copy is called by; another one where a manifest belongs to the destination."""
    manifests: ManifestStore | None = field(default=None, compare=False)
    """Where the source's manifest is read and written; None: beside the source."""

    @property
    def record(self) -> BlobRef:
        """Where the record of the unfinished copy is: beside the destination."""
        return _beside(self.destination, self.record_suffix)

    @property
    def mark(self) -> dict[str, str]:
        """Blob metadata that tells whose staged VHD this is, and of what, also to a run on another machine."""
        return {SOURCE: self.source_id or self.source.url, CREATED: self.source_created.isoformat()}

    def marked(self, metadata: Mapping[str, str]) -> bool:
        """Whether blob metadata says that the blob is this very copy, finished or not."""
        return all(metadata.get(key) == value for key, value in self.mark.items())

    def from_same_source(self, metadata: Mapping[str, str]) -> bool:
        """Whether blob metadata says that the blob is ours, of that VHD, whenever that was written."""
        return metadata.get(SOURCE) == self.mark[SOURCE]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a copy has come, in bytes. `kept` of those done were there before this run."""

    done: int
    total: int
    kept: int = 0


Report = Callable[[Progress], None]
Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Copied:
    """A whole staged VHD: the id of the copy, and the digest of its ranges where the copier knows them (else empty)."""

    copy_id: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """What every copy of one factory VHD needs to know of it; the footer is its last 512 bytes.

    `etag` is the condition on which ranges are read, None where there may be none; `version` tells one state of it from
    another.
    """

    etag: str | None
    version: str
    footer: bytes


class Copier(Protocol):
    """Moves one VHD; knows nothing of resources, nor of who else needs the same."""

    async def copy(
        self, request: CopyRequest, via: BlobRef | None, users: AbstractSet[str], report: Report, warn: Warn
    ) -> Copied:
        """Make the staged VHD exist and be whole, and tell which copy it is.

        It is read from `via`, a staged VHD of the same source that calls itself whole, if that is given and the copier
        can check what it reads there; nothing that it holds or says is taken on trust. `users` is written into its
        metadata as it is when the copy begins and, by a copier that has an own end, when it ends. A whole one of the
        same source is taken over, an unfinished one resumed. Raises `RelayLost` (with `via` only), `CopyError` or
        `CloudError`; what is there then is kept, for the next call to go on.
        """
        ...


class RelayLost(CopyError):
    """The staged VHD that was read from is not there any more, or is another one."""


async def relay_etag(blobs: PageBlobs, request: CopyRequest, via: BlobRef) -> str:
    """The ETag of a whole staged VHD of the request's source. Raises `RelayLost`."""
    try:
        facts = await blobs.facts(via)
    except ImageFactoryError as error:
        raise RelayLost(f"{via.name}: it cannot be read ({error})") from error
    if facts is None or not request.marked(facts.metadata) or not is_whole(facts):
        raise RelayLost(f"{via.name}: it is not there any more")
    return facts.etag


def is_whole(facts: BlobFacts) -> bool:
    """Whether a staged VHD is finished, whatever copier made it."""
    by_service = facts.copy is not None and facts.copy.status == "success"
    return by_service or facts.metadata.get(STATE) == WHOLE


def users_of(metadata: Mapping[str, str]) -> frozenset[str]:
    """Who needs the staged VHD, by `user_of`."""
    return frozenset(name for name in metadata.get(USERS, "").split(",") if name)


def users_text(users: AbstractSet[str]) -> dict[str, str]:
    """Metadata that names the users; none where there is none, for Azure refuses an empty value."""
    return {USERS: ",".join(sorted(users))} if users else {}


def user_of(image_id: str) -> str:
    """A short name for a custom image as a user of a staged VHD: metadata has room for 8 KiB in all."""
    return hashlib.sha256(image_id.lower().encode()).hexdigest()[:12]


def foreign(request: CopyRequest) -> CopyError:
    """The refusal to touch a blob that somebody else put there."""
    return CopyError(
        f"{request.destination.name}: a blob that is not a copy of {request.source.name} stands there; it is"
        " left alone and the image is not made. Move or delete it, then run again"
    )


async def checked_source(blobs: PageBlobs, request: CopyRequest) -> Source:
    """The factory's VHD, if it is still what the plan knew and Azure will take it. Raises `CopyError`, `CloudError`."""
    name, lost = request.source.name, "it is not copied"
    facts = await blobs.facts(request.source)
    if facts is None:
        raise CopyError(f"{name}: the factory's VHD is gone; {lost}. Run again, so that the plan is made anew")
    if (facts.length, facts.created) != (request.source_length, request.source_created):
        raise CopyError(
            f"{name}: the factory's VHD was written anew since the plan; {lost}. Run again, so that the plan is"
            " made anew"
        )
    footer = await blobs.read(request.source, facts.length - FOOTER_BYTES, FOOTER_BYTES)
    diagnostic = footer_problem(footer, facts.length) if facts.is_page_blob else "it is not a page blob"
    if diagnostic:
        raise CopyError(f"{name}: {diagnostic}; Azure would refuse it, so {lost}. Save the image again")
    if request.source_version:
        return Source(None, request.source_version, footer)
    return Source(facts.etag, facts.etag, footer)


async def ends_alike(blobs: PageBlobs, request: CopyRequest, source: Source) -> bool:
    """Whether a copy that is said to be whole has its source's length and footer. Raises `CloudError`."""
    length = request.source_length
    return await blobs.read(request.destination, length - FOOTER_BYTES, FOOTER_BYTES + 1) == source.footer


def ends_otherwise(request: CopyRequest) -> CopyError:
    """The error for a copy that does not; it is to be removed."""
    return CopyError(
        f"{request.destination.name}: the copy of {request.source.name} did not end as its source does; it was"
        " removed and the image is not made. Run again"
    )


def record_of(staged: BlobRef) -> BlobRef:
    """Where the record of an unfinished staged VHD is: beside it."""
    return _beside(staged, SUFFIX)


async def remove(blobs: PageBlobs, staged: BlobRef, record: BlobRef, facts: BlobFacts) -> bool:
    """Remove a VHD as `facts` tell of it, and the record of its copy, whatever copier made it. Raises `CloudError`.

    Returns False if somebody wrote to it since.
    """
    if facts.copy and facts.copy.status == "pending":
        await blobs.abort_copy(staged, facts.copy.id)
        return False  # for it has another ETag now
    await remove_record(blobs, record)  # first: what a kill leaves is a VHD, which is looked for again
    return await blobs.delete(staged, etag=facts.etag)


async def remove_record(blobs: PageBlobs, record: BlobRef) -> None:
    """Remove the record of an unfinished copy, if there is one. Raises `CloudError`."""
    if facts := await blobs.facts(record):
        await blobs.delete(record, etag=facts.etag)


def _beside(blob: BlobRef, suffix: str) -> BlobRef:
    return BlobRef(blob.account_id, f"{blob.url.rpartition('.')[0]}{suffix}")
