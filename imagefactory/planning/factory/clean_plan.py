"""Which VMs of the factory lab are no longer needed and deleted, and why the others are kept.

A VM counts as saved only if a factory image records its disk's id and the VM was not used after the save. Does not
delete VMs.
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
from imagefactory.planning.factory.save_plan import save_guid, used_since, used_warning

_KEPT = "it is kept"


@dataclass(frozen=True)
class Deletion:
    """A VM to delete, and the image that was saved from it."""

    vm: FactoryVm
    image: FactoryImage


@dataclass(frozen=True)
class Kept:
    """A VM that is kept, and why; a diagnostic if it needs attention."""

    vm: str
    reason: Diagnostic | str


@dataclass(frozen=True)
class CleanPlan:
    """The plan of a clean-up of the factory lab. VMs by name."""

    deletions: tuple[Deletion, ...]
    kept: tuple[Kept, ...]


def plan_clean(vms: Iterable[FactoryVm], catalog: Catalog, unfinished: Set[str] = frozenset()) -> CleanPlan:
    """Decide for each VM. `unfinished` are the guids of unfinished saves."""
    saved = {image.lineage.disk_id.lower(): image for image in catalog.images if image.lineage.disk_id}
    deletions: list[Deletion] = []
    kept: list[Kept] = []
    for vm in sorted(vms, key=lambda vm: (fold(vm.name), vm.name)):
        image = saved.get(vm.os_disk.unique_id.lower()) if vm.os_disk else None
        if reason := _reason_to_keep(vm, image, unfinished):
            kept.append(Kept(vm.name, reason))
        elif image is not None:
            deletions.append(Deletion(vm, image))
    return CleanPlan(tuple(deletions), tuple(kept))


def _reason_to_keep(vm: FactoryVm, image: FactoryImage | None, unfinished: Set[str]) -> Diagnostic | str | None:
    def attention(fact: str, remedy: str, consequence: str = _KEPT) -> Diagnostic:
        return warning(f"VM {vm.name}", fact, consequence, remedy)

    if vm.tags.get(IGNORE_TAG):
        return "it has the tag FactoryIgnore"
    if IMAGE_PATH_TAG not in vm.tags:
        return attention("has no ImagePath tag", "Tag it FactoryIgnore to keep it without this warning, or delete it")
    if vm.state not in {"Succeeded", "Creating", "Updating", "Deleting"}:
        return attention(f"is in state {vm.state or 'unknown'}", "Check it in the lab, then delete it there")
    if vm.diagnostic:
        consequence = "it is kept, because it is unknown whether it is saved"
        return attention(vm.diagnostic.fact, vm.diagnostic.remedy, consequence)
    if vm.state != "Succeeded":
        return f"it is in state {vm.state}"
    if image is None or vm.os_disk is None:
        return "no image of its disk is saved"
    if save_guid(vm.os_disk) in unfinished or any(disk.is_open for disk in vm.disks):
        return "it is being saved"
    if vm.power != "deallocated":
        fact = f"was saved as {image.name} and is now {vm.power or 'in an unknown power state'}"
        return attention(fact, "Stop it in the lab if it is no longer needed")
    if used_since(vm, image):
        return used_warning(vm, image, _KEPT)
    unsaved = sorted(vm.data_disks.keys() - {disk.lun for disk in image.data_disks})
    if unsaved:
        names = ", ".join(vm.data_disks[lun].name for lun in unsaved)
        fact, consequence = (
            f"was saved as {image.name} without its data disks {names}",
            "it is kept, because they would be lost",
        )
        return attention(fact, "Detach them in the lab if they are not needed", consequence)
    return None
