"""Saving: each VM of a plan becomes a factory image, its companion written last.

Owns the order of the steps, and that access to a disk ends whatever happens: it is written down before it is granted
(`imagefactory.azure.storage.save_records`), revoked when the copy ends in whatever way, and revoked by the next run
where this one was killed. Bytes are moved by the same copier as everywhere.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Protocol, TypeVar

from imagefactory.azure.core.errors import consequence
from imagefactory.azure.disk_access import DiskAccess
from imagefactory.azure.storage.accounts import StorageAccounts
from imagefactory.azure.storage.factory_container import saved_names
from imagefactory.azure.storage.manifests import Found, Manifests
from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.azure.storage.page_writer import Digest, PageWriter
from imagefactory.azure.storage.save_records import Hold, SaveHeld, SaveRecord, SaveRecords
from imagefactory.configuration.image_names import image_name
from imagefactory.configuration.image_paths import fold
from imagefactory.copying.copier import Copied, CopyError, CopyRequest, Progress
from imagefactory.copying.known_source import digests_of
from imagefactory.copying.pacing import Pacer
from imagefactory.copying.ranged_copy import RangedCopier
from imagefactory.copying.totals import Totals
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
from imagefactory.planning.save_plan import Save, used_since, used_warning

Result = TypeVar("Result")

MARK_ATTEMPTS = 5
"""How often the facts are written onto a VHD that somebody else writes to at the same moment."""


class Watcher(Protocol):
    """Who is told how a save goes on."""

    def progress(self, vm: str, progress: Progress) -> None:
        """Bytes of all its disks."""

    def warn(self, vm: str, message: str) -> None:
        """What the user must know, also when it is done."""

    def ended(self, outcome: Outcome) -> None:
        """One VM is done with."""


@dataclass(frozen=True)
class Outcome:
    """What became of one VM: its image, or why there is none."""

    vm: str
    image: FactoryImage | None = None
    error: str = ""
    held: bool = False
    """Whether another run saves it now."""
    found: bool = False
    """Whether another run saved it a moment ago."""


@dataclass(frozen=True)
class Factory:
    """The factory's storage account (ARM id) and container (URL), and what reaches them."""

    accounts: StorageAccounts
    access: DiskAccess
    account_id: str
    container_url: str

    def blob(self, name: str) -> BlobRef:
        """A blob of the container."""
        return BlobRef(self.account_id, f"{self.container_url}/{name}")


class Saver:
    """Saves VMs side by side."""

    def __init__(
        self, factory: Factory, writer: PageWriter, pacer: Pacer, totals: Totals, watcher: Watcher, taken: Iterable[str]
    ) -> None:
        """`taken` are the names of the images that the factory holds."""
        self._factory, self._watcher = factory, watcher
        self._writer = writer
        self._blobs = PageBlobs(factory.accounts)
        self._copier = RangedCopier(self._blobs, writer, Manifests(self._blobs), pacer, totals)
        self._records = SaveRecords(factory.accounts, factory.account_id)
        self._taken = {fold(name) for name in taken}

    async def save_all(self, saves: Iterable[Save], max_concurrent: int) -> None:
        """Save them, `max_concurrent` at once; the watcher is told of each end.

        A cancellation ends it when access to all disks is revoked.
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

    async def close_left(self, record: SaveRecord) -> tuple[str, ...]:
        """Clean up after a run that ended: revoke access to its disks, whose ids are returned.

        Raises `SaveHeld` where that run lives, `CloudError`.
        """
        async with self._records.hold(record.guid) as held:
            disks = held.disks
            await self._close(held, disks)
            if await self._blobs.facts(self._factory.blob(companion_name(f"{record.guid}.vhd"))):
                await self._done(held)
            return disks

    async def _outcome(self, save: Save) -> Outcome:
        try:
            with consequence("it is not saved"):
                return await self._save(save)
        except SaveHeld:
            return Outcome(save.vm.name, held=True)
        except ImageFactoryError as problem:
            return Outcome(save.vm.name, error=str(problem))

    async def _save(self, save: Save) -> Outcome:
        def notice(text: str) -> None:
            self._watcher.progress(save.vm.name, Progress(0, 0, note=text))

        async with self._records.hold(save.guid, notice=notice) as held:
            if image := await self._found(save):
                await self._close(held, held.disks)
                await self._done(held)
                await self._compare(save.vm, image)
                return Outcome(save.vm.name, image, found=True)
            name = held.name or await self._name(save, held)
            disks = tuple(disk.id for disk in save.disks)
            await held.note(disks=disks)
            try:
                copied, opened = await self._copy(save)
            finally:
                await surely(self._close(held, disks))
            image = await self._finish(opened, name, copied)
            await self._done(held)
            return Outcome(save.vm.name, image)

    async def _found(self, save: Save) -> FactoryImage | None:
        """The image of that disk, where another run made it while this one waited.

        Any other companion is deleted, so that the VHD is no image while it is written.
        """
        place = self._factory.blob(companion_name(save.vhd_name))
        companion = await self._blobs.get_document(place)
        if companion is None:
            return None
        if facts := await self._blobs.facts(self._factory.blob(save.vhd_name)):
            image = parse_companion(companion, VhdBlob(save.vhd_name, facts.length, facts.created, facts.created))
            if isinstance(image, FactoryImage):
                return image
        there = await self._blobs.facts(place)
        if there and not await self._blobs.delete(place, etag=there.etag):
            return await self._found(save)
        return None

    async def _compare(self, vm: FactoryVm, image: FactoryImage) -> None:
        """Warn if another run saved an older state of the disks than they have now."""
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
        """Copy all disks; returns the copy of the OS disk, and the save with the disks in the state that was copied."""
        done: dict[str, Progress] = {}

        async def one(disk: ManagedDisk, vhd_name: str) -> tuple[Copied, ManagedDisk]:
            # A grant that is cut off half-way could still come after its revocation.
            source, destination = await surely(self._factory.access.grant(disk)), self._factory.blob(vhd_name)
            # Its VM may have been used since the plan; from now on it cannot be started.
            disk = await self._factory.access.state(disk)
            facts = await self._blobs.facts(source)
            if facts is None:
                raise CopyError(f"disk '{disk.name}': Azure gave an address with nothing there. Run again")
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
            return await self._copier.copy(request, None, set(), report, lambda text: warn(save.vm.name, text)), disk

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
        """A name that no image has, and no other save reserved: reserve first, then look who was quicker."""
        today = datetime.now(timezone.utc).date()
        while True:
            name = image_name(save.image_path, today, self._taken)
            self._taken.add(fold(name))
            if not await self._records.reserve(name, save.guid):
                continue
            saved = await saved_names(self._factory.accounts, self._factory.account_id)
            if fold(name) not in {fold(other) for other in saved}:
                await held.note(name=name)
                return name
            await self._records.free(name, save.guid)

    async def _finish(self, save: Save, name: str, copied: Copied) -> FactoryImage:
        """Write the facts onto the VHD, then the companion, which makes it an image."""
        vhd = self._factory.blob(save.vhd_name)
        for _ in range(MARK_ATTEMPTS):
            facts = await self._blobs.facts(vhd)
            if facts is None:
                raise CopyError(f"{vhd.name}: somebody removed it a moment ago; the VM is not saved. Run again")
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
                lineage=save.lineage,
                data_disks=save.saved_data_disks,
            )
            metadata = companion_metadata(image, facts.metadata)
            if await self._blobs.set_metadata(vhd, metadata, etag=facts.etag):
                companion = self._factory.blob(companion_name(save.vhd_name))
                await self._blobs.put_document(companion, companion_bytes(image), {}, overwrite=True)
                return image
        raise CopyError(f"{vhd.name}: somebody else writes to it; the VM is not saved. Run again")

    async def _close(self, held: Hold, disks: Iterable[str]) -> None:
        """Revoke access to all of them, then write that down. Raises the first `CloudError`, when all were tried."""
        ended = await asyncio.gather(*(self._factory.access.revoke(disk) for disk in disks), return_exceptions=True)
        with consequence("its content stays readable by its SAS URL, and its VM cannot be started or deleted"):
            if refusals := [each for each in ended if isinstance(each, BaseException)]:
                raise refusals[0]
        if held.disks or held.strays:
            await held.note(disks=())

    async def _done(self, held: Hold) -> None:
        if held.name:
            await self._records.free(held.name, held.guid)
        await held.remove()


class _DiskManifests:
    """For the copy of a disk: nothing is known of it beforehand, and its manifest belongs to the VHD that is made."""

    def __init__(self, blobs: PageBlobs, destination: BlobRef, writer: PageWriter) -> None:
        self._blobs, self._destination, self._writer = blobs, destination, writer

    async def read(self, vhd: BlobRef, length: int, created: datetime) -> Found:
        """A disk has none."""
        return Found()

    async def write(self, vhd: BlobRef, manifest: Manifest) -> str:
        """See `ManifestStore`. The MD5s that copies by way of a relay need are those of the VHD that was made."""
        facts = await self._blobs.facts(self._destination)
        if facts is None:
            return ""
        md5 = await digests_of(self._writer, self._destination, facts.etag, manifest.ranges, Digest.MD5)
        own = replace(manifest, vhd=self._destination.file_name, created=facts.created, md5=md5)
        return await Manifests(self._blobs).write(self._destination, own, overwrite=True)


def disk_version(disk: ManagedDisk, etag: str) -> str:
    """What tells the present state of a disk from others: Azure takes no conditions on its content.

    Different each time if Azure does not tell when the disk was last in use, so that no earlier copy counts.
    """
    return f"{disk.released or uuid.uuid4()} {etag}"


async def surely(work: Awaitable[Result]) -> Result:
    """Wait for `work` to its end although this task is cancelled meanwhile; then the cancellation goes on."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as interruption:
            cancelled = interruption
    if cancelled and not task.exception():
        raise cancelled
    return task.result()
