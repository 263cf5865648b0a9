"""What a request needs to read or write a blob, and the policy that adds a token to the requests of the SDK's clients.

Does not create tokens or SAS: `account_openers` does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest


class Secret(NamedTuple):
    """A token or SAS, with the key under which it is cached."""

    key: tuple[str, ...]
    value: str


class Access(NamedTuple):
    """A URL, with a SAS if one grants access, and the headers for it. For one request; do not keep it."""

    url: str
    headers: Mapping[str, str]
    secret: Secret | None = None
    """The cached token or SAS in it; None if it cannot be renewed."""


class Bearer(AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Adds a token to a request, and sends the request once more with a new token if the service rejects it (401).

    Not azure-core's policy, which keeps its own token: requests that do not use the SDK would need a second one, and
    could not renew the first. It also rejects plain HTTP, unless each request has the option `enforce_https=False`,
    which the storage SDK's methods do not set; `openers` checks the endpoints instead.
    """

    def __init__(self, token: Callable[[], Awaitable[Secret]], refuse: Callable[[Secret], None]) -> None:
        super().__init__()
        self._token, self._refuse = token, refuse

    async def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, AsyncHttpResponse]:
        """See azure-core."""
        for _ in range(2):
            token = await self._token()
            request.http_request.headers["Authorization"] = token.value
            response = await self.next.send(request)
            if response.http_response.status_code != 401:
                break
            self._refuse(token)
        return response
