"""HTTP as it is: sends one request with a token and returns the answer, bytes and headers included.

Follows no redirect, retries nothing, and names no query in an error, because queries can contain signatures.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import requests
from azure.core.exceptions import AzureError

from imagefactory.azure.core.clouds import Cloud
from imagefactory.azure.core.credentials import credential
from imagefactory.errors import ImageFactoryError

STORAGE_SCOPE = "https://storage.azure.com/.default"
_RENEWED_SECONDS = 300
_TIMEOUT = (30, 300)
_CHUNK = 64 * 1024


class ContractError(Exception):
    """The contract cannot be run, or an experiment cannot go on; the message gives fact and remedy."""


@dataclass(frozen=True)
class Answer:
    """The answer to one request; header names are in lower case."""

    request: str
    """Method and path, without query."""
    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        """The body as JSON; None if it is not."""
        try:
            return json.loads(self.content)
        except ValueError:
            return None

    @property
    def xml(self) -> ElementTree.Element | None:
        """The body as XML; None if it is not."""
        try:
            return ElementTree.fromstring(self.content)  # noqa: S314 - from the service that the token was sent to
        except ElementTree.ParseError:
            return None

    @property
    def code(self) -> str | None:
        """The code of an error, from the body of the resource manager or the header of the blob service."""
        body = self.json
        error = body.get("error") if isinstance(body, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        return code if isinstance(code, str) else self.headers.get("x-ms-error-code")


class Tokens:
    """Tokens by scope, of the identity that the environment selects, as the product selects it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._kept: dict[str, tuple[str, float]] = {}

    def __call__(self, scope: str) -> str:
        """Return a token. Raises ContractError."""
        token, expires = self._kept.get(scope, ("", 0.0))
        if expires - time.time() < _RENEWED_SECONDS:
            try:
                token, expires = self._kept[scope] = asyncio.run(self._new(scope))
            except ImageFactoryError as error:
                raise ContractError(str(error)) from error
            except AzureError as error:
                fact = f"no token for {scope} ({type(error).__name__})"
                raise ContractError(f"authentication: {fact}. Sign in again (docs/setup.md).") from error
        return token

    async def _new(self, scope: str) -> tuple[str, float]:
        async with credential(self._cloud) as signed_in:
            token = await signed_in.get_token(scope)
        return token.token, float(token.expires_on)


class Wire:
    """Sends requests."""

    def __init__(self, tokens: Callable[[str], str]) -> None:
        self._tokens = tokens
        self._session = requests.Session()

    def token(self, scope: str) -> str:
        """Return a token for a scope, for a header."""
        return f"Bearer {self._tokens(scope)}"

    def send(
        self, method: str, url: str, scope: str | None, headers: Mapping[str, str] | None = None, data: bytes = b""
    ) -> Answer:
        """Send one request; with a scope, as this identity. Raises ContractError if there is no answer."""
        with self._sent(method, url, scope, headers, data) as (request, response):
            lower = {name.lower(): value for name, value in response.headers.items()}
            return Answer(request, response.status_code, lower, response.content)

    @contextmanager
    def reading(self, url: str) -> Iterator[Iterator[bytes]]:
        """Open a GET without a token, such as that of a SAS, and yield the body in chunks as they are read; they end
        early if the connection breaks. Raises ContractError if there is no answer."""
        with self._sent("GET", url, None, None, b"", stream=True) as (_, response):
            yield _chunks(response)

    @contextmanager
    def _sent(
        self,
        method: str,
        url: str,
        scope: str | None,
        headers: Mapping[str, str] | None,
        data: bytes,
        *,
        stream: bool = False,
    ) -> Iterator[tuple[str, requests.Response]]:
        request = f"{method} {urlsplit(url).path}"
        given = dict(headers or {})
        if scope:
            given["Authorization"] = self.token(scope)
        try:
            with self._session.request(
                method,
                url,
                headers=given,
                data=data or None,
                # A function, because otherwise a .netrc of this machine would replace the token.
                auth=lambda prepared: prepared,
                allow_redirects=False,
                timeout=_TIMEOUT,
                stream=stream,
            ) as response:
                yield request, response
        except requests.RequestException as error:
            raise ContractError(f"{request}: no answer ({type(error).__name__})") from None


def _chunks(response: requests.Response) -> Iterator[bytes]:
    with suppress(requests.RequestException):
        yield from response.iter_content(_CHUNK)
