"""A thin client of Azure Resource Manager: get, list, post and long-running operations, with ARM's own policies.

Owns the pipeline (tokens, retries that honour Retry-After, request ids) and the reading of ARM's pages and errors. Its
token goes to the resource manager only: every URL is built or checked here, and no redirect is followed. It knows no
resource type; `labs` and `storage_accounts` do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline import PipelineRequest, policies
from azure.core.polling import AsyncLROPoller
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.mgmt.core import AsyncARMPipelineClient
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy
from azure.mgmt.core.polling.async_arm_polling import AsyncARMPolling

from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.errors import CloudError, cloud_error, from_azure
from imagefactory.plain_text import printable

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

POLL_SECONDS = 2.0
"""Between two looks at a long-running operation where Azure names no time."""
RETRIES = 4
"""Attempts after the first for 408, 429 and 5xx; with azure-core's back-off that is at most about 25 seconds."""

_NO_JSON = "the answer is not JSON"
_PATH = re.compile(r"(/(?!\.\.?(/|$))[^/?#%\\\x00-\x1f\x7f]+)+")
_UNQUOTED = "/!$&'()*+,;=:@"
"""What a path may hold as it is (RFC 3986, pchar)."""


def resource_url(resource_manager: str, path: str, parameters: Mapping[str, str]) -> str:
    """The URL of an ARM id, or of what lies below one, at an endpoint that ends without a slash.

    Raises `ValueError` where `path` is none: it must begin with a single slash, and carry no query, fragment, escape,
    empty segment or dots in place of a name.
    """
    if not _PATH.fullmatch(path):
        raise ValueError(f'"{printable(path)}" is not a path of the resource manager')
    return f"{resource_manager}{quote(path, safe=_UNQUOTED)}?{urlencode(parameters, safe='$')}"


class ResourceManager:
    """An open connection to one cloud's resource manager. Use as `async with`."""

    def __init__(self, cloud: Cloud, credential: AsyncTokenCredential) -> None:
        self.cloud = cloud
        self.credential = credential
        self._client: AsyncARMPipelineClient[HttpRequest, AsyncHttpResponse] = AsyncARMPipelineClient(
            cloud.resource_manager,
            policies=[
                _OwnOrigin(cloud.resource_manager),
                policies.RequestIdPolicy(),
                policies.UserAgentPolicy(sdk_moniker="imagefactory"),
                policies.AsyncRetryPolicy(retry_total=RETRIES),
                AsyncARMChallengeAuthenticationPolicy(credential, cloud.scope),
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
        *,
        subject: str,
        consequence: str,
        parameters: Mapping[str, str] | None = None,
    ) -> dict[str, Any] | None:
        """The resource at an ARM id, or None when there is none (404). Raises `CloudError`."""
        asked = {**(parameters or {}), "api-version": api_version}
        answer = await self._send("GET", self._url(path, asked, subject, consequence), subject, consequence)
        return None if answer is None else dict(answer)

    async def post(self, path: str, api_version: str, *, subject: str, consequence: str) -> dict[str, Any]:
        """The answer of an action without a body, such as listKeys. Raises `CloudError`, for 404 too."""
        url = self._url(path, {"api-version": api_version}, subject, consequence)
        answer = await self._send("POST", url, subject, consequence)
        if answer is None:
            raise cloud_error(subject, consequence, 404, "ResourceNotFound", "it does not exist")
        return answer

    async def run(
        self, method: str, path: str, api_version: str, *, subject: str, consequence: str, body: object = None
    ) -> dict[str, Any] | None:
        """Begin a long-running operation and wait for its end; its result, or None where there is no such resource.

        Raises `CloudError`, also where the operation was accepted and failed.
        """
        request = HttpRequest(method, self._url(path, {"api-version": api_version}, subject, consequence), json=body)
        secure: dict[str, Any] = {"enforce_https": not self.cloud.loopback}
        try:
            begun: Any = await self._client.send_request(request, _return_pipeline_response=True, **secure)
            answer = begun.http_response
            if answer.status_code == 404:
                return None
            if answer.status_code >= 300:
                raise self._refusal(answer, subject, consequence)
            polling: Any = AsyncARMPolling(POLL_SECONDS, **secure)
            result: Any = await AsyncLROPoller(self._client, begun, _content, polling).result()
        except AzureError as error:
            raise from_azure(error, subject, consequence) from error
        except ValueError as error:
            raise cloud_error(subject, consequence, 0, "", _NO_JSON) from error
        return dict(result) if isinstance(result, dict) else {}

    async def list(self, path: str, api_version: str, *, subject: str, consequence: str) -> list[dict[str, Any]] | None:
        """All items of all pages of a collection, or None where its parent does not exist. Raises `CloudError`."""
        items: list[dict[str, Any]] = []
        url = self._url(path, {"api-version": api_version}, subject, consequence)
        while url:
            page = await self._send("GET", url, subject, consequence)
            if page is None:
                return None
            items += page.get("value", [])
            url = page.get("nextLink") or ""
        return items

    def _url(self, path: str, parameters: Mapping[str, str], subject: str, consequence: str) -> str:
        try:
            return resource_url(self.cloud.resource_manager, path, parameters)
        except ValueError as reason:
            remedy = "Correct the id where it comes from"
            raise cloud_error(subject, consequence, 0, "", str(reason), remedy=remedy) from None

    async def _send(self, method: str, url: str, subject: str, consequence: str) -> dict[str, Any] | None:
        try:
            answer = await self._client.send_request(HttpRequest(method, url), enforce_https=not self.cloud.loopback)
        except AzureError as error:
            raise from_azure(error, subject, consequence) from error
        if answer.status_code == 404:
            return None
        if answer.status_code >= 300:
            raise self._refusal(answer, subject, consequence)
        try:
            return dict(answer.json() if answer.content else {})
        except (TypeError, ValueError) as error:
            raise cloud_error(subject, consequence, answer.status_code, "", _NO_JSON) from error

    @staticmethod
    def _refusal(answer: AsyncHttpResponse, subject: str, consequence: str) -> CloudError:
        try:
            body: Any = answer.json() if answer.content else {}
        except ValueError:
            body = {}
        refusal = body.get("error", body) if isinstance(body, dict) else {}
        return cloud_error(
            subject, consequence, answer.status_code, str(refusal.get("code", "")), str(refusal.get("message", ""))
        )


def _content(begun: Any) -> Any:
    answer = begun.http_response
    return answer.json() if answer.content else {}


class _OwnOrigin(policies.SansIOHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Lets no request out, and so no token, that is for another origin than the resource manager's.

    Page links, operation links and the places of results come with answers, which azure-core follows unseen.
    """

    def __init__(self, resource_manager: str) -> None:
        self._own = _origin(resource_manager)

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        """See azure-core."""
        if _origin(request.http_request.url) != self._own:
            raise HttpResponseError("an answer led away from the resource manager")


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    """None: it is no address, or names a user."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return None
    return None if "@" in parts.netloc else (parts.scheme, parts.hostname, port)
