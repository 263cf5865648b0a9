"""The seed document: the contents of an embedded cloud, in the format of docs/development/embedded-cloud.md.

Reads and validates it. Does not upload VHDs; `localcloud/blobs/seeding.py` does.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from localcloud.account_facts import AccountFacts
from localcloud.arm.answers import Answers
from localcloud.fault_rules import Document, FaultRule, Latencies
from localcloud.gallery_seeds import SeedGallery, SeedSharedGallery

MIB = 1024 * 1024
PowerState = Literal["deallocated", "running", "stopped"]
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")


class SeedError(Exception):
    """The seed document is invalid; the message says where and why."""


def _account_name(value: str) -> str:
    if not _ACCOUNT.fullmatch(value):
        raise ValueError(f"{value!r} is not a storage account name: expected 3 to 24 lower-case letters and digits")
    return value


AccountName = Annotated[str, AfterValidator(_account_name)]
"""A name that Azure accepts for a storage account."""


class SeedImage(Document):
    """An existing custom image of a lab, like those of the PowerShell image factory.

    It is as the document says: nothing in it need be what a PUT could have made."""

    name: str
    tags: dict[str, str] = Field(default_factory=dict)
    author: str | None = None
    description: str | None = None
    vhd_url: str | None = None
    os_type: Literal["Windows", "Linux"] = "Windows"
    provisioning_state: str = "Succeeded"
    location: str | None = None
    """Shown in every answer about the image, also where Azure shows none."""
    system_data: dict[str, Any] | None = None
    properties: dict[str, Any] = Field(default_factory=dict)
    """More ARM properties, merged in as given, such as `customImagePlan` or `creationDate`. With `vhd`, `vm`,
    `managedImageId` or `managedSnapshotId` in it the image has no source but those."""


class SeedDisk(Document):
    """A disk with a filesystem."""

    size_bytes: int = Field(gt=0, multiple_of=MIB)
    """Virtual size in bytes; the blob also has a footer of 512 bytes."""
    allocated_bytes: int | None = Field(None, ge=0)
    """Least number of bytes with pseudo-random data to copy; default: what the files need."""
    files: dict[str, str] = Field(default_factory=dict)
    """Files of the disk's filesystem: path -> text."""

    @field_validator("files")
    @classmethod
    def _inside(cls, value: dict[str, str]) -> dict[str, str]:
        for path in value:
            parts = PurePosixPath(path).parts
            if not parts or path.startswith("/") or ".." in parts or not path.isprintable() or '"' in path:
                raise ValueError(f"the file path {path!r} is not a plain relative path inside the disk")
        return value

    @model_validator(mode="after")
    def _fits(self) -> SeedDisk:
        if (self.allocated_bytes or 0) > self.size_bytes - 8 * MIB:
            raise ValueError("allocatedBytes must be at least 8 MiB less than sizeBytes: the filesystem needs them")
        return self


class SeedDataDisk(SeedDisk):
    """A data disk of a virtual machine."""

    lun: int = Field(ge=0, le=63)


class SeedVirtualMachine(SeedDisk):
    """A virtual machine of a lab; `SeedDisk`'s values are those of its OS disk."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    os_type: Literal["Windows", "Linux"]
    tags: dict[str, str] = Field(default_factory=dict)
    notes: str | None = None
    provisioning_state: str = "Succeeded"
    power_state: PowerState = "deallocated"
    generalized: bool = True
    hyper_v_generation: Literal["V1", "V2"] = "V1"
    data_disks: list[SeedDataDisk] = Field(default_factory=list)
    disk_properties: dict[str, Any] = Field(default_factory=dict)
    """More ARM properties of its disks, such as `networkAccessPolicy`."""
    properties: dict[str, Any] = Field(default_factory=dict)
    """More ARM properties of the lab VM, such as `createdDate` or `customImageId`; null: it has none of that name."""

    @field_validator("data_disks")
    @classmethod
    def _unique_luns(cls, value: list[SeedDataDisk]) -> list[SeedDataDisk]:
        if len({each.lun for each in value}) < len(value):
            raise ValueError("two data disks have the same lun")
        return value


class SeedLab(Document):
    """A DevTest Lab; `storageAccount` null: it has none."""

    name: str
    resource_group: str
    region: str
    storage_account: AccountName | None = None
    images: list[SeedImage] = Field(default_factory=list)
    virtual_machines: list[SeedVirtualMachine] = Field(default_factory=list)
    shared_gallery: SeedSharedGallery | None = None
    """The gallery that is attached to it."""

    @field_validator("virtual_machines")
    @classmethod
    def _unique_names(cls, value: list[SeedVirtualMachine]) -> list[SeedVirtualMachine]:
        if len({each.name.lower() for each in value}) < len(value):
            raise ValueError("two virtual machines have the same name")
        return value


class SeedResourceGroup(Document):
    """A resource group; those of labs and galleries exist without it."""

    name: str
    region: str


class SeedSubscription(Document):
    """A subscription with its labs, galleries and other resource groups."""

    subscription_id: str
    labs: list[SeedLab] = Field(default_factory=list)
    galleries: list[SeedGallery] = Field(default_factory=list)
    resource_groups: list[SeedResourceGroup] = Field(default_factory=list)


class SeedFactoryImage(SeedDisk):
    """A VHD in the factory container of a lab's storage account, with its companion document."""

    subscription_id: str | None = None
    lab: str
    vhd: str = Field(pattern=r"^[^/\\?#]+\.vhd$")
    metadata: dict[str, str] = Field(default_factory=dict)
    companion: dict[str, Any] | None = None
    companion_base64: str | None = None
    companion_encoding: Literal["utf-8", "utf-8-sig", "utf-16"] = "utf-8"

    @model_validator(mode="after")
    def _consistent(self) -> SeedFactoryImage:
        if self.companion is not None and self.companion_base64 is not None:
            raise ValueError("companion and companionBase64 exclude each other")
        if self.companion_base64 is not None:
            try:
                base64.b64decode(self.companion_base64, validate=True)
            except binascii.Error as error:
                raise ValueError(f"companionBase64 is not base64: {error}") from error
        return self

    def companion_bytes(self) -> bytes | None:
        """Return the companion's bytes; None if it has none, as after an unfinished save."""
        if self.companion_base64 is not None:
            return base64.b64decode(self.companion_base64)
        if self.companion is None:
            return None
        text = json.dumps(self.companion, ensure_ascii=False, indent=4)
        # "utf-16" has a BOM and is little-endian on every machine, as PowerShell writes it.
        return (
            ("\ufeff" + text).encode("utf-16-le")
            if self.companion_encoding == "utf-16"
            else text.encode(self.companion_encoding)
        )


class SeedDocument(Document):
    """The complete document. It only adds: existing contents are kept."""

    subscriptions: list[SeedSubscription] = Field(default_factory=list)
    factory_images: list[SeedFactoryImage] = Field(default_factory=list)
    storage_accounts: list[AccountName] = Field(default_factory=list)
    """Storage accounts without a lab."""
    account_facts: dict[AccountName, AccountFacts] = Field(default_factory=dict)
    """What storage accounts are like, by name; the others are ordinary."""
    latencies: Latencies | None = None
    answers: Answers | None = None
    faults: list[FaultRule] = Field(default_factory=list)

    def accounts(self) -> list[str]:
        """Return the names of all storage accounts, in order, without duplicates."""
        labs = (lab.storage_account for each in self.subscriptions for lab in each.labs)
        return list(dict.fromkeys(name for name in (*labs, *self.storage_accounts) if name))


def problems(error: ValidationError) -> str:
    """Return all problems of a document in one line, each with its location."""
    return "; ".join(
        f"{'.'.join(str(part) for part in each['loc']) or 'document'}: {each['msg'].removeprefix('Value error, ')}"
        for each in error.errors(include_url=False)
    )


def parse_seed(data: object, source: str = "seed document") -> SeedDocument:
    """Return a seed document from JSON data. Raises SeedError with all problems."""
    try:
        return SeedDocument.model_validate(data)
    except ValidationError as error:
        raise SeedError(
            f"{source}: {problems(error)}; nothing was seeded. Fix it (see docs/development/embedded-cloud.md)."
        ) from error


def load_seed(path: Path) -> SeedDocument:
    """Read a seed file. Raises SeedError if it is missing, not JSON, or not a seed document."""
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SeedError(
            f"{path}: cannot be read ({error.strerror}); nothing was seeded. Pass the path of a seed file."
        ) from error
    except ValueError as error:
        raise SeedError(f"{path}: is not JSON ({error}); nothing was seeded. Fix the file.") from error
    return parse_seed(data, str(path))
