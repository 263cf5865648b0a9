"""The endpoints of a cloud (`imagefactory:endpoints`), and which of them may receive tokens.

Does not define those of Azure's clouds: `imagefactory.azure` does.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from imagefactory.configuration.pydantic_findings import Section
from imagefactory.loopback import is_protected


def safe_url(url: str) -> str:
    """Return an endpoint without a trailing slash. It receives tokens, so it must use TLS or be on this machine.

    Raises `ValueError`, with a phrase that does not repeat the URL.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not a URL") from None
    if not host or "@" in parts.netloc or {"?", "#"} & set(url):
        raise ValueError("not a URL")
    if not is_protected(parts):
        raise ValueError("not encrypted")
    return url.rstrip("/")


def safe_blob_url(url: str) -> str:
    """Do the same for storage accounts, whose endpoint has `{account}` once in place of the account's name."""
    if url.count("{account}") != 1:
        raise ValueError("not one {account}")
    safe_url(url.replace("{account}", "account"))
    return url.rstrip("/")


class Endpoints(Section):
    """Endpoints set one by one; None: the cloud's own. `blob` has `{account}` in place of the account's name."""

    resource_manager: Annotated[str | None, AfterValidator(lambda url: url and safe_url(url))] = Field(
        None,
        description="the https URL of Azure Resource Manager (http for this machine only)",
        examples=["https://management.azure.com"],
    )
    blob: Annotated[str | None, AfterValidator(lambda url: url and safe_blob_url(url))] = Field(
        None,
        description="the https URL of a storage account (http for this machine only) with {account} in it",
        examples=["https://{account}.blob.core.windows.net"],
    )
