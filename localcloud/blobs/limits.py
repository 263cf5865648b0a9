"""Limits of page writes per page blob and per storage account, like Azure's.

A write that exceeds the limits waits, and is rejected if it would wait too long. Reads are not limited. Uses the event
loop's clock, so time spent elsewhere counts.
"""

from __future__ import annotations

from collections import defaultdict

from pydantic import Field

from localcloud.arm.throttling import Bucket
from localcloud.fault_rules import Settings


class Limits(Settings):
    """Limits of page writes and of calls to the resource manager; None: unlimited."""

    blob_bytes_per_second: float | None = Field(None, gt=0)
    blob_requests_per_second: float | None = Field(None, gt=0)
    account_bytes_per_second: float | None = Field(None, gt=0)
    account_requests_per_second: float | None = Field(None, gt=0)
    queue_seconds: float = Field(1.0, ge=0)
    """How long a write may wait; one that would wait longer is rejected with 503 ServerBusy."""
    subscription_reads: Bucket | None = None
    """Calls to the resource manager, for each subscription; `localcloud.arm.throttling` counts these."""
    subscription_writes: Bucket | None = None
    subscription_deletes: Bucket | None = None

    @property
    def buckets(self) -> dict[str, Bucket | None]:
        """The buckets of calls to the resource manager, by kind of call."""
        return {"read": self.subscription_reads, "write": self.subscription_writes, "delete": self.subscription_deletes}


class Turnstile:
    """Delays page writes to the current limits; at first there are none."""

    def __init__(self) -> None:
        self.set(Limits.model_construct())

    def set(self, limits: Limits) -> None:
        """Set the limits and reset all waits."""
        self.limits = limits
        self._free: defaultdict[str, float] = defaultdict(float)

    def wait(self, now: float, blob: str, length: int) -> float | None:
        """Return the seconds until a write of `length` bytes to `blob` (`/account/container/name`) finishes.

        None: it is rejected."""
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
