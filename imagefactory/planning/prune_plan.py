"""What of the factory can go, why, and why the rest stays.

Owns those rules. Refuses to act: the command shows this plan, or carries it out. When in doubt a blob stays, and is
reported where somebody should look at it.
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
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.factory_blobs import SavedFiles, StoredBlob, allocated, saved_files
from imagefactory.planning.last_good import LastGood
from imagefactory.planning.retention import Claim, claims, largest_keep
from imagefactory.planning.staging_needs import StagedVhd, StagingNeeds

Kind = Literal["image", "unfinished save", "staged VHD", "left-over"]

REST = timedelta(days=1)
"""How long nobody may have written to an image, a save or a staged VHD before it can go."""

_STAYS = "it is not deleted"
_FRESH = "somebody wrote to it within the last day"


@dataclass(frozen=True)
class Deletion:
    """What goes together: its blobs in the order in which they go."""

    kind: Kind
    name: str
    """Of the image, else of the VHD, else of the first blob."""
    reason: str
    blobs: tuple[StoredBlob, ...]
    size: int
    """Bytes that its VHDs hold, as far as that is known; else their length."""
    image_path: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Tells it from every other deletion."""
        return self.blobs[0].account_id, self.blobs[0].name

    @property
    def account_id(self) -> str:
        """ARM id of the storage account, in lower case."""
        return self.blobs[0].account_id.lower()

    @property
    def vhds(self) -> tuple[StoredBlob, ...]:
        """Those whose change since the listing stops the whole deletion."""
        return tuple(blob for blob in self.blobs if blob.is_vhd)

    @property
    def counts(self) -> bool:
        """Whether it is one of those that the breaker counts."""
        return self.kind != "left-over"


@dataclass(frozen=True)
class Kept:
    """What stays, and why."""

    name: str
    reason: str
    vhd: str = ""
    image_path: str = ""
    is_newest: bool = False
    """Whether that is only because it is new: nobody need be told."""


@dataclass(frozen=True)
class Reported:
    """A blob that stays because it cannot be judged: somebody should look at it."""

    name: str
    reason: Diagnostic


@dataclass(frozen=True)
class PrunePlan:
    """What a prune does; each of the factory's saves, and each staged VHD, is in one of the three."""

    deletions: tuple[Deletion, ...]
    kept: tuple[Kept, ...]
    reported: tuple[Reported, ...]

    def exceeding(self, most: int) -> dict[str, int]:
        """Storage accounts (ARM ids in lower case) with more than `most` deletions that the breaker counts, each with
        their number. Each account has a count of its own: whoever may write to one can stop no other."""
        counts = Counter(deletion.account_id for deletion in self.deletions if deletion.counts)
        return {account: count for account, count in sorted(counts.items()) if count > most}

    @property
    def size(self) -> int:
        """Bytes of all deletions."""
        return sum(deletion.size for deletion in self.deletions)


@dataclass(frozen=True)
class PruneRules:
    """What decides about images."""

    policies: Mapping[str, Policy]
    """Of the stacks, by name."""
    vms: Mapping[str, str] = field(default_factory=dict)
    """Names of the VMs of the factory lab by their ARM id in lower case."""
    last_good: LastGood = field(default_factory=LastGood)
    """What labs still hold."""


@dataclass
class _Findings:
    deletions: list[Deletion] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    reported: list[Reported] = field(default_factory=list)


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
    _others(catalog, files, now, found)
    sizes = {image.vhd_name: image.allocated for image in catalog.images}
    for each in sorted(staged, key=lambda one: (one.blob.account_id.lower(), one.blob.name)):
        _staged(each, needs, sizes.get(each.blob.name), now, found)
    return PrunePlan(tuple(found.deletions), tuple(found.kept), tuple(found.reported))


def _images(
    catalog: Catalog, files: Mapping[str, SavedFiles], rules: PruneRules, now: datetime, found: _Findings
) -> None:
    for claim in claims(catalog, rules.policies):
        image = claim.image
        if image.saved_at_source == "last-modified":
            subject = f"factory image {image.name} ({image.vhd_name})"
            fact = "has no usable date" + (f": {image.note.fact}" if image.note else "")
            remedy = f"Write the timestamp into {_stem(image)}.json as ISO 8601 with its zone"
            found.reported.append(Reported(image.vhd_name, warning(subject, fact, _STAYS, remedy)))
            continue
        _image(claim, files.get(_stem(image)), rules, now, found)


def _image(claim: Claim, files: SavedFiles | None, rules: PruneRules, now: datetime, found: _Findings) -> None:
    image = claim.image

    def keep(reason: str, *, is_newest: bool = False) -> None:
        found.kept.append(Kept(image.name, reason, image.vhd_name, str(image.image_path), is_newest))

    vm = rules.vms.get(image.lineage.vm.lower())
    if claim.reason:
        keep(claim.reason, is_newest=claim.is_newest)
    elif vm:
        keep(f"its VM {vm} still stands in the factory lab and would be saved again")
    elif files is None or [vhd.name for vhd in files.vhds] != [image.vhd_name]:
        keep("its files changed meanwhile, or another VHD has its name in other letter case")
    elif any(blob.held for blob in files.blobs):
        keep("somebody holds its files by a lease")
    elif not _rested(files.blobs, now):
        keep(_FRESH)
    elif reason := rules.last_good.reason_to_keep(image):
        keep(reason)
    else:
        reason = f"older than the newest {largest_keep(rules.policies)} of its image path"
        found.deletions.append(Deletion("image", image.name, reason, files.blobs, _size(files), str(image.image_path)))


def _others(catalog: Catalog, files: Mapping[str, SavedFiles], now: datetime, found: _Findings) -> None:
    """All that is no image: broken, unfinished, left over."""
    of_images = {_stem(image) for image in catalog.images}
    needed = {disk.vhd_name for image in catalog.images for disk in image.data_disks}
    diagnostics = {broken.vhd_name: broken.diagnostic for broken in catalog.broken}
    diagnostics |= {left.name: left.reason for left in catalog.left_out}
    for stem, unit in sorted(files.items()):
        if stem in of_images:
            continue
        name = next((blob.name for blob in (*unit.vhds, *unit.data_disks)), unit.blobs[0].name)
        if unit.companions:
            told = [blob.name for blob in (*unit.vhds, *unit.companions) if blob.name in diagnostics]
            found.reported += (Reported(blob, _stays(diagnostics[blob])) for blob in told)
            if not told:
                found.kept.append(Kept(name, "the container changed while it was read"))
        elif needed & {blob.name for blob in unit.blobs}:
            found.kept.append(Kept(name, "an image names it as its data disk"))
        elif any(blob.held for blob in unit.blobs):
            found.kept.append(Kept(name, "a save holds it"))
        elif not _rested(unit.blobs, now):
            found.kept.append(Kept(name, _FRESH))
        elif not unit.vhds and not unit.data_disks:
            found.deletions.append(Deletion("left-over", name, "there is no VHD that it belongs to", unit.blobs, 0))
        elif not (unit.is_ours or any("imagefactorysource" in vhd.metadata for vhd in unit.vhds)):
            fact, remedy = "has no companion, and no save gives such a name", "Write its companion, or delete it"
            found.reported.append(Reported(name, warning(f"VHD {name}", fact, _STAYS, remedy)))
        else:
            rest = (now - max(blob.last_modified for blob in unit.blobs)) // timedelta(days=1)
            reason = f"has no companion, and nobody wrote to it for {rest} day{'s' if rest > 1 else ''}"
            found.deletions.append(Deletion("unfinished save", name, reason, unit.blobs, _size(unit)))


def _staged(staged: StagedVhd, needs: StagingNeeds, size: int | None, now: datetime, found: _Findings) -> None:
    blobs = (*((staged.record,) if staged.record else ()), staged.blob)
    name = f"{staged.blob.account_id.rpartition('/')[2]}: {staged.blob.name}"
    if any(blob.held for blob in blobs):
        found.kept.append(Kept(name, "somebody holds it by a lease, or copies into it", staged.blob.name))
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


def _stem(image: FactoryImage) -> str:
    return image.vhd_name.rpartition(".")[0]


def _stays(diagnostic: Diagnostic) -> Diagnostic:
    return warning(diagnostic.subject, diagnostic.fact, _STAYS, diagnostic.remedy)


def agreed_keep(policies: Mapping[str, Policy]) -> int:
    """How many images of each image path the stacks (by name) want. Raises `ConfigurationError` if one wants all."""
    keep = largest_keep(policies)
    if keep is None:
        unlimited = ", ".join(f"'{name}'" for name, policy in sorted(policies.items()) if policy.keep is None)
        fact = f"is missing, and no setting keep limits what labs of stack {unlimited} hold"
        remedy = "Say how many images of each image path shall stay"
        raise ConfigurationError([error("option --keep", fact, "nothing is deleted", remedy)])
    return keep


def keep_warnings(keep: int, policies: Mapping[str, Policy]) -> list[Diagnostic]:
    """What happens to the labs of stacks (by name) whose own `keep` is larger."""
    return [
        warning(
            f"stack '{stack}'",
            f"its labs hold {'all images' if own is None else f'{own} images'} of each image path (setting keep)",
            f"at its next run they lose those beyond the newest {keep}, for the factory will have no more",
            "Give a larger --keep if they shall keep them",
        )
        for stack, own in sorted((name, policy.keep) for name, policy in policies.items())
        if own is None or own > keep
    ]
