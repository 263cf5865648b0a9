"""When azure-core sends a request again: after 408, 429, 500, 502, 503, 504 and broken connections."""

from __future__ import annotations

from azure.core.pipeline.policies import AsyncRetryPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest


def retries(attempts: int) -> AsyncRetryPolicy[HttpRequest, AsyncHttpResponse]:
    """Return a policy that sends a request again up to `attempts` times, after Retry-After or a growing wait.

    azure-core also limits each kind of failure, to 3 by default.
    """
    return AsyncRetryPolicy(retry_total=attempts, retry_connect=attempts, retry_read=attempts, retry_status=attempts)
