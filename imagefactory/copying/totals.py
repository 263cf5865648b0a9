"""Progress of a copy and totals of a run, as one line each. Does not show them: the plugin and the commands do."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from imagefactory.copying.copier import Progress

KIB, MIB, GIB = 1024, 1024**2, 1024**3


def describe(progress: Progress, elapsed: float) -> str:
    """Return the progress of a copy after `elapsed` seconds: `34 % 5.1/15.0 GiB 412 MiB/s 0:24 left`."""
    share = progress.done / progress.total if progress.total else 0.0
    rate = (progress.done - progress.kept) / elapsed if elapsed > 0 else 0.0
    total, unit = _in_unit(progress.total, progress.total)
    text = f"{share * 100:.0f} % {_in_unit(progress.done, progress.total)[0]}/{total} {unit}"
    if rate <= 0:
        return text
    minutes, seconds = divmod(round((progress.total - progress.done) / rate), 60)
    return f"{text} {size(rate)}/s {minutes}:{seconds:02d} left"


def size(number: float) -> str:
    """Return a number of bytes in the largest unit that it fills: `1.5 GiB`, `12 MiB`, `64 KiB`, `512 B`."""
    return " ".join(_in_unit(number, number))


def _in_unit(number: float, scale: float) -> tuple[str, str]:
    """Return `number` and the unit that suits `scale`, both in bytes."""
    for unit, name, digits in ((GIB, "GiB", 1), (MIB, "MiB", 0), (KIB, "KiB", 0)):
        if scale >= unit:
            return f"{number / unit:,.{digits}f}", name
    return f"{number:.0f}", "B"


@dataclass
class Totals:
    """Sums over the copies of this process, in bytes. What an earlier run copied counts as kept, not as moved."""

    copies: int = 0
    moved: int = 0
    kept: int = 0
    empty: int = 0
    """Bytes that were not copied because the source has no data there."""
    retried: int = 0
    """Requests that were sent again."""
    began: float | None = None
    ended: float = 0.0

    def begin(self) -> None:
        """Note the start of a copy."""
        self.began = monotonic() if self.began is None else self.began

    def end(self, length: int, copied: int, kept: int) -> None:
        """Note a finished copy of a VHD of `length` bytes: `copied` have data, and `kept` of those are from before."""
        self.copies += 1
        self.kept += kept
        self.empty += length - copied
        self.ended = monotonic()

    def text(self) -> str:
        """Return the sums on one line."""
        seconds = round(max(0.0, self.ended - (self.began or 0.0)))
        kept = f", {size(self.kept)} kept" if self.kept else ""
        vhds = "VHD" if self.copies == 1 else "VHDs"
        return (
            f"{self.copies} {vhds} copied in {seconds // 60}:{seconds % 60:02d}: {size(self.moved)} moved"
            f"{kept}, {size(self.empty)} skipped as empty, {self.retried} ranges retried"
        )
