"""What one page blob and one storage account bear, as Azure limits them.

Owns the counting: a write that comes faster than the limits waits its turn, and is refused where its turn is too far
away. Reads are not limited. The clock is the event loop's, so that time spent elsewhere counts.
"""

from __future__ import annotations

from collections import defaultdict

from pydantic import Field

from localcloud.fault_rules import Document


class Limits(Document):
    """Limits of page writes; None: unlimited."""

    blob_bytes_per_second: float | None = Field(None, gt=0)
    blob_requests_per_second: float | None = Field(None, gt=0)
    account_bytes_per_second: float | None = Field(None, gt=0)
    account_requests_per_second: float | None = Field(None, gt=0)
    queue_seconds: float = Field(1.0, ge=0)
    """How long a write may wait for its turn; one that would wait longer is refused with 503 ServerBusy."""

    def to_json(self) -> dict[str, object]:
        """All limits, also those that were not given."""
        return self.model_dump(by_alias=True, mode="json")


class Turnstile:
    """Lets page writes pass at the rates that are in force; at first without limits."""

    def __init__(self) -> None:
        self.set(Limits.model_construct())

    def set(self, limits: Limits) -> None:
        """Put limits in force; nobody waits any more."""
        self.limits = limits
        self._free: defaultdict[str, float] = defaultdict(float)

    def wait(self, now: float, blob: str, length: int) -> float | None:
        """Seconds until a write of `length` bytes to `blob` (`/account/container/name`) is done; None: refused."""
        limits, account = self.limits, blob.split("/", 2)[1]
        times = [
            (name, amount / rate)
            for name, amount, rate in (
                (f"bytes {blob}", length, limits.blob_bytes_per_second),
                (f"requests {blob}", 1, limits.blob_requests_per_second),
                (f"bytes {account}", length, limits.account_bytes_per_second),
                (f"requests {account}", 1, limits.account_requests_per_second),
            )
            if rate
        ]
        starts = [max(now, self._free[name]) for name, _ in times]
        if any(start - now > limits.queue_seconds for start in starts):
            return None
        for (name, seconds), start in zip(times, starts, strict=True):
            self._free[name] = start + seconds
        return max((self._free[name] - now for name, _ in times), default=0.0)
