"""Which VMs of the factory lab are saved and as which images, and why the others are not.

Has no side effects: the command shows this plan, or carries it out.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Literal

from imagefactory.configuration.golden_images import GoldenImage, is_generalized
from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.diagnostics import Diagnostic, error, warning
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import DataDisk, FactoryImage, stem
from imagefactory.images.lineage import Lineage
from imagefactory.images.tags import IMAGE_PATH_TAG, OS_STATE_TAG
from imagefactory.images.timestamps import readings
from imagefactory.observed.factory_vms import FactoryVm, ManagedDisk

_NAMESPACE = uuid.UUID("9f6dbb4e-8a56-5f43-9d1c-3f6e0b9a7c21")
_NOTES_PREFIX = "Golden Image: "
"""MakeGoldenImageVMs.ps1 prepends it to the notes of a VM; SnapImagesFromVMs.ps1 removes it."""

_NOT_SAVED = "it is not saved"

OsStateSource = Literal["instance view", "tag", "template", "assumed"]


@dataclass(frozen=True)
class Save:
    """A VM to save."""

    vm: FactoryVm
    disk: ManagedDisk
    image_path: ImagePath
    os_type: Literal["Windows", "Linux"]
    generalized: bool
    os_state_source: OsStateSource
    """What says whether it is generalized."""
    description: str
    guid: str
    """The stem of the file names, derived from the disk's id, so that all runs use the same for a disk."""
    data_disks: Mapping[int, ManagedDisk]
    """The data disks to save too, by logical unit number."""
    lineage: Lineage

    @property
    def vhd_name(self) -> str:
        """File name of the OS disk's VHD."""
        return f"{self.guid}.vhd"

    @property
    def saved_data_disks(self) -> tuple[DataDisk, ...]:
        """The VHDs of the data disks."""
        return tuple(
            DataDisk(lun, f"{self.guid}.lun{lun}.vhd", disk.released) for lun, disk in sorted(self.data_disks.items())
        )

    @property
    def disks(self) -> tuple[ManagedDisk, ...]:
        """All disks to read."""
        return (self.disk, *self.data_disks.values())


@dataclass(frozen=True)
class Skipped:
    """A VM that is not saved, and why; a diagnostic if it needs attention."""

    vm: str
    result: Literal["already saved", "not tagged", "not ready", "cannot be saved"]
    reason: Diagnostic | str


@dataclass(frozen=True)
class SavePlan:
    """The plan of a save. VMs by name."""

    saves: tuple[Save, ...]
    skipped: tuple[Skipped, ...]
    warnings: tuple[Diagnostic, ...] = ()


class _Unfit(Exception):
    def __init__(self, result: Literal["not ready", "cannot be saved"], diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message())
        self.result: Literal["not ready", "cannot be saved"] = result
        self.diagnostic = diagnostic


def plan_saves(
    vms: Iterable[FactoryVm],
    catalog: Catalog,
    golden_images: Iterable[GoldenImage],
    pipeline: Lineage,
    *,
    wanted: Set[str] = frozenset(),
    ours: Set[str] = frozenset(),
    with_data_disks: bool = False,
) -> SavePlan:
    """Decide for each VM. `wanted` are names (empty: all VMs); `pipeline` has commit and run.

    `ours` are the ids of disks to which an earlier save may have left active access.
    """
    golden = {image.path: image for image in golden_images}
    saved = {image.lineage.disk_id.lower(): image for image in catalog.images if image.lineage.disk_id}
    names, open_disks = {fold(name) for name in wanted}, {disk.lower() for disk in ours}
    saves: list[Save] = []
    skipped: list[Skipped] = []
    warnings: list[Diagnostic] = []
    for vm in sorted(vms, key=lambda vm: (fold(vm.name), vm.name)):
        if names and fold(vm.name) not in names:
            continue
        if IMAGE_PATH_TAG not in vm.tags:
            reason: Diagnostic | str = "it has no ImagePath tag"
            if names:
                remedy = "Tag it with the image path of its golden image"
                reason = error(f"VM {vm.name}", "has no ImagePath tag", _NOT_SAVED, remedy)
            skipped.append(Skipped(vm.name, "cannot be saved" if names else "not tagged", reason))
        elif vm.os_disk and (image := saved.get(vm.os_disk.unique_id.lower())):
            skipped.append(Skipped(vm.name, "already saved", image.name))
            if used_since(vm, image):
                warnings.append(used_warning(vm, image))
        else:
            try:
                save = _save(vm, golden, pipeline, open_disks, with_data_disks=with_data_disks)
            except _Unfit as unfit:
                skipped.append(Skipped(vm.name, unfit.result, unfit.diagnostic))
            else:
                saves.append(save)
                warnings += _warnings(save, golden)
    return SavePlan(tuple(saves), tuple(skipped), tuple(warnings))


def save_guid(disk: ManagedDisk) -> str:
    """Return the guid for the file names of a disk."""
    return str(uuid.uuid5(_NAMESPACE, (disk.unique_id or disk.id).lower()))


def used_since(vm: FactoryVm, image: FactoryImage) -> bool:
    """Return whether a disk of the VM may have newer content than its image: the VM was started after the save.

    If the image records no state of a disk, as with older versions, the disk must not have been used since the start of
    the copy (the VHD's creation, or the image's date if that is earlier). If Azure no longer returns the recorded
    state, the disk counts as used.
    """
    began = min(image.created, image.saved_at)
    saved = [(vm.os_disk, image.lineage.disk_released)]
    saved += [(vm.data_disks.get(disk.lun), disk.released) for disk in image.data_disks]
    return any(
        disk.released != released if released else any(at > began for at in readings(disk.released))
        for disk, released in saved
        if disk
    )


def used_warning(vm: FactoryVm, image: FactoryImage, consequence: str = "it is not saved again") -> Diagnostic:
    """Return the warning about a VM that was used since it was saved."""
    fact = f"was used after it was saved as {image.name}, which lacks its later changes"
    blobs = f"{stem(image.vhd_name)}.*"
    remedy = f"Rebuild the VM, or delete the image's blobs {blobs} in the factory's container and save again"
    return warning(f"VM {vm.name}", fact, consequence, f"{remedy}; if the changes are not needed, delete the VM")


def _save(
    vm: FactoryVm,
    golden: Mapping[ImagePath, GoldenImage],
    pipeline: Lineage,
    ours: Set[str],
    *,
    with_data_disks: bool,
) -> Save:
    image_path = _image_path(vm)
    template = golden.get(image_path)
    disk = _ready_disk(vm)
    data_disks = vm.data_disks if with_data_disks else {}
    for each in (disk, *data_disks.values()):
        if each.is_open and each.id.lower() not in ours:
            fact = f"disk {each.name} has an active SAS ({each.state})"
            remedy = f"Wait for expiry, or revoke it: az disk revoke-access --ids {each.id}"
            raise _unready(vm, fact, remedy)
        _check_readable(vm, each)
    generalized, os_state_source = _os_state(vm, template)
    return Save(
        vm=vm,
        disk=disk,
        image_path=template.path if template else image_path,
        os_type=_os_type(vm, disk),
        generalized=generalized,
        os_state_source=os_state_source,
        description=vm.notes.removeprefix(_NOTES_PREFIX).strip(),
        guid=save_guid(disk),
        data_disks=data_disks,
        lineage=replace(pipeline, vm=vm.id, disk=disk.id, disk_id=disk.unique_id, disk_released=disk.released),
    )


def _image_path(vm: FactoryVm) -> ImagePath:
    written = vm.tags[IMAGE_PATH_TAG]
    try:
        return ImagePath.parse(written)
    except ValueError as reason:
        remedy = "Tag it with the image path of its golden image"
        raise _unfit(vm, f'its ImagePath tag "{written}" {reason}', remedy) from None


def _ready_disk(vm: FactoryVm) -> ManagedDisk:
    if vm.state != "Succeeded":
        remedy = "Wait until it is created; if that failed, check it in the lab and recreate it"
        raise _unready(vm, f"is in state {vm.state or 'unknown'}", remedy)
    if vm.diagnostic:
        raise _Unfit("not ready", replace(vm.diagnostic, subject=f"VM {vm.name}", consequence="it is not saved"))
    if vm.power != "deallocated":
        remedy = "Wait for its sysprep or deprovisioning, then stop it in the lab, which deallocates it"
        raise _unready(vm, f"is {vm.power or 'in an unknown power state'}, not deallocated", remedy)
    if vm.os_disk is None:
        raise _unfit(vm, "its OS disk is not a managed disk", "Recreate it with a managed disk")
    if not vm.os_disk.unique_id:
        remedy = "Run again; if the error persists, recreate the VM"
        raise _unfit(vm, "Azure returned no unique id for its OS disk", remedy)
    return vm.os_disk


def _os_type(vm: FactoryVm, disk: ManagedDisk) -> Literal["Windows", "Linux"]:
    os_type = (disk.os_type or "").lower()
    if os_type not in {"windows", "linux"}:
        fact = f"the OS type of its disk is {disk.os_type or 'missing'}"
        raise _unfit(vm, fact, "Recreate the VM from an image with an OS type")
    return "Windows" if os_type == "windows" else "Linux"


def _check_readable(vm: FactoryVm, disk: ManagedDisk) -> None:
    """Raise `_Unfit` for a disk that the storage service may not read, or from which no VM could be created.

    Put Page From URL can pass on a SAS of a disk, but no token for disks, and reads it over the public network (Azure's
    documentation of disk exports: "Secure downloads and uploads with Microsoft Entra ID", "Restrict import/export
    access for managed disks using Azure Private Link").
    """
    policy, public = disk.network_access_policy, disk.public_network_access
    if disk.security_type.lower().startswith("confidentialvm"):
        fact = f"disk {disk.name} is of a confidential VM ({disk.security_type}), which cannot be created from a VHD"
        raise _unfit(vm, fact, "Build the golden image on a VM with security type Standard")
    if policy.lower() == "allowprivate":
        fact = f"disk {disk.name} can be read only through private endpoints (networkAccessPolicy {policy})"
        raise _unready(vm, fact, "Enable public access in the portal, in the disk's Networking settings")
    if policy.lower() == "denyall" or public.lower() == "disabled":
        setting = f"networkAccessPolicy {policy}" if policy.lower() == "denyall" else f"publicNetworkAccess {public}"
        remedy = f"az disk update --ids {disk.id} --network-access-policy AllowAll --public-network-access Enabled"
        raise _unready(vm, f"disk {disk.name} cannot be read from any network ({setting})", f"Allow it: {remedy}")
    if disk.data_access_auth_mode.lower() == "azureactivedirectory":
        fact = f"disk {disk.name} cannot be read by a SAS alone (dataAccessAuthMode {disk.data_access_auth_mode})"
        raise _unready(vm, fact, f"Allow it: az disk update --ids {disk.id} --data-access-auth-mode None")


def _os_state(vm: FactoryVm, golden: GoldenImage | None) -> tuple[bool, OsStateSource]:
    """Return whether a VM is generalized, and what says so: instance view, tag, golden image, in this order.

    Otherwise assume generalized, as the older scripts do.
    """
    if vm.generalized:
        return True, "instance view"
    if OS_STATE_TAG in vm.tags:
        try:
            return is_generalized(vm.tags[OS_STATE_TAG]), "tag"
        except ValueError as reason:
            remedy = "Tag it Generalized or Specialized, or remove the tag"
            raise _unfit(vm, f"its ImageOsState tag {reason}", remedy) from None
    if golden is None or golden.generalized is None:
        return True, "assumed"
    return golden.generalized, "template"


def _warnings(save: Save, golden: Mapping[ImagePath, GoldenImage]) -> Iterable[Diagnostic]:
    subject = f"VM {save.vm.name}"
    if save.disk.generation == "V2":
        trusted = " with Trusted Launch" if save.disk.is_trusted_launch else ""
        fact = f"its disk is Hyper-V generation 2{trusted}, which DevTest Labs cannot set for a VHD"
        consequence = "its custom images are created as generation 1, and their VMs may not start"
        remedy = "Deliver it by a Compute Gallery (setting delivery), or build it on a generation 1 base image"
        yield warning(subject, fact, consequence, remedy)
    if left := [f"{disk.name} (LUN {lun})" for lun, disk in sorted(save.vm.data_disks.items()) if not save.data_disks]:
        fact, remedy = f"has data disks: {', '.join(left)}", "Pass --with-data-disks to save them too, or detach them"
        yield warning(subject, fact, "only its OS disk is saved", remedy)
    if save.os_state_source == "assumed":
        unprepared = "it was never deprovisioned, all VMs of its image get its users and SSH host keys"
        if save.os_type == "Windows":
            unprepared = "Sysprep never ran, VMs of its image fail to start"
        fact = "its OS state is in neither its instance view, its ImageOsState tag nor its golden image"
        remedy = "Tag it ImageOsState=Generalized or Specialized, or set metadata.imageOsState in the golden image"
        yield warning(subject, fact, f"it is taken as generalized; if {unprepared}", remedy)
    if golden and save.image_path not in golden:
        fact = f"golden image {save.image_path} does not exist"
        yield warning(subject, fact, "its image cannot be distributed", "Fix its ImagePath tag, or add the file")


def _unready(vm: FactoryVm, fact: str, remedy: str) -> _Unfit:
    return _Unfit("not ready", error(f"VM {vm.name}", fact, _NOT_SAVED, remedy))


def _unfit(vm: FactoryVm, fact: str, remedy: str) -> _Unfit:
    return _Unfit("cannot be saved", error(f"VM {vm.name}", fact, _NOT_SAVED, remedy))
