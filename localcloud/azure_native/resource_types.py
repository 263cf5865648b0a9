"""The resource types that the stand-in supports; another one is another entry."""

from __future__ import annotations

from localcloud.azure_native.custom_image import CUSTOM_IMAGE
from localcloud.azure_native.galleries import GALLERY, GALLERY_IMAGE, GALLERY_IMAGE_VERSION
from localcloud.azure_native.property_tables import Values

RESOURCE_TYPES = {each.type_name: each for each in (CUSTOM_IMAGE, GALLERY, GALLERY_IMAGE, GALLERY_IMAGE_VERSION)}


def schema(version: str) -> Values:
    """Return the package schema."""
    resources = {name: each.schema() for name, each in RESOURCE_TYPES.items()}
    return {"name": "azure-native", "version": version, "resources": resources}
