"""A thin client of Azure Resource Manager: get, list, post, put and long-running operations.

Adds tokens, request ids and retries, and reads ARM's pages and errors. Returns responses as models of the caller.
Sends its token to the resource manager only: builds or checks every URL, and follows no redirect. Does not know any
resource type.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline import PipelineRequest, PipelineResponse, policies
from azure.core.polling import AsyncLROPoller
from azure.core.polling.base_polling import BadResponse
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.mgmt.core import AsyncARMPipelineClient
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy
from azure.mgmt.core.polling.async_arm_polling import AsyncARMPolling
from pydantic import ValidationError

from imagefactory.azure.core.answers import Answer, Model, fitted, misfit
from imagefactory.azure.core.clock import Clock
from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.environment import transport_options
from imagefactory.azure.core.errors import CloudError, cloud_error, from_azure, not_found
from imagefactory.azure.core.pacing import Pacing
from imagefactory.azure.core.refusals import arm_absent
from imagefactory.azure.core.retries import retries, retry_after
from imagefactory.configuration.pydantic_findings import finding_fact
from imagefactory.plain_text import printable

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

POLL_SECONDS = 2.0
"""Between two polls of a long-running operation, if Azure sends no Retry-After."""
RETRIES = 4
"""Attempts after the first for 408, 5xx and broken connections; azure-core waits up to 11 s in all, or as long as
Retry-After says. 429 has no bound but time: see `pacing`."""

_MOST_PAGES = 10_000
"""Pages of one collection, which can be as small as one item."""
_PATH = re.compile(r"(/(?!\.\.?(/|$))[^/?#%\\\x00-\x1f\x7f]+)+")
_UNQUOTED = "/!$&'()*+,;=:@"
"""Characters that are not escaped in a path (RFC 3986, pchar)."""


def resource_url(resource_manager: str, path: str, parameters: Mapping[str, str]) -> str:
    """Return the URL of a path, which starts with an ARM id, at an endpoint without a trailing slash.

    Raises `ValueError` if `path` is not valid: it must start with a single slash, and contain no query, fragment,
    escape, empty segment or dots in place of a name.
    """
    if not _PATH.fullmatch(path):
        raise ValueError(f'"{printable(path)}" is not a path of the resource manager')
    return f"{resource_manager}{quote(path, safe=_UNQUOTED)}?{urlencode(parameters, safe='$')}"


class ResourceManager:
    """An open connection to one cloud's resource manager. Use as `async with`."""

    def __init__(self, cloud: Cloud, credential: AsyncTokenCredential, limit: float | None = None) -> None:
        """`limit` is how many seconds a request that reads may take, with all its attempts; None: no such limit."""
        self.cloud = cloud
        self.credential = credential
        self.clock = Clock()
        self._limit = limit
        self._client: AsyncARMPipelineClient[HttpRequest, AsyncHttpResponse] = AsyncARMPipelineClient(
            cloud.resource_manager,
            **transport_options(),
            policies=[
                _OwnOrigin(cloud.resource_manager),
                _Json(),
                policies.RequestIdPolicy(),
                policies.UserAgentPolicy(sdk_moniker="imagefactory"),
                retries(RETRIES, throttled=False),
                Pacing(),
                self.clock,
                _Tokens(credential, cloud.scope),
            ],
        )

    async def __aenter__(self) -> ResourceManager:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)
        await self.credential.close()

    async def get(
        self,
        path: str,
        api_version: str,
        model: type[Model],
        *,
        subject: str,
        parameters: Mapping[str, str] | None = None,
    ) -> Model | None:
        """Return the resource at an ARM id, or None if it does not exist. Raises `CloudError`."""
        query = {**(parameters or {}), "api-version": api_version}
        answer = await self._send("GET", self._url(path, query, subject), subject)
        return None if answer is None else fitted(model, answer, subject, f"GET {path}")

    async def post(self, path: str, api_version: str, model: type[Model], *, subject: str) -> Model:
        """Return the response of an action without a body, such as listKeys. Raises `CloudError`, for 404 too."""
        answer = await self._send("POST", self._url(path, {"api-version": api_version}, subject), subject)
        if answer is None:
            raise not_found(subject)
        return fitted(model, answer, subject, f"POST {path}")

    async def put(self, path: str, api_version: str, model: type[Model], *, subject: str, body: object) -> Model:
        """Create or replace a resource whose response is its result. Raises `CloudError`, for 404 too."""
        return await self._write("PUT", path, api_version, model, subject, body)

    async def patch(self, path: str, api_version: str, model: type[Model], *, subject: str, body: object) -> Model:
        """Change a part of a resource; the response is the whole one. Raises `CloudError`, for 404 too."""
        return await self._write("PATCH", path, api_version, model, subject, body)

    async def _write(
        self, method: str, path: str, api_version: str, model: type[Model], subject: str, body: object
    ) -> Model:
        answer = await self._send(method, self._url(path, {"api-version": api_version}, subject), subject, body)
        if answer is None:
            raise not_found(subject)
        return fitted(model, answer, subject, f"{method} {path}")

    async def run(
        self, method: str, path: str, api_version: str, model: type[Model], *, subject: str, body: object = None
    ) -> Model | None:
        """Start a long-running operation and wait until it finishes; return its result, or None for no such resource.

        Raises `CloudError`, also if the operation was accepted and failed.
        """
        request = HttpRequest(method, self._url(path, {"api-version": api_version}, subject), json=body)
        secure: dict[str, Any] = {"enforce_https": not self.cloud.loopback}
        try:
            begun: Any = await self._client.send_request(request, _return_pipeline_response=True, **secure)
            answer = begun.http_response
            if _is_absent(answer):
                return None
            if answer.status_code >= 300:
                raise _refusal(answer, subject)
            polling: Any = AsyncARMPolling(POLL_SECONDS, **secure)
            result: Any = await AsyncLROPoller(self._client, begun, _content, polling).result()
        except AzureError as error:
            if isinstance(error.__cause__, BadResponse):
                raise misfit(subject, f"{method} {path}", "its operation has no status") from error
            raise _told(error, subject) from error
        return fitted(model, {} if result is None else result, subject, f"{method} {path}")

    async def list(self, path: str, api_version: str, *, subject: str) -> list[dict[str, Any]] | None:
        """Return all items of all pages of a collection, or None if its parent does not exist. Raises `CloudError`.

        Pass each item to `fitted`.
        """
        items: list[dict[str, Any]] = []
        url = self._url(path, {"api-version": api_version}, subject)
        read: set[str] = set()
        while url:
            if url in read or len(read) == _MOST_PAGES:
                fact = "its nextLink is that of a page before it" if url in read else f"more than {_MOST_PAGES} pages"
                raise misfit(subject, f"GET {path}", fact)
            read.add(url)
            answer = await self._send("GET", url, subject)
            if answer is None:
                if len(read) > 1:
                    raise misfit(subject, f"GET {path}", "its nextLink does not exist")
                return None
            page = fitted(_Page, answer, subject, f"GET {path}")
            items += page.value
            url = page.next_link or ""
        return items

    def _url(self, path: str, parameters: Mapping[str, str], subject: str) -> str:
        try:
            return resource_url(self.cloud.resource_manager, path, parameters)
        except ValueError as reason:
            raise cloud_error(subject, str(reason), remedy="Fix the id where it comes from") from None

    async def _send(self, method: str, url: str, subject: str, body: object = None) -> dict[str, Any] | None:
        try:
            request = HttpRequest(method, url, json=body)
            sent = self._client.send_request(request, enforce_https=not self.cloud.loopback)
            answer = await asyncio.wait_for(sent, self._limit)
        except asyncio.TimeoutError:
            raise cloud_error(subject, f"no response from Azure within {self._limit:g} s") from None
        except AzureError as error:
            raise _told(error, subject) from error
        if _is_absent(answer):
            return None
        if answer.status_code >= 300:
            raise _refusal(answer, subject)
        return dict(answer.json() if answer.content else {})


class _Page(Answer):
    """A page of a collection."""

    value: list[dict[str, Any]]
    next_link: str | None = None


class _Reason(Answer):
    """Why Azure rejected a request."""

    code: str | None = None
    message: str | None = None


class _Refusal(_Reason):
    """The body of an error; some resource providers have no object `error` around it."""

    error: _Reason | None = None


class _Operation(Answer):
    """What azure-core reads of any successful response while it polls."""

    status: str = ""
    resource_location: str | None = None


def _refusal(answer: AsyncHttpResponse, subject: str) -> CloudError:
    try:
        told = _Refusal.model_validate(answer.json() if answer.content else {})
    except (ValueError, RecursionError):  # a page of a proxy, for example: the status says enough
        told = _Refusal()
    reason = told.error or told
    return cloud_error(subject, reason.message or "", answer.status_code, reason.code or "")


def _told(error: AzureError, subject: str) -> CloudError:
    return misfit(subject, error.request, error.fact) if isinstance(error, _MisfitError) else from_azure(error, subject)


def _is_absent(answer: AsyncHttpResponse) -> bool:
    return answer.status_code == 404 and arm_absent(404, _refusal(answer, "").code)


def _content(begun: Any) -> Any:
    answer = begun.http_response
    return answer.json() if answer.content else {}


class _MisfitError(AzureError):
    """A response is not as Azure documents it."""

    def __init__(self, request: HttpRequest, fact: str) -> None:
        super().__init__(fact)
        self.request, self.fact = f"{request.method} {urlsplit(request.url).path}", fact


class _Json(policies.SansIOHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Rejects each successful response that is not a JSON object, or that azure-core could not poll by."""

    def on_response(
        self, request: PipelineRequest[HttpRequest], response: PipelineResponse[HttpRequest, AsyncHttpResponse]
    ) -> None:
        """See azure-core."""
        answer = response.http_response
        if answer.status_code >= 300:
            return
        if answer.headers.get("Retry-After") and retry_after(response) is None:
            raise _MisfitError(request.http_request, "its Retry-After is neither a number nor a date")
        if not answer.content:
            return
        try:
            document = answer.json()
            if b"\\u" in answer.content:  # fails for half of a surrogate pair, which is no text
                json.dumps(document, ensure_ascii=False).encode()
            _Operation.model_validate(document)
        except ValidationError as problem:
            raise _MisfitError(request.http_request, finding_fact(problem)) from None
        except (ValueError, RecursionError):
            fact = "it is HTML, not JSON" if answer.content.lstrip()[:1] == b"<" else "it is not JSON"
            raise _MisfitError(request.http_request, fact) from None


class _OwnOrigin(policies.SansIOHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Rejects each request to another origin than the resource manager's, before it gets a token.

    Responses contain links to pages, operations and results, which azure-core follows by itself.
    """

    def __init__(self, resource_manager: str) -> None:
        self._own = _origin(resource_manager)

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        """See azure-core."""
        if _origin(request.http_request.url) != self._own:
            raise HttpResponseError("a response contains a link to another host than the resource manager")


class _Tokens(AsyncARMChallengeAuthenticationPolicy):
    """Adds the token, and sends a request once more with a new one if the resource manager rejects it (401).

    azure-core forgets a rejected token, but sends the request again only for a claims challenge. A token can expire
    earlier than this machine's clock says, or during a run of many hours (`ExpiredAuthenticationToken`).
    """

    async def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, AsyncHttpResponse]:
        """See azure-core."""
        answer = await super().send(request)
        return await super().send(request) if answer.http_response.status_code == 401 else answer


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    """Return scheme, host and port; None if the URL is not valid or contains a user name."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return None
    return None if "@" in parts.netloc else (parts.scheme, parts.hostname, port)
