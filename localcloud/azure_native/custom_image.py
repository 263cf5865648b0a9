"""The resource type `azure-native:devtestlab:CustomImage`. Names and types are those of the SDK."""

from __future__ import annotations

from localcloud.azure_native.property_tables import STRINGS, UNKNOWN, Required
from localcloud.azure_native.resource_type import SYSTEM_DATA, ResourceType, read_only

__all__ = ["API_VERSION", "CUSTOM_IMAGE", "TYPE", "UNKNOWN"]

TYPE = "azure-native:devtestlab:CustomImage"
API_VERSION = "2018-09-15"

CUSTOM_IMAGE = ResourceType(
    type_name=TYPE,
    api_version=API_VERSION,
    path=(
        "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
        "/providers/Microsoft.DevTestLab/labs/{labName}/customimages/{name}"
    ),
    nested={
        "author": str,
        "customImagePlan": {"id": str, "offer": str, "publisher": str},
        "dataDiskStorageInfo": [{"lun": str, "storageType": str}],
        "description": str,
        "isPlanAuthorized": bool,
        "managedImageId": str,
        "managedSnapshotId": str,
        "vhd": {"imageName": str, "osType": Required(str), "sysPrep": bool},
        "vm": {"linuxOsInfo": {"linuxOsState": str}, "sourceVmId": str, "windowsOsInfo": {"windowsOsState": str}},
        **read_only(creationDate=str, provisioningState=str, uniqueIdentifier=str),
    },
    beside={
        "location": str,
        "tags": STRINGS,
        **read_only(name=str, systemData=SYSTEM_DATA, type=str),
    },
)
