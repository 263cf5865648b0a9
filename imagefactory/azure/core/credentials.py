"""One credential for the program and the provider, chosen as the azure-native provider chooses its own.

Owns the reading of the `ARM_*` variables, in azure-native's order (its `auth_azidentity.go`): default credential if
asked for, client certificate, client secret, OpenID Connect, managed identity, Azure CLI. So one set-up serves both.
It reads no configuration of the stack and stores nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagefactory.azure.core.clouds import Cloud
from imagefactory.errors import ImageFactoryError

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

_OIDC_AUDIENCE = "api://AzureADTokenExchange"


class CredentialError(ImageFactoryError):
    """The environment asks for a way to sign in and lacks what that way needs."""


def credential(cloud: Cloud, environment: Mapping[str, str] = os.environ) -> AsyncTokenCredential:
    """The credential that the environment asks for; azure-identity is imported only then, for it is slow to load.

    Raises `CredentialError` where a way is asked for and a variable that it needs is missing or wrong.
    """
    try:
        return _chosen(cloud, environment)
    except (OSError, ValueError) as error:
        raise CredentialError(
            f"sign-in: the ARM_* variables cannot be used ({error}); nothing can be read. Correct them"
        ) from error


def _chosen(cloud: Cloud, environment: Mapping[str, str]) -> AsyncTokenCredential:
    from azure.identity import aio as identity

    options: dict[str, Any] = {"authority": cloud.authority} if cloud.authority else {}
    client = environment.get("ARM_CLIENT_ID")

    def need(name: str, way: str) -> str:
        if value := environment.get(name):
            return value
        raise CredentialError(
            f"sign-in: {way} needs {name}, which is not set; nothing can be read. Set it, or use another way to sign in"
        )

    def asked(name: str) -> bool:
        return environment.get(name, "").lower() in {"1", "true"}

    if asked("ARM_USE_DEFAULT_AZURE_CREDENTIAL"):
        return identity.DefaultAzureCredential(**options)
    if path := environment.get("ARM_CLIENT_CERTIFICATE_PATH"):
        way = "a client certificate"
        password = environment.get("ARM_CLIENT_CERTIFICATE_PASSWORD")
        return identity.CertificateCredential(
            need("ARM_TENANT_ID", way), need("ARM_CLIENT_ID", way), path, password=password, **options
        )
    if secret := environment.get("ARM_CLIENT_SECRET"):
        way = "a client secret"
        return identity.ClientSecretCredential(
            need("ARM_TENANT_ID", way), need("ARM_CLIENT_ID", way), secret, **options
        )
    if asked("ARM_USE_OIDC"):
        way = "OpenID Connect"
        return identity.ClientAssertionCredential(
            need("ARM_TENANT_ID", way), need("ARM_CLIENT_ID", way), _assertion(environment), **options
        )
    if asked("ARM_USE_MSI"):
        return identity.ManagedIdentityCredential(client_id=client) if client else identity.ManagedIdentityCredential()
    return identity.AzureCliCredential(tenant_id=environment.get("ARM_TENANT_ID", ""))


def _assertion(environment: Mapping[str, str]) -> Callable[[], str]:
    """How to get the federated token, afresh each time where it can be had afresh."""
    if token := environment.get("ARM_OIDC_TOKEN"):
        return lambda: token
    if path := environment.get("ARM_OIDC_TOKEN_FILE_PATH"):
        return lambda: _token_of(Path(path))
    url = environment.get("ARM_OIDC_REQUEST_URL") or environment.get("ACTIONS_ID_TOKEN_REQUEST_URL")
    bearer = environment.get("ARM_OIDC_REQUEST_TOKEN") or environment.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if url and bearer:
        audience = environment.get("ARM_OIDC_AUDIENCE", _OIDC_AUDIENCE)
        return lambda: _requested_token(url, bearer, audience)
    raise CredentialError(
        "sign-in: OpenID Connect needs ARM_OIDC_TOKEN, ARM_OIDC_TOKEN_FILE_PATH, or ARM_OIDC_REQUEST_URL with "
        "ARM_OIDC_REQUEST_TOKEN, and none is set; nothing can be read. Set one of them"
    )


def _token_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialError(
            f"sign-in: the token file {path} cannot be read ({error}); nothing can be read. "
            "Correct ARM_OIDC_TOKEN_FILE_PATH"
        ) from error


def _requested_token(url: str, bearer: str, audience: str) -> str:
    import requests

    headers = {"Authorization": f"Bearer {bearer}"}
    try:
        answer = requests.get(url, params={"audience": audience}, headers=headers, timeout=30, allow_redirects=False)
        if answer.is_redirect:
            raise CredentialError(
                f"sign-in: the OpenID Connect endpoint answered {answer.status_code}, a redirect, which is not followed"
                " because the token of the job would go along; nothing can be read. Correct ARM_OIDC_REQUEST_URL"
            )
        answer.raise_for_status()
        return str(answer.json()["value"])
    except (requests.RequestException, KeyError, TypeError) as error:
        refusal = getattr(error, "response", None)
        fact = "gave no token" if refusal is None else f"answered {refusal.status_code}"
        raise CredentialError(
            f"sign-in: the OpenID Connect endpoint {fact}; nothing can be read. "
            "Check that it answers, and that the job may ask for an identity token (permissions: id-token: write)"
        ) from error
