"""The properties of galleries, definitions and versions that azure-native keeps of Azure's answers (API 2024-03-03).

Names are those of the SDK's classes `Gallery`, `GalleryImage` and `GalleryImageVersion`. Without this, a state would
contain what azure-native omits, and the next refresh would change it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

API_VERSION = "2024-03-03"

Table = Mapping[str, Any]
"""The names of properties -> the table of the object, or of each object in the list; None: any value."""


def _table(names: str, **nested: Table) -> Table:
    return MappingProxyType({**dict.fromkeys(names.split()), **nested})


_COMMON = _table(
    "id location name provisioningState tags type",
    systemData=_table("createdAt createdBy createdByType lastModifiedAt lastModifiedBy lastModifiedByType"),
)
_RANGE = _table("max min")
_SOURCE = _table("communityGalleryImageId id virtualMachineId")
_VHD = _table("id storageAccountId uri")
_ENCRYPTION = _table(
    "",
    dataDiskImages=_table("diskEncryptionSetId lun"),
    osDiskImage=_table(
        "diskEncryptionSetId", securityProfile=_table("confidentialVMEncryptionType secureVMDiskEncryptionSetId")
    ),
)
_KEY = _table("type value")

GALLERY_OUTPUTS = _table(
    "description",
    **_COMMON,
    identifier=_table("uniqueName"),
    identity=_table("principalId tenantId type userAssignedIdentities"),
    sharingProfile=_table(
        "permissions",
        communityGalleryInfo=_table(
            "communityGalleryEnabled eula publicNamePrefix publicNames publisherContact publisherUri"
        ),
        groups=_table("ids type"),
    ),
    sharingStatus=_table("aggregatedState", summary=_table("details region state")),
    softDeletePolicy=_table("isSoftDeleteEnabled"),
)
DEFINITION_OUTPUTS = _table(
    "allowUpdateImage architecture description endOfLifeDate eula hyperVGeneration osState osType privacyStatementUri "
    "releaseNoteUri",
    **_COMMON,
    disallowed=_table("diskTypes"),
    features=_table("name startsAtVersion value"),
    identifier=_table("offer publisher sku"),
    purchasePlan=_table("name product publisher"),
    recommended=_table("", memory=_RANGE, vCPUs=_RANGE),
)
VERSION_OUTPUTS = _table(
    "restore",
    **_COMMON,
    publishingProfile=_table(
        "endOfLifeDate excludeFromLatest publishedDate replicaCount replicationMode storageAccountType",
        targetExtendedLocations=_table(
            "extendedLocationReplicaCount name storageAccountType",
            encryption=_ENCRYPTION,
            extendedLocation=_table("name type"),
        ),
        targetRegions=_table(
            "excludeFromLatest name regionalReplicaCount storageAccountType",
            additionalReplicaSets=_table("regionalReplicaCount storageAccountType"),
            encryption=_ENCRYPTION,
        ),
    ),
    replicationStatus=_table("aggregatedState", summary=_table("details progress region state")),
    safetyProfile=_table(
        "allowDeletionOfReplicatedLocations blockDeletionBeforeEndOfLife reportedForPolicyViolation",
        policyViolations=_table("category details"),
    ),
    securityProfile=_table(
        "",
        uefiSettings=_table(
            "signatureTemplateNames", additionalSignatures=_table("", db=_KEY, dbx=_KEY, kek=_KEY, pk=_KEY)
        ),
    ),
    storageProfile=_table(
        "",
        dataDiskImages=_table("hostCaching lun sizeInGB", source=_VHD),
        osDiskImage=_table("hostCaching sizeInGB", source=_VHD),
        source=_SOURCE,
    ),
    validationsProfile=_table(
        "validationEtag",
        executedValidations=_table("executionTime status type version"),
        platformAttributes=_table("name value"),
    ),
)
STORAGE_INPUTS = _table(
    "",
    dataDiskImages=_table("hostCaching lun", source=_VHD),
    osDiskImage=_table("hostCaching", source=_VHD),
    source=_SOURCE,
)
"""What a program can set of a version's `storageProfile`."""


def outputs(table: Table, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outputs that azure-native makes of Azure's answer: nothing that the answer lacks, no null."""
    flat = {**(answer.get("properties") or {}), **answer}
    return {**known(table, flat), "azureApiVersion": API_VERSION}


def known(table: Table | None, value: Any) -> Any:
    """Return a value without what the table does not name, and without nulls in objects."""
    if isinstance(value, list):
        return [known(table, each) for each in value]
    if not isinstance(value, Mapping):
        return value
    present = {key: each for key, each in value.items() if each is not None}
    return present if table is None else {key: known(table[key], each) for key, each in present.items() if key in table}
