"""The credential of the program, the plugin and the command, selected as the azure-native provider selects its own.

Reads the variables as azure-native does (its `auth_azidentity.go`), in its order: default credential if requested,
client certificate, client secret, OpenID Connect, managed identity, Azure CLI. Where azure-native would not sign in,
this module does not either, and says what to set: the program stops before it declares anything. Does not read the
configuration of the stack, and does not store anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from imagefactory.azure.core.clouds import CLOUDS, Cloud
from imagefactory.diagnostics import error
from imagefactory.errors import ImageFactoryError

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

AUDIENCE = "api://AzureADTokenExchange"
"""Of the federated tokens that Microsoft Entra ID exchanges."""


class CredentialError(ImageFactoryError):
    """The environment selects a way to sign in, and a variable that it needs is missing or wrong."""


def credential(cloud: Cloud, environment: Mapping[str, str] = os.environ) -> AsyncTokenCredential:
    """Return the credential that the environment selects. Raises `CredentialError`.

    Imports azure-identity only when called, because it is slow to load.
    """
    try:
        return _selected(cloud, environment)
    except (OSError, ValueError) as reason:
        raise _failed(f"the ARM_* variables are invalid ({reason})", "Fix them") from reason


def _selected(cloud: Cloud, environment: Mapping[str, str]) -> AsyncTokenCredential:
    from azure.identity import aio as identity

    options: dict[str, Any] = {"authority": cloud.authority} if cloud.authority else {}
    client = environment.get("ARM_CLIENT_ID")

    def need(name: str, way: str) -> str:
        if value := environment.get(name):
            return value
        raise _failed(f"{way} needs {name}, which is not set", "Set it, or use another way to sign in")

    def is_set(name: str) -> bool:
        value = environment.get(name, "")
        if value != "true" and value.lower() not in {"", "0", "false"}:
            fact = f"{name} is set, but not to true, the only value that azure-native accepts"
            raise _failed(fact, f"Set {name} to true, or unset it")
        return value == "true"

    if is_set("ARM_USE_DEFAULT_AZURE_CREDENTIAL"):
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
    if is_set("ARM_USE_OIDC"):
        way = "OpenID Connect"
        return identity.ClientAssertionCredential(
            need("ARM_TENANT_ID", way), need("ARM_CLIENT_ID", way), _assertion(cloud, environment), **options
        )
    if is_set("ARM_USE_MSI"):
        return identity.ManagedIdentityCredential(client_id=client) if client else identity.ManagedIdentityCredential()
    return identity.AzureCliCredential(tenant_id=environment.get("ARM_TENANT_ID", ""))


def _assertion(cloud: Cloud, environment: Mapping[str, str]) -> Callable[[], str]:
    """Return a function that gets the federated token; from a file or an endpoint it gets a new one each time."""
    if token := environment.get("ARM_OIDC_TOKEN"):
        _check_authority(cloud, environment, "ARM_OIDC_TOKEN")
        return lambda: token
    if path := environment.get("ARM_OIDC_TOKEN_FILE_PATH"):
        _check_authority(cloud, environment, "ARM_OIDC_TOKEN_FILE_PATH")
        return lambda: _token_of(Path(path))
    url, bearer = environment.get("ACTIONS_ID_TOKEN_REQUEST_URL"), environment.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if url and bearer:
        audience = environment.get("ARM_OIDC_AUDIENCE") or AUDIENCE
        return lambda: requested_token(url, bearer, audience)
    names = "ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN"
    if environment.get("ARM_OIDC_REQUEST_URL"):
        fact = "ARM_OIDC_REQUEST_URL is set, which azure-native does not read"
        raise _failed(fact, f"Set {names} for GitHub; for Azure Pipelines see docs/setup.md#federated-sign-in")
    fact = f"OpenID Connect needs ARM_OIDC_TOKEN, ARM_OIDC_TOKEN_FILE_PATH, or {names}, and none is set"
    raise _failed(fact, "Set one of them")


def _check_authority(cloud: Cloud, environment: Mapping[str, str], name: str) -> None:
    """Stop if azure-native would exchange a given token elsewhere: it does not pass its cloud to that credential, which
    then uses AZURE_AUTHORITY_HOST, else the public cloud (azidentity's `setAuthorityHost`)."""
    host = urlsplit(environment.get("AZURE_AUTHORITY_HOST", "")).hostname or CLOUDS["public"].authority
    if cloud.authority and host != cloud.authority:
        fact = f"azure-native exchanges {name} at {host}, not at {cloud.authority}"
        raise _failed(fact, f"Set AZURE_AUTHORITY_HOST to https://{cloud.authority}")


def _token_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")  # complete, as azure-native sends it
    except (OSError, UnicodeDecodeError) as reason:
        raise _failed(f"the token file {path} cannot be read ({reason})", "Fix ARM_OIDC_TOKEN_FILE_PATH") from reason


def requested_token(url: str, bearer: str, audience: str) -> str:
    """Return a new identity token of a job of GitHub Actions. Raises `CredentialError`."""
    import requests

    headers = {"Authorization": f"Bearer {bearer}"}
    try:
        answer = requests.get(url, params={"audience": audience}, headers=headers, timeout=30, allow_redirects=False)
        if answer.is_redirect:
            fact = f"the OpenID Connect endpoint returned {answer.status_code}, a redirect, which is not followed"
            raise _failed(f"{fact} because it would forward the job's token", "Fix ACTIONS_ID_TOKEN_REQUEST_URL")
        answer.raise_for_status()
        return str(answer.json()["value"])
    except (requests.RequestException, KeyError, TypeError) as reason:
        response = getattr(reason, "response", None)
        fact = "no token" if response is None else str(response.status_code)
        remedy = "Check that it is reachable, and that the job may request an identity token"
        raise _failed(
            f"the OpenID Connect endpoint returned {fact}", f"{remedy} (permissions: id-token: write)"
        ) from reason


def _failed(fact: str, remedy: str) -> CredentialError:
    return CredentialError(error("authentication", fact, "nothing can be read", remedy).message())
