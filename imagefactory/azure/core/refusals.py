"""What Azure's error codes mean: one table from code to remedy, and the sets of codes that callers act on.

A status alone has no meaning: 409 is `BlobAlreadyExists` as well as `BlobImmutableDueToPolicy`. Callers ask for the
code, and a code that is in none of the sets is an error. Codes and texts are those of the REST documentation of the
storage service ("Common REST API error codes", "Blob service error codes") and of Azure Resource Manager.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from imagefactory.roles.actions import BLOB_CONTRIBUTOR, BLOB_READER, blob_role

ABSENT = frozenset({"BlobNotFound", "ContainerNotFound", "ContainerBeingDeleted", "ResourceNotFound"})
"""The blob does not exist; a container that is being deleted contains none (documentation of Delete Container)."""
CHANGED = frozenset({"ConditionNotMet", "TargetConditionNotMet"})
"""The blob has another ETag; a blob that does not exist has none."""
EXISTS = frozenset({"BlobAlreadyExists", *CHANGED})
"""Another blob exists there."""
PENDING = frozenset({"PendingCopyOperation"})
NOT_PENDING = frozenset({"NoPendingCopyOperation", "CopyIdMismatch"})
"""The copy has ended, or another one is in progress."""
HELD = frozenset({"LeaseAlreadyPresent", "LeaseIdMissing", "LeaseIsBreakingAndCannotBeAcquired"})
"""Another client holds the lease on the blob."""
CONTAINER_GONE = frozenset({"ContainerBeingDeleted", "ContainerNotFound"})
"""The container was deleted a moment ago; it can be created again after 30 s or more."""
SOURCE_REFUSED = "CannotVerifyCopySource"

_ARM_ABSENT = re.compile(r"\w*NotFound")

_STATUSES = {
    401: "Sign in again (az login), or check the ARM_* variables",
    403: "Grant this identity the missing role (see docs/permissions.md)",
    404: "Check the name and the subscription",
    409: "Check the existing resource, then run again",
    412: "Run again; if the error persists, find out which other client writes to it",
    429: "Run again later, or with a smaller --parallel",
}
_OTHERS = "Run again; if the error persists, check the health of the service"

_DATA_ROLE = (
    f"Grant this identity the role {BLOB_CONTRIBUTOR} on {{place}} (on the factory's own, {BLOB_READER} is enough)"
)
_KEYS = (
    "Set imagefactory:storageAuth to aad, which needs no account keys, because those of {place} are disabled."
    f" {_DATA_ROLE}"
)
NO_PAGE_BLOBS = (
    "VHDs are page blobs, which only a general-purpose v2 account (kind StorageV2, Standard, without hierarchical"
    " namespace) can contain: recreate the lab with such an account"
)
_NETWORK = (
    "Allow this machine in the network rules of {place}, or run on an agent in its network"
    " (see docs/tasks/networks.md#labs-behind-firewalls)"
)
_LEASE = (
    "Another client holds a lease on it: run again when that has finished, or break the lease"
    " (az storage blob lease break)"
)
_COPY = (
    "Another copy into it is in progress: run again when that has finished, or abort it (az storage blob copy cancel)"
)
_VERSION = "Set imagefactory:storageApiVersion to a version that the storage service of this cloud supports"

_TABLE = {
    "AccountIsDisabled": "Enable {place}: check whether its subscription is disabled or past due",
    "AllowedCopyScope": (
        "Let allowedCopyScope of the destination's storage account permit copies from {place}"
        " (see docs/tasks/networks.md#labs-behind-firewalls)"
    ),
    "AuthorizationFailure": _NETWORK,
    "AuthorizationPermissionMismatch": _DATA_ROLE,
    "BlobImmutableDueToPolicy": (
        "Remove the immutability policy or the legal hold from the container in {place}, which must be writable"
    ),
    "BlobTypeNotSupported": NO_PAGE_BLOBS,
    "ContainerBeingDeleted": "Find out who deletes the container in {place}, and run again in a few minutes",
    "ContainerDisabled": "Ask the owner of {place} to enable the container",
    "CopyIdMismatch": _COPY,
    "ExpiredAuthenticationToken": (
        "Run again; if the error persists, sign in again (az login) and check the clock of this machine"
    ),
    "FeatureNotSupportedForAccount": NO_PAGE_BLOBS,
    "InsufficientAccountPermissions": _DATA_ROLE,
    "InvalidAuthenticationTokenTenant": (
        "Sign in to the tenant of that subscription (az login --tenant); one stack serves one tenant"
    ),
    "InvalidBlobType": "A blob of another type exists there: rename or delete it, then run again",
    "InvalidHeaderValue": _VERSION,
    "InvalidVersionForPageBlobOperation": _VERSION,
    "KeyBasedAuthenticationNotPermitted": _KEYS,
    "LeaseAlreadyPresent": _LEASE,
    "LeaseIdMismatchWithBlobOperation": _LEASE,
    "LeaseIdMissing": _LEASE,
    "LeaseIsBreakingAndCannotBeAcquired": _LEASE,
    "PendingCopyOperation": _COPY,
    "PublicAccessNotPermitted": (
        "Check that no proxy removes the header Authorization: {place} permits no anonymous access"
        " (allowBlobPublicAccess), and the request arrived without a token"
    ),
    "ReadOnlyDisabledSubscription": "Enable the subscription, which is disabled and read-only",
    SOURCE_REFUSED: (
        "Check that it exists and that this identity may read it (see docs/permissions.md), then run again"
    ),
}
_NOT_PERMITTED = frozenset({"AuthorizationPermissionMismatch", "InsufficientAccountPermissions"})
_AT_DISK = {
    "AuthorizationFailure": (
        "Allow public access to {place} (networkAccessPolicy AllowAll, publicNetworkAccess Enabled), or run on an agent"
        " in the network of its disk access"
    ),
    "AuthorizationPermissionMismatch": "Grant this identity the role Data Operator for Managed Disks on {place}",
}
"""What is different if the storage is that of a managed disk, which has no network rules or roles of an account."""

_BY_MESSAGE = {
    "this request is not authorized to perform this operation using this permission": "AuthorizationPermissionMismatch",
    "this request is not authorized to perform this operation": "AuthorizationFailure",
    "public access is not permitted on this storage account": "PublicAccessNotPermitted",
    "key based authentication is not permitted on this storage account": "KeyBasedAuthenticationNotPermitted",
    "the specified account is disabled": "AccountIsDisabled",
    "server failed to authenticate the request": "AuthenticationFailed",
}
"""API versions that do not return the source's code return its message in place of their own, as users of AzCopy and of
the SDKs reported it; the longer text first."""

_COPY_SCOPE = re.compile(r"allowed ?copy ?scope|permitted scope", re.IGNORECASE)
"""Azure documents 403 without a code for this rule; `AllowedCopyScope` is this project's word for it."""


class SourceRefusal(NamedTuple):
    """What the source of a copy answered to the storage service: status, and code (empty: unknown)."""

    status: int
    code: str


def place(owner: str) -> str:
    """Return how to name what holds a blob: a storage account or, by its ARM id, a managed disk. Empty: unknown."""
    kind = "disk" if "/disks/" in owner.lower() else "storage account"
    name = owner.rpartition("/")[2]
    return f"{kind} '{name}'" if name else f"the {kind}"


def remedy(status: int, code: str, owner: str = "", action: str = "") -> str:
    """Return what to do about an error code; `owner` is the account (name or ARM id) or disk that returned it.

    `action` is what the request to the blob service needed, because the service does not name what is missing.
    """
    named = place(owner)
    if action and code in _NOT_PERMITTED and not named.startswith("disk "):
        role = f"Grant this identity the role {blob_role(action)} on {named}"
        return f"{role}, or another one with {action} (see docs/permissions.md)"
    rows = {**_TABLE, **_AT_DISK} if named.startswith("disk ") else _TABLE
    text = rows.get(code) or _STATUSES.get(status, _OTHERS)
    return text.replace("{place}", named)


def is_final(code: str) -> bool:
    """Return whether the table knows the code, and another attempt with a new token gets the same answer."""
    return code in _TABLE and code != "ExpiredAuthenticationToken"


def source_refusal(status: int, texts: Mapping[str, str], *messages: str) -> SourceRefusal:
    """Return what the source answered, from a response with the code `CannotVerifyCopySource`.

    `texts` are headers (`x-ms-copy-source-*`, by lower-case name) and elements of the body (`CopySource*`) of newer API
    versions; `messages` what older ones say.
    """
    given = texts.get("x-ms-copy-source-status-code") or texts.get("CopySourceStatusCode") or ""
    code = texts.get("x-ms-copy-source-error-code") or texts.get("CopySourceErrorCode") or ""
    if not code and any(_COPY_SCOPE.search(message) for message in messages):
        code = "AllowedCopyScope"
    said = [message.lower() for message in (texts.get("CopySourceErrorMessage", ""), *messages)]
    for phrase, meant in _BY_MESSAGE.items():
        code = code or next((meant for message in said if phrase in message), "")
    return SourceRefusal(int(given) if given.isdecimal() else status, code)


def arm_absent(status: int, code: str) -> bool:
    """Return whether a response of the resource manager means that the resource, or its parent, does not exist.

    Its codes for that are `ResourceNotFound`, `ResourceGroupNotFound`, `SubscriptionNotFound`, `NotFound` and others
    of that form. A 404 without such a code is not ARM's, or is about the request (`InvalidResourceType`).
    """
    return status == 404 and _ARM_ABSENT.fullmatch(code) is not None
