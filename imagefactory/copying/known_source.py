"""What all copies of one source VHD share: its ranges, and their digests as the factory confirms them.

Nothing that a lab can write gets in here. A digest comes from the manifest in the factory, from the service's response
to a write that it read from the source, or from its response about a range of the source.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from imagefactory.aio.once import Once
from imagefactory.copying.copier import RelayLost, SourceState
from imagefactory.copying.pacing import BLOB_IN_FLIGHT
from imagefactory.images.ranges import PIECE_BYTES, Range
from imagefactory.images.ranges_manifest import Manifest
from imagefactory.observed.blobs import BlobRef

if TYPE_CHECKING:
    from imagefactory.azure.storage.page_writer import Digest, PageWriter

EMPTY_PIECE_CRC64 = "7fxeieZXMgQ="
"""Azure's CRC64 (base64) of `PIECE_BYTES` zeros."""

DIGEST_ATTEMPTS, DIGEST_WAIT = 3, 0.5
"""How often the digest of one of many ranges is requested, and the seconds after the first of these attempts."""


@dataclass
class KnownSource:
    """One source VHD: the ranges to move, and their digests as far as they are known."""

    vhd: BlobRef
    state: SourceState
    parts: tuple[Range, ...]
    manifest: Manifest | None
    writer: PageWriter
    crc64: dict[Range, str] = field(default_factory=dict)
    md5: dict[Range, str] = field(default_factory=dict)
    is_stale: bool = False
    """Whether a copy found the source changed since."""
    digests_refused: str | None = None
    """Why the service computes no CRC64 of a range, if it does not: first copies are then not verified."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _requested: Once[tuple[Digest, Range], str] = field(default_factory=Once)

    @cached_property
    def total(self) -> int:
        """Bytes to move."""
        return sum(part.length for part in self.parts)

    def believed(self, digest: str) -> str:
        """Return the digest that a copy has in its metadata if the factory has the same, otherwise an empty string.

        The copy of a disk is in the factory itself.
        """
        confirmed = self.state.etag is None or (self.manifest and self.manifest.digest == digest)
        return digest if confirmed else ""

    async def kept(self, copy: BlobRef, existing: Sequence[Range], recorded: Mapping[Range, str]) -> dict[Range, str]:
        """Return those ranges of an unfinished copy that are right, with their CRC64.

        `existing` are those that it contains. The record confirms a range if the factory has the same digest; of the
        others, the service computes the digest of the copy too. A range with an unknown digest is not returned.
        """
        from imagefactory.azure.storage.page_writer import Digest

        if self.state.etag is None:  # the record of a disk's copy is in the factory itself
            self.crc64.update({part: recorded[part] for part in existing if part in recorded})
        unknown = [part for part in existing if part not in self.crc64]
        self.crc64.update(await digests_of(self.writer, self.vhd, self.state.etag, unknown, Digest.CRC64))
        known = {part: self.crc64[part] for part in existing if part in self.crc64}
        unrecorded = [part for part in known if recorded.get(part) != known[part]]
        found = {**recorded, **await digests_of(self.writer, copy, None, unrecorded, Digest.CRC64)}
        return {part: digest for part, digest in known.items() if found.get(part) == digest}

    async def vouch(self, relay: BlobRef, part: Range) -> tuple[str, str]:
        """Return CRC64 and MD5 that a range of `relay` must have; each is requested from the factory only once.

        Raises `RangeRefused` if another attempt may help, `RelayLost` if not, `CloudError`.
        """
        from imagefactory.azure.storage.page_writer import Digest, RangeRefused

        try:
            return await self._digest(part, Digest.CRC64, self.crc64), await self._digest(part, Digest.MD5, self.md5)
        except RangeRefused as refused:
            if refused.may_pass:
                raise
            reason = refused.error.diagnostic.fact
            raise RelayLost(f"{relay.name}: cannot be compared with the factory VHD ({reason})") from None

    async def expected(self, part: Range) -> tuple[str | None, None]:
        """Return the CRC64 that a range of the source has; it is requested only once for all copies.

        None if the service computes none, which is recorded: whether it does for the SAS of a disk is not documented.
        Raises `RangeRefused`, `CloudError`.
        """
        from imagefactory.azure.storage.page_writer import Digest, RangeRefused, Refusal

        if self.digests_refused is not None:
            return None, None
        try:
            return await self._digest(part, Digest.CRC64, self.crc64), None
        except RangeRefused as refused:
            if refused.kind is Refusal.DESTINATION_CHANGED:  # what a write would call so: the blob does not exist
                raise RangeRefused(Refusal.SOURCE_GONE, refused.error) from None
            if refused.kind is not Refusal.REFUSED:
                raise
            self.digests_refused = refused.error.diagnostic.fact
            return None, None

    async def _digest(self, part: Range, kind: Digest, known: dict[Range, str]) -> str:
        if part not in known:
            request = lambda: self.writer.digest(self.vhd, self.state.etag, part, kind)  # noqa: E731
            known.setdefault(part, await self._requested.get((kind, part), request))
            self._requested.forget((kind, part))
        return known[part]


async def not_empty(writer: PageWriter, blob: BlobRef, etag: str | None, parts: Iterable[Range]) -> tuple[Range, ...]:
    """Return the ranges of a blob without those of 4 MiB that contain only zeros, according to the service's CRC64."""
    from imagefactory.azure.storage.page_writer import Digest

    known = await digests_of(writer, blob, etag, parts := tuple(parts), Digest.CRC64)
    return tuple(part for part in parts if (part.length, known.get(part)) != (PIECE_BYTES, EMPTY_PIECE_CRC64))


async def digests_of(
    writer: PageWriter, blob: BlobRef, etag: str | None, parts: Iterable[Range], kind: Digest
) -> dict[Range, str]:
    """Return the digests that the service computes for ranges of a blob.

    Asks again after a passing error, and skips a range after `DIGEST_ATTEMPTS`. Stops if the service computes none.
    """
    from imagefactory.azure.storage.page_writer import RangeRefused, Refusal

    found: dict[Range, str] = {}
    waiting = iter(parts)

    async def ask(part: Range) -> bool:
        for attempt in range(1, DIGEST_ATTEMPTS + 1):
            try:
                found[part] = await writer.digest(blob, etag, part, kind)
                break
            except RangeRefused as refused:
                if not refused.may_pass:
                    return refused.kind is not Refusal.REFUSED
                if attempt < DIGEST_ATTEMPTS:
                    await asyncio.sleep(refused.retry_after or DIGEST_WAIT * attempt)
        return True

    async def work() -> None:
        for part in waiting:
            if not await ask(part):
                return

    await asyncio.gather(*(work() for _ in range(BLOB_IN_FLIGHT)))
    return found
