"""What Azure says of the VMs in the factory lab and of their disks.

Owns the shape of those facts. Refuses to fetch them: `imagefactory.azure` does.
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
    """Azure's own id: a disk made anew under the same name has another one."""
    length: int
    state: str
    """diskState: Reserved (its VM is deallocated), Attached, ActiveSAS (somebody was granted access), and others."""
    os_type: str | None = None
    generation: str | None = None
    """hyperVGeneration: V1 or V2."""
    released: str = ""
    """LastOwnershipUpdateTime: when its VM was last started or deallocated; until then nobody wrote to it."""

    @property
    def name(self) -> str:
        """The last part of its id."""
        return self.id.rpartition("/")[2]

    @property
    def is_open(self) -> bool:
        """Whether somebody was granted access to it."""
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
    """By name in lower case: Azure compares them so."""
    notes: str = ""
    power: str | None = None
    """The code after `PowerState/`; None: the instance view tells none."""
    generalized: bool = False
    """Whether the instance view says `OSState/generalized`; Azure says nothing of a VM that nobody marked so."""
    os_disk: ManagedDisk | None = None
    """None: it was not read, or is no managed disk."""
    data_disks: Mapping[int, ManagedDisk] = field(default_factory=dict)
    """By logical unit number."""
    diagnostic: Diagnostic | None = None
    """Why the compute VM or a disk of it could not be read."""

    @property
    def disks(self) -> tuple[ManagedDisk, ...]:
        """All disks that are known."""
        return (*([self.os_disk] if self.os_disk else []), *self.data_disks.values())
