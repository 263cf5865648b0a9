"""Which complete VHD each copy of an image reads, if many accounts of a region need it: each finished copy is a source.

Azure's target for one page blob limits what can be read from it, so one source does not serve many copies. Prefers the
region of the copy, and lets few copies read a VHD at a time. Knows only what this process has copied or found complete.
Does not move bytes, and does not trust a source: what is read is compared with the factory's VHD (docs/adr/0014).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from imagefactory.observed.blobs import BlobRef

READERS = 1
"""Copies that read one VHD at a time. One is fastest (docs/performance.md): what it made is the next source."""


@dataclass
class _Holder:
    """A complete VHD: the relay of its region, which names the region, and the copies that read it."""

    region: BlobRef
    readers: int = 0


@dataclass
class _Family:
    """The complete VHDs with the content of one source."""

    holders: dict[BlobRef, _Holder]
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def least_read(self, region: BlobRef) -> BlobRef:
        """Return the least read VHD of the region; of any region if it has none yet."""
        there = [blob for blob, holder in self.holders.items() if holder.region == region]
        return min(there or self.holders, key=lambda blob: self.holders[blob].readers)


class FanOut:
    """The sources of one provider process. A region is named by its relay; that of the factory by the factory's VHD."""

    def __init__(self) -> None:
        self._families: dict[BlobRef, _Family] = {}

    @asynccontextmanager
    async def reading(self, source: BlobRef, region: BlobRef) -> AsyncIterator[BlobRef]:
        """Wait until a VHD may be read and yield it; it counts as being read within."""
        family = self._family(source)
        while family.holders[blob := family.least_read(region)].readers >= READERS:
            family.changed.clear()
            await family.changed.wait()
        holder = family.holders[blob]
        holder.readers += 1
        try:
            yield blob
        finally:
            holder.readers -= 1
            family.changed.set()

    def complete(self, source: BlobRef, blob: BlobRef, region: BlobRef) -> None:
        """Note that `blob` is a complete copy of `source`."""
        family = self._family(source)
        family.holders.setdefault(blob, _Holder(region))
        family.changed.set()

    def is_read(self, blob: BlobRef) -> bool:
        """Return whether a copy reads it."""
        return any(blob in family.holders and family.holders[blob].readers for family in self._families.values())

    def drop(self, blob: BlobRef) -> None:
        """Let no other copy read it; the factory's VHD is always kept."""
        for source, family in self._families.items():
            if blob != source and blob in family.holders:
                del family.holders[blob]
                family.changed.set()

    def _family(self, source: BlobRef) -> _Family:
        return self._families.setdefault(source, _Family({source: _Holder(source)}))
