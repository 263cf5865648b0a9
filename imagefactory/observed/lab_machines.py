"""The VMs of a target lab, and what each says it was created from, as Azure returned them.

Does not read them: `imagefactory.azure.lab_machines` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class LabMachine:
    """A VM of a lab. What it was created from is in comparable form, and empty if it is something else."""

    name: str
    created: datetime | None = None
    """createdDate, UTC; None: missing or unreadable."""
    image: str = ""
    """Name of the custom image; a VM can only be created from one of its own lab, so a moved lab changes nothing."""
    definition: str = ""
    """Name of the definition in the gallery of the lab."""
    version: str = ""
    """Name of its version; empty: it does not say, and Azure took the newest one."""
