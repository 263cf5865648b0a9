"""What `imagefactory prune` keeps for a Compute Gallery, which creates versions from the factory's VHDs in place."""

from __future__ import annotations

import time
from typing import Any

import pytest

from imagefactory.images.companions import FactoryImage
from tests.e2e import cloud_calls
from tests.factory_lab.factory_world import WINDOWS, Ended
from tests.factory_lab.prune.prune_world import PruneWorld, images_of

COMPUTE = "2024-03-03"


class GalleryFactory:
    """A factory whose stack delivers by the gallery `images`, which has the definition `Win2016.Datacenter`."""

    def __init__(self, factory: PruneWorld, delivery: str = "gallery") -> None:
        self.factory, world = factory, factory.world
        group = f"/subscriptions/{world.subscription}/resourceGroups/{world.factory.group}"
        self.id = f"{group}/providers/Microsoft.Compute/galleries/images"
        self.settings: dict[str, Any] = {
            "delivery": delivery,
            "keep": 1,
            "gallery": {"name": "images", "resourceGroup": world.factory.group},
        }
        factory.stack(**self.settings)
        self.put("", {})
        definition = {
            "osType": "Windows",
            "osState": "Generalized",
            "identifier": {"publisher": "ImageFactory", "offer": "Win2016.Datacenter", "sku": "gen1"},
        }
        self.put(self.definition, {"tags": {"ImagePath": WINDOWS}, "properties": definition})

    definition = "/images/Win2016.Datacenter"

    def put(self, path: str, body: dict[str, Any]) -> None:
        """Create a part of the gallery as Azure does, in West Europe."""
        target = f"{self.id}{path}?api-version={COMPUTE}"
        answer = cloud_calls.request(self.factory.world.status, "PUT", target, {"location": "westeurope", **body})
        answer.raise_for_status()

    def version(self, image: FactoryImage, *data_disks: str) -> str:
        """Start to create a version from an image; returns its name."""
        lab = self.factory.world.factory
        account = f"/subscriptions/{lab.subscription}/resourceGroups/{lab.group}/providers/Microsoft.Storage"
        sources = [
            {
                "storageAccountId": f"{account}/storageAccounts/{lab.account}",
                "uri": f"{self.factory.factory.url}/{name}",
            }
            for name in (image.vhd_name, *data_disks)
        ]
        name = f"{image.saved_at.year}.{image.saved_at.month * 100 + image.saved_at.day}.0"
        storage = {
            "osDiskImage": {"source": sources[0]},
            "dataDiskImages": [{"lun": lun, "source": each} for lun, each in enumerate(sources[1:])],
        }
        regions = [{"name": "West Europe"}]
        body = {
            "tags": {"ImagePath": WINDOWS, "SourceVhd": image.vhd_name},
            "properties": {"storageProfile": storage, "publishingProfile": {"targetRegions": regions}},
        }
        self.put(f"{self.definition}/versions/{name}", body)
        return name

    def state(self, version: str) -> str:
        """The state of a version."""
        target = f"{self.id}{self.definition}/versions/{version}?api-version={COMPUTE}"
        answer = cloud_calls.request(self.factory.world.status, "GET", target)
        return str(answer.json()["properties"]["provisioningState"])

    def delete(self, version: str) -> None:
        """Delete a version, and wait until it is gone."""
        target = f"{self.id}{self.definition}/versions/{version}?api-version={COMPUTE}"
        cloud_calls.request(self.factory.world.status, "DELETE", target).raise_for_status()
        while cloud_calls.request(self.factory.world.status, "GET", target).status_code != 404:
            time.sleep(0.05)

    def ended(self, version: str) -> str:
        """The state of a version once Azure has finished with it."""
        while (found := self.state(version)) in {"Creating", "Updating"}:
            time.sleep(0.05)
        return found


def reasons(run: Ended) -> dict[str, str]:
    """Why images and other saves are kept, by name."""
    return {one["name"]: one["reason"] for one in run.document["kept"]}


def test_no_vhd_goes_while_azure_replicates_a_version_from_it(factory: PruneWorld) -> None:
    """Neither OS disk nor data disk; once nothing reads them, the next prune deletes them."""
    gallery = GalleryFactory(factory)
    old, oldest, new = factory.image(13), factory.image(12), factory.image(14)
    data_disk = old.vhd_name.replace(".vhd", ".lun0.vhd")
    factory.vhd(data_disk)
    everything = factory.held()
    factory.world.cloud.set_latencies({"galleryReplicationSeconds": 3600})
    version = gallery.version(old, data_disk)
    run = factory.prune("--yes", "--json")
    assert gallery.state(version) == "Creating"
    assert run.code == 0 and run.results() == {oldest.name: "deleted"}, run.stderr
    reason = f"Azure is creating or replicating gallery version Win2016.Datacenter/{version} from it"
    assert reasons(run)[old.name] == reason
    assert factory.held() == everything - images_of(oldest)
    gallery.delete(version)
    assert factory.prune("--yes", "--json").results() == {old.name: "deleted"}
    assert factory.held() == images_of(new)


def test_unfinished_saves_stay_while_a_version_reads_any_disk_of_theirs(factory: PruneWorld) -> None:
    """One VHD is the OS disk of the version, the other a data disk; companions were deleted by hand."""
    gallery = GalleryFactory(factory)
    broken, other = factory.image(13), factory.image(12)
    factory.world.cloud.set_latencies({"galleryReplicationSeconds": 3600})
    version = gallery.version(broken, other.vhd_name)
    for each in (broken, other):
        factory.factory.delete_blob(each.vhd_name.replace(".vhd", ".json"))
    run = factory.prune("--dry-run")
    assert run.code == 0 and run.stdout.startswith("0 to delete"), run.stdout
    reason = f"gallery version Win2016.Datacenter/{version} from it"
    assert " ".join(run.stdout.split()).count(reason) == 2, run.stdout


def test_an_image_stays_until_the_gallery_has_the_version_that_the_policy_requires(factory: PruneWorld) -> None:
    """One that failed is put again by the next run, so it counts as missing; a smaller --keep does not change that."""
    gallery = GalleryFactory(factory)
    factory.stack(**{**gallery.settings, "keep": 4})
    new, bad, good, missing, surplus = (factory.image(day) for day in (14, 13, 12, 11, 10))
    failure = {"code": "Odd", "message": "Replication failed."}
    rule = {"service": "arm", "path": "/versions/2026.613.0", "action": {"replicationFails": failure}}
    factory.world.cloud.set_faults([rule])
    assert gallery.ended(gallery.version(bad)) == "Failed"
    factory.world.cloud.clear_faults()
    assert gallery.ended(gallery.version(good)) == "Succeeded"
    run = factory.prune("--yes", "--keep", "1", "--json")
    assert run.results() == {good.name: "deleted", surplus.name: "deleted"}, run.stderr
    for each in (bad, missing):
        assert reasons(run)[each.name].startswith("the gallery has no finished version of it for lab web@")
    assert factory.held() == images_of(new, bad, missing)


def test_the_last_good_version_that_a_lab_offers_stays(factory: PruneWorld) -> None:
    """Even if newer images exist, as long as the gallery has no finished version of them."""
    gallery = GalleryFactory(factory)
    old, good, new = factory.image(12), factory.image(13), factory.image(14)
    for each in (old, good):
        assert gallery.ended(gallery.version(each)) == "Succeeded"
    attach(gallery, factory)
    run = factory.prune("--yes", "--json")
    assert run.code == 0 and run.results() == {old.name: "deleted"}, run.stderr
    assert "newest Succeeded image of its image path in lab web@" in reasons(run)[good.name]
    assert gallery.ended(gallery.version(new)) == "Succeeded"
    assert factory.prune("--yes", "--json").results() == {good.name: "deleted"}


@pytest.mark.parametrize("denied", ["/galleries/images", "/galleries/images/images/Win2016.Datacenter/versions"])
def test_a_gallery_that_cannot_be_read_keeps_every_vhd(factory: PruneWorld, denied: str) -> None:
    """Of any stack of the folder; files without a VHD still go, and the exit code is 1."""
    gallery = GalleryFactory(factory)
    factory.stack("prod", **gallery.settings)
    factory.stack(keep=1)
    old = factory.image(13)
    factory.image(14)
    left_over = "0f8fad5b-d9cb-469f-a165-70867728950a.save"
    factory.document(left_over)
    everything = factory.held()
    refusal = {"service": "arm", "path": f"{denied}\\?", "action": {"status": 403, "code": "AuthorizationFailed"}}
    factory.world.cloud.set_faults([refusal])
    run = factory.prune("--yes", "--json")
    factory.world.cloud.clear_faults()
    assert run.code == 1 and list(run.results().values()) == ["deleted"], run.stdout
    assert factory.held() == everything - {left_over}
    reason = reasons(run)[old.name]
    assert reason.startswith("gallery 'images'") and reason.endswith("could not be read, and may need it")
    (failure,) = run.document["failures"]
    assert "gallery 'images'" in failure and "no VHD of the factory is deleted" in failure
    assert factory.prune("--yes", "--json").results() == {old.name: "deleted"}


def attach(gallery: GalleryFactory, factory: PruneWorld) -> None:
    """Attach the gallery to the lab, and enable its definition there."""
    lab, version = factory.lab, "2018-10-15-preview"
    path = f"{lab.id}/sharedgalleries/images"
    properties = {"galleryId": gallery.id, "allowAllImages": "Disabled"}
    image = {"definitionName": "Win2016.Datacenter", "osType": "Windows", "imageType": "Generalized"}
    bodies = {
        path: {"location": "westeurope", "properties": properties},
        f"{path}/sharedimages/Win2016.Datacenter": {"properties": {**image, "enableState": "Enabled"}},
    }
    for target, body in bodies.items():
        answer = cloud_calls.request(factory.world.status, "PUT", f"{target}?api-version={version}", body)
        answer.raise_for_status()
