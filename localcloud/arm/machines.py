"""The values of a lab's virtual machine: the lab VM, its compute VM and its managed disks, their ids, and a seeded VM.

Does not contain rules: `virtual_machines` does.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from localcloud.blobs.disk_access import new_container
from localcloud.seed import PowerState, SeedVirtualMachine


def timestamp() -> str:
    """Return the current time as ARM writes it: with the ticks of .NET, 7 decimals (recorded)."""
    return f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}0+00:00"


@dataclass
class Disk:
    """A managed disk; `lun` None is the OS disk. Its bytes are the blob in `container`, one footer longer than
    `size_bytes`; `released` is when its VM was last started or deallocated; `operation` names the active grant or
    revocation, if any."""

    name: str
    size_bytes: int
    lun: int | None
    container: str
    created: str
    released: str = field(default_factory=timestamp)
    unique_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    operation: str | None = None


@dataclass
class VirtualMachine:
    """A lab VM and the compute VM behind it; the first of `disks` is the OS disk. `disk_properties` are more ARM
    properties of its disks, `properties` more of the lab VM (None: it lacks the one of that name).

    `state` is the lab VM's provisioning state once the machine is `whole`, that is, once the bytes of its disks are
    uploaded; `operation` names the active deletion, if any."""

    name: str
    os_type: str
    created: str
    group: str
    disks: list[Disk]
    state: str
    power_state: PowerState
    generalized: bool
    hyper_v_generation: str
    notes: str | None
    tags: dict[str, str]
    unique_identifier: str = field(default_factory=lambda: str(uuid.uuid4()))
    vm_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    disk_properties: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    whole: bool = False
    operation: str | None = None

    @property
    def provisioning_state(self) -> str:
        """The lab VM's state, as DevTest Labs returns it."""
        return "Deleting" if self.operation else self.state if self.whole else "Creating"

    def compute_id(self, subscription: str) -> str:
        """The compute VM's ARM id."""
        return f"{self._compute(subscription)}/virtualMachines/{self.name}"

    def disk_id(self, subscription: str, disk: Disk) -> str:
        """The ARM id of one of its disks."""
        return f"{self._compute(subscription)}/disks/{disk.name}"

    def _compute(self, subscription: str) -> str:
        return f"/subscriptions/{subscription}/resourceGroups/{self.group}/providers/Microsoft.Compute"


def seeded_machine(lab: str, seed: SeedVirtualMachine) -> VirtualMachine:
    """Return a new machine in a resource group of its own: the lab's name with 13 digits, as recorded."""
    now = timestamp()
    os_disk = Disk(f"{seed.name}_OsDisk_1_{uuid.uuid4().hex}", seed.size_bytes, None, new_container(), now)
    data = [
        Disk(f"{seed.name}_DataDisk_{each.lun}", each.size_bytes, each.lun, new_container(), now)
        for each in seed.data_disks
    ]
    return VirtualMachine(
        name=seed.name,
        os_type=seed.os_type,
        created=now,
        group=f"{lab}{secrets.randbelow(9 * 10**12) + 10**12}",
        disks=[os_disk, *data],
        state=seed.provisioning_state,
        power_state=seed.power_state,
        generalized=seed.generalized,
        hyper_v_generation=seed.hyper_v_generation,
        notes=seed.notes,
        tags=dict(seed.tags),
        disk_properties=dict(seed.disk_properties),
        properties=dict(seed.properties),
    )
