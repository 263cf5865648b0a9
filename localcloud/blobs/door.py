"""Who may call the embedded blob service in ways that Azurite does not know over plain HTTP.

Owns bearer tokens (of the caller, and towards the source of a copy), user delegation keys and the SAS signed with them,
accounts whose keys are disabled, and managed disks, which only their own SAS opens (disk_access.py). Whoever is let in
is passed on with a SAS of the door's own; Shared Key and SAS signed with an account's key are left to Azurite. Refusals
are worded as Azure words them. It keeps no token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit
from xml.etree import ElementTree

from aiohttp import web
from azure.storage.blob import (
    AccountSasPermissions,
    ResourceTypes,
    UserDelegationKey,
    generate_account_sas,
    generate_blob_sas,
    generate_container_sas,
)
from pydantic import Field

from localcloud.arm.errors import ArmError
from localcloud.arm.identity import TOKEN_SECONDS, Identity
from localcloud.blobs.access import Accounts
from localcloud.blobs.disk_access import DISK_ACCOUNT, DiskAccess
from localcloud.fault_rules import Document

AUDIENCES = ("https://storage.azure.com",)
SOURCE_VOUCHED = "x-localcloud-source"
"""Tells Azurite (azurite_host.cjs, pages_from_url.cjs) that the source of a copy is open to the caller."""

_OBJECT, _TENANT = "00000000-0000-0000-0000-0000000000bb", "00000000-0000-0000-0000-0000000000aa"
_SAS_HOURS = 24
_EVERYTHING = AccountSasPermissions(
    read=True, write=True, delete=True, list=True, add=True, create=True, update=True, process=True, tag=True
)
_RENEWED_AFTER = 3600.0


class SignIn(Document):
    """How callers sign in, until the cloud ends."""

    keyless_accounts: list[str] = Field(default_factory=list)
    """Storage accounts whose keys are disabled (Azure's `allowSharedKeyAccess: false`)."""
    token_seconds: float = Field(TOKEN_SECONDS, gt=0)
    """The life of tokens that are given from now on."""
    clock_ahead_seconds: float = Field(0.0, ge=0)
    """How far the clock that tokens are given and judged by is ahead of this machine's."""


@dataclass
class Refused(Exception):
    """A call that is not let in, as the blob service says it."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Passage:
    """How a call goes on: its request target, headers to leave out (lower case), headers to add."""

    target: str
    without: frozenset[str] = frozenset()
    added: tuple[tuple[str, str], ...] = ()


class Door:
    """Judges calls; `keyless` names the accounts whose keys are disabled."""

    def __init__(self, accounts: Accounts, identity: Identity, disks: DiskAccess) -> None:
        self._accounts, self._identity, self._disks = accounts, identity, disks
        self.keyless: frozenset[str] = frozenset()
        self._inner: dict[str, tuple[str, float]] = {}

    async def passage(self, request: web.BaseRequest) -> Passage | web.Response:
        """How the call goes on, or its answer where the door gives it. Raises Refused."""
        target = request.raw_path
        path, _, query = target.partition("?")
        account = unquote(path.lstrip("/").partition("/")[0])
        authorization = request.headers.get("Authorization", "")
        bearer = authorization.lower().startswith("bearer ")
        without, added = {SOURCE_VOUCHED}, list[tuple[str, str]]()
        if account == DISK_ACCOUNT:
            self._check_disk(request.method, path, query)
            _check_unconditional(request, ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"))
            target = self._opened(path, query, account)
            without.add("authorization")
        elif bearer:
            self._check_token(authorization, 401, "InvalidAuthenticationInfo")
            if "comp=userdelegationkey" in query:
                return web.Response(text=self._delegation_key(await request.read()), content_type="application/xml")
            target = self._opened(path, query, account)
            without.add("authorization")
        elif "skoid=" in query:
            self._check_delegated(path, query)
            target = self._opened(path, query, account)
        elif account in self.keyless and (authorization or "sig=" in query):
            raise _KEYS_DISABLED
        if source := request.headers.get("x-ms-copy-source"):
            added += self._vouched(request, source)
        return Passage(target, frozenset(without), tuple(added))

    def _vouched(self, request: web.BaseRequest, source: str) -> list[tuple[str, str]]:
        """What tells Azurite that the source is open, where the door judges that; Azurite judges the others itself.

        The source's own headers stay: Shared Key may sign them."""
        parts = urlsplit(source)
        account = unquote(parts.path.lstrip("/").partition("/")[0])
        # Anywhere in the path: /a/../ is for Azurite to resolve, and must not get past this.
        if DISK_ACCOUNT in unquote(parts.path):
            if not self._disks.opens(parts.path, parts.query):
                raise Refused(403, "CannotVerifyCopySource", _UNSIGNED.message)
            _check_unconditional(request, tuple(name for name in request.headers if name.startswith("x-ms-source-if-")))
        elif given := request.headers.get("x-ms-copy-source-authorization"):
            self._check_token(given, 401, "CannotVerifyCopySource")
        elif "skoid=" in parts.query:
            try:
                self._check_delegated(parts.path, parts.query)
            except Refused as refused:
                raise Refused(403, "CannotVerifyCopySource", refused.message) from None
        elif account in self.keyless and "sig=" in parts.query:
            raise Refused(403, "CannotVerifyCopySource", _KEYS_DISABLED.message)
        else:
            return []
        return [(SOURCE_VOUCHED, "open")]

    def _opened(self, path: str, query: str, account: str) -> str:
        kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in _SAS_NAMES]
        own = urlencode(kept, quote_via=quote)
        return f"{path}?{own}&{self._inner_sas(account)}" if own else f"{path}?{self._inner_sas(account)}"

    def _inner_sas(self, account: str) -> str:
        sas, renewed_at = self._inner.get(account, ("", 0.0))
        if time.monotonic() < renewed_at:
            return sas
        key = self._accounts.keys.get(account)
        if key is None:
            return "sv=none"  # Azurite says that there is no such account
        sas = generate_account_sas(
            account,
            key,
            ResourceTypes(service=True, container=True, object=True),
            _EVERYTHING,
            expiry=datetime.now(timezone.utc) + timedelta(hours=_SAS_HOURS),
        )
        self._inner[account] = sas, time.monotonic() + _RENEWED_AFTER
        return sas

    def _check_token(self, authorization: str, status: int, code: str) -> None:
        try:
            self._identity.check(authorization, AUDIENCES)
        except ArmError as error:
            challenge = (
                f"Bearer authorization_uri=https://login.microsoftonline.com/{_TENANT}/oauth2/authorize"
                " resource_id=https://storage.azure.com"
            )
            raise Refused(status, code, str(error.message), {"WWW-Authenticate": challenge}) from None

    def _delegation_key(self, body: bytes) -> str:
        document = ElementTree.fromstring(body)  # noqa: S314 - from a caller on this machine who showed a token
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
        key.signed_oid, key.signed_tid, key.signed_service, key.signed_version = _OBJECT, _TENANT, "b", "2021-12-02"
        key.signed_start, key.signed_expiry = start, expiry
        value = hmac.new(self._identity.key, f"delegation {start} {expiry}".encode(), hashlib.sha256).digest()
        key.value = base64.b64encode(value).decode()
        return key

    def _check_disk(self, method: str, path: str, query: str) -> None:
        if not self._disks.opens(path, query):
            raise _UNSIGNED
        if method not in ("GET", "HEAD"):
            raise Refused(
                403,
                "AuthorizationPermissionMismatch",
                "This request is not authorized to perform this operation using this permission.",
            )

    def _check_delegated(self, path: str, query: str) -> None:
        """Refuse a SAS that this door's delegation keys did not sign for that path, or that has ended."""
        given = dict(parse_qsl(query))
        account, container, blob = (*unquote(path).lstrip("/").split("/", 2), "", "")[:3]
        key = self._key(given.get("skt", ""), given.get("ske", ""))
        life: dict[str, Any] = {"permission": given.get("sp"), "start": given.get("st"), "expiry": given.get("se")}
        made = (
            generate_container_sas(account, container, user_delegation_key=key, **life)
            if given.get("sr") == "c"
            else generate_blob_sas(account, container, blob, user_delegation_key=key, **life)
        )
        now = datetime.now(timezone.utc)
        ended = any(_time(given.get(name)) <= now for name in ("se", "ske"))
        if ended or not hmac.compare_digest(dict(parse_qsl(made)).get("sig", ""), given.get("sig", "")):
            raise _UNSIGNED


def _check_unconditional(request: web.BaseRequest, conditions: Iterable[str]) -> None:
    """Disks take no conditions: AzCopy says so, and sends none (its `downloader-blob.go`)."""
    if any(name in request.headers for name in conditions):
        raise Refused(400, "ConditionHeadersNotSupported", "Condition headers are not supported.")


_SAS_NAMES = frozenset(
    ("sv", "ss", "srt", "si", "sp", "st", "se", "sr", "sig", "spr", "skoid", "sktid", "skt", "ske", "sks", "skv")
)
_KEYS_DISABLED = Refused(
    403, "KeyBasedAuthenticationNotPermitted", "Key based authentication is not permitted on this storage account."
)
_UNSIGNED = Refused(
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
