"""Errors of Azure: one exception, one line of text, and the remedy that `refusals` has for its code.

An error says what it is about, what is wrong and what to do. What follows from it is added where that is decided: see
`consequence`. Does not keep the query or the headers of a request, so no key, token or SAS can get into a message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from imagefactory.azure.core import refusals
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.errors import ImageFactoryError
from imagefactory.plain_text import redacted
from imagefactory.roles.actions import blob_action

EXISTENCE = "cannot determine whether it exists"
"""The consequence of a read that failed."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class CloudError(ImageFactoryError):
    """Azure returned an error or did not respond. `status` is the HTTP status, 0 without a response."""

    def __init__(self, diagnostic: Diagnostic, status: int = 0, code: str = "") -> None:
        super().__init__(diagnostic.message())
        self.diagnostic = diagnostic
        self.status = status
        self.code = code

    def so(self, consequence: str) -> CloudError:
        """Return the same error with this consequence."""
        return type(self)(replace(self.diagnostic, consequence=consequence), self.status, self.code)


@contextmanager
def consequence(text: str) -> Iterator[None]:
    """Say what follows if the block fails: a `CloudError` that has no consequence yet gets this one."""
    try:
        yield
    except CloudError as refusal:
        if refusal.diagnostic.consequence:
            raise
        raise refusal.so(text) from refusal


def cloud_error(
    subject: str,
    message: str,
    status: int = 0,
    code: str = "",
    *,
    consequence: str = "",
    account: str = "",
    remedy: str = "",
    action: str = "",
) -> CloudError:
    """Return the error for a response with this status and Azure's error `code` and `message`.

    `account` is the storage account (its name or ARM id) or the disk (its ARM id) that responded; `action` what the
    request to the blob service needed; `remedy` replaces the general one for the status and code.
    """
    first_line = redacted(message).strip().splitlines()[0].rstrip(". ") if message.strip() else "no reason given"
    fact = f"Azure returned {status} {code}: {first_line}" if status else first_line
    if status in _REDIRECTS:
        fact = f"Azure returned {status}, a redirect, which is not followed because it would forward the credential"
        remedy = remedy or "Check the endpoints in the settings, and the proxy of this machine"
    remedy = remedy or refusals.remedy(status, code, account, action)
    return CloudError(error(subject, fact, consequence, remedy), status, code)


def not_found(subject: str, message: str = "it does not exist") -> CloudError:
    """Return the error for a resource that Azure does not have."""
    return cloud_error(subject, message, 404, "ResourceNotFound")


def from_azure(error: AzureError, subject: str, consequence: str = "", *, account: str = "") -> CloudError:
    """Return the `CloudError` for an exception of the Azure SDK; see `cloud_error`."""
    status, code, message = 0, "", f"no response from Azure ({error.message})"
    if isinstance(error, ClientAuthenticationError) and error.status_code is None:
        status, code, message, account = 401, "AuthenticationFailed", str(error.message), ""
    elif isinstance(error, HttpResponseError):
        status, code = error.status_code or 0, error_code(error)
        message = str(error.error.message if error.error and error.error.message else error.message)
    action = _action(error) if account else ""
    return cloud_error(subject, message, status, code, consequence=consequence, account=account, action=action)


def _action(error: AzureError) -> str:
    """Return what a rejected request to the blob service needed; empty: not known."""
    request = getattr(getattr(error, "response", None), "request", None)
    return blob_action(str(request.method), str(request.url)) if request is not None else ""


def source_error(
    subject: str, status: int, texts: Mapping[str, str], *messages: str, consequence: str, source: str, remedy: str = ""
) -> CloudError:
    """Return the error for a response with the code `CannotVerifyCopySource`: the source of a copy returned an error.

    `source` is the ARM id of the account or disk that holds the source, `subject` its name; `remedy` replaces the
    general one if the source's code is unknown. For `texts` and `messages` see `refusals.source_refusal`.
    """
    told = refusals.source_refusal(status, texts, *messages)
    message = texts.get("CopySourceErrorMessage") or next((text for text in messages if text), "")
    code = told.code or refusals.SOURCE_REFUSED
    remedy = "" if refusals.is_final(told.code) else remedy
    known = {"consequence": consequence, "account": source, "remedy": remedy, "action": blob_action("GET", "")}
    return cloud_error(subject, message, told.status, code, **known)


def error_code(error: Exception) -> str:
    """Return Azure's code for an error, such as `BlobAlreadyExists`, which the storage SDK has as an enum; else ""."""
    if not isinstance(error, HttpResponseError):
        return ""
    code = getattr(error, "error_code", None) or (error.error.code if error.error else None) or error.reason or ""
    return str(getattr(code, "value", code))
