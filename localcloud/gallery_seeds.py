"""The part of the seed document about Compute Galleries, in the format of docs/development/embedded-cloud.md."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from localcloud.fault_rules import Document


class SeedVersionDisk(Document):
    """The source of a disk of a version: a blob, which need not exist, in the storage account with this ARM id."""

    vhd_url: str
    storage_account_id: str
    size_gb: int = Field(1, ge=1)


class SeedVersionDataDisk(SeedVersionDisk):
    """The source of a data disk."""

    lun: int = Field(ge=0, le=63)


class SeedVersion(SeedVersionDisk):
    """A version of a definition; `SeedVersionDisk`'s values are those of its OS disk.

    It is as the document says: nothing in it need be what a PUT could have made."""

    name: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    tags: dict[str, str] = Field(default_factory=dict)
    data_disks: list[SeedVersionDataDisk] = Field(default_factory=list)
    target_regions: list[str] = Field(default_factory=list)
    """Default: the gallery's own."""
    failed_regions: list[str] = Field(default_factory=list)
    """Those of them whose replication failed; then `provisioningState` should be Failed too."""
    provisioning_state: str = "Succeeded"
    exclude_from_latest: bool = False
    published_date: str | None = None
    end_of_life_date: str | None = None
    properties: dict[str, Any] = Field(default_factory=dict)
    """More ARM properties, which replace those of the same name."""


class SeedDefinition(Document):
    """A definition of a gallery; the identifier's default is `embedded`, the gallery's name, the definition's name."""

    name: str
    os_type: Literal["Windows", "Linux"]
    os_state: Literal["Generalized", "Specialized"] = "Generalized"
    hyper_v_generation: Literal["V1", "V2"] = "V1"
    publisher: str = "embedded"
    offer: str | None = None
    sku: str | None = None
    security_type: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    properties: dict[str, Any] = Field(default_factory=dict)
    """More ARM properties, which replace those of the same name."""
    versions: list[SeedVersion] = Field(default_factory=list)


class SeedGallery(Document):
    """A Compute Gallery."""

    name: str
    resource_group: str
    region: str
    description: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    definitions: list[SeedDefinition] = Field(default_factory=list)


class SeedSharedGallery(Document):
    """The attachment of a gallery to a lab; `images` are the enabled definitions."""

    name: str
    gallery_id: str
    allow_all_images: Literal["Enabled", "Disabled"] = "Disabled"
    images: list[str] = Field(default_factory=list)
    tags: dict[str, str] = Field(default_factory=dict)
