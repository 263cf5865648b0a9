"""When azure-core sends a request again: after 408, 429, 500, 502, 503, 504 and broken connections.

Also how long Azure wants a client to wait. `pacing` handles 429 of the resource manager.
"""

from __future__ import annotations

import math
from typing import Any

from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import AsyncRetryPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest


class _Retries(AsyncRetryPolicy[HttpRequest, AsyncHttpResponse]):
    """azure-core's policy, which fails with a traceback at a Retry-After that is neither a number nor a date."""

    def get_retry_after(self, response: PipelineResponse[Any, Any]) -> float | None:
        """Return the seconds to wait that a response asks for; None if it does not say, or says nonsense."""
        try:
            asked = super().get_retry_after(response)
        except (ValueError, OverflowError):
            return None
        return asked if asked is not None and math.isfinite(asked) else None


class _UnthrottledRetries(_Retries):
    def is_retry(self, settings: dict[str, Any], response: PipelineResponse[Any, Any]) -> bool:
        """See azure-core."""
        return response.http_response.status_code != 429 and bool(super().is_retry(settings, response))


def retries(attempts: int, *, throttled: bool = True) -> AsyncRetryPolicy[HttpRequest, AsyncHttpResponse]:
    """Return a policy that sends a request again up to `attempts` times, after Retry-After or a growing wait.

    azure-core also limits each kind of failure, to 3 by default. If not `throttled`, another policy handles 429.
    """
    kind = _Retries if throttled else _UnthrottledRetries
    return kind(retry_total=attempts, retry_connect=attempts, retry_read=attempts, retry_status=attempts)


def retry_after(response: PipelineResponse[Any, Any]) -> float | None:
    """Return the seconds to wait that a response asks for; None if it does not say, or not as seconds or a date."""
    return _Retries().get_retry_after(response)
