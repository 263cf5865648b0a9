"""Storage accounts as the resource manager shows them. Does not read them: `imagefactory.azure` does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AccountFacts:
    """A storage account; empty values: the resource manager did not say."""

    name: str
    kind: str = ""
    """StorageV2, Storage, BlobStorage, BlockBlobStorage, FileStorage."""
    is_hierarchical: bool = False
    """isHnsEnabled: a data lake."""
    allowed_copy_scope: str = ""
    """AAD or PrivateLink; empty: any source."""
    blob_endpoint: str = ""
    """primaryEndpoints.blob."""
    region: str = ""
    is_closed: bool = False
    """Whether it denies requests from public networks, but for exceptions (publicNetworkAccess, networkAcls)."""
    trusts_azure: bool = True
    """Whether trusted services of Azure are excepted (networkAcls.bypass), such as DevTest Labs."""
    allows_keys: bool = True
    """allowSharedKeyAccess; null counts as true, which is documented."""

    @property
    def holds_page_blobs(self) -> bool:
        """Whether page blobs can be created, which VHDs are.

        By the documentation of storage account types and of the features of accounts with hierarchical namespace. An
        unknown kind counts as able: the service decides.
        """
        return self.kind not in {"BlobStorage", "BlockBlobStorage", "FileStorage"} and not self.is_hierarchical
