"""How far a copy has come, and what all copies of one run came to.

Owns the counting and the words; who shows them is the business of the server and of commands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

from imagefactory.copying.copier import Progress

GIB, MIB = 1024**3, 1024**2


def describe(progress: Progress, elapsed: float) -> str:
    """A copy's progress on one row, `34 % 5.1/15.0 GiB 412 MiB/s 0:24 left`, after `elapsed` seconds."""
    share = progress.done / progress.total if progress.total else 0.0
    rate = (progress.done - progress.kept) / elapsed if elapsed > 0 else 0.0
    unit, name, digits = (GIB, "GiB", 1) if progress.total >= GIB else (MIB, "MiB", 0)
    text = f"{share * 100:.0f} % {progress.done / unit:.{digits}f}/{progress.total / unit:.{digits}f} {name}"
    if rate <= 0:
        return text
    minutes, seconds = divmod(round((progress.total - progress.done) / rate), 60)
    return f"{text} {rate / MIB:.0f} MiB/s {minutes}:{seconds:02d} left"


@dataclass
class Totals:
    """Sums over the copies of this process. Bytes; what was there before this run counts as kept, not as moved."""

    copies: int = 0
    moved: int = 0
    kept: int = 0
    empty: int = 0
    """Bytes that were not copied because the source holds nothing there."""
    retried: int = 0
    """Requests that were sent again."""
    began: float | None = field(default=None)
    ended: float = 0.0

    def begin(self) -> None:
        """Note that a copy begins."""
        self.began = monotonic() if self.began is None else self.began

    def end(self, length: int, copied: int, kept: int) -> None:
        """Note a whole copy of a VHD of `length` bytes, of which `copied` hold something and `kept` were there."""
        self.copies += 1
        self.kept += kept
        self.empty += length - copied
        self.ended = monotonic()

    def text(self) -> str:
        """The sums in one line."""
        seconds = round(max(0.0, self.ended - (self.began or 0.0)))
        kept = f", {_size(self.kept)} were there" if self.kept else ""
        vhds = "VHD" if self.copies == 1 else "VHDs"
        return (
            f"{self.copies} {vhds} copied in {seconds // 60}:{seconds % 60:02d}: {_size(self.moved)} moved"
            f"{kept}, {_size(self.empty)} skipped as empty, {self.retried} ranges retried"
        )


def _size(number: int) -> str:
    return f"{number / GIB:,.1f} GiB" if number >= GIB else f"{number / MIB:.0f} MiB"
