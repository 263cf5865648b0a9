"""The table from Azure's error codes to subject and remedy, row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.azure.core import refusals
from imagefactory.azure.core.errors import cloud_error, source_error

ACCOUNT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/web"
DISK = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/os-1"

ROWS = [
    (403, "AccountIsDisabled", "Enable storage account 'web': check whether its subscription is disabled"),
    (403, "AuthorizationFailure", "Allow this machine in the network rules of storage account 'web'"),
    (403, "AuthorizationPermissionMismatch", "role Storage Blob Data Contributor on storage account 'web'"),
    (403, "InsufficientAccountPermissions", "role Storage Blob Data Contributor on storage account 'web'"),
    (409, "BlobImmutableDueToPolicy", "Remove the immutability policy or the legal hold"),
    (409, "BlobTypeNotSupported", "only a general-purpose v2 account"),
    (409, "FeatureNotSupportedForAccount", "only a general-purpose v2 account"),
    (409, "ContainerBeingDeleted", "Find out who deletes the container in storage account 'web'"),
    (403, "ContainerDisabled", "Ask the owner of storage account 'web'"),
    (403, "AllowedCopyScope", "allowedCopyScope"),
    (409, "CopyIdMismatch", "Another copy into it is in progress"),
    (409, "PendingCopyOperation", "Another copy into it is in progress"),
    (401, "ExpiredAuthenticationToken", "sign in again (az login) and check the clock"),
    (401, "InvalidAuthenticationTokenTenant", "az login --tenant"),
    (409, "InvalidBlobType", "A blob of another type exists there"),
    (400, "InvalidHeaderValue", "imagefactory:storageApiVersion"),
    (400, "InvalidVersionForPageBlobOperation", "imagefactory:storageApiVersion"),
    (403, "KeyBasedAuthenticationNotPermitted", "Set imagefactory:storageAuth to aad"),
    (412, "LeaseIdMissing", "Another client holds a lease on it"),
    (412, "LeaseIdMismatchWithBlobOperation", "Another client holds a lease on it"),
    (409, "LeaseAlreadyPresent", "Another client holds a lease on it"),
    (409, "LeaseIsBreakingAndCannotBeAcquired", "Another client holds a lease on it"),
    (409, "PublicAccessNotPermitted", "storage account 'web' permits no anonymous access"),
    (409, "ReadOnlyDisabledSubscription", "Enable the subscription"),
    (404, "CannotVerifyCopySource", "Check that it exists and that this identity may read it"),
    (403, "CannotVerifyCopySource", "Check that it exists and that this identity may read it"),
]


@pytest.mark.parametrize(("status", "code", "expected"), ROWS)
def test_each_code_has_its_remedy(status: int, code: str, expected: str) -> None:
    """It names what has to change, and not the health of the service or a role that is not missing."""
    text = str(cloud_error("web: a.vhd", "no", status, code, account=ACCOUNT))
    assert f"Azure returned {status} {code}: no" in text and expected in text and "\n" not in text
    assert "health" not in text and "{" not in text


def test_every_row_of_the_table_is_tested() -> None:
    """A new row needs a line above."""
    assert {code for _, code, _ in ROWS} == set(refusals._TABLE)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("AuthorizationFailure", "Allow public access to disk 'os-1' (networkAccessPolicy AllowAll"),
        ("AuthorizationPermissionMismatch", "the role Data Operator for Managed Disks on disk 'os-1'"),
    ],
)
def test_a_disk_has_remedies_of_its_own(code: str, expected: str) -> None:
    """It has no network rules of a storage account, and is not called one."""
    text = str(cloud_error("disk 'os-1'", "no", 403, code, account=DISK))
    assert expected in text and "storage account" not in text


SAID = [
    ("This request is not authorized to perform this operation.", "AuthorizationFailure"),
    (
        "This request is not authorized to perform this operation using this permission.",
        "AuthorizationPermissionMismatch",
    ),
    ("Public access is not permitted on this storage account.", "PublicAccessNotPermitted"),
    ("Key based authentication is not permitted on this storage account.", "KeyBasedAuthenticationNotPermitted"),
    ("The specified account is disabled.", "AccountIsDisabled"),
    ("Server failed to authenticate the request. Make sure ...", "AuthenticationFailed"),
    ("The copy source does not meet the AllowedCopyScope of the account.", "AllowedCopyScope"),
    ("Could not verify the copy source within the specified time.", ""),
]


@pytest.mark.parametrize(("message", "code"), SAID)
def test_older_api_versions_say_the_sources_code_in_words(message: str, code: str) -> None:
    """As message or as reason; a message that says nothing is no code."""
    assert refusals.source_refusal(403, {}, message, "").code == code
    assert refusals.source_refusal(403, {}, "Could not verify.", message).code == code


def test_the_sources_code_decides_which_side_is_told() -> None:
    """Subject and remedy are those of the source, by header or by body."""
    for texts in (
        {"x-ms-copy-source-status-code": "403", "x-ms-copy-source-error-code": "AuthorizationFailure"},
        {"CopySourceStatusCode": "403", "CopySourceErrorCode": "AuthorizationFailure", "CopySourceErrorMessage": "no"},
    ):
        refusal = source_error("factory: a.vhd", 404, texts, "x", consequence="kept", source=ACCOUNT, remedy="Sign")
        assert str(refusal).startswith("factory: a.vhd: Azure returned 403 AuthorizationFailure")
        assert "network rules of storage account 'web'" in str(refusal) and "Sign" not in str(refusal)
    unknown = source_error("factory: a.vhd", 403, {}, "", consequence="kept", source=ACCOUNT, remedy="Sign in")
    assert (unknown.status, unknown.code) == (403, "CannotVerifyCopySource") and "Sign in" in str(unknown)


@given(st.integers(300, 599), st.text(max_size=30), st.text(max_size=30))
def test_an_unknown_code_has_the_remedy_of_its_status(status: int, code: str, owner: str) -> None:
    """Whatever Azure sends, there is one, and it is not an empty one."""
    assert refusals.remedy(status, code, owner).strip()


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("ResourceNotFound", True),
        ("ResourceGroupNotFound", True),
        ("SubscriptionNotFound", True),
        ("NotFound", True),
        ("ParentResourceNotFound", True),
        ("InvalidResourceType", False),
        ("NoRegisteredProviderFound", False),
        ("", False),
    ],
)
def test_arm_says_by_its_code_that_a_resource_does_not_exist(code: str, absent: bool) -> None:
    """A 404 of a proxy, or about the request, is an error: else an image would be taken for missing."""
    assert refusals.arm_absent(404, code) is absent and not refusals.arm_absent(400, code)
