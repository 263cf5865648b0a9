"""How far the clock of Azure is ahead of this machine's, by the header Date of its responses (RFC 9110, 6.6.1)."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

from azure.core.pipeline import PipelineRequest, PipelineResponse, policies
from azure.core.rest import AsyncHttpResponse, HttpRequest


class Clock(policies.SansIOHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Compares both clocks at each response."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead: float | None = None
        """Seconds; the smallest difference seen, because what a response was delayed adds to it. None: unknown."""

    def on_response(
        self, request: PipelineRequest[HttpRequest], response: PipelineResponse[HttpRequest, AsyncHttpResponse]
    ) -> None:
        """See azure-core."""
        try:
            told = parsedate_to_datetime(response.http_response.headers.get("Date", ""))
            ahead = told.timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):  # no date, or none that a calendar has
            return
        if self.ahead is None or abs(ahead) < abs(self.ahead):
            self.ahead = ahead
