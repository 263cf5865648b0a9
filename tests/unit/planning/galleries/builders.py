"""Galleries as Azure lists them, for the tests of plans and of adoption."""

from __future__ import annotations

from typing import Any

from imagefactory.images import tags
from imagefactory.observed.standing_gallery import GalleryFacts, StandingDefinition, StandingVersion, region_key
from tests.unit.builders import SUBSCRIPTION

GALLERY_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute/galleries/Images"
ACCOUNT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/factory"
CONTAINER = "https://factory.blob.core.windows.net/imagefactoryvhds"


def version(
    definition: str,
    name: str,
    given: dict[str, str] | None = None,
    *regions: str,
    state: str = "Succeeded",
    **more: Any,
) -> StandingVersion:
    """A version with these tags in these regions; `more` are properties of its publishing profile."""
    places = regions or ("West Europe",)
    replicas = [{"name": each, "regionalReplicaCount": 1, "storageAccountType": "Standard_LRS"} for each in places]
    read = tags.read(given)
    vhd = read.source_vhd or "a.vhd"
    source = {"uri": f"{CONTAINER}/{vhd}", "storageAccountId": ACCOUNT}
    answer = {
        "id": f"{GALLERY_ID}/images/{definition}/versions/{name}",
        "name": name,
        "location": "westeurope",
        "tags": dict(given or {}),
        "properties": {
            "provisioningState": state,
            "publishingProfile": {"targetRegions": replicas, "replicaCount": 1, **more},
            "storageProfile": {"osDiskImage": {"hostCaching": "ReadWrite", "sizeInGB": 30, "source": source}},
        },
    }
    return StandingVersion(
        id=str(answer["id"]),
        name=name,
        state=state,
        image_path=read.image_path,
        source_vhd=vhd,
        regions=frozenset(map(region_key, places)),
        attempt=read.attempt,
        saved_at=read.saved_at,
        stack=read.stack,
        answer=answer,
    )


def definition(name: str, given: dict[str, str] | None = None, *versions: StandingVersion) -> StandingDefinition:
    """A definition of generalized Windows disks of generation 1, with these tags."""
    read = tags.read(given)
    triple = {"publisher": "ImageFactory", "offer": name, "sku": "gen1"}
    answer = {
        "id": f"{GALLERY_ID}/images/{name}",
        "name": name,
        "tags": dict(given or {}),
        "properties": {
            "osType": "Windows",
            "osState": "Generalized",
            "hyperVGeneration": "V1",
            "identifier": triple,
            "provisioningState": "Succeeded",
        },
    }
    identifier = ("ImageFactory", name, "gen1")
    return StandingDefinition(
        str(answer["id"]),
        name,
        "Windows",
        "Generalized",
        "V1",
        identifier,
        image_path=read.image_path,
        stack=read.stack,
        versions=versions,
        answer=answer,
    )


def gallery(*definitions: StandingDefinition) -> GalleryFacts:
    """A gallery that exists."""
    answer = {"id": GALLERY_ID, "name": "Images", "location": "westeurope", "properties": {"description": None}}
    return GalleryFacts(GALLERY_ID, "westeurope", definitions=definitions, answer=answer)
