"""What the product says when Azure refuses: one exception, one sentence, a remedy by kind of refusal.

Owns the mapping from HTTP status and Azure error code to words. It keeps no URL query and no header, so that no key,
token or SAS can reach a message.
"""

from __future__ import annotations

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from imagefactory.diagnostics import Diagnostic, Severity
from imagefactory.errors import ImageFactoryError
from imagefactory.plain_text import redacted

_REMEDIES = {
    401: "Sign in again (az login), or check the ARM_* variables",
    403: "Give the identity that runs this the role it lacks there (docs/operations.md lists them)",
    404: "Check the name and the subscription",
    409: "Look at what stands there, then run again",
    429: "Run again later, or with a smaller --parallel",
}

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class CloudError(ImageFactoryError):
    """Azure refused or could not be reached. `status` is the HTTP status (0 when there was no answer)."""

    def __init__(self, diagnostic: Diagnostic, status: int = 0, code: str = "") -> None:
        super().__init__(diagnostic.message())
        self.diagnostic = diagnostic
        self.status = status
        self.code = code


def data_role(account: str) -> str:
    """What to do where an identity may not touch the blobs of a storage account (its name, or empty)."""
    return (
        f"Give the identity that runs this the role Storage Blob Data Contributor on {_account(account)}"
        " (on the factory's own, Storage Blob Data Reader is enough)"
    )


def enabled_keys(account: str) -> str:
    """What to do where the keys of a storage account open nothing."""
    return (
        f"Set imagefactory:storageAuth to aad, which needs no account keys, for those of {_account(account)} are"
        f" disabled. {data_role(account)}"
    )


def cloud_error(
    subject: str, consequence: str, status: int, code: str, message: str, *, account: str = "", remedy: str = ""
) -> CloudError:
    """The error for an answer of `status` with Azure's error `code` and `message`.

    `account` is the storage account that gave it, `remedy` what to do, where the caller knows better.
    """
    first_line = redacted(message).strip().splitlines()[0].rstrip(". ") if message.strip() else "no reason given"
    fact = f"Azure answered {status} {code}: {first_line}" if status else first_line
    if status in _REDIRECTS:
        fact = f"the answer was {status}, a redirect, which is not followed because the credential would go along"
        remedy = remedy or "Check the endpoints in the settings, and the proxy of this machine"
    diagnostic = Diagnostic(Severity.ERROR, subject, fact, consequence, remedy or _remedy(status, code, account))
    return CloudError(diagnostic, status, code)


def from_azure(error: AzureError, subject: str, consequence: str, *, account: str = "") -> CloudError:
    """The `CloudError` for whatever the Azure SDK raised, by storage account `account` where it was one."""
    if isinstance(error, ClientAuthenticationError) and error.status_code is None:
        return cloud_error(subject, consequence, 401, "AuthenticationFailed", str(error.message))
    if isinstance(error, HttpResponseError):
        message = error.error.message if error.error and error.error.message else str(error.message)
        return cloud_error(subject, consequence, error.status_code or 0, error_code(error), message, account=account)
    return cloud_error(subject, consequence, 0, "", f"no answer from Azure ({error.message})")


def error_code(error: HttpResponseError) -> str:
    """Azure's own code for a refusal, such as `BlobAlreadyExists`; the storage SDK adds it as an enum."""
    code = getattr(error, "error_code", None) or (error.error.code if error.error else None) or error.reason or ""
    return str(getattr(code, "value", code))


def _remedy(status: int, code: str, account: str) -> str:
    if code == "KeyBasedAuthenticationNotPermitted":
        return enabled_keys(account)
    if code == "AuthorizationPermissionMismatch":
        return data_role(account)
    if code == "AuthorizationFailure":
        return f"Let the network rules of {_account(account)} admit this machine"
    return _REMEDIES.get(status, "Run again; if it stays, look at the service's health")


def _account(account: str) -> str:
    return f"storage account '{account}'" if account else "the storage account"
