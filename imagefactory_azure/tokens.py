"""Bearer tokens of a run: asked for once, renewed well before they end, shared by all who need one.

Owns the keeping of tokens in memory. The Azure CLI is started anew for each token asked of it, and a copy makes
thousands of requests: hence a cache in front of whatever credential there is.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessToken
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy
from azure.core.rest import HttpRequest

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

RENEWED_BEFORE = 5 * 60.0
"""Seconds before its end at which a token is renewed; at half of its life where that is later."""


class Tokens:
    """A credential that keeps the tokens of another one, by scope."""

    def __init__(self, credential: AsyncTokenCredential) -> None:
        self._credential = credential
        self._kept: dict[str, tuple[AccessToken, float]] = {}
        self._asking = asyncio.Lock()

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A token for one scope that is good for a while. Raises what the credential raises."""
        (scope,) = scopes
        if kept := self._good(scope):
            return kept
        async with self._asking:
            if kept := self._good(scope):
                return kept
            token = await self._credential.get_token(scope, **options)
            life = token.expires_on - time.time()
            self._kept[scope] = token, time.time() + max(life / 2, life - RENEWED_BEFORE)
            return token

    def forget(self, scope: str) -> None:
        """The service does not take the token any more: ask for another."""
        self._kept.pop(scope, None)

    def _good(self, scope: str) -> AccessToken | None:
        token, renewed_at = self._kept.get(scope, (None, 0.0))
        return token if time.time() < renewed_at else None

    async def close(self) -> None:
        """Nothing is open here; the credential belongs to who made it."""

    async def __aenter__(self) -> Tokens:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Bearer(AsyncBearerTokenCredentialPolicy[HttpRequest, Any]):
    """Sends tokens to a blob service; over plain HTTP only where that service is on this machine."""

    def __init__(self, tokens: Tokens, scope: str, *, loopback: bool) -> None:
        super().__init__(tokens, scope)
        self._loopback = loopback

    async def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        """See azure-core."""
        if self._loopback:
            request.context.options["enforce_https"] = False
        await super().on_request(request)
