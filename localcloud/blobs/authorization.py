"""Authorization that Azurite does not support over plain HTTP.

Checks bearer tokens (of the caller, and for the source of a copy), user delegation keys and the SAS signed with them,
accounts with disabled keys, and managed disks, which accept only their own SAS (disk_access.py). Forwards an authorized
call with a SAS of the cloud itself; leaves Shared Key and SAS signed with an account's key to Azurite. Errors are
worded as Azure words them. Does not store tokens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit
from xml.etree import ElementTree

from aiohttp import web
from azure.storage.blob import UserDelegationKey, generate_blob_sas, generate_container_sas
from pydantic import Field

from localcloud.account_facts import ORDINARY, FactsOf
from localcloud.arm.errors import ArmError
from localcloud.arm.identity import OBJECT, TENANT, TOKEN_SECONDS, Identity
from localcloud.blobs.access import API_VERSION, Accounts
from localcloud.blobs.disk_access import DISK_ACCOUNT, DiskAccess
from localcloud.fault_rules import Document
from localcloud.rights import Need, blob_need

AUDIENCES = ("https://storage.azure.com",)
SOURCE_VOUCHED = "x-localcloud-source"
"""Tells Azurite (azurite_host.cjs, pages_from_url.cjs) that the caller may read the source of a copy."""


class SignIn(Document):
    """The rules of authentication, until the cloud stops."""

    keyless_accounts: list[str] = Field(default_factory=list)
    """Storage accounts whose keys are disabled (Azure's `allowSharedKeyAccess: false`)."""
    token_seconds: float = Field(TOKEN_SECONDS, gt=0)
    """The lifetime of new tokens."""
    clock_ahead_seconds: float = Field(0.0, ge=0)
    """How far the clock that issues and checks tokens is ahead of this machine's."""


@dataclass
class BlobError(Exception):
    """An unauthorized call, as the blob service reports it."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Forwarding:
    """How to forward a call: its request target, headers to omit (lower case), headers to add."""

    target: str
    without: frozenset[str] = frozenset()
    added: tuple[tuple[str, str], ...] = ()


class Authorization:
    """Authorizes calls; `keyless` names the accounts whose keys are disabled."""

    def __init__(
        self,
        accounts: Accounts,
        identity: Identity,
        disks: DiskAccess,
        facts: FactsOf = lambda _: ORDINARY,
        may: Callable[[str, Need], bool] = lambda *_: True,
    ) -> None:
        """`may` returns whether the roles of the identity permit something below an account."""
        self._accounts, self._identity, self._disks, self._facts, self._may = accounts, identity, disks, facts, may
        self.keyless: frozenset[str] = frozenset()

    async def authorize(self, request: web.BaseRequest) -> Forwarding | web.Response:
        """Return how to forward the call, or the response if none is needed. Raises BlobError."""
        target = request.raw_path
        path, _, query = target.partition("?")
        account = unquote(path.lstrip("/").partition("/")[0])
        authorization = request.headers.get("Authorization", "")
        bearer = authorization.lower().startswith("bearer ")
        without, added = {SOURCE_VOUCHED}, list[tuple[str, str]]()
        facts = self._facts(account)
        if facts.disabled:
            raise BlobError(403, "AccountIsDisabled", "The specified account is disabled.")
        if facts.is_closed:
            raise _CLOSED
        if request.headers.get("x-ms-blob-type") == "PageBlob" and not facts.holds_page_blobs:
            raise _NO_PAGE_BLOBS
        if account == DISK_ACCOUNT:
            self._check_disk(request.method, path, query)
            _check_unconditional(request, ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"))
            target = self._with_sas(path, query, account)
            without.add("authorization")
        elif bearer:
            self._check_token(authorization, 401, "InvalidAuthenticationInfo")
            self._check_roles(account, request.method, path, query)
            if "comp=userdelegationkey" in query:
                return web.Response(text=self._delegation_key(await request.read()), content_type="application/xml")
            target = self._with_sas(path, query, account)
            without.add("authorization")
        elif "skoid=" in query:
            self._check_delegated(path, query)
            self._check_roles(account, request.method, path, query)
            target = self._with_sas(path, query, account)
        elif account in self.keyless and (authorization or "sig=" in query):
            raise _KEYS_DISABLED
        if source := request.headers.get("x-ms-copy-source"):
            added += self._vouched(request, source)
        return Forwarding(target, frozenset(without), tuple(added))

    def _vouched(self, request: web.BaseRequest, source: str) -> list[tuple[str, str]]:
        """Return the header for Azurite if this class authorized the source; Azurite authorizes other sources itself.

        The source's own headers are kept, because Shared Key may sign them."""
        parts = urlsplit(source)
        account = unquote(parts.path.lstrip("/").partition("/")[0])
        if self._facts(account).is_closed:
            found = {"x-ms-copy-source-status-code": str(_CLOSED.status), "x-ms-copy-source-error-code": _CLOSED.code}
            raise BlobError(403, "CannotVerifyCopySource", _CLOSED.message, found)
        # Anywhere in the path: Azurite resolves /a/../, which must not bypass this check.
        if DISK_ACCOUNT in unquote(parts.path):
            if not self._disks.opens(parts.path, parts.query):
                raise BlobError(403, "CannotVerifyCopySource", _UNSIGNED.message)
            _check_unconditional(request, tuple(name for name in request.headers if name.startswith("x-ms-source-if-")))
        elif given := request.headers.get("x-ms-copy-source-authorization"):
            self._check_token(given, 401, "CannotVerifyCopySource")
            self._check_source_roles(account, parts.path)
        elif "skoid=" in parts.query:
            try:
                self._check_delegated(parts.path, parts.query)
            except BlobError as error:
                raise BlobError(403, "CannotVerifyCopySource", error.message) from None
            self._check_source_roles(account, parts.path)
        elif account in self.keyless and "sig=" in parts.query:
            raise BlobError(403, "CannotVerifyCopySource", _KEYS_DISABLED.message)
        else:
            return []
        return [(SOURCE_VOUCHED, "open")]

    def _with_sas(self, path: str, query: str, account: str) -> str:
        kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in _SAS_NAMES]
        # For a missing account Azurite returns the error.
        sas = self._accounts.sas(account) if account in self._accounts.keys else "sv=none"
        return f"{path}?{urlencode(kept, quote_via=quote)}&{sas}" if kept else f"{path}?{sas}"

    def _check_roles(self, account: str, method: str, path: str, query: str) -> None:
        """Reject what the roles of the identity do not permit; a SAS of a user delegation key permits no more."""
        if not self._may(account, blob_need(method, unquote(path), dict(parse_qsl(query)))):
            raise _NOT_PERMITTED

    def _check_source_roles(self, account: str, path: str) -> None:
        try:
            self._check_roles(account, "GET", path, "")
        except BlobError as error:
            found = {"x-ms-copy-source-status-code": str(error.status), "x-ms-copy-source-error-code": error.code}
            raise BlobError(403, "CannotVerifyCopySource", error.message, found) from None

    def _check_token(self, authorization: str, status: int, code: str) -> None:
        try:
            self._identity.check(authorization, AUDIENCES)
        except ArmError as error:
            challenge = (
                f"Bearer authorization_uri=https://login.microsoftonline.com/{TENANT}/oauth2/authorize"
                " resource_id=https://storage.azure.com"
            )
            raise BlobError(status, code, str(error.message), {"WWW-Authenticate": challenge}) from None

    def _delegation_key(self, body: bytes) -> str:
        document = ElementTree.fromstring(body)  # noqa: S314 - from a caller on this machine with a valid token
        key = self._key(document.findtext("Start") or "", document.findtext("Expiry") or "")
        facts = {
            "SignedOid": key.signed_oid,
            "SignedTid": key.signed_tid,
            "SignedStart": key.signed_start,
            "SignedExpiry": key.signed_expiry,
            "SignedService": key.signed_service,
            "SignedVersion": key.signed_version,
            "Value": key.value,
        }
        rows = "".join(f"<{name}>{value}</{name}>" for name, value in facts.items())
        return f'<?xml version="1.0" encoding="utf-8"?><UserDelegationKey>{rows}</UserDelegationKey>'

    def _key(self, start: str, expiry: str) -> UserDelegationKey:
        key = UserDelegationKey()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
        key.signed_oid, key.signed_tid, key.signed_service, key.signed_version = OBJECT, TENANT, "b", API_VERSION
        key.signed_start, key.signed_expiry = start, expiry
        value = hmac.new(self._identity.key, f"delegation {start} {expiry}".encode(), hashlib.sha256).digest()
        key.value = base64.b64encode(value).decode()
        return key

    def _check_disk(self, method: str, path: str, query: str) -> None:
        if not self._disks.opens(path, query):
            raise _UNSIGNED
        if method not in ("GET", "HEAD"):
            raise _NOT_PERMITTED

    def _check_delegated(self, path: str, query: str) -> None:
        """Raise BlobError for an expired SAS, or one not signed for that path with a user delegation key."""
        given = dict(parse_qsl(query))
        account, container, blob = (*unquote(path).lstrip("/").split("/", 2), "", "")[:3]
        key = self._key(given.get("skt", ""), given.get("ske", ""))
        life: dict[str, Any] = {"permission": given.get("sp"), "start": given.get("st"), "expiry": given.get("se")}
        expected = (
            generate_container_sas(account, container, user_delegation_key=key, **life)
            if given.get("sr") == "c"
            else generate_blob_sas(account, container, blob, user_delegation_key=key, **life)
        )
        now = datetime.now(timezone.utc)
        expired = any(_time(given.get(name)) <= now for name in ("se", "ske"))
        signature = dict(parse_qsl(expected)).get("sig", "")
        if expired or not hmac.compare_digest(signature.encode(), given.get("sig", "").encode()):
            raise _UNSIGNED


def _check_unconditional(request: web.BaseRequest, conditions: Iterable[str]) -> None:
    """Reject conditions: disks do not support them. AzCopy documents this, and sends none (`downloader-blob.go`)."""
    if any(name in request.headers for name in conditions):
        raise BlobError(400, "ConditionHeadersNotSupported", "Condition headers are not supported.")


_SAS_NAMES = frozenset(
    ("sv", "ss", "srt", "si", "sp", "st", "se", "sr", "sig", "spr", "skoid", "sktid", "skt", "ske", "sks", "skv")
)
_KEYS_DISABLED = BlobError(
    403, "KeyBasedAuthenticationNotPermitted", "Key based authentication is not permitted on this storage account."
)
_CLOSED = BlobError(403, "AuthorizationFailure", "This request is not authorized to perform this operation.")
_NOT_PERMITTED = BlobError(
    403,
    "AuthorizationPermissionMismatch",
    "This request is not authorized to perform this operation using this permission.",
)
_NO_PAGE_BLOBS = BlobError(409, "BlobTypeNotSupported", "Page blob is not supported for this account type.")
_UNSIGNED = BlobError(
    403,
    "AuthenticationFailed",
    "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly"
    " including the signature.",
)


def _time(text: str | None) -> datetime:
    try:
        return datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return datetime.min.replace(tzinfo=timezone.utc)
