"""The interface of every copier, and the rules that all copiers share.

Defines what a copy requests and reports, the blob metadata that describes a copied VHD, and which sources are accepted.
Does not move bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from imagefactory.errors import ImageFactoryError
from imagefactory.images.ranges_manifest import SUFFIX
from imagefactory.images.vhd_footer import FOOTER_BYTES, footer_problem
from imagefactory.observed.blobs import BlobFacts, BlobRef

if TYPE_CHECKING:
    from imagefactory.azure.storage.manifests import Found
    from imagefactory.azure.storage.page_blobs import PageBlobs
    from imagefactory.images.ranges_manifest import Manifest

SHORTEST_WAIT, LONGEST_WAIT = 0.2, 15.0
"""Bounds of the time between two polls of a copy, in seconds."""


def poll_delay(elapsed: float) -> float:
    """Return the seconds until the next poll of a copy that is still pending after `elapsed` seconds.

    Within the bounds, the poll comes at most 10 % of the copy's own duration after it finished. The wait is less than a
    tenth of the elapsed time, because the poll itself takes time if many copies run.
    """
    return min(LONGEST_WAIT, max(SHORTEST_WAIT, elapsed / 15))


SOURCE, CREATED, ETAG = "imagefactorysource", "imagefactorycreated", "imagefactoryetag"
COPY, STATE, DIGEST, USERS = "imagefactorycopy", "imagefactorystate", "imagefactorydigest", "imagefactoryusers"
"""Keys of a copied VHD's metadata: its source (URL, creation time, ETag), the copy's id, state and digest, users."""

WHOLE, UNFINISHED = "whole", "copying"


class CopyError(ImageFactoryError):
    """A copy that cannot start or finish; the message has subject, fact, consequence and remedy."""


class ManifestStore(Protocol):
    """Reads and writes the ranges manifest of a VHD. If that fails, returns a warning."""

    async def read(self, vhd: BlobRef, length: int, created: datetime) -> Found:
        """Return the manifest of a VHD with that length (bytes) and creation time. Raises `CloudError`."""
        ...

    async def write(self, vhd: BlobRef, manifest: Manifest) -> str:
        """Write the manifest; return a warning if that fails, otherwise an empty string."""
        ...


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """One source VHD, as it was when planned, and the blob to copy it to. Length in bytes."""

    source: BlobRef
    source_length: int
    source_created: datetime
    destination: BlobRef
    source_id: str = ""
    """Identifies the source if its URL does not, as for a disk; empty: use its URL."""
    source_version: str = ""
    """Identifies the source's version if reads take no conditions, as for a disk, which nobody can write while its SAS
    is active; empty: use its ETag. If set, a finished copy is adopted only if it was made from this version."""
    record_suffix: str = SUFFIX
    """Suffix of the unfinished copy's record; differs from the default if the destination has its own manifest."""
    manifests: ManifestStore | None = field(default=None, compare=False)
    """Reads and writes the source's manifest; None: use the one beside the source."""

    @property
    def record(self) -> BlobRef:
        """The record of the unfinished copy, beside the destination."""
        return _beside(self.destination, self.record_suffix)

    @property
    def mark(self) -> dict[str, str]:
        """Blob metadata that identifies the source of the copy, also for runs on other machines."""
        return {SOURCE: self.source_id or self.source.url, CREATED: self.source_created.isoformat()}

    def marked(self, metadata: Mapping[str, str]) -> bool:
        """Return whether blob metadata marks this copy, finished or not."""
        return all(metadata.get(key) == value for key, value in self.mark.items())

    def from_same_source(self, metadata: Mapping[str, str]) -> bool:
        """Return whether blob metadata marks a copy of the same VHD, in this version or another."""
        return metadata.get(SOURCE) == self.mark[SOURCE]


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a copy, in bytes. `kept` is the part of `done` that an earlier run copied."""

    done: int
    total: int
    kept: int = 0
    note: str = ""
    """What the copy waits for, in place of its progress."""
    retried: int = 0
    """Requests for ranges that were sent again."""
    refused: int = 0
    """Those of them that a busy service rejected."""


How = Literal["copied", "resumed", "already there"]

Report = Callable[[Progress], None]
Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Copied:
    """A finished copy: its id, and the digest of its ranges (empty if the copier does not know them)."""

    copy_id: str
    digest: str = ""
    how: How = field(default="copied", compare=False)
    """Resumed: an earlier run copied a part of it, or started it; already there: all of it."""
    users: frozenset[str] = field(default=frozenset(), compare=False)
    """Those that its metadata name since the copier marked its end; empty if it did not mark it now."""
    etag: str = field(default="", compare=False)
    """Its ETag since then, if no record of the copy exists; otherwise empty."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """The state of a source VHD that a copy starts from; the footer is its last 512 bytes.

    `etag` is the condition for reading ranges, None if reads take no conditions; `version` identifies the state.
    """

    etag: str | None
    version: str
    footer: bytes


class Copier(Protocol):
    """Copies one VHD. Does not know resources, or who else needs the same copy."""

    async def copy(
        self, request: CopyRequest, via: BlobRef | None, users: AbstractSet[str], report: Report, warn: Warn
    ) -> Copied:
        """Copy the VHD to its destination and return the finished copy.

        Reads from `via`, a staged VHD of the same source that is marked as finished, if set and if the copier can
        verify what it reads there; trusts neither its bytes nor its metadata. Writes `users` into the metadata of the
        copy when it starts and, if the copier marks the end itself, when it finishes. Adopts a finished copy of the
        same source and resumes an unfinished one. Raises `RelayLost` (with `via` only), `CopyError` or `CloudError`;
        progress is kept for the next call to resume.
        """
        ...


class RelayLost(CopyError):
    """The relay was removed or replaced, or cannot be read or verified."""


async def relay_etag(blobs: PageBlobs, request: CopyRequest, via: BlobRef) -> str:
    """Return the ETag of the relay, a finished copy of the request's source. Raises `RelayLost`."""
    try:
        facts = await blobs.facts(via)
    except ImageFactoryError as error:
        raise RelayLost(f"{via.name}: cannot be read ({error})") from error
    if facts is None or not request.marked(facts.metadata) or not is_whole(facts):
        raise RelayLost(f"{via.name}: no longer exists")
    return facts.etag


def is_whole(facts: BlobFacts) -> bool:
    """Return whether a copy is finished, for any copier."""
    by_service = facts.copy is not None and facts.copy.status == "success"
    return by_service or facts.metadata.get(STATE) == WHOLE


def users_of(metadata: Mapping[str, str]) -> frozenset[str]:
    """Return the users of a staged VHD, as named by `user_of`."""
    return frozenset(name for name in metadata.get(USERS, "").split(",") if name)


def users_text(users: AbstractSet[str]) -> dict[str, str]:
    """Return metadata that names the users; empty if there are none, because Azure rejects an empty value."""
    return {USERS: ",".join(sorted(users))} if users else {}


def user_of(image_id: str) -> str:
    """Return a short name for a custom image as a user of a staged VHD: metadata is limited to 8 KiB in total."""
    return hashlib.sha256(image_id.lower().encode()).hexdigest()[:12]


def foreign(request: CopyRequest) -> CopyError:
    """Return the error for a destination blob that is not a copy of the source."""
    return CopyError(
        f"{request.destination.name}: exists and is not a copy of {request.source.name}; it is kept and the image is"
        " not created. Move or delete it, then run again"
    )


def removed_meanwhile(request: CopyRequest) -> CopyError:
    """Return the error for a destination blob that disappeared during the copy."""
    return CopyError(f"{request.destination.name}: was removed during the copy; the image is not created. Run again")


async def checked_source(blobs: PageBlobs, request: CopyRequest) -> SourceState:
    """Return the state of the source, if it is as planned and Azure accepts it. Raises `CopyError`, `CloudError`."""
    name, consequence = request.source.name, "it is not copied"
    replan = f"{consequence}. Run again to create a new plan"
    facts = await blobs.facts(request.source)
    if facts is None:
        raise CopyError(f"{name}: the factory VHD no longer exists; {replan}")
    if (facts.length, facts.created) != (request.source_length, request.source_created):
        raise CopyError(f"{name}: the factory VHD was rewritten after planning; {replan}")
    footer = await blobs.read(request.source, facts.length - FOOTER_BYTES, FOOTER_BYTES)
    problem = footer_problem(footer, facts.length) if facts.is_page_blob else "it is not a page blob"
    if problem:
        raise CopyError(f"{name}: {problem}; Azure would reject it, so {consequence}. Save the image again")
    if request.source_version:
        return SourceState(None, request.source_version, footer)
    return SourceState(facts.etag, facts.etag, footer)


async def end_of(blobs: PageBlobs, request: CopyRequest, source: SourceState) -> tuple[BlobFacts, bool] | None:
    """Return the facts of a complete copy, and whether it has the length and footer of its source.

    None if it no longer exists. Raises `CloudError`.
    """
    start = request.source_length - FOOTER_BYTES
    end = await blobs.read_with_facts(request.destination, start, FOOTER_BYTES + 1)
    return (end[0], end[1] == source.footer) if end else None


def ends_otherwise(request: CopyRequest) -> CopyError:
    """Return the error for a copy with another length or footer; the caller removes it."""
    return CopyError(
        f"{request.destination.name}: the copy of {request.source.name} differs from it in length or footer; the copy"
        " was removed and the image is not created. Run again"
    )


def record_of(staged: BlobRef) -> BlobRef:
    """Return the record of an unfinished staged VHD, beside it."""
    return _beside(staged, SUFFIX)


async def remove(blobs: PageBlobs, vhd: BlobRef, record: BlobRef, facts: BlobFacts) -> bool:
    """Remove a copied VHD in the state `facts`, and the record of its copy, for any copier. Raises `CloudError`.

    Returns False if the VHD was written since.
    """
    if facts.copy and facts.copy.status == "pending":
        await blobs.abort_copy(vhd, facts.copy.id)
        return False  # the abort changed its ETag
    await remove_record(blobs, record)  # first, so that a kill leaves a VHD, which later runs find
    return await blobs.delete(vhd, etag=facts.etag)


async def remove_record(blobs: PageBlobs, record: BlobRef) -> None:
    """Remove the record of an unfinished copy, if it exists. Raises `CloudError`."""
    if facts := await blobs.facts(record):
        await blobs.delete(record, etag=facts.etag)


def _beside(blob: BlobRef, suffix: str) -> BlobRef:
    return BlobRef(blob.account_id, f"{blob.url.rpartition('.')[0]}{suffix}")
