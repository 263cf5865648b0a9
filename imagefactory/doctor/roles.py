"""The least that an identity must be permitted to do, by scope, and what of it is missing. Pure.

docs/operations.md, "Roles", shows the same lists as custom roles; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from imagefactory.observed.permissions import Permission

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

    def is_conditional(self, permissions: Iterable[Permission]) -> bool:
        """Return whether a part of it is permitted under a condition only."""
        return bool(self.missing(each for each in permissions if not each.conditional))


READER = Role(
    "Image Factory Reader",
    (
        "Microsoft.Resources/subscriptions/read",
        f"{_LABS}/labs/read",
        f"{_LABS}/labs/customImages/read",
        f"{_STORAGE}/read",
    ),
)
DISTRIBUTOR = Role(
    "Image Factory Distributor",
    (
        f"{_LABS}/labs/read",
        f"{_LABS}/labs/customImages/read",
        f"{_LABS}/labs/customImages/write",
        f"{_LABS}/labs/customImages/delete",
        f"{_LABS}/locations/operations/read",
    ),
)
STORAGE_KEYS = Role("Image Factory Storage Keys", (f"{_STORAGE}/listKeys/action",))
SAVER = Role(
    "Image Factory Saver",
    (
        f"{_LABS}/labs/read",
        f"{_LABS}/labs/virtualMachines/read",
        f"{_LABS}/labs/virtualMachines/delete",
        f"{_LABS}/locations/operations/read",
        f"{_COMPUTE}/virtualMachines/read",
        f"{_COMPUTE}/virtualMachines/instanceView/read",
        f"{_COMPUTE}/disks/read",
        f"{_COMPUTE}/disks/beginGetAccess/action",
        f"{_COMPUTE}/disks/endGetAccess/action",
        f"{_COMPUTE}/locations/diskOperations/read",
    ),
)
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
ASKING = "Microsoft.Authorization/permissions/read"
"""Without it, the other permissions cannot be read."""
GALLERY_ROLES = (GALLERY_CREATOR, GALLERY_PUBLISHER, GALLERY_OPERATIONS, LAB_GALLERIES)
CUSTOM = (READER, DISTRIBUTOR, STORAGE_KEYS, SAVER, *GALLERY_ROLES)
"""The roles that docs/operations.md defines."""
