"""Microsoft's SDK of Compute does on the embedded cloud what this project does with virtual machines and disks."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobClient

from imagefactory.images.vhd_footer import footer_problem
from localcloud.vhd import MIB
from tests.clients.sdk_world import GROUP, SdkWorld

CONTENT = "what the machine holds"


def test_a_disk_is_read_by_the_sas_of_a_grant_until_it_is_revoked(sdk: SdkWorld) -> None:
    """Instance view, disk and grant as the SDK reads them; the SDK of blobs reads the whole VHD."""
    disk = {"sizeBytes": 16 * MIB, "allocatedBytes": MIB, "files": {"etc/image": CONTENT}}
    lab = sdk.lab(virtualMachines=[{"name": "vm", "osType": "Linux", **disk}])
    (machine,) = sdk.labs.virtual_machines.list(GROUP, lab)
    group = machine.compute_id.split("/")[4]
    compute = sdk.compute.virtual_machines.get(group, "vm", expand="instanceView")
    codes = [status.code for status in compute.instance_view.statuses]
    assert codes == ["ProvisioningState/succeeded", "OSState/generalized", "PowerState/deallocated"]
    name = compute.storage_profile.os_disk.name
    before = sdk.compute.disks.get(group, name)
    assert (before.disk_state, before.disk_size_bytes, before.managed_by) == ("Reserved", 16 * MIB, machine.compute_id)

    sdk.cloud.set_latencies({"diskAccessSeconds": 0.05})
    wanted = {"access": "Read", "durationInSeconds": 3600}
    granted = sdk.compute.disks.begin_grant_access(group, name, wanted).result()
    assert sdk.compute.disks.get(group, name).disk_state == "ActiveSAS"
    with BlobClient.from_blob_url(granted.access_sas) as blob:
        vhd = blob.download_blob().readall()
        assert len(vhd) == 16 * MIB + 512 and footer_problem(vhd[-512:], len(vhd)) is None and CONTENT.encode() in vhd
        with pytest.raises(HttpResponseError) as caught:
            sdk.labs.virtual_machines.begin_delete(GROUP, lab, "vm").result()
        assert caught.value.error and caught.value.error.code == "OperationNotAllowed"
        sdk.compute.disks.begin_revoke_access(group, name).result()
        assert sdk.compute.disks.get(group, name).disk_state == "Reserved"
        with pytest.raises(HttpResponseError) as refused:
            blob.download_blob()
        assert refused.value.status_code == 403
    sdk.labs.virtual_machines.begin_delete(GROUP, lab, "vm").result()
    with pytest.raises(ResourceNotFoundError):
        sdk.compute.disks.get(group, name)


def test_a_running_machines_disk_is_refused(sdk: SdkWorld) -> None:
    """409 Conflict, as the SDK reads it."""
    machine = {"name": "vm", "osType": "Linux", "sizeBytes": 16 * MIB, "powerState": "running"}
    lab = sdk.lab(virtualMachines=[machine])
    (found,) = sdk.labs.virtual_machines.list(GROUP, lab)
    group = found.compute_id.split("/")[4]
    name = sdk.compute.virtual_machines.get(group, "vm").storage_profile.os_disk.name
    with pytest.raises(HttpResponseError) as caught:
        sdk.compute.disks.begin_grant_access(group, name, {"access": "Read", "durationInSeconds": 60})
    assert caught.value.error and (caught.value.status_code, caught.value.error.code) == (409, "Conflict")
