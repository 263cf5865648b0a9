"""Federated authentication of the embedded cloud: identity tokens for pipeline jobs, and their exchange.

Responds as GitHub does (GET with `audience`, the token in `value`), as Azure Pipelines does (POST with
`serviceConnectionId`, the token in `oidcToken`: azure-identity's `AzurePipelinesCredential`), and as Microsoft Entra ID
does to a client that presents such a token (OAuth 2.0 client credentials with a JWT as `client_assertion`, RFC 7523).
The genuine one accepts TLS only; here a test puts a TLS server in front. Does not store tokens.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping

import jwt
from aiohttp import web

from localcloud.arm.errors import ArmError
from localcloud.arm.identity import TENANT, Identity

GITHUB_PATH, PIPELINES_PATH = "/oidc/github", "/oidc/azure-pipelines"
EXCHANGE_PATH = "/{tenant}/oauth2/v2.0/token"
CLIENT = "00000000-0000-0000-0000-0000000000cc"
"""The application that trusts the tokens."""
AUDIENCE = "api://AzureADTokenExchange"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 600.0
"""The lifetime of an identity token, as in Azure Pipelines."""


class Federation:
    """The endpoints; jobs present the identity's header value as their bearer token."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        # Another key than that of access tokens, or a job could name any audience and have one.
        self._key = identity.key + b"assertion"

    def add_routes(self, app: web.Application) -> None:
        """Add the endpoints to the application."""
        app.router.add_get(GITHUB_PATH, self._github)
        app.router.add_post(PIPELINES_PATH, self._pipelines)
        app.router.add_post(EXCHANGE_PATH, self._exchange)

    async def _github(self, request: web.Request) -> web.Response:
        self._check_job(request)
        return web.json_response({"value": self._assertion(request.query.get("audience", "https://github.com/owner"))})

    async def _pipelines(self, request: web.Request) -> web.Response:
        self._check_job(request)
        if "api-version" not in request.query or "serviceConnectionId" not in request.query:
            raise ArmError(400, "BadRequest", "api-version and serviceConnectionId are required.")
        return web.json_response({"oidcToken": self._assertion(AUDIENCE)})

    def _check_job(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.encode(), self._identity.header.encode()):
            raise ArmError(401, "Unauthorized", "The job's token is missing or wrong.")

    def _assertion(self, audience: str) -> str:
        claims = {"iss": "https://issuer", "sub": "job", "aud": audience, "exp": int(self._now + ASSERTION_SECONDS)}
        return jwt.encode(claims, self._key, algorithm="HS256")

    @property
    def _now(self) -> float:
        return time.time() + self._identity.ahead

    async def _exchange(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        if refusal := self._refusal(request.match_info["tenant"], form):
            code, message = refusal
            body = {"error": "invalid_client", "error_description": f"AADSTS{code}: {message}", "error_codes": [code]}
            return web.json_response(body, status=401)
        token, expires = self._identity.token(form["scope"].split()[0].removesuffix("/.default"))
        seconds = int(expires - self._now)
        return web.json_response({"token_type": "Bearer", "expires_in": seconds, "access_token": token})

    def _refusal(self, tenant: str, form: Mapping[str, str]) -> tuple[int, str] | None:
        """Return Microsoft Entra ID's error code and message; None if the assertion is valid."""
        if tenant != TENANT:
            return 90002, f"Tenant '{tenant}' not found."
        if form.get("client_id") != CLIENT:
            return 700016, "Application with that identifier was not found in the directory."
        if form.get("grant_type") != "client_credentials" or form.get("client_assertion_type") != ASSERTION_TYPE:
            return 70003, "The app requested an unsupported grant type."
        try:
            jwt.decode(
                form.get("client_assertion", ""),
                self._key,
                algorithms=["HS256"],
                audience=AUDIENCE,
                leeway=-self._identity.ahead,
                options={"verify_iat": False, "verify_nbf": False},
            )
        except jwt.ExpiredSignatureError:
            return 700024, "Client assertion is not within its valid time range."
        except jwt.InvalidAudienceError:
            return 700212, "No matching federated identity record found for presented assertion audience."
        except jwt.InvalidTokenError:
            return 50027, "JWT token is invalid or malformed."
        return None
