"""The pace of requests to the resource manager: few in flight, and none before Azure's Retry-After is over.

Azure throttles by subscription, identity and kind of operation, with buckets of 250 reads (25 more each second), 200
writes and 200 deletions (10 more each second); a request before Retry-After is over is rejected again
(learn.microsoft.com, "Understand how Azure Resource Manager throttles requests"). So all requests of a subscription and
kind wait together, and those that were rejected keep their places. A rejected request was not processed, whatever
its method.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest

from imagefactory.azure.core.retries import retry_after

IN_FLIGHT = 16
"""Requests in flight for each subscription and kind. One second of Azure's refill serves all that are rejected once."""
LONGEST_SECONDS = 600.0
"""How long one request is sent again while Azure throttles it."""
UNTOLD_SECONDS = 5.0
"""How long to wait after a 429 without Retry-After."""

_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)", re.IGNORECASE)
_KINDS = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}


@dataclass
class _Lane:
    """The requests of one kind in one subscription; none is sent before `until` (monotonic seconds)."""

    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_FLIGHT))
    until: float = 0.0


class Pacing(AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Sends a throttled request again for up to `LONGEST_SECONDS`; then returns the 429."""

    def __init__(self) -> None:
        super().__init__()
        self._lanes: dict[tuple[str, str], _Lane] = {}

    async def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, AsyncHttpResponse]:
        """See azure-core."""
        lane = self._lanes.setdefault(_lane_of(request.http_request), _Lane())
        async with lane.slots:
            first: float | None = None
            while True:
                while (left := lane.until - time.monotonic()) > 0:  # noqa: ASYNC110 - others can prolong it meanwhile
                    await asyncio.sleep(left)
                answer = await self.next.send(request)
                if answer.http_response.status_code != 429:
                    return answer
                now, asked = time.monotonic(), retry_after(answer)
                first = now if first is None else first
                until = now + (UNTOLD_SECONDS if asked is None else asked)
                if until > first + LONGEST_SECONDS:
                    return answer
                lane.until = max(lane.until, until)


def _lane_of(request: HttpRequest) -> tuple[str, str]:
    found = _SUBSCRIPTION.match(urlsplit(request.url).path)
    return found[1].lower() if found else "", _KINDS.get(request.method, "writes")
