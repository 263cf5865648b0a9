"""Which VMs of the factory lab have done their work and go, and why the others stay.

Owns those rules. Refuses to act, and to take a VM for saved whose disk's own id no factory image tells, or which was
used since.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from imagefactory.configuration.image_paths import fold
from imagefactory.diagnostics import Diagnostic, warning
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import FactoryImage
from imagefactory.images.tags import IGNORE_TAG, IMAGE_PATH_TAG
from imagefactory.observed.factory_vms import FactoryVm
from imagefactory.planning.save_plan import save_guid, used_since, used_warning

_STAYS = "it stays"


@dataclass(frozen=True)
class Deletion:
    """A VM that goes, and the image that was saved of it."""

    vm: FactoryVm
    image: FactoryImage


@dataclass(frozen=True)
class Kept:
    """A VM that stays: why, and whether somebody should look at it (a diagnostic)."""

    vm: str
    reason: Diagnostic | str


@dataclass(frozen=True)
class CleanPlan:
    """What a clean-up of the factory lab does. VMs by name."""

    deletions: tuple[Deletion, ...]
    kept: tuple[Kept, ...]


def plan_clean(vms: Iterable[FactoryVm], catalog: Catalog, under_way: Set[str] = frozenset()) -> CleanPlan:
    """Decide for each VM. `under_way` are the guids of saves that have not ended."""
    saved = {image.lineage.disk_id.lower(): image for image in catalog.images if image.lineage.disk_id}
    deletions: list[Deletion] = []
    kept: list[Kept] = []
    for vm in sorted(vms, key=lambda vm: (fold(vm.name), vm.name)):
        image = saved.get(vm.os_disk.unique_id.lower()) if vm.os_disk else None
        if reason := _stays(vm, image, under_way):
            kept.append(Kept(vm.name, reason))
        elif image is not None:
            deletions.append(Deletion(vm, image))
    return CleanPlan(tuple(deletions), tuple(kept))


def _stays(vm: FactoryVm, image: FactoryImage | None, under_way: Set[str]) -> Diagnostic | str | None:
    subject = f"VM {vm.name}"
    if vm.tags.get(IGNORE_TAG):
        return "it has the tag FactoryIgnore"
    if IMAGE_PATH_TAG not in vm.tags:
        fact, remedy = "is not known: it has no tag ImagePath", "Tag it FactoryIgnore if it belongs here, or delete it"
        return warning(subject, fact, _STAYS, remedy)
    if vm.state not in {"Succeeded", "Creating", "Updating", "Deleting"}:
        remedy = "Look at it in the lab, then delete it there"
        return warning(subject, f"the lab says it is {vm.state or 'in no known state'}", _STAYS, remedy)
    if vm.diagnostic:
        return warning(
            subject, vm.diagnostic.fact, "whether it is saved cannot be told, so it stays", vm.diagnostic.remedy
        )
    if vm.state != "Succeeded":
        return f"the lab says it is {vm.state}"
    if image is None or vm.os_disk is None:
        return "no image of its disk is saved"
    if save_guid(vm.os_disk) in under_way or any(disk.is_open for disk in vm.disks):
        return "it is being saved"
    if vm.power != "deallocated":
        remedy = "Stop it in the lab if nobody needs it"
        return warning(
            subject, f"it was saved as {image.name} and is {vm.power or 'not stopped'} again", _STAYS, remedy
        )
    if used_since(vm, image):
        return used_warning(vm, image, _STAYS)
    unsaved = sorted(vm.data_disks.keys() - {disk.lun for disk in image.data_disks})
    if unsaved:
        names = ", ".join(vm.data_disks[lun].name for lun in unsaved)
        fact = f"it was saved as {image.name} without its data disks {names}"
        return warning(
            subject, fact, "it stays, for they would be lost", "Detach them in the lab if they are not needed"
        )
    return None
