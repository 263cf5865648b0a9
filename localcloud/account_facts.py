"""What storage accounts are like: kind, network rules and the like, as ARM shows them and as the blob service obeys.

Does not store accounts or keys: `blobs.access` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field

from localcloud.fault_rules import Settings

Kind = Literal["StorageV2", "Storage", "BlobStorage", "BlockBlobStorage", "FileStorage"]


class AccountFacts(Settings):
    """One storage account; the names are ARM's."""

    kind: Kind = "StorageV2"
    sku: str = "Standard_LRS"
    is_hns_enabled: bool = False
    public_network_access: Literal["Enabled", "Disabled"] = "Enabled"
    default_action: Literal["Allow", "Deny"] = "Allow"
    """`networkAcls.defaultAction`; no rule of the account allows the callers of the embedded cloud."""
    bypass: str = "AzureServices"
    """`networkAcls.bypass`; the embedded cloud itself needs none to read a VHD."""
    allow_shared_key_access: bool | None = None
    """As ARM shows it; null: true. That keys are rejected is set by `keylessAccounts`."""
    allowed_copy_scope: Literal["AAD", "PrivateLink"] | None = None
    disabled: bool = False
    """Whether the account is disabled, as all of a disabled subscription are."""
    blob_endpoint: str | None = Field(None)
    """What ARM shows as `primaryEndpoints.blob`, such as that of a DNS zone; None: the true one."""

    @property
    def is_closed(self) -> bool:
        """Whether the account denies requests from public networks."""
        return self.public_network_access == "Disabled" or self.default_action == "Deny"

    @property
    def holds_page_blobs(self) -> bool:
        """Whether page blobs can be created (documentation of account types and of hierarchical namespace support)."""
        return self.kind in {"StorageV2", "Storage"} and not self.is_hns_enabled

    def to_arm(self) -> dict[str, Any]:
        """Return what ARM shows beside the endpoints: top-level values and properties."""
        properties: dict[str, Any] = {
            "publicNetworkAccess": self.public_network_access,
            "networkAcls": {"bypass": self.bypass, "defaultAction": self.default_action},
        }
        if self.is_hns_enabled:
            properties["isHnsEnabled"] = True
        if self.allow_shared_key_access is not None:
            properties["allowSharedKeyAccess"] = self.allow_shared_key_access
        if self.allowed_copy_scope:
            properties["allowedCopyScope"] = self.allowed_copy_scope
        tier = self.sku.partition("_")[0]
        return {"kind": self.kind, "sku": {"name": self.sku, "tier": tier}, "properties": properties}


ORDINARY = AccountFacts.model_construct(**{name: each.default for name, each in AccountFacts.model_fields.items()})
FactsOf = Callable[[str], AccountFacts]
"""The facts of an account, by its name."""


def facts_of(known: Mapping[str, AccountFacts]) -> FactsOf:
    """Return a lookup in `known`, which may change; other accounts are ordinary."""
    return lambda name: known.get(name, ORDINARY)
