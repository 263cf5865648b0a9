"""What the cloud holds of images that VMs of the labs were created from lately (setting `keepUsedDays`)."""

from __future__ import annotations

import pytest

from imagefactory.configuration.labs_file import LabKey
from tests.e2e.gallery_world import GalleryWorld
from tests.e2e.world import MIB, Lab

pytestmark = pytest.mark.engine

WINDOWS = "Win2016/Datacenter.json"
UNLISTED = {"service": "arm", "method": "GET", "path": "virtualmachines", "action": {"status": 403, "code": "Denied"}}


def add_vm(world: GalleryWorld, lab: Lab, name: str, **properties: str) -> None:
    """A VM in the lab that was created now from an image."""
    about = {"name": lab.name, "resourceGroup": lab.group, "region": "westeurope", "storageAccount": lab.account}
    machine = {"name": name, "osType": "Windows", "sizeBytes": 16 * MIB, "properties": properties}
    seed = {"subscriptionId": lab.subscription, "labs": [{**about, "virtualMachines": [machine]}]}
    world.cloud.seed({"subscriptions": [seed]})


def test_an_image_in_use_stays_until_its_vms_are_gone(gallery_world: GalleryWorld) -> None:
    """A custom image in its lab, a version in the gallery; also after the factory lost the VHD, and while the VMs
    cannot be listed. Each run says why; the next one without VMs deletes them."""
    world = gallery_world
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016")
    world.deliveries = {"web": "customImage"}
    world.settings |= {"keep": 1, "keepUsedDays": 30}
    (old,) = world.add_images((WINDOWS, 5))
    world.serve()
    (version,) = world.versions()
    definition, _, number = version.partition("/")
    add_vm(world, web, "web-1", customImageId=f"{web.id}/customimages/{old}".lower())
    shared = f"{data.id}/sharedgalleries/images/sharedimages/{definition}"
    add_vm(world, data, "data-1", sharedImageId=shared, sharedImageVersion=number)
    (new,) = world.add_images((WINDOWS, 6))
    world.serve()
    world.retire(old)
    run = world.serve()
    assert run.only_unchanged and set(world.held(web)) == {old, new} and version in world.versions(), run.output
    label = LabKey.of(data.subscription, data.name, None).label()
    told = "was created from it less than 30 days ago (setting keepUsedDays)"
    assert f"keeps {old}: VM web-1 {told}" in run.output, run.output
    assert f"gallery: keeps {version}: VM data-1 of lab {label} {told}" in run.output, run.output
    shown = world.pulumi("plan", "--format", "json")
    assert shown.code == 0 and shown.output.count('"keep for now"') == 2, shown.output
    assert f"VM web-1 {told}" in shown.output and f"VM data-1 of lab {label} {told}" in shown.output, shown.output
    for lab, name in ((web, "web-1"), (data, "data-1")):
        assert world.request("DELETE", f"{lab.id}/virtualmachines/{name}?api-version=2018-09-15").status_code == 202
    world.cloud.set_faults([UNLISTED])
    run = world.up()
    assert run.code != 0 and "the VMs of the lab could not be listed" in run.output, run.output
    assert set(world.held(web)) == {old, new} and version in world.versions()
    world.cloud.set_faults([])
    world.serve()
    assert set(world.held(web)) == {new} and version not in world.versions()
    assert world.up().only_unchanged
