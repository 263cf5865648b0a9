"""A thin client of Azure Resource Manager: get, list, post and long-running operations, with ARM's own policies.

Owns the pipeline (tokens, retries that honour Retry-After, request ids) and the reading of ARM's pages and errors.
It knows no resource type; `labs` and `storage_accounts` do.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError
from azure.core.pipeline import policies
from azure.core.polling import AsyncLROPoller
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.mgmt.core import AsyncARMPipelineClient
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy
from azure.mgmt.core.polling.async_arm_polling import AsyncARMPolling

from imagefactory_azure.clouds import Cloud
from imagefactory_azure.errors import CloudError, cloud_error, from_azure

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

POLL_SECONDS = 2.0
"""Between two looks at a long-running operation where Azure names no time."""
RETRIES = 4
"""Attempts after the first for 408, 429 and 5xx; with azure-core's back-off that is at most about 25 seconds."""


class ResourceManager:
    """An open connection to one cloud's resource manager. Use as `async with`."""

    def __init__(self, cloud: Cloud, credential: AsyncTokenCredential) -> None:
        self.cloud = cloud
        self.credential = credential
        self._client: AsyncARMPipelineClient[HttpRequest, AsyncHttpResponse] = AsyncARMPipelineClient(
            cloud.resource_manager,
            policies=[
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

    async def get(self, path: str, api_version: str, *, subject: str, consequence: str) -> dict[str, Any] | None:
        """The resource at an ARM id, or None when there is none (404). Raises `CloudError`."""
        answer = await self._send("GET", path, api_version, subject, consequence)
        return None if answer is None else dict(answer)

    async def post(self, path: str, api_version: str, *, subject: str, consequence: str) -> dict[str, Any]:
        """The answer of an action without a body, such as listKeys. Raises `CloudError`, for 404 too."""
        answer = await self._send("POST", path, api_version, subject, consequence)
        if answer is None:
            raise cloud_error(subject, consequence, 404, "ResourceNotFound", "it does not exist")
        return answer

    async def delete(self, path: str, api_version: str, *, subject: str, consequence: str) -> None:
        """Begin to delete the resource at an ARM id; nothing happens when it is gone already. Raises `CloudError`."""
        await self._send("DELETE", path, api_version, subject, consequence)

    async def run(
        self, method: str, path: str, api_version: str, *, subject: str, consequence: str, body: object = None
    ) -> dict[str, Any] | None:
        """Begin a long-running operation and wait for its end; its result, or None where there is no such resource.

        Raises `CloudError`, also where the operation was accepted and failed.
        """
        url = f"{self.cloud.resource_manager}{path}"
        request = HttpRequest(method, url, params={"api-version": api_version}, json=body)
        secure: dict[str, Any] = {"enforce_https": not self.cloud.loopback}
        try:
            begun: Any = await self._client.send_request(request, _return_pipeline_response=True, **secure)
            answer = begun.http_response
            if answer.status_code == 404:
                return None
            if answer.status_code >= 400:
                raise self._refusal(answer, subject, consequence)
            links = (answer.headers.get(name) for name in ("Azure-AsyncOperation", "Location"))
            if any(link and _origin(link) != _origin(self.cloud.resource_manager) for link in links):
                raise cloud_error(subject, consequence, 0, "", "an operation led away from the resource manager")
            polling: Any = AsyncARMPolling(POLL_SECONDS, **secure)
            result: Any = await AsyncLROPoller(self._client, begun, _content, polling).result()
        except AzureError as error:
            raise from_azure(error, subject, consequence) from error
        return dict(result) if isinstance(result, dict) else {}

    async def list(self, path: str, api_version: str, *, subject: str, consequence: str) -> list[dict[str, Any]] | None:
        """All items of all pages of a collection, or None where its parent does not exist. Raises `CloudError`."""
        items: list[dict[str, Any]] = []
        target = path
        while target:
            page = await self._send("GET", target, api_version, subject, consequence)
            if page is None:
                return None
            items += page.get("value", [])
            target = page.get("nextLink") or ""
        return items

    async def _send(
        self, method: str, target: str, api_version: str, subject: str, consequence: str
    ) -> dict[str, Any] | None:
        is_link = target.startswith(("http://", "https://"))
        if is_link and _origin(target) != _origin(self.cloud.resource_manager):
            raise cloud_error(subject, consequence, 0, "", "a page link led away from the resource manager")
        url = target if is_link else f"{self.cloud.resource_manager}{target}"
        request = HttpRequest(method, url, params=None if is_link else {"api-version": api_version})
        try:
            answer = await self._client.send_request(request, enforce_https=not self.cloud.loopback)
            if answer.status_code == 404:
                return None
            body: Any = answer.json() if answer.content else {}
        except AzureError as error:
            raise from_azure(error, subject, consequence) from error
        except ValueError as error:
            raise cloud_error(subject, consequence, answer.status_code, "", "the answer is not JSON") from error
        if answer.status_code >= 400:
            raise self._refusal(answer, subject, consequence)
        return dict(body)

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


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
