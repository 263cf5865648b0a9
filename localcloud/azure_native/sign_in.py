"""How the stand-in gets its tokens: by the variables that the genuine plugin reads, in its order.

Supports OpenID Connect and the managed identity, which have endpoints in the embedded cloud; the managed identity also
stands in for the Azure CLI, to which the genuine plugin turns if no method is selected. As in the genuine plugin
(`auth_azidentity.go`), flags count only if they are `true`, and a request for an identity token only by the names of
GitHub Actions. Does not cache tokens: `ArmClient` does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localcloud.azure_native.errors import AzureError

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

RESOURCE = "https://management.azure.com"
_PUBLIC = "https://login.microsoftonline.com"
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class SignIn:
    """The method that the environment selects."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    async def token(self, session: ClientSession) -> tuple[str, float]:
        """Return a token for the resource manager and its expiry (seconds since 1970). Raises AzureError."""
        unsupported = ("ARM_CLIENT_CERTIFICATE_PATH", "ARM_CLIENT_SECRET")
        if self._is_true("ARM_USE_DEFAULT_AZURE_CREDENTIAL") or any(
            self._environment.get(name) for name in unsupported
        ):
            raise AzureError("the stand-in azure-native plugin signs in by OpenID Connect or a managed identity only")
        if self._is_true("ARM_USE_OIDC"):
            return await self._exchange(session)
        return await self._managed(session)

    async def _managed(self, session: ClientSession) -> tuple[str, float]:
        headers = {"X-IDENTITY-HEADER": self._environment.get("IDENTITY_HEADER", "")}
        query = {"resource": f"{RESOURCE}/", "api-version": "2019-08-01"}
        async with session.get(self._environment.get("IDENTITY_ENDPOINT", ""), headers=headers, params=query) as raw:
            document = await _document(raw)
        return document["access_token"], float(document["expires_on"])

    async def _exchange(self, session: ClientSession) -> tuple[str, float]:
        tenant, client = self._needed("ARM_TENANT_ID", "Tenant ID"), self._needed("ARM_CLIENT_ID", "Client ID")
        form = {
            "grant_type": "client_credentials",
            "client_id": client,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": await self._assertion(session),
            "scope": f"{RESOURCE}/.default",
        }
        authority = self._environment.get("AZURE_AUTHORITY_HOST") or _PUBLIC
        async with session.post(f"{authority.rstrip('/')}/{tenant}/oauth2/v2.0/token", data=form) as raw:
            document = await _document(raw)
        return document["access_token"], time.time() + float(document["expires_in"])

    async def _assertion(self, session: ClientSession) -> str:
        if token := self._environment.get("ARM_OIDC_TOKEN"):
            return token
        if path := self._environment.get("ARM_OIDC_TOKEN_FILE_PATH"):
            return _content(path)
        names = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
        url, bearer = (self._environment.get(name, "") for name in names)
        if not (url and bearer):
            raise AzureError("A OIDC token or request URL and token must be configured when authenticating with OIDC.")
        audience = self._environment.get("ARM_OIDC_AUDIENCE") or "api://AzureADTokenExchange"
        async with session.get(
            url, params={"audience": audience}, headers={"Authorization": f"Bearer {bearer}"}
        ) as raw:
            return str((await _document(raw))["value"])

    def _needed(self, name: str, what: str) -> str:
        if value := self._environment.get(name):
            return value
        raise AzureError(f"A {what} must be configured when authenticating with OIDC.")

    def _is_true(self, name: str) -> bool:
        return self._environment.get(name) == "true"


async def _document(response: ClientResponse) -> dict[str, Any]:
    if response.status != 200:
        raise AzureError(f"Status={response.status} {await response.text()}", response.status)
    return dict(await response.json())


def _content(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise AzureError(f"failed to read OIDC token from {path}: {error}") from error
