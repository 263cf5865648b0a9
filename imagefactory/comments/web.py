"""Requests to the API of GitHub or Azure DevOps: with the job's token, over TLS, and again where that does no harm.

The token is in one header and nowhere else: no redirect is followed, and no error quotes a request. Does not know what
is requested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from imagefactory.diagnostics import error
from imagefactory.errors import ImageFactoryError
from imagefactory.loopback import is_protected

_SECONDS = 60
_RETRIES = Retry(
    4,
    backoff_factor=1,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods={"GET", "PATCH"},
    raise_on_status=False,
)
"""Not of POST: a comment that was written although the response was lost would be there twice."""
_NOTHING = "the comment is not written"


class PullRequest(Protocol):
    """A pull request that can be commented on."""

    def write(self, marker: str, body: str) -> str:
        """Update the own comment that starts with `marker`, or create it; return what was done.

        Raises `ImageFactoryError`.
        """


class _Bearer(requests.auth.AuthBase):
    """Sets the header; as `auth`, because requests would otherwise prefer what ~/.netrc says."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass(frozen=True)
class Api:
    """An API: `subject` names it in errors, `permission` is the remedy if it denies access."""

    subject: str
    url: str
    token: str = field(repr=False)
    permission: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] | None = None
    ) -> Any:
        """Return the JSON document of a response, and whether there is a next page. Raises `ImageFactoryError`."""
        self._check()
        with requests.Session() as session:
            session.mount(f"{urlsplit(self.url).scheme}://", HTTPAdapter(max_retries=_RETRIES))
            try:
                answer = session.request(
                    method,
                    self.url + path,
                    params=query,
                    json=body,
                    headers=dict(self.headers),
                    auth=_Bearer(self.token),
                    timeout=_SECONDS,
                    allow_redirects=False,
                )
                document = answer.json() if answer.status_code in {200, 201} else None
            except requests.RequestException as problem:
                fact = f"{method} {path}: no valid response ({type(problem).__name__})"
                raise self.failed(fact, "Check that the API is reachable, then run the job again") from None
        if document is None:
            raise self._denied(answer, method, path)
        return document, "next" in answer.links

    def failed(self, fact: str, remedy: str) -> ImageFactoryError:
        """Return an error about this API."""
        return ImageFactoryError(error(self.subject, fact, _NOTHING, remedy).text())

    def _check(self) -> None:
        if not is_protected(urlsplit(self.url)):
            raise self.failed("the API's URL is not https", "Fix the variable that names it")
        if not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            raise self.failed("the token is not one line of printable ASCII", "Pass the token of the job")

    def _denied(self, answer: requests.Response, method: str, path: str) -> ImageFactoryError:
        status = answer.status_code
        fact = f"{method} {path}: {status}{_message(answer)}"
        if status == 429 or "retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0":
            return self.failed(fact, "Too many requests: run the job again later")
        if status in {203, 302, 401}:  # Azure DevOps shows its sign-in page
            return self.failed(fact, "The token is not valid, or has expired: pass the token of the running job")
        if status in {403, 404}:
            return self.failed(fact, self.permission)
        return self.failed(fact, "Run the job again; if it persists, check the status of the service")


def _message(answer: requests.Response) -> str:
    try:
        text = answer.json()["message"]
    except (requests.RequestException, KeyError, TypeError):
        return ""
    return f" {str(text)[:300]}"
