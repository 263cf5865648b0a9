"""Saving: creates a factory image from each VM of a plan, and writes its companion last.

Ends access to each disk: records it before granting it (`imagefactory.azure.storage.save_records`), revokes it when the
copy finishes, fails or is canceled; if the run is killed, the next run revokes it. Does not move bytes:
`imagefactory.copying` does.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Protocol, TypeVar

from imagefactory.aio.surely import surely
from imagefactory.azure.core.errors import consequence
from imagefactory.azure.disk_access import DiskAccess
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.factory_container import saved_names
from imagefactory.azure.storage.manifests import Found, Manifests
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.azure.storage.page_writer import Digest, PageWriter
from imagefactory.azure.storage.save_records import Hold, SaveHeld, SaveRecord, SaveRecords
from imagefactory.configuration.image_names import image_name, name_problem
from imagefactory.configuration.image_paths import fold
from imagefactory.copying.copier import Copied, CopyError, CopyRequest, Progress
from imagefactory.copying.known_source import digests_of
from imagefactory.copying.pacing import Pacer
from imagefactory.copying.ranged_copy import RangedCopier
from imagefactory.copying.totals import Totals
from imagefactory.copying.watched import WatchedCopier
from imagefactory.errors import ImageFactoryError
from imagefactory.images.companions import (
    FactoryImage,
    VhdBlob,
    companion_bytes,
    companion_metadata,
    companion_name,
    parse_companion,
)
from imagefactory.images.ranges_manifest import Manifest
from imagefactory.observed.blobs import BlobRef
from imagefactory.observed.factory_blobs import UNFINISHED
from imagefactory.observed.factory_vms import FactoryVm, ManagedDisk
from imagefactory.planning.factory.save_plan import Save, used_since, used_warning
from imagefactory.telemetry.copy_events import CopyObserver

Result = TypeVar("Result")

MARK_ATTEMPTS = 5
"""Attempts to write an image's metadata to its VHD while another client changes it."""


class Watcher(Protocol):
    """Receives the progress of a save."""

    def progress(self, vm: str, progress: Progress) -> None:
        """Receive the progress of all disks of a VM together."""

    def ended(self, outcome: SaveOutcome) -> None:
        """Receive the outcome of a VM."""


class SaverWatcher(Watcher, Protocol):
    """Receives the warnings too."""

    def warn(self, vm: str, message: str) -> None:
        """Receive a warning for the report."""

    def fail(self, message: str) -> None:
        """Receive an error for the report that is not the outcome of a VM."""


@dataclass(frozen=True)
class SaveOutcome:
    """The result for one VM: its image, or why it has none."""

    vm: str
    image: FactoryImage | None = None
    error: str = ""
    held: bool = False
    """Whether another run is saving it."""
    found: bool = False
    """Whether another run saved it after planning."""


@dataclass(frozen=True)
class FactoryStorage:
    """The factory's storage account (ARM id) and container (URL), with its clients."""

    accounts: StorageAccounts
    access: DiskAccess
    account_id: str
    container_url: str

    def blob(self, name: str) -> BlobRef:
        """Return the reference of a blob in the container."""
        return BlobRef(self.account_id, f"{self.container_url}/{name}")


class Saver:
    """Saves VMs in parallel."""

    def __init__(
        self,
        factory: FactoryStorage,
        writer: PageWriter,
        pacer: Pacer,
        totals: Totals,
        watcher: SaverWatcher,
        taken: Iterable[str],
        observers: Sequence[CopyObserver] = (),
    ) -> None:
        """`taken` are the names of the images in the factory; the observers receive the events of copies."""
        self._factory, self._watcher = factory, watcher
        self._writer = writer
        self._blobs = PageBlobs(factory.accounts)
        copier = RangedCopier(self._blobs, writer, Manifests(self._blobs), pacer, totals)
        self._copier = WatchedCopier(copier, observers)
        self._records = SaveRecords(factory.accounts, factory.account_id)
        self._taken = {fold(name) for name in taken}

    async def save_all(self, saves: Iterable[Save], max_concurrent: int) -> None:
        """Save VMs, `max_concurrent` at a time; the watcher receives each outcome.

        On cancellation, revoke access to all disks before returning.
        """
        gate = asyncio.Semaphore(max_concurrent)

        async def one(save: Save) -> None:
            async with gate:
                outcome = await self._outcome(save)
            self._watcher.ended(outcome)

        tasks = [asyncio.ensure_future(one(save)) for save in saves]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await surely(asyncio.gather(*tasks, return_exceptions=True))

    async def revoke_left_over(self, record: SaveRecord) -> tuple[str, ...]:
        """Revoke access to the disks of a terminated run, and return the ids of those that are closed now.

        Raises `SaveHeld` if the run is active, and `CloudError`.
        """
        async with self._records.hold(record.guid) as held:
            disks = held.disks
            await self._revoke(held, disks)
            if await self._blobs.facts(self._factory.blob(companion_name(f"{record.guid}.vhd"))):
                await self._done(held)
            return tuple(disk for disk in disks if disk not in held.disks)

    async def _outcome(self, save: Save) -> SaveOutcome:
        try:
            with consequence("it is not saved"):
                return await self._save(save)
        except SaveHeld:
            return SaveOutcome(save.vm.name, held=True)
        except ImageFactoryError as problem:
            return SaveOutcome(save.vm.name, error=str(problem))

    async def _save(self, save: Save) -> SaveOutcome:
        def notice(text: str) -> None:
            self._watcher.progress(save.vm.name, Progress(0, 0, note=text))

        async with self._records.hold(save.guid, notice=notice) as held:
            if image := await self._found(save):
                await self._revoke(held, held.disks)
                await self._done(held)
                await self._compare(save.vm, image)
                return SaveOutcome(save.vm.name, image, found=True)
            name = held.name
            if not name or name_problem(name):  # a version without that rule reserved it
                name = await self._name(save, held)
            disks = tuple(disk.id for disk in save.disks)
            await held.note(disks=disks)
            try:
                copied, copied_save = await self._copy(save)
            finally:
                await surely(self._revoke(held, disks))
            image = await self._finish(copied_save, name, copied)
            await self._done(held)
            return SaveOutcome(save.vm.name, image)

    async def _found(self, save: Save) -> FactoryImage | None:
        """Return the image of that disk if another run saved it while this one waited.

        Otherwise delete the companion, so that the VHD is not an image while it is written.
        """
        place = self._factory.blob(companion_name(save.vhd_name))
        companion = await self._blobs.get_document(place)
        if companion is None:
            return None
        if facts := await self._blobs.facts(self._factory.blob(save.vhd_name)):
            image = parse_companion(companion, VhdBlob(save.vhd_name, facts.length, facts.created, facts.created))
            if isinstance(image, FactoryImage):
                return image
        existing = await self._blobs.facts(place)
        if existing and not await self._blobs.delete(place, etag=existing.etag):
            return await self._found(save)
        return None

    async def _compare(self, vm: FactoryVm, image: FactoryImage) -> None:
        """Warn if the disks were used after another run saved them."""
        state = self._factory.access.state
        disks = await asyncio.gather(*(state(disk) for disk in vm.data_disks.values()))
        now = replace(
            vm,
            os_disk=await state(vm.os_disk) if vm.os_disk else None,
            data_disks=dict(zip(vm.data_disks, disks, strict=True)),
        )
        if used_since(now, image):
            self._watcher.warn(vm.name, used_warning(now, image).message().removeprefix(f"VM {vm.name}: "))

    async def _copy(self, save: Save) -> tuple[Copied, Save]:
        """Copy all disks; return the copy of the OS disk, and the save with the disks as they were copied."""
        done: dict[str, Progress] = {}

        async def one(disk: ManagedDisk, vhd_name: str) -> tuple[Copied, ManagedDisk]:
            # If canceled, a grant could take effect after its revocation, so wait for it.
            source, destination = await surely(self._factory.access.grant(disk)), self._factory.blob(vhd_name)
            # The VM may have been used after planning; while access is granted, it cannot be started.
            disk = await self._factory.access.state(disk)
            facts = await self._blobs.facts(source)
            if facts is None:
                raise CopyError(
                    f"disk '{disk.name}': Azure returned a SAS URL without a disk; the VM is not saved. Run again"
                )
            request = CopyRequest(
                source,
                facts.length,
                facts.created,
                destination,
                source_id=f"disk:{disk.unique_id}",
                source_version=disk_version(disk, facts.etag),
                record_suffix=UNFINISHED,
                manifests=_DiskManifests(self._blobs, destination, self._writer),
            )

            def report(progress: Progress) -> None:
                done[vhd_name] = progress
                sums = {what: sum(getattr(each, what) for each in done.values()) for what in ("done", "total", "kept")}
                self._watcher.progress(save.vm.name, Progress(**sums, note=progress.note))

            warn = self._watcher.warn
            copied = await self._copier.copy(request, None, set(), report, lambda text: warn(save.vm.name, text))
            return copied, disk

        files = {disk.lun: disk.vhd_name for disk in save.saved_data_disks}
        copies = [one(save.disk, save.vhd_name), *(one(disk, files[lun]) for lun, disk in save.data_disks.items())]
        tasks = [asyncio.ensure_future(each) for each in copies]
        try:
            (copied, disk), *others = await asyncio.gather(*tasks)
            data_disks = dict(zip(save.data_disks, (each for _, each in others), strict=True))
            lineage = replace(save.lineage, disk_released=disk.released)
            return copied, replace(save, disk=disk, data_disks=data_disks, lineage=lineage)
        finally:
            for task in tasks:
                task.cancel()
            await surely(asyncio.gather(*tasks, return_exceptions=True))

    async def _name(self, save: Save, held: Hold) -> str:
        """Return a name that no image has and no other save reserved: reserve it, then check the saved names."""
        today = datetime.now(timezone.utc).date()
        while True:
            name = image_name(save.image_path, today, self._taken)
            self._taken.add(fold(name))
            if not await self._records.reserve(name, save.guid):
                continue
            saved = await saved_names(self._factory.accounts, self._factory.account_id)
            if fold(name) not in {fold(other) for other in saved}:
                if held.name:
                    await self._records.free(held.name, save.guid)
                await held.note(name=name)
                return name
            await self._records.free(name, save.guid)

    async def _finish(self, save: Save, name: str, copied: Copied) -> FactoryImage:
        """Write the image's metadata to the VHD, then the companion; with it, the VHD is an image."""
        vhd = self._factory.blob(save.vhd_name)
        for _ in range(MARK_ATTEMPTS):
            facts = await self._blobs.facts(vhd)
            if facts is None:
                raise CopyError(f"{vhd.name}: was deleted during the save; the VM is not saved. Run again")
            image = FactoryImage(
                name=name,
                image_path=save.image_path,
                description=save.description,
                author="",
                os_type=save.os_type,
                generalized=save.generalized,
                saved_at=datetime.now(timezone.utc).replace(microsecond=0),
                saved_at_source="companion",
                vhd_name=save.vhd_name,
                length=facts.length,
                created=facts.created,
                digest=copied.digest or None,
                generation="V2" if save.disk.generation == "V2" else "V1",
                security_type="TrustedLaunch" if save.disk.is_trusted_launch else None,
                lineage=save.lineage,
                data_disks=save.saved_data_disks,
            )
            metadata = companion_metadata(image, facts.metadata)
            if await self._blobs.set_metadata(vhd, metadata, etag=facts.etag):
                companion = self._factory.blob(companion_name(save.vhd_name))
                await self._blobs.put_document(companion, companion_bytes(image), {}, overwrite=True)
                return image
        raise CopyError(f"{vhd.name}: another client keeps changing it; the VM is not saved. Run again")

    async def _revoke(self, held: Hold, disks: Iterable[str]) -> None:
        """Revoke access to all disks, then record which of them are still open. Each of those fails the run.

        It does not fail the save: no client can change a disk while access to it is active, so a copy is complete.
        """

        async def still_open(disk: str) -> str | None:
            try:
                with consequence("its content stays readable by its SAS URL, and its VM cannot be started or deleted"):
                    await self._factory.access.revoke(disk)
            except ImageFactoryError as problem:
                self._watcher.fail(str(problem))
                return disk
            return None

        left = tuple(disk for disk in await asyncio.gather(*map(still_open, disks)) if disk)
        if held.disks != left or held.strays:
            await held.note(disks=left)

    async def _done(self, held: Hold) -> None:
        """Free the name and remove the record, unless the next run needs the record to revoke access."""
        if held.disks:
            return
        if held.name:
            await self._records.free(held.name, held.guid)
        await held.remove()


class _DiskManifests:
    """Manifests for the copy of a disk: a disk has none, and the new one belongs to the VHD that is written."""

    def __init__(self, blobs: PageBlobs, destination: BlobRef, writer: PageWriter) -> None:
        self._blobs, self._destination, self._writer = blobs, destination, writer

    async def read(self, vhd: BlobRef, length: int, created: datetime) -> Found:
        """Return no manifest."""
        return Found()

    async def write(self, vhd: BlobRef, manifest: Manifest) -> str:
        """Write the manifest of the VHD, with the MD5s that copies through a relay need."""
        facts = await self._blobs.facts(self._destination)
        if facts is None:
            return ""
        md5 = await digests_of(self._writer, self._destination, facts.etag, manifest.ranges, Digest.MD5)
        own = replace(manifest, vhd=self._destination.file_name, created=facts.created, md5=md5)
        return await Manifests(self._blobs).write(self._destination, own, overwrite=True)


def disk_version(disk: ManagedDisk, etag: str) -> str:
    """Return an identifier of the disk's current content; Azure supports no conditions on reading it.

    Different on each call if Azure does not return when the disk was last used, so that no earlier copy is resumed.
    """
    return f"{disk.released or uuid.uuid4()} {etag}"
