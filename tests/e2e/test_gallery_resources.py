"""Galleries by the classes of azure-native's SDK, with the real engine: the stand-in plugin takes what they send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.world import FACTORY_CONTAINER, World

pytestmark = pytest.mark.engine

PROGRAM = """
import json
from pathlib import Path

import pulumi
import pulumi_azure_native as azure_native
from pulumi_azure_native import compute

wanted = json.loads(Path("wanted.json").read_text())
provider = azure_native.Provider("provider", subscription_id=wanted["subscription"])
options = pulumi.ResourceOptions(provider=provider)
gallery = compute.Gallery(
    "gallery", gallery_name="images", resource_group_name="factory", description="All images", opts=options
)
definition = compute.GalleryImage(
    "definition",
    gallery_image_name="Win-gen2",
    gallery_name=gallery.name,
    resource_group_name="factory",
    os_type=compute.OperatingSystemTypes.WINDOWS,
    os_state=compute.OperatingSystemStateTypes.GENERALIZED,
    hyper_v_generation=compute.HyperVGeneration.V2,
    features=[compute.GalleryImageFeatureArgs(name="SecurityType", value="TrustedLaunchSupported")],
    identifier=compute.GalleryImageIdentifierArgs(publisher="ImageFactory", offer="Win", sku="gen2"),
    opts=options,
)


def source(uri):
    return compute.GalleryDiskImageSourceArgs(storage_account_id=wanted["account"], uri=uri)


version = compute.GalleryImageVersion(
    "version",
    gallery_image_version_name="2026.1126.143005",
    gallery_image_name=definition.name,
    gallery_name=gallery.name,
    resource_group_name="factory",
    storage_profile=compute.GalleryImageVersionStorageProfileArgs(
        os_disk_image=compute.GalleryOSDiskImageArgs(source=source(wanted["disk"])),
        data_disk_images=[compute.GalleryDataDiskImageArgs(lun=0, source=source(wanted["data"]))],
    ),
    publishing_profile=compute.GalleryImageVersionPublishingProfileArgs(
        target_regions=[
            compute.TargetRegionArgs(name=name, regional_replica_count=1, storage_account_type="Standard_LRS")
            for name in wanted["regions"]
        ],
        exclude_from_latest=wanted["excluded"],
    ),
    safety_profile=compute.GalleryImageVersionSafetyProfileArgs(allow_deletion_of_replicated_locations=True),
    tags={"ImagePath": "Win.json"},
    opts=options,
)
pulumi.export("state", version.provisioning_state)
pulumi.export("lun", version.storage_profile.data_disk_images[0].lun)
pulumi.export("region", version.publishing_profile.target_regions[0].name)
"""


def test_the_engine_makes_updates_and_destroys_a_gallery(world: World) -> None:
    """A second run and a refresh change nothing; regions and exclusion are updated in place, in any order; another
    source is refused by Azure and nothing is deleted for it; everything is destroyed in order."""
    disk, data, other = (world.images[name] for name in world.add_images(("A.json", 1), ("B.json", 2), ("C.json", 3)))
    account = (
        f"/subscriptions/{world.subscription}/resourceGroups/factory/providers/Microsoft.Storage/storageAccounts"
        f"/{world.factory.account}"
    )
    container = world.service(world.factory).get_container_client(FACTORY_CONTAINER).url
    path = (
        f"/subscriptions/{world.subscription}/resourceGroups/factory/providers/Microsoft.Compute/galleries/images"
        "/images/Win-gen2/versions/2026.1126.143005?api-version=2024-03-03"
    )
    main = world.folder / "__main__.py"
    main.unlink()
    main.write_text(PROGRAM, encoding="utf-8")

    def declare(*regions: str, vhd: str = disk, excluded: bool = False) -> None:
        wanted = {
            "subscription": world.subscription,
            "account": account,
            "disk": f"{container}/{vhd}",
            "data": f"{container}/{data}",
            "regions": regions,
            "excluded": excluded,
        }
        (world.folder / "wanted.json").write_text(json.dumps(wanted), encoding="utf-8")

    def held() -> dict[str, Any]:
        return dict(world.request("GET", path).json()["properties"])

    def shown() -> list[str]:
        return [region["name"] for region in held()["publishingProfile"]["targetRegions"]]

    declare("westeurope", "northeurope")
    assert world.preview().code == 0
    made = world.serve()
    assert made.changes["created"] == 5, made.output
    assert shown() == ["West Europe", "North Europe"]
    assert held()["storageProfile"]["dataDiskImages"][0]["source"]["uri"] == f"{container}/{data}"
    assert world.state()["resources"][0]["outputs"] == {"state": "Succeeded", "lun": 0, "region": "West Europe"}
    declare("northeurope", "westeurope")
    assert world.serve().only_unchanged
    assert world.serve("--refresh").only_unchanged
    declare("westeurope", "uksouth", excluded=True)
    assert world.serve().changes["updated"] == 1
    assert (shown(), held()["publishingProfile"]["excludeFromLatest"]) == (["West Europe", "UK South"], True)
    declare("westeurope", "uksouth", excluded=True, vhd=other)
    refused = world.up()
    assert (refused.code != 0, "PropertyChangeNotAllowed" in refused.output) == (True, True), refused.output
    assert held()["storageProfile"]["osDiskImage"]["source"]["uri"] == f"{container}/{disk}"
    destroyed = world.destroy()
    assert (destroyed.code, destroyed.changes["deleted"]) == (0, 5), destroyed.output
    assert world.request("GET", path).status_code == 404
