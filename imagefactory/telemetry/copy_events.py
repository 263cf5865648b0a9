"""The events of a copy: start, progress, end. Values without a URL, so that no SAS is in them. Does not write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Outcome = Literal["copied", "resumed", "already there", "relay lost", "failed", "canceled"]


@dataclass(frozen=True, slots=True)
class Place:
    """What is copied where: the name of the source, then storage account, container and name of the blob."""

    source: str
    account: str
    container: str
    blob: str
    length: int
    """Bytes of the VHD, empty ranges included."""


@dataclass(frozen=True, slots=True)
class CopyEvent:
    """One event. Sizes in bytes; `seconds` since the start."""

    event: Literal["copy.start", "copy.progress", "copy.end"]
    time: datetime
    place: Place
    seconds: float = 0.0
    done: int = 0
    """Bytes that the copy has, `kept` included."""
    kept: int = 0
    """Bytes that an earlier run copied."""
    total: int = 0
    """Bytes that the copy must have: the allocated ranges."""
    retried: int = 0
    """Requests for ranges that were sent again."""
    refused: int = 0
    """Requests that a busy service rejected; they were sent again too."""
    outcome: Outcome | None = None
    message: str = ""
    """Why it failed."""

    def to_dict(self) -> dict[str, object]:
        """Return the JSON object of the event."""
        place = self.place
        document: dict[str, object] = {
            "event": self.event,
            "time": self.time.isoformat(timespec="milliseconds"),
            "source": place.source,
            "account": place.account,
            "container": place.container,
            "blob": place.blob,
            "length": place.length,
        }
        if self.event == "copy.start":
            return document
        document |= {
            "bytes": self.done,
            "bytesTotal": self.total,
            "bytesKept": self.kept,
            "rangesRetried": self.retried,
            "requestsRefused": self.refused,
            "seconds": round(self.seconds, 3),
        }
        if self.event == "copy.end":
            document |= {"outcome": self.outcome, "message": self.message or None}
        return document


CopyObserver = Callable[[CopyEvent], None]
