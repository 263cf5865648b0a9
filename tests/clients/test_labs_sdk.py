"""Microsoft's SDK of DevTest Labs does on the embedded cloud what this project does, with its own pollers and pages."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from tests.clients.sdk_world import GROUP, SUBSCRIPTION, SdkWorld, image_of

PATH = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/{GROUP}/providers/microsoft.devtestlab/labs"


def refusal(caught: pytest.ExceptionInfo[HttpResponseError]) -> str | None:
    """The code that the SDK read from a refusal or a failed operation."""
    return caught.value.error.code if caught.value.error else None


def test_lists_of_labs_and_images_are_read_to_their_end(sdk: SdkWorld) -> None:
    """More than one page of each; every lab and every image once."""
    names = [f"many{number:02}" for number in range(60)]
    sdk.seed(*({"name": name} for name in names), {"name": "manyimages", "images": [{"name": name} for name in names]})
    listed = [lab.name for lab in sdk.labs.labs.list_by_subscription()]
    assert [name for name in listed if name in names] == names and len(listed) == len(set(listed))
    assert [image.name for image in sdk.labs.custom_images.list(GROUP, "manyimages")] == names
    assert sum("skiptoken" in call["path"] for call in sdk.cloud.calls()) == 2


def test_a_lab_is_read(sdk: SdkWorld) -> None:
    """With region, id and storage account; a missing one is not found."""
    name = sdk.lab()
    lab = sdk.labs.labs.get(GROUP, name)
    assert (lab.id, lab.location, lab.provisioning_state) == (f"{PATH}/{name}", "westeurope", "Succeeded")
    assert lab.artifacts_storage_account == lab.default_storage_account is not None
    with pytest.raises(ResourceNotFoundError):
        sdk.labs.labs.get(GROUP, "missing")


def test_an_image_is_created_changed_and_deleted(sdk: SdkWorld) -> None:
    """Each poller ends; a second PUT changes the tags, and so does a PATCH; afterwards the image is gone, and
    deleting it is no error."""
    images, lab = sdk.labs.custom_images, sdk.lab()
    url = sdk.vhd(lab)
    sdk.cloud.set_latencies({"imageCreateSeconds": 0.05, "imageDeleteSeconds": 0.05})
    made = images.begin_create_or_update(GROUP, lab, "golden", image_of(url, tags={"a": "b"})).result()
    assert (made.provisioning_state, made.vhd.image_name, made.tags) == ("Succeeded", url, {"a": "b"})
    assert made.id == f"{PATH}/{lab}/customimages/golden" and made.creation_date and made.author and sdk.polls() > 0
    changed = images.begin_create_or_update(GROUP, lab, "golden", image_of(url, tags={"c": "d"})).result()
    assert changed.tags == {"c": "d"} and changed.unique_identifier == made.unique_identifier
    assert images.get(GROUP, lab, "golden") == changed
    tagged = images.update(GROUP, lab, "golden", {"e": "f"})
    assert tagged.tags == {"e": "f"} and tagged.vhd == made.vhd and tagged.provisioning_state == "Succeeded"
    images.begin_delete(GROUP, lab, "golden").result()
    with pytest.raises(ResourceNotFoundError):
        images.get(GROUP, lab, "golden")
    images.begin_delete(GROUP, lab, "golden").result()


def test_a_failed_creation_is_raised_and_can_be_repeated(sdk: SdkWorld) -> None:
    """The poller raises the error of the operation, the image stands as Failed, and the next PUT creates it."""
    images, lab = sdk.labs.custom_images, sdk.lab()
    url = sdk.vhd(lab)
    with pytest.raises(HttpResponseError) as caught:
        images.begin_create_or_update(GROUP, lab, "golden", image_of(url.replace(".vhd", "-none.vhd"))).result()
    assert refusal(caught) == "SourceBlobNotFound"
    assert images.get(GROUP, lab, "golden").provisioning_state == "Failed"
    assert images.begin_create_or_update(GROUP, lab, "golden", image_of(url)).result().provisioning_state == "Succeeded"


@pytest.mark.parametrize(
    ("name", "source", "code"),
    [
        ("golden", "https://elsewhere.invalid/vhds/a.vhd", "InvalidStorageAccountForLab"),
        ("-golden", None, "InvalidParameter"),
        ("standing", None, "CannotSetProperty"),
    ],
)
def test_a_refused_creation_is_raised(sdk: SdkWorld, name: str, source: str | None, code: str) -> None:
    """At once, with Azure's code."""
    lab = sdk.lab(images=[{"name": "standing"}])
    with pytest.raises(HttpResponseError) as caught:
        sdk.labs.custom_images.begin_create_or_update(GROUP, lab, name, image_of(source or sdk.vhd(lab)))
    assert (caught.value.status_code, refusal(caught)) == (400, code)


def test_a_lab_vm_is_read_with_its_compute_vm_and_deleted(sdk: SdkWorld) -> None:
    """Only an expanded answer has the compute VM: states and disks."""
    machines, machine = sdk.labs.virtual_machines, {"name": "vm", "osType": "Linux", "sizeBytes": 16 << 20}
    data: list[dict[str, Any]] = [{"lun": 0, "sizeBytes": 16 << 20}]
    lab = sdk.lab(virtualMachines=[{**machine, "tags": {"ImagePath": "a.json"}, "dataDisks": data}])
    (plain,) = machines.list(GROUP, lab)
    assert plain.compute_vm is None and plain.tags == {"ImagePath": "a.json"}
    (full,) = machines.list(GROUP, lab, expand="properties($expand=computeVm)")
    assert [each.code for each in full.compute_vm.statuses][-1] == "PowerState/deallocated"
    assert full.compute_vm.os_disk_id and len(full.compute_vm.data_disks) == 1
    assert machines.get(GROUP, lab, "vm", expand="properties($expand=computeVm)") == full
    sdk.cloud.set_latencies({"vmDeleteSeconds": 0.05})
    machines.begin_delete(GROUP, lab, "vm").result()
    assert sdk.polls() > 0 and list(machines.list(GROUP, lab)) == []
