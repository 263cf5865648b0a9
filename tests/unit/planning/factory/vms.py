"""Factory VMs with sensible defaults, and hypothesis strategies for them.

Contains nothing that a test asserts on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from imagefactory.diagnostics import error
from imagefactory.images.companions import FactoryImage
from imagefactory.images.lineage import Lineage
from imagefactory.observed.factory_vms import FactoryVm, ManagedDisk
from tests.unit.builders import MIB, image


def disk(name: str = "vm-os", **changes: Any) -> ManagedDisk:
    """A disk of 64 MiB of a deallocated VM."""
    facts: dict[str, Any] = {"os_type": "Windows", "generation": "V1", "state": "Reserved", **changes}
    return ManagedDisk(id=f"/disks/{name}", length=64 * MIB, **{"unique_id": f"unique-{name}", **facts})


def vm(name: str = "vm", tags: Mapping[str, str] | None = None, **changes: Any) -> FactoryVm:
    """A finished VM of `Win2016/Datacenter.json`."""
    facts: dict[str, Any] = {
        "state": "Succeeded",
        "tags": {"imagepath": "Win2016/Datacenter.json"} if tags is None else tags,
        "power": "deallocated",
        "os_disk": disk(f"{name}-os"),
        **changes,
    }
    return FactoryVm(f"/labs/factory/virtualmachines/{name}", name, **facts)


def saved(of: FactoryVm, name: str = "image") -> FactoryImage:
    """A factory image of that VM's disk."""
    assert of.os_disk
    return replace(image(name), lineage=Lineage(vm=of.id, disk=of.os_disk.id, disk_id=of.os_disk.unique_id.upper()))


vms = st.builds(
    vm,
    st.sampled_from(["a", "b", "C", "d"]),
    st.dictionaries(
        st.sampled_from(["imagepath", "imageosstate", "factoryignore", "owner"]),
        st.sampled_from(["Win2016/Datacenter.json", "..", "Specialized", "generalized", "yes", ""]),
    ),
    state=st.sampled_from(["Succeeded", "Failed", "Creating", ""]),
    power=st.sampled_from(["deallocated", "running", "stopped", None]),
    generalized=st.booleans(),
    os_disk=st.one_of(
        st.none(),
        st.builds(
            disk,
            st.sampled_from(["1", "2"]),
            state=st.sampled_from(["Reserved", "ActiveSAS", "Attached"]),
            os_type=st.sampled_from(["Windows", "Linux", None, "Plan9"]),
            generation=st.sampled_from(["V1", "V2", None]),
        ),
    ),
    data_disks=st.dictionaries(st.integers(0, 3), st.builds(disk, st.sampled_from(["x", "y"])), max_size=2),
    diagnostic=st.sampled_from([None, error("VM", "403", "x", "y")]),
)
