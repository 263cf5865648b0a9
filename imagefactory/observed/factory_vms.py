"""The VMs of the factory lab and their disks, as Azure returned them.

Does not read them: `imagefactory.azure` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imagefactory.diagnostics import Diagnostic


@dataclass(frozen=True)
class ManagedDisk:
    """A managed disk. `length` is its size in bytes."""

    id: str
    unique_id: str
    """Azure's id, which differs if a disk of the same name is recreated."""
    length: int
    state: str
    """diskState: Reserved (its VM is deallocated), Attached, ActiveSAS (access is granted), and others."""
    os_type: str | None = None
    generation: str | None = None
    """hyperVGeneration: V1 or V2."""
    released: str = ""
    """LastOwnershipUpdateTime: when its VM was last started or deallocated. While it is the same, no VM wrote to it."""

    security_type: str = ""
    """securityProfile.securityType: TrustedLaunch, ConfidentialVM_... or none."""
    network_access_policy: str = ""
    """networkAccessPolicy: which networks may read the disk by a SAS: AllowAll, AllowPrivate or DenyAll."""
    public_network_access: str = ""
    """publicNetworkAccess: Enabled or Disabled."""
    data_access_auth_mode: str = ""
    """dataAccessAuthMode: AzureActiveDirectory if a reader needs a token besides the SAS."""

    @property
    def name(self) -> str:
        """The last part of its id."""
        return self.id.rpartition("/")[2]

    @property
    def is_trusted_launch(self) -> bool:
        """Whether it is of a VM with Trusted Launch."""
        return self.security_type.lower() == "trustedlaunch"

    @property
    def is_open(self) -> bool:
        """Whether it has an active SAS."""
        return self.state.startswith("ActiveSAS")


@dataclass(frozen=True)
class FactoryVm:
    """A VM of the factory lab."""

    id: str
    """ARM id in the lab."""
    name: str
    state: str
    """provisioningState of the lab VM."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """By name in lower case, because Azure compares names case-insensitively."""
    notes: str = ""
    power: str | None = None
    """The code after `PowerState/`; None: the instance view has none."""
    generalized: bool = False
    """Whether the instance view contains `OSState/generalized`; it contains no OSState if the VM was never marked."""
    os_disk: ManagedDisk | None = None
    """None: it was not read, or is not a managed disk."""
    data_disks: Mapping[int, ManagedDisk] = field(default_factory=dict)
    """By logical unit number."""
    diagnostic: Diagnostic | None = None
    """Why the compute VM or one of its disks could not be read."""

    @property
    def disks(self) -> tuple[ManagedDisk, ...]:
        """All disks that were read."""
        return (*([self.os_disk] if self.os_disk else []), *self.data_disks.values())
