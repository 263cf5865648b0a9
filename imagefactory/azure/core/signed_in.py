"""Who is signed in: the claims of the token for the resource manager. Keeps and returns no token."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError

from imagefactory.azure.core.errors import from_azure

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_METHODS = {
    "DefaultAzureCredential": "the default chain of azure-identity",
    "CertificateCredential": "a client certificate",
    "ClientSecretCredential": "a client secret",
    "ClientAssertionCredential": "OpenID Connect",
    "ManagedIdentityCredential": "a managed identity",
    "AzureCliCredential": "the Azure CLI",
}


@dataclass(frozen=True)
class SignedIn:
    """The identity of a token, unverified; empty values: the token does not say, or is not of a readable form."""

    tenant: str = ""
    object_id: str = ""
    application: str = ""
    """appid of a token of version 1, azp of version 2."""
    name: str = ""
    """That of a user."""
    groups: frozenset[str] | None = None
    """Object ids of the groups that it is a member of; None: a token of an application has none, nor one of a user with
    too many (Access token claims reference)."""

    def text(self) -> str:
        """Return what is known, for a report."""
        known = {"": self.name, "object": self.object_id, "application": self.application, "tenant": self.tenant}
        return ", ".join(f"{what} {value}".strip() for what, value in known.items() if value)


def method_of(credential: AsyncTokenCredential) -> str:
    """Return how a credential signs in."""
    return _METHODS.get(type(credential).__name__, type(credential).__name__)


def is_default_chain(credential: AsyncTokenCredential) -> bool:
    """Return whether each library tries its own order of methods."""
    return type(credential).__name__ == "DefaultAzureCredential"


async def signed_in(
    credential: AsyncTokenCredential, scope: str, environment: Mapping[str, str] = os.environ
) -> SignedIn:
    """Request a token and return whose it is. Raises `CloudError`.

    A token that does not say its tenant is of the one that the environment names by id (`credentials`).
    """
    try:
        token = await credential.get_token(scope)
    except AzureError as error:
        raise from_azure(error, "authentication", "nothing can be read") from error
    found = _identity(_claims(token.token))
    configured = environment.get("ARM_TENANT_ID", "")
    return replace(found, tenant=configured) if not found.tenant and _ID.fullmatch(configured) else found


def _claims(token: str) -> Mapping[str, Any]:
    """Return the claims of a JSON Web Token (RFC 7519); empty if it is none, which a client must expect."""
    body = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        found = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _identity(claims: Mapping[str, Any]) -> SignedIn:
    def text(*names: str) -> str:
        return next((str(claims[name]) for name in names if isinstance(claims.get(name), str)), "")

    groups = claims.get("groups")
    return SignedIn(
        text("tid"),
        text("oid"),
        text("appid", "azp"),
        text("upn", "preferred_username", "unique_name"),
        frozenset(map(str, groups)) if isinstance(groups, list) else None,
    )
