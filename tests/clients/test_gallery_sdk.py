"""Microsoft's SDK of Compute makes, reads, changes and deletes galleries and what is in them on the embedded cloud.

No client of Microsoft's has the calls of galleries in labs: azure-mgmt-devtestlabs ends with API version 2018-09-15.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from tests.clients.sdk_world import GROUP, SUBSCRIPTION, SdkWorld

VERSION = "2026.1126.143005"


def definition(**more: Any) -> Any:
    """A definition of generation 2 with Trusted Launch."""
    from azure.mgmt.compute.models import GalleryImage, GalleryImageFeature, GalleryImageIdentifier

    return GalleryImage(
        location="westeurope",
        os_type="Windows",
        os_state="Generalized",
        hyper_v_generation="V2",
        identifier=GalleryImageIdentifier(publisher="factory", offer="Win", sku="A"),
        features=[GalleryImageFeature(name="SecurityType", value="TrustedLaunchSupported")],
        **more,
    )


def version(account: str, url: str, *regions: str, **profile: Any) -> Any:
    """A version of one VHD."""
    from azure.mgmt.compute import models

    source = models.GalleryDiskImageSource(storage_account_id=account, uri=url)
    return models.GalleryImageVersion(
        location="westeurope",
        publishing_profile=models.GalleryImageVersionPublishingProfile(
            target_regions=[models.TargetRegion(name=each) for each in regions], **profile
        ),
        storage_profile=models.GalleryImageVersionStorageProfile(
            os_disk_image=models.GalleryOSDiskImage(host_caching="ReadWrite", source=source)
        ),
    )


def _gallery(sdk: SdkWorld) -> tuple[str, str, str]:
    """Make a gallery with a definition; return its name, and the id and VHD of a storage account."""
    lab = sdk.lab()
    account = sdk.labs.labs.get(GROUP, lab).artifacts_storage_account
    url, name = sdk.vhd(lab), f"Golden{uuid.uuid4().hex[:8]}"
    sdk.cloud.clear_calls()
    made = sdk.compute.galleries.begin_create_or_update(GROUP, name, {"location": "westeurope"}).result()
    assert made.provisioning_state == "Succeeded"
    assert made.identifier.unique_name == f"{SUBSCRIPTION}-{name.upper()}"
    image = sdk.compute.gallery_images.begin_create_or_update(GROUP, name, "Win.A-gen2", definition()).result()
    assert (image.provisioning_state, image.hyper_v_generation, image.architecture) == ("Succeeded", "V2", "x64")
    assert {each.name: each.value for each in image.features} == {"SecurityType": "TrustedLaunchSupported"}
    return name, account, url


def test_a_version_is_made_replicated_changed_and_deleted(sdk: SdkWorld) -> None:
    """The SDK's pollers follow each operation, its models have every value, lists have what was made."""
    name, account, url = _gallery(sdk)
    versions, where = sdk.compute.gallery_image_versions, (GROUP, name, "Win.A-gen2", VERSION)
    sdk.cloud.set_latencies({"galleryReplicationSeconds": 0.05})
    body = version(account, url, "westeurope", "North Europe")
    made = versions.begin_create_or_update(*where, {**body, "tags": {"ImagePath": "Win/A.json"}}).result()
    assert made.provisioning_state == "Succeeded" and sdk.polls() > 0
    assert [each.name for each in made.publishing_profile.target_regions] == ["West Europe", "North Europe"]
    assert made.storage_profile.os_disk_image.size_in_gb == 1
    assert made.storage_profile.os_disk_image.source.uri == url and made.tags == {"ImagePath": "Win/A.json"}
    status = versions.get(*where, expand="ReplicationStatus").replication_status
    assert status.aggregated_state == "Completed"
    assert {each.region: (each.state, each.progress) for each in status.summary} == {
        "West Europe": ("Completed", 100),
        "North Europe": ("Completed", 100),
    }
    changed = version(account, url, "westeurope", "northeurope", exclude_from_latest=True)
    assert versions.begin_create_or_update(*where, changed).result().publishing_profile.exclude_from_latest
    patched = versions.begin_update(*where, {"tags": {"a": "b"}}).result()
    assert patched.tags == {"a": "b"} and patched.publishing_profile.exclude_from_latest
    assert [each.name for each in versions.list_by_gallery_image(*where[:3])] == [VERSION]
    assert [each.name for each in sdk.compute.gallery_images.list_by_gallery(GROUP, name)] == ["Win.A-gen2"]
    assert name in [each.name for each in sdk.compute.galleries.list_by_resource_group(GROUP)]
    assert name in [each.name for each in sdk.compute.galleries.list()]
    with pytest.raises(ResourceExistsError) as held:
        sdk.compute.galleries.begin_delete(GROUP, name).result()
    assert held.value.error and held.value.error.code == "CannotDeleteResource"
    versions.begin_delete(*where).result()
    sdk.compute.gallery_images.begin_delete(*where[:3]).result()
    sdk.compute.galleries.begin_delete(GROUP, name).result()
    with pytest.raises(ResourceNotFoundError):
        sdk.compute.galleries.get(GROUP, name)


def test_a_region_that_fails_is_told_by_the_poller_and_by_the_region(sdk: SdkWorld) -> None:
    """The poller raises the code and the message; the status has the reason; the same PUT then succeeds."""
    name, account, url = _gallery(sdk)
    versions, where = sdk.compute.gallery_image_versions, (GROUP, name, "Win.A-gen2", VERSION)
    failure = {"code": "QuotaExceeded", "message": "No room."}
    action = {"replicationFails": failure}
    sdk.cloud.set_faults([{"service": "arm", "path": "/regions/northeurope", "times": 1, "action": action}])
    body = version(account, url, "westeurope", "northeurope")
    with pytest.raises(HttpResponseError) as caught:
        versions.begin_create_or_update(*where, body).result()
    assert caught.value.error and caught.value.error.code == "QuotaExceeded"
    assert versions.get(*where).provisioning_state == "Failed"
    status = versions.get(*where, expand="ReplicationStatus").replication_status
    assert {each.region: (each.state, each.details) for each in status.summary} == {
        "West Europe": ("Completed", ""),
        "North Europe": ("Failed", "No room."),
    }
    assert versions.begin_create_or_update(*where, body).result().provisioning_state == "Succeeded"


def test_a_change_of_what_cannot_change_is_refused(sdk: SdkWorld) -> None:
    """409 with the code, as the SDK reads it."""
    name, _, _ = _gallery(sdk)
    other = definition()
    other.properties.hyper_v_generation = "V1"
    with pytest.raises(ResourceExistsError) as caught:
        sdk.compute.gallery_images.begin_create_or_update(GROUP, name, "Win.A-gen2", other)
    assert caught.value.error and caught.value.error.code == "PropertyChangeNotAllowed"
