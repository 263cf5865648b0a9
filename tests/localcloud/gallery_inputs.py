"""Inputs and URNs of galleries, definitions and versions, as a program gives them to azure-native."""

from __future__ import annotations

from typing import Any

from tests.localcloud.arm_world import SUBSCRIPTION

ACCOUNT_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/RG-One/providers/Microsoft.Storage/storageAccounts/targetone"
)
GALLERY_PATH = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/RG-One/providers/Microsoft.Compute/galleries/factory"
IMAGE_PATH = f"{GALLERY_PATH}/images/Win-gen2"
VERSION_PATH = f"{IMAGE_PATH}/versions/2026.1126.143005"


def urn(name: str) -> str:
    """Return the URN of a resource of a compute type."""
    return f"urn:pulumi:local::images::azure-native:compute:{name}::made"


GALLERY_URN, IMAGE_URN, VERSION_URN = urn("Gallery"), urn("GalleryImage"), urn("GalleryImageVersion")
_API = {"azureApiVersion": "2024-03-03"}


def gallery_inputs(**more: Any) -> dict[str, Any]:
    """Return the inputs of a gallery in the form that Check returns."""
    return {**_API, "galleryName": "factory", "location": "westeurope", "resourceGroupName": "RG-One", **more}


def image_inputs(**more: Any) -> dict[str, Any]:
    """Return the inputs of a generation 2 definition with Trusted Launch."""
    traits: dict[str, Any] = {
        "osType": "Windows",
        "osState": "Generalized",
        "hyperVGeneration": "V2",
        "features": [{"name": "SecurityType", "value": "TrustedLaunchSupported"}],
        "identifier": {"publisher": "ImageFactory", "offer": "Win", "sku": "gen2"},
    }
    return gallery_inputs(galleryImageName="Win-gen2", **{**traits, **more})


def regions(*names: str, **more: Any) -> dict[str, Any]:
    """Return a publishing profile with these target regions."""
    each = [{"name": name, "regionalReplicaCount": 1.0, "storageAccountType": "Standard_LRS"} for name in names]
    return {"targetRegions": each, **more}


def version_inputs(url: str, *data_disks: str, **more: Any) -> dict[str, Any]:
    """Return the inputs of a version from VHDs: the OS disk's and those of data disks."""
    os_disk, *others = (
        {"hostCaching": "None", "source": {"storageAccountId": ACCOUNT_ID, "uri": each}} for each in (url, *data_disks)
    )
    storage: dict[str, Any] = {"osDiskImage": os_disk}
    if others:
        storage["dataDiskImages"] = [{**each, "lun": float(lun)} for lun, each in enumerate(others)]
    given: dict[str, Any] = {"publishingProfile": regions("westeurope"), "storageProfile": storage, **more}
    return gallery_inputs(galleryImageName="Win-gen2", galleryImageVersionName="2026.1126.143005", **given)
