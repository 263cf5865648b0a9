"""What can be deleted from the factory and why, and why the rest is kept.

If in doubt, a blob is kept, and reported if an operator should check it. Has no side effects: the command shows this
plan, or carries it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, error, warning
from imagefactory.errors import ConfigurationError
from imagefactory.images.catalog import BlobDiagnostic, Catalog
from imagefactory.images.companions import companion_name, stem
from imagefactory.observed.factory_blobs import SavedFiles, StoredBlob, allocated, saved_files
from imagefactory.planning.factory.gallery_needs import GalleryNeeds
from imagefactory.planning.factory.last_good import LastGood
from imagefactory.planning.factory.staging_needs import StagedVhd, StagingNeeds
from imagefactory.planning.retention import Claim, claims, largest_keep

Kind = Literal["image", "unfinished save", "staged VHD", "left-over"]

REST = timedelta(days=1)
"""How long ago the last write to an image, a save or a staged VHD must be before it can be deleted."""

_KEPT = "it is not deleted"
_FRESH = "its last write was within the last day"


@dataclass(frozen=True)
class Deletion:
    """Blobs that are deleted together, in this order."""

    kind: Kind
    name: str
    """The name of the image, else of the VHD, else of the first blob."""
    reason: str
    blobs: tuple[StoredBlob, ...]
    size: int
    """Allocated bytes of its VHDs if known, else their length."""
    image_path: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The identity of the deletion."""
        return self.blobs[0].account_id, self.blobs[0].name

    @property
    def account_id(self) -> str:
        """ARM id of the storage account, in lower case."""
        return self.blobs[0].account_id.lower()

    @property
    def vhds(self) -> tuple[StoredBlob, ...]:
        """The blobs whose change since the listing stops the complete deletion."""
        return tuple(blob for blob in self.blobs if blob.is_vhd)

    @property
    def counts(self) -> bool:
        """Whether it counts against the deletion limit."""
        return self.kind != "left-over"


@dataclass(frozen=True)
class Kept:
    """An item that is kept, and why."""

    name: str
    reason: str
    vhd: str = ""
    image_path: str = ""
    is_newest: bool = False
    """Whether it is kept only because it is new, which text output does not show."""


@dataclass(frozen=True)
class PrunePlan:
    """The plan of a prune; each save of the factory, and each staged VHD, is in one of the three lists."""

    deletions: tuple[Deletion, ...]
    kept: tuple[Kept, ...]
    reported: tuple[BlobDiagnostic, ...]
    """Blobs that are kept because no rule applies: an operator should check them."""

    def exceeding(self, most: int) -> dict[str, int]:
        """Return the storage accounts (ARM ids in lower case) over the deletion limit `most`, with their deletions.

        Each account is counted by itself, so that users with write access to one account cannot block the others.
        """
        counts = Counter(deletion.account_id for deletion in self.deletions if deletion.counts)
        return {account: count for account, count in sorted(counts.items()) if count > most}

    @property
    def size(self) -> int:
        """Bytes of all deletions."""
        return sum(deletion.size for deletion in self.deletions)


@dataclass(frozen=True)
class PruneRules:
    """What decides which images are kept."""

    policies: Mapping[str, Policy]
    """Policies by stack."""
    vms: Mapping[str, str] = field(default_factory=dict)
    """Names of the VMs of the factory lab by their ARM id in lower case."""
    last_good: LastGood = field(default_factory=LastGood)
    """What labs still use."""
    galleries: GalleryNeeds = field(default_factory=GalleryNeeds)
    """What Compute Galleries still need."""
    rings: Mapping[str, str] = field(default_factory=dict)
    """Names of the VHDs that rings of labs need, each with the reason."""


@dataclass
class _Findings:
    deletions: list[Deletion] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    reported: list[BlobDiagnostic] = field(default_factory=list)


def plan_prune(
    catalog: Catalog,
    blobs: Iterable[StoredBlob],
    rules: PruneRules,
    staged: Iterable[StagedVhd],
    needs: StagingNeeds,
    now: datetime,
) -> PrunePlan:
    """Decide for each image of the catalog, each other save among `blobs` (the factory's container), and `staged`."""
    found = _Findings()
    files = saved_files(blobs)
    _images(catalog, files, rules, now, found)
    _others(catalog, files, rules, now, found)
    sizes = {image.vhd_name: image.allocated for image in catalog.images}
    for each in sorted(staged, key=lambda one: (one.blob.account_id.lower(), one.blob.name)):
        _staged(each, needs, sizes.get(each.blob.name), now, found)
    return PrunePlan(tuple(found.deletions), tuple(found.kept), tuple(found.reported))


def _images(
    catalog: Catalog, files: Mapping[str, SavedFiles], rules: PruneRules, now: datetime, found: _Findings
) -> None:
    for claim in claims(catalog, rules.policies, now):
        image = claim.image
        if image.saved_at_source == "last-modified":
            subject = f"factory image {image.name} ({image.vhd_name})"
            fact = "has no usable date" + (f": {image.note.fact}" if image.note else "")
            remedy = f"Write the timestamp in {companion_name(image.vhd_name)} as ISO 8601 with a time zone"
            found.reported.append(BlobDiagnostic(image.vhd_name, warning(subject, fact, _KEPT, remedy)))
            continue
        _image(claim, files.get(stem(image.vhd_name)), rules, now, found)


def _image(claim: Claim, files: SavedFiles | None, rules: PruneRules, now: datetime, found: _Findings) -> None:
    image = claim.image

    def keep(reason: str, *, is_newest: bool = False) -> None:
        found.kept.append(Kept(image.name, reason, image.vhd_name, str(image.image_path), is_newest))

    vm = rules.vms.get(image.lineage.vm.lower())
    if claim.reason:
        keep(claim.reason, is_newest=claim.is_newest)
    elif vm:
        keep(f"its VM {vm} still exists in the factory lab and would be saved again")
    elif files is None or [vhd.name for vhd in files.vhds] != [image.vhd_name]:
        keep("its files changed meanwhile, or the name of another VHD differs only in case")
    elif any(blob.held for blob in files.blobs):
        keep("its files have a lease, or a copy into them is in progress")
    elif not _rested(files.blobs, now):
        keep(_FRESH)
    elif reason := _needed(files, rules) or rules.last_good.reason_to_keep(image) or rules.rings.get(image.vhd_name):
        keep(reason)
    else:
        reason = f"older than the newest {largest_keep(rules.policies)} of its image path"
        if claim.revoked_by:
            reason = f"revoked by {claim.revoked_by}, and no other stack requires it"
        found.deletions.append(Deletion("image", image.name, reason, files.blobs, _size(files), str(image.image_path)))


def _needed(files: SavedFiles, rules: PruneRules) -> str:
    return rules.galleries.reason_to_keep(blob.name for blob in (*files.vhds, *files.data_disks))


def _others(
    catalog: Catalog, files: Mapping[str, SavedFiles], rules: PruneRules, now: datetime, found: _Findings
) -> None:
    """Decide for all that is not an image: broken, unfinished, orphaned."""
    of_images = {stem(image.vhd_name) for image in catalog.images}
    needed = {disk.vhd_name for image in catalog.images for disk in image.data_disks}
    diagnostics = {blob.name: blob.reason for blob in (*catalog.broken, *catalog.left_out)}
    for start, unit in sorted(files.items()):
        if start in of_images:
            continue
        name = next((blob.name for blob in (*unit.vhds, *unit.data_disks)), unit.blobs[0].name)
        if unit.companions:
            wrong = [blob.name for blob in (*unit.vhds, *unit.companions) if blob.name in diagnostics]
            found.reported += (BlobDiagnostic(blob, _not_deleted(diagnostics[blob])) for blob in wrong)
            if not wrong:
                found.kept.append(Kept(name, "the container changed while it was read"))
        elif needed & {blob.name for blob in unit.blobs}:
            found.kept.append(Kept(name, "it is a data disk of an image"))
        elif any(blob.held for blob in unit.blobs):
            found.kept.append(Kept(name, "a save holds its lease"))
        elif not _rested(unit.blobs, now):
            found.kept.append(Kept(name, _FRESH))
        elif not unit.vhds and not unit.data_disks:
            found.deletions.append(Deletion("left-over", name, "its VHD does not exist", unit.blobs, 0))
        elif not (unit.is_ours or any("imagefactorysource" in vhd.metadata for vhd in unit.vhds)):
            fact, remedy = "has no companion, and its name is not that of a save", "Write its companion, or delete it"
            found.reported.append(BlobDiagnostic(name, warning(f"VHD {name}", fact, _KEPT, remedy)))
        elif reason := _needed(unit, rules):
            found.kept.append(Kept(name, reason))
        else:
            rest = (now - max(blob.last_modified for blob in unit.blobs)) // timedelta(days=1)
            reason = f"has no companion, and its last write was {rest} day{'s' if rest > 1 else ''} ago"
            found.deletions.append(Deletion("unfinished save", name, reason, unit.blobs, _size(unit)))


def _staged(staged: StagedVhd, needs: StagingNeeds, size: int | None, now: datetime, found: _Findings) -> None:
    blobs = (*((staged.record,) if staged.record else ()), staged.blob)
    name = f"{staged.blob.account_id.rpartition('/')[2]}: {staged.blob.name}"
    if any(blob.held for blob in blobs):
        found.kept.append(Kept(name, "it has a lease, or a copy into it is in progress", staged.blob.name))
    elif not _rested(blobs, now):
        found.kept.append(Kept(name, _FRESH, staged.blob.name))
    elif reason := needs.reason_to_keep(staged):
        found.kept.append(Kept(name, reason, staged.blob.name))
    else:
        size = staged.blob.length if size is None else size
        found.deletions.append(Deletion("staged VHD", name, "no image needs it", blobs, size))


def _rested(blobs: Iterable[StoredBlob], now: datetime) -> bool:
    return all(now - blob.last_modified >= REST for blob in blobs)


def _size(files: SavedFiles) -> int:
    return sum(allocated(vhd, files.manifests) for vhd in (*files.vhds, *files.data_disks))


def _not_deleted(diagnostic: Diagnostic) -> Diagnostic:
    return warning(diagnostic.subject, diagnostic.fact, _KEPT, diagnostic.remedy)


def agreed_keep(policies: Mapping[str, Policy]) -> int:
    """Return the largest `keep` of the stacks (by name). Raises `ConfigurationError` if one keeps all images."""
    keep = largest_keep(policies)
    if keep is None:
        unlimited = ", ".join(f"'{name}'" for name, policy in sorted(policies.items()) if policy.keep is None)
        fact = f"is missing, and without the setting keep, labs of stack {unlimited} keep all images"
        remedy = "Pass the number of images to keep of each image path"
        raise ConfigurationError([error("option --keep", fact, "nothing is deleted", remedy)])
    return keep


def keep_warnings(keep: int, policies: Mapping[str, Policy]) -> list[Diagnostic]:
    """Return a warning for each stack (by name) whose own `keep` is larger."""
    return [
        warning(
            f"stack '{stack}'",
            f"its labs keep {'all images' if own is None else f'{own} images'} of each image path (setting keep)",
            f"at its next run they lose all but the newest {keep}, because the factory will have no others",
            "Pass a larger --keep to keep them",
        )
        for stack, own in sorted((name, policy.keep) for name, policy in policies.items())
        if own is None or own > keep
    ]
