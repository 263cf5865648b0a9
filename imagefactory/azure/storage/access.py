"""What opens a blob to one request.

Owns the values and the interface between who signs (`accounts`) and who sends (`page_writer`), and the sending of
tokens by the SDK's clients. It makes no token and no SAS.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest


class Access(NamedTuple):
    """A URL (with a SAS, where that is what opens it) and the headers that go with it. For one use; keep it nowhere."""

    url: str
    headers: Mapping[str, str]


class Source(Protocol):
    """What the service reads a range from: a page blob of an account, or whatever brings a URL of its own."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    async def access(self) -> Access:
        """What opens it to the service, good for the next minutes. Raises `CloudError`."""

    def refuse(self, access: Access) -> None:
        """The service could not read with `access`: make another one next time."""

    @property
    def remedy(self) -> str:
        """What to do where the service may not read it."""


class Bearer(AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Sends a token (the value of the header), and once more a new one where the service does not take it (401).

    Not azure-core's policy: that one refuses plain HTTP, which the embedded cloud speaks, and keeps its tokens where
    nobody can renew them for requests that pass it by. Which endpoints may be plain is decided by `accounts`.
    """

    def __init__(self, token: Callable[[], Awaitable[str]], refuse: Callable[[str], None]) -> None:
        super().__init__()
        self._token, self._refuse = token, refuse

    async def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, AsyncHttpResponse]:
        """See azure-core."""
        for _ in range(2):
            token = await self._token()
            request.http_request.headers["Authorization"] = token
            response = await self.next.send(request)
            if response.http_response.status_code != 401:
                break
            self._refuse(token)
        return response
