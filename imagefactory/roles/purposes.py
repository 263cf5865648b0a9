"""The roles of each purpose: the one source for `imagefactory roles`, `imagefactory doctor` and docs/permissions.md.

The lists are exact: tests run each purpose with them in the embedded cloud, and without each action of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from imagefactory.roles.actions import (
    BLOBS,
    COMPUTE,
    CONTAINERS,
    DELEGATION_KEY,
    LABS,
    LIST_KEYS,
    STORAGE,
    Option,
    Place,
    Purpose,
    Role,
)

_GALLERIES = f"{COMPUTE}/galleries"
_LISTING = (f"{LABS}/read", f"{LABS}/customImages/read")
"""Labs are listed by subscription, their images at the lab."""
_CHECKING = (*_LISTING, f"{STORAGE}/read")
"""A plan also checks the kind and the network rules of accounts."""
_MACHINES = (
    f"{LABS}/virtualMachines/read",
    f"{COMPUTE}/virtualMachines/read",
    f"{COMPUTE}/virtualMachines/instanceView/read",
    f"{COMPUTE}/disks/read",
)
_READ = (f"{BLOBS}/read",)
_ALL_OF_BLOBS = (f"{BLOBS}/read", f"{BLOBS}/write", f"{BLOBS}/delete")
_END_ACCESS, _DISK_OPERATIONS = f"{COMPUTE}/disks/endGetAccess/action", f"{COMPUTE}/locations/diskOperations/read"
_OPERATIONS = "Microsoft.DevTestLab/locations/operations/read"


def _reading(purpose: Purpose, listing: tuple[str, ...]) -> tuple[Role, ...]:
    """Return the roles of what reads labs, factory and gallery, and writes nothing to Azure."""
    return (
        Role(purpose, Place.SUBSCRIPTION, listing),
        Role(purpose, Place.FACTORY_STORAGE, (), _READ, Option.AAD),
        Role(purpose, Place.FACTORY_KEYS, (LIST_KEYS,), (), Option.KEY),
        *_galleries(purpose),
        Role(purpose, Place.LAB_MACHINES, (f"{LABS}/virtualMachines/read",), (), Option.KEEP_USED),
    )


def _galleries(purpose: Purpose, *writing: str) -> tuple[Role, ...]:
    """Return the roles for the parts of galleries; what a lab offers is switched on and off, not deleted."""
    images, shared = f"{_GALLERIES}/images", f"{LABS}/sharedGalleries"
    parts = tuple(f"{each}/{verb}" for each in (images, f"{images}/versions") for verb in ("read", *writing))
    offers = tuple(f"{shared}/sharedImages/{verb}" for verb in ("read", *writing) if verb != "delete")
    attached = tuple(f"{shared}/{verb}" for verb in ("read", *writing))
    return (
        Role(purpose, Place.GALLERY, (f"{_GALLERIES}/read", *parts), (), Option.GALLERY),
        Role(purpose, Place.LAB_GALLERIES, (*attached, *offers), (), Option.GALLERY),
    )


_DISTRIBUTION = (
    Role(Purpose.DISTRIBUTION, Place.SUBSCRIPTION, (*_CHECKING, _OPERATIONS)),
    Role(Purpose.DISTRIBUTION, Place.LAB, (f"{LABS}/customImages/write", f"{LABS}/customImages/delete")),
    Role(Purpose.DISTRIBUTION, Place.FACTORY_STORAGE, (), _READ, Option.AAD),
    Role(Purpose.DISTRIBUTION, Place.FACTORY_MANIFESTS, (), (f"{BLOBS}/write",), Option.MANIFESTS),
    Role(Purpose.DISTRIBUTION, Place.FACTORY_SAS, (DELEGATION_KEY,), (), Option.SERVICE),
    Role(
        Purpose.DISTRIBUTION,
        Place.LAB_STORAGE,
        (f"{CONTAINERS}/write",),
        _ALL_OF_BLOBS,
        Option.AAD,
    ),
    Role(Purpose.DISTRIBUTION, Place.STORAGE_KEYS, (LIST_KEYS,), (), Option.KEY),
    *_galleries(Purpose.DISTRIBUTION, "write", "delete"),
    Role(Purpose.DISTRIBUTION, Place.FACTORY_KEYS, (LIST_KEYS,), (), Option.GALLERY),
    Role(
        Purpose.DISTRIBUTION,
        Place.GALLERY_GROUP,
        (f"{_GALLERIES}/write", f"{_GALLERIES}/delete"),
        (),
        Option.NEW_GALLERY,
    ),
    Role(
        Purpose.DISTRIBUTION,
        Place.GALLERY_SUBSCRIPTION,
        (f"{COMPUTE}/locations/capsOperations/read",),
        (),
        Option.GALLERY,
    ),
    Role(Purpose.DISTRIBUTION, Place.LAB_MACHINES, (f"{LABS}/virtualMachines/read",), (), Option.KEEP_USED),
)
"""The ids of operations of labs and galleries have no resource group ("Operations - Get" of DevTest Labs, and as
recorded of galleries), so they are read at the subscription. To create a gallery version from a VHD, Azure requires
`listKeys` of its account (learn.microsoft.com, "Store and share images in an Azure Compute Gallery", "VHD as source").
"""
_SAVE = (
    Role(Purpose.SAVE, Place.FACTORY_SUBSCRIPTION, (f"{LABS}/read", _DISK_OPERATIONS)),
    Role(
        Purpose.SAVE,
        Place.FACTORY_MACHINES,
        (*_MACHINES, f"{COMPUTE}/disks/beginGetAccess/action", _END_ACCESS),
    ),
    Role(
        Purpose.SAVE,
        Place.FACTORY_STORAGE,
        (f"{CONTAINERS}/write",),
        _ALL_OF_BLOBS,
        Option.AAD,
    ),
    Role(Purpose.SAVE, Place.FACTORY_KEYS, (LIST_KEYS,), (), Option.KEY),
)
"""The id of an operation of a disk has no resource group either. Its result contains the SAS of the disk."""
_CLEAN_VMS = (
    Role(
        Purpose.CLEAN_VMS,
        Place.FACTORY_SUBSCRIPTION,
        (f"{LABS}/read", _OPERATIONS),
    ),
    Role(Purpose.CLEAN_VMS, Place.FACTORY_MACHINES, (*_MACHINES, f"{LABS}/virtualMachines/delete")),
    Role(Purpose.CLEAN_VMS, Place.FACTORY_STORAGE, (), (f"{BLOBS}/read",), Option.AAD),
    Role(Purpose.CLEAN_VMS, Place.FACTORY_KEYS, (LIST_KEYS,), (), Option.KEY),
)
_PRUNE = (
    Role(Purpose.PRUNE, Place.SUBSCRIPTION, _LISTING),
    Role(Purpose.PRUNE, Place.FACTORY_MACHINES, (f"{LABS}/virtualMachines/read", _END_ACCESS)),
    Role(Purpose.PRUNE, Place.FACTORY_OPERATIONS, (_DISK_OPERATIONS,)),
    Role(Purpose.PRUNE, Place.FACTORY_STORAGE, (), _ALL_OF_BLOBS, Option.AAD),
    Role(Purpose.PRUNE, Place.LAB_STORAGE, (), (f"{BLOBS}/read", f"{BLOBS}/delete"), Option.AAD),
    Role(Purpose.PRUNE, Place.STORAGE_KEYS, (LIST_KEYS,), (), Option.KEY),
    *_galleries(Purpose.PRUNE),
)
"""It deletes what a terminated save left: leases its record, and revokes its access to disks."""
_DOCTOR = (
    Role(
        Purpose.DOCTOR,
        Place.SUBSCRIPTION,
        (
            "Microsoft.Resources/subscriptions/read",
            "Microsoft.Authorization/permissions/read",
            "Microsoft.Authorization/denyAssignments/read",
        ),
    ),
    Role(
        Purpose.DOCTOR,
        Place.GALLERY_GROUP,
        ("Microsoft.Resources/subscriptions/resourceGroups/read",),
        (),
        Option.NEW_GALLERY,
    ),
)
"""In addition to what is checked. Without those of Microsoft.Authorization, it is not known what is permitted."""

ROLES = (
    *_reading(Purpose.PREVIEW, _CHECKING),
    *_DISTRIBUTION,
    *_reading(Purpose.ADOPTION, _LISTING),
    *_SAVE,
    *_CLEAN_VMS,
    *_PRUNE,
    *_DOCTOR,
    *(
        Role(purpose, Place.STORAGE_ACCOUNTS, (f"{STORAGE}/read",), (), Option.DNS_ZONE)
        for purpose in (Purpose.ADOPTION, Purpose.SAVE, Purpose.CLEAN_VMS, Purpose.PRUNE)
    ),
)
"""All custom roles."""


def roles_of(purpose: Purpose, options: Iterable[Option] = (Option.AAD,)) -> tuple[Role, ...]:
    """Return the roles of a purpose that is run in these ways."""
    chosen = {None, *options}
    return tuple(role for role in ROLES if role.purpose is purpose and role.option in chosen)


def role_of(place: Place, purpose: Purpose = Purpose.DISTRIBUTION) -> Role:
    """Return the role of a purpose at a place."""
    (found,) = (role for role in ROLES if (role.purpose, role.place) == (purpose, place))
    return found
