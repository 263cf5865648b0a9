"""The throttling of calls as Azure publishes it: a token bucket for each subscription, identity and kind of call.

Another bucket, 15 times as large and as fast, counts the calls of all identities (learn.microsoft.com, "Understand how
Azure Resource Manager throttles requests"). The cloud has one identity. Code and message of a rejected call, and the
headers with what is left, are as users and recordings show them. Without a limit the headers are those recorded of a
caller at rest; of reads they had the global count only. Assumed: Retry-After is the time until the next token, a second
at least. Not imitated: the limits of the resource providers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import Field

from localcloud.arm.errors import ArmError
from localcloud.arm.identity import OBJECT
from localcloud.fault_rules import Document

_GLOBAL = 15
_KINDS = {"GET": "read", "HEAD": "read", "DELETE": "delete"}
_REMAINING = "x-ms-ratelimit-remaining-subscription-"
_AT_REST = {
    "read": {f"{_REMAINING}global-reads": "7499"},
    "write": {f"{_REMAINING}writes": "399", f"{_REMAINING}global-writes": "5999"},
    "delete": {f"{_REMAINING}deletes": "399", f"{_REMAINING}global-deletes": "5999"},
}


class Bucket(Document):
    """A bucket holds up to `size` tokens and gets `perSecond` more each second; a call takes one."""

    size: int = Field(ge=1)
    per_second: float = Field(gt=0)


@dataclass
class _Tokens:
    bucket: Bucket
    left: float
    at: float

    def fill(self, now: float) -> None:
        self.left = min(self.bucket.size, self.left + (now - self.at) * self.bucket.per_second)
        self.at = now


class Throttle:
    """The buckets of all subscriptions; at first nothing is throttled."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.set({})

    def set(self, buckets: Mapping[str, Bucket | None]) -> None:
        """Set the bucket of each kind of call (`read`, `write`, `delete`; None: unlimited), and fill all buckets."""
        self._buckets = {kind: bucket for kind, bucket in buckets.items() if bucket}
        self._tokens: dict[tuple[str, str], list[_Tokens]] = {}

    def admit(self, subscription: str, method: str) -> dict[str, str]:
        """Count a call; return the headers with what is left. Raises ArmError (429) if nothing is."""
        kind, now = _KINDS.get(method, "write"), self._clock()
        if (bucket := self._buckets.get(kind)) is None:
            return _AT_REST[kind]
        all_callers = Bucket(size=_GLOBAL * bucket.size, per_second=_GLOBAL * bucket.per_second)
        full = [_Tokens(each, each.size, now) for each in (bucket, all_callers)]
        both = self._tokens.setdefault((subscription.lower(), kind), full)
        for tokens in both:
            tokens.fill(now)
        for tokens in both:
            if tokens.left < 1:
                raise _throttled(subscription, kind, math.ceil((1 - tokens.left) / tokens.bucket.per_second))
        for tokens in both:
            tokens.left -= 1
        own, total = (str(int(tokens.left)) for tokens in both)
        return {f"{_REMAINING}{kind}s": own, f"{_REMAINING}global-{kind}s": total}


def _throttled(subscription: str, kind: str, seconds: int) -> ArmError:
    message = (
        f"Number of '{kind}' requests for subscription '{subscription}' actor '{OBJECT}' exceeded. Please try again "
        f"after '{seconds}' seconds after additional tokens are available. Refer to https://aka.ms/arm-throttling for "
        "additional information."
    )
    return ArmError(429, "SubscriptionRequestsThrottled", message, {"Retry-After": str(seconds)})
