"""The least that an identity must be permitted to do, by scope, and what of it is missing. Pure.

docs/operations.md, "Roles", shows the same lists as custom roles; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from imagefactory.observed.permissions import Denial, Identity, Permission

_LABS, _COMPUTE, _STORAGE = "Microsoft.DevTestLab", "Microsoft.Compute", "Microsoft.Storage/storageAccounts"
_CONTAINERS = f"{_STORAGE}/blobServices/containers"
_BLOBS = f"{_CONTAINERS}/blobs"


@dataclass(frozen=True)
class Role:
    """A role with the least that is needed of it; `name` is that of docs/operations.md."""

    name: str
    actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()

    def missing(self, permissions: Iterable[Permission]) -> list[str]:
        """Return the actions that none of the permissions at a scope contains, in the order of the role."""
        given = tuple(permissions)
        return [
            action
            for on_data, wanted in ((False, self.actions), (True, self.data_actions))
            for action in wanted
            if not any(each.permits(action, on_data=on_data) for each in given)
        ]

    def denied(self, denials: Iterable[Denial], who: Identity) -> Iterator[Denied]:
        """Yield what each deny assignment at a scope denies of it to an identity, in the order of the role."""
        wanted = [(action, False) for action in self.actions] + [(action, True) for action in self.data_actions]
        for denial in denials:
            found = {action: denial.denies(action, who, on_data=on_data) for action, on_data in wanted}
            for certain in (True, None):
                if actions := [action for action, denies in found.items() if denies is certain]:
                    yield Denied(denial.name, actions, certain=bool(certain))

    def is_conditional(self, permissions: Iterable[Permission]) -> bool:
        """Return whether a part of it is permitted under a condition only."""
        return bool(self.missing(each for each in permissions if not each.conditional))


@dataclass(frozen=True)
class Denied:
    """What a deny assignment denies of a role; not `certain`: by a group or under a condition, which is not known."""

    assignment: str
    actions: Sequence[str]
    certain: bool


READER = Role(
    "Image Factory Reader",
    (
        "Microsoft.Resources/subscriptions/read",
        f"{_LABS}/labs/read",
        f"{_LABS}/labs/customImages/read",
        f"{_STORAGE}/read",
        f"{_LABS}/locations/operations/read",
    ),
)
"""Also reads the long-running operations of labs, whose ids have no resource group
(`/subscriptions/{}/providers/Microsoft.DevTestLab/locations/{}/operations/{}`, "Operations - Get" of DevTest Labs): a
role at a lab does not permit that."""
DISTRIBUTOR = Role(
    "Image Factory Distributor",
    (
        f"{_LABS}/labs/read",
        f"{_LABS}/labs/customImages/read",
        f"{_LABS}/labs/customImages/write",
        f"{_LABS}/labs/customImages/delete",
    ),
)
LAB_VM_READER = Role("Image Factory Lab VM Reader", (f"{_LABS}/labs/virtualMachines/read",))
"""At each target lab, with the setting `keepUsedDays`, which needs the VMs of the lab; a preview needs it, too."""
STORAGE_KEYS = Role("Image Factory Storage Keys", (f"{_STORAGE}/listKeys/action",))
SAVER = Role(
    "Image Factory Saver",
    (
        f"{_LABS}/labs/read",
        f"{_LABS}/labs/virtualMachines/read",
        f"{_LABS}/labs/virtualMachines/delete",
        f"{_COMPUTE}/virtualMachines/read",
        f"{_COMPUTE}/virtualMachines/instanceView/read",
        f"{_COMPUTE}/disks/read",
        f"{_COMPUTE}/disks/beginGetAccess/action",
        f"{_COMPUTE}/disks/endGetAccess/action",
    ),
)
DISK_OPERATIONS = Role("Image Factory Disk Operations", (f"{_COMPUTE}/locations/diskOperations/read",))
"""At the subscription, wherever the Saver is assigned: the id of an operation of a disk has no resource group either
(`/subscriptions/{}/providers/Microsoft.Compute/locations/{}/DiskOperations/{}`, where clients poll it). Its result
contains the SAS of the disk, so the Reader does not include it."""
_GALLERIES = f"{_COMPUTE}/galleries"
GALLERY_CREATOR = Role(
    "Image Factory Gallery Creator",
    ("Microsoft.Resources/subscriptions/resourceGroups/read", f"{_GALLERIES}/write", f"{_GALLERIES}/delete"),
)
"""For a gallery that the stack creates, at its resource group."""
GALLERY_PUBLISHER = Role(
    "Image Factory Gallery Publisher",
    (
        f"{_GALLERIES}/read",
        *(f"{_GALLERIES}/images/{each}" for each in ("read", "write", "delete")),
        *(f"{_GALLERIES}/images/versions/{each}" for each in ("read", "write", "delete")),
    ),
)
"""At the gallery. To create a version from a VHD, Azure also requires `listKeys` of its storage account, which is
`STORAGE_KEYS` (learn.microsoft.com, "Store and share images in an Azure Compute Gallery", permissions, "VHD as source":
that action, or Storage Account Contributor, which contains it)."""
GALLERY_OPERATIONS = Role("Image Factory Gallery Operations", (f"{_COMPUTE}/locations/capsOperations/read",))
"""At the subscription of the gallery, because the id of an operation has no resource group
(`/subscriptions/{}/providers/Microsoft.Compute/locations/{}/capsOperations/{}`, as recorded)."""
LAB_GALLERIES = Role(
    "Image Factory Lab Galleries",
    (
        *(f"{_LABS}/labs/sharedGalleries/{each}" for each in ("read", "write", "delete")),
        *(f"{_LABS}/labs/sharedGalleries/sharedImages/{each}" for each in ("read", "write", "delete")),
    ),
)
"""At each lab that gets images by the gallery."""
BLOB_CONTRIBUTOR = Role(
    "Storage Blob Data Contributor",
    (f"{_CONTAINERS}/write",),
    (f"{_BLOBS}/read", f"{_BLOBS}/write", f"{_BLOBS}/delete"),
)
"""What is used of the built-in role: the container of staged VHDs, and the blobs in it."""
DELEGATION_KEY = Role("Storage Blob Data Reader", (f"{_STORAGE}/blobServices/generateUserDelegationKey/action",))
"""What the service's own copy needs of it in addition to reading: the key that signs a SAS."""
ASKING = ("Microsoft.Authorization/permissions/read", "Microsoft.Authorization/denyAssignments/read")
"""Without them, it cannot be read what is permitted and denied."""
GALLERY_ROLES = (GALLERY_CREATOR, GALLERY_PUBLISHER, GALLERY_OPERATIONS, LAB_GALLERIES)
CUSTOM = (READER, DISTRIBUTOR, LAB_VM_READER, STORAGE_KEYS, SAVER, DISK_OPERATIONS, *GALLERY_ROLES)
"""The roles that docs/operations.md defines."""
