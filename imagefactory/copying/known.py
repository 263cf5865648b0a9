"""What all copies of one factory VHD know of it: its ranges, and their digests in the factory's own word.

Nothing that a lab can write gets in here. A digest comes from the manifest in the factory, from the service's response
to a write that it read from the factory's VHD, or from its response about a range of that VHD.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imagefactory.aio.once import Once
from imagefactory.copying.copier import RelayLost, Source
from imagefactory.copying.pacing import BLOB_IN_FLIGHT
from imagefactory.images.ranges import Range
from imagefactory.images.ranges_manifest import Manifest
from imagefactory.observed.blobs import BlobRef

if TYPE_CHECKING:
    from imagefactory.azure.storage.page_writer import Digest, PageWriter


@dataclass
class Known:
    """One factory VHD: what is to be moved, and the digests of its ranges as far as they are known."""

    vhd: BlobRef
    source: Source
    parts: tuple[Range, ...]
    manifest: Manifest | None
    writer: PageWriter
    crc64: dict[Range, str]
    md5: dict[Range, str]
    is_stale: bool = False
    """Whether a copy met another ETag since."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _asked: Once[tuple[Digest, Range], str] = field(default_factory=Once)

    @property
    def total(self) -> int:
        """Bytes to be moved."""
        return sum(part.length for part in self.parts)

    def believed(self, digest: str) -> str:
        """Return the digest that a VHD has in its metadata if the factory has the same, else nothing.

        The copy of a disk lies in the factory itself.
        """
        confirmed = self.source.etag is None or (self.manifest and self.manifest.digest == digest)
        return digest if confirmed else ""

    async def confirmed(self, claimed: Mapping[Range, str]) -> Mapping[Range, str]:
        """Return those digests of a record which the factory confirms.

        The record of a disk's copy lies in the factory itself.
        """
        from imagefactory.azure.storage.page_writer import Digest

        if self.source.etag is None:
            self.crc64.update(claimed)
            return claimed
        unknown = [part for part in claimed if part not in self.crc64]
        self.crc64.update(await digests_of(self.writer, self.vhd, self.source.etag, unknown, Digest.CRC64))
        return {part: digest for part, digest in claimed.items() if self.crc64.get(part) == digest}

    async def vouch(self, relay: BlobRef, part: Range) -> tuple[str, str]:
        """Return CRC64 and MD5 that a range of `relay` must have; the factory's service is asked once for each.

        Raises `RangeRefused` if another attempt may help, `RelayLost` if not, `CloudError`.
        """
        from imagefactory.azure.storage.page_writer import Digest, RangeRefused

        try:
            return await self._told(part, Digest.CRC64, self.crc64), await self._told(part, Digest.MD5, self.md5)
        except RangeRefused as refused:
            if refused.may_pass:
                raise
            reason = refused.error.diagnostic.fact
            raise RelayLost(f"{relay.name}: it cannot be compared with the factory's VHD ({reason})") from None

    async def _told(self, part: Range, kind: Digest, known: dict[Range, str]) -> str:
        if part not in known:
            asked = lambda: self.writer.digest(self.vhd, self.source.etag, part, kind)  # noqa: E731
            known.setdefault(part, await self._asked.get((kind, part), asked))
            self._asked.forget((kind, part))
        return known[part]


async def digests_of(
    writer: PageWriter, blob: BlobRef, etag: str, parts: Iterable[Range], kind: Digest
) -> dict[Range, str]:
    """Return what the service computes of those ranges of a blob; a range that it refuses is left out."""
    from imagefactory.azure.storage.page_writer import RangeRefused

    found: dict[Range, str] = {}
    waiting = iter(parts)

    async def work() -> None:
        for part in waiting:
            with suppress(RangeRefused):
                found[part] = await writer.digest(blob, etag, part, kind)

    await asyncio.gather(*(work() for _ in range(BLOB_IN_FLIGHT)))
    return found
