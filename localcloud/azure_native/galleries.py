"""The resource types `azure-native:compute:Gallery`, `GalleryImage` and `GalleryImageVersion`.

Names and types are those of the SDK, required ones and identifiers those of the API specification (GalleryRP.json,
2024-03-03). It marks one property as settable at creation only: `location`, of all three (common types, version 3,
`TrackedResource`). So a change of the location replaces a resource, as one of its path does; a change of identifier,
operating system, generation or source is an update, which the service refuses. Lacks the gallery's `identity`.
"""

from __future__ import annotations

from localcloud.azure_native.property_tables import STRINGS, Required, Values
from localcloud.azure_native.resource_type import SYSTEM_DATA, ResourceType, read_only

API_VERSION = "2024-03-03"
_GALLERY = (
    "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
    "/providers/Microsoft.Compute/galleries/{galleryName}"
)
_IMAGE = _GALLERY + "/images/{galleryImageName}"
_VERSION = _IMAGE + "/versions/{galleryImageVersionName}"
_WITH_LOCATION = frozenset({"location"})

_BESIDE: Values = {
    "location": Required(str),
    "tags": STRINGS,
    **read_only(name=str, systemData=SYSTEM_DATA, type=str),
}
_RANGE: Values = {"max": int, "min": int}
_DISK: Values = {
    "hostCaching": str,
    "source": {"id": str, "storageAccountId": str, "uri": str},
    **read_only(sizeInGB=int),
}
_DISK_ENCRYPTION: Values = {"diskEncryptionSetId": str}
_ENCRYPTION: Values = {
    "dataDiskImages": [{**_DISK_ENCRYPTION, "lun": Required(int)}],
    "osDiskImage": {
        **_DISK_ENCRYPTION,
        "securityProfile": {"confidentialVMEncryptionType": str, "secureVMDiskEncryptionSetId": str},
    },
}
_KEY: Values = {"type": str, "value": [str]}

GALLERY = ResourceType(
    type_name="azure-native:compute:Gallery",
    api_version=API_VERSION,
    path=_GALLERY,
    nested={
        "description": str,
        "sharingProfile": {
            "communityGalleryInfo": {
                "eula": str,
                "publicNamePrefix": str,
                "publisherContact": str,
                "publisherUri": str,
                **read_only(communityGalleryEnabled=bool, publicNames=[str]),
            },
            "permissions": str,
            **read_only(groups=[{"ids": [str], "type": str}]),
        },
        "softDeletePolicy": {"isSoftDeleteEnabled": bool},
        **read_only(
            identifier={"uniqueName": str},
            provisioningState=str,
            sharingStatus={"aggregatedState": str, "summary": [{"details": str, "region": str, "state": str}]},
        ),
    },
    beside=_BESIDE,
    created_with=_WITH_LOCATION,
)

GALLERY_IMAGE = ResourceType(
    type_name="azure-native:compute:GalleryImage",
    api_version=API_VERSION,
    path=_IMAGE,
    nested={
        "allowUpdateImage": bool,
        "architecture": str,
        "description": str,
        "disallowed": {"diskTypes": [str]},
        "endOfLifeDate": str,
        "eula": str,
        "features": [{"name": str, "startsAtVersion": str, "value": str}],
        "hyperVGeneration": str,
        "identifier": Required({"offer": Required(str), "publisher": Required(str), "sku": Required(str)}),
        "osState": Required(str),
        "osType": Required(str),
        "privacyStatementUri": str,
        "purchasePlan": {"name": str, "product": str, "publisher": str},
        "recommended": {"memory": _RANGE, "vCPUs": _RANGE},
        "releaseNoteUri": str,
        **read_only(provisioningState=str),
    },
    beside=_BESIDE,
    created_with=_WITH_LOCATION,
    identifiers={"features": "name"},
)

GALLERY_IMAGE_VERSION = ResourceType(
    type_name="azure-native:compute:GalleryImageVersion",
    api_version=API_VERSION,
    path=_VERSION,
    nested={
        "publishingProfile": {
            "endOfLifeDate": str,
            "excludeFromLatest": bool,
            "replicaCount": int,
            "replicationMode": str,
            "storageAccountType": str,
            "targetExtendedLocations": [
                {
                    "encryption": _ENCRYPTION,
                    "extendedLocation": {"name": str, "type": str},
                    "extendedLocationReplicaCount": int,
                    "name": str,
                    "storageAccountType": str,
                }
            ],
            "targetRegions": [
                {
                    "additionalReplicaSets": [{"regionalReplicaCount": int, "storageAccountType": str}],
                    "encryption": _ENCRYPTION,
                    "excludeFromLatest": bool,
                    "name": Required(str),
                    "regionalReplicaCount": int,
                    "storageAccountType": str,
                }
            ],
            **read_only(publishedDate=str),
        },
        "restore": bool,
        "safetyProfile": {
            "allowDeletionOfReplicatedLocations": bool,
            "blockDeletionBeforeEndOfLife": bool,
            **read_only(policyViolations=[{"category": str, "details": str}], reportedForPolicyViolation=bool),
        },
        "securityProfile": {
            "uefiSettings": {
                "additionalSignatures": {"db": [_KEY], "dbx": [_KEY], "kek": [_KEY], "pk": _KEY},
                "signatureTemplateNames": [str],
            }
        },
        "storageProfile": Required(
            {
                "dataDiskImages": [{**_DISK, "lun": Required(int)}],
                "osDiskImage": _DISK,
                "source": {"communityGalleryImageId": str, "id": str, "virtualMachineId": str},
            }
        ),
        **read_only(
            provisioningState=str,
            replicationStatus={
                "aggregatedState": str,
                "summary": [{"details": str, "progress": int, "region": str, "state": str}],
            },
            validationsProfile={
                "executedValidations": [{"executionTime": str, "status": str, "type": str, "version": str}],
                "platformAttributes": [{"name": str, "value": str}],
                "validationEtag": str,
            },
        ),
    },
    beside=_BESIDE,
    created_with=_WITH_LOCATION,
    identifiers={
        "publishingProfile.targetRegions": "name",
        "publishingProfile.targetRegions.encryption.dataDiskImages": "lun",
        "storageProfile.dataDiskImages": "lun",
    },
)
