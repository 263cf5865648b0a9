"""Which images a run deletes from the labs and the gallery, and why; and whether they are more than a run may delete.

The engine deletes what the state has and the program does not declare. This includes the images of a lab that labs.json
no longer lists, or that `labsMatching` of the stack does not match. Does not decide which images are kept: `retirement`
and `imagefactory.planning.galleries` do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.images.catalog import Catalog
from imagefactory.planning.galleries.planned import GalleryPlan, RecordedGallery
from imagefactory.planning.labs.plan import Plan
from imagefactory.planning.labs.planned_images import LabPlan
from imagefactory.planning.retention import retained
from imagefactory.planning.stacks.adoption import why_not_wanted
from imagefactory.planning.stacks.gallery_adoption import why_version_not_wanted

ALWAYS_ALLOWED = 20
"""Images that a run may delete without the setting `maxDeletes`, however few the state has."""
ALLOWED_SHARE = 4
"""It may also delete one of so many."""

_SHOWN = 3


@dataclass(frozen=True)
class Deletion:
    """A custom image or a gallery version that the state has and that the plan neither contains nor keeps."""

    lab: str
    """Label; empty: it is a version of the gallery."""
    name: str
    """In the state."""
    why: str
    is_standing: bool = True
    """Whether it exists, as far as could be read. If not, the run deletes it from the state only."""


def deletions(
    plan: Plan, images: Collection[str], gallery: RecordedGallery, catalog: Catalog, settings: Settings
) -> tuple[Deletion, ...]:
    """Return what a run deletes; `images` (`<label>/<name>`) and `gallery` are what the state has.

    The names of the state are compared exactly, as the engine compares them.
    """
    offers = {offer.image.vhd_name: offer.reason for offer in retained(catalog, settings, plan.now)}
    labs = {lab.label: lab for lab in plan.labs}
    kept = {lab.label for lab in plan.unread}  # as the state has them, even if another lab has the label, too
    names: dict[str, list[str]] = {}
    for name in sorted(images):
        label, _, image = name.rpartition("/")
        names.setdefault(label, []).append(image)
    found: list[Deletion] = []
    for label, known in names.items():
        if label in kept:
            continue
        if lab := labs.get(label):
            found += _of_lab(lab, known, offers, catalog)
        else:
            found += (Deletion(label, name, plan.why_absent(label)) for name in known)
    return (*found, *(version_deletions(plan.gallery, gallery, offers) if plan.gallery else ()))


def too_many_deletions(
    plan: Plan, images: Collection[str], gallery: RecordedGallery, catalog: Catalog, settings: Settings, stack: str
) -> Diagnostic | None:
    """Return the error that stops a run of a stack if it would delete more images than the setting `maxDeletes`."""
    found = [one for one in deletions(plan, images, gallery, catalog, settings) if one.is_standing]
    total = len(images) + len(gallery.versions)
    allowed = settings.max_deletes
    if allowed is None:
        allowed = max(ALWAYS_ALLOWED, total // ALLOWED_SHARE)
    if len(found) <= allowed:
        return None
    places = _most((f"lab {one.lab}" if one.lab else "the gallery" for one in found), "other labs")
    reasons = _most((one.why for one in found), "other reasons")
    setting = "pulumi config {} imagefactory:maxDeletes{} --stack " + stack
    before = settings.max_deletes
    undo = setting.format("rm", "") if before is None else setting.format("set", f" {before}")
    moved = f"; to another stack, move them by its imagefactory adopt with --from {stack}"
    correct = f"Correct labs.json or the settings{moved if any(one.lab in plan.absent for one in found) else ''}"
    return error(
        f"plan of stack {stack}",
        f"would delete {len(found)} of {total} images, more than {allowed} (setting maxDeletes): from {places}, "
        f"because {reasons}",
        "nothing is declared or deleted",
        f"{correct}; to delete the images, run {setting.format('set', f' {len(found)}')}, pulumi up, and then {undo}",
    )


def _of_lab(lab: LabPlan, known: Iterable[str], offers: Mapping[str, str], catalog: Catalog) -> Iterator[Deletion]:
    declared = {image.name for image in lab.images} | {one.name for one in lab.retained}
    standing = {fold(image.name): image for image in lab.facts.images}
    for name in known:
        if name not in declared:
            found = standing.get(fold(name))
            why = why_not_wanted(lab, found, offers, catalog) if found else "the lab does not have it any more"
            yield Deletion(lab.label, name, why, found is not None)


def version_deletions(plan: GalleryPlan, recorded: RecordedGallery, offers: Mapping[str, str]) -> Iterator[Deletion]:
    """Yield the versions of the gallery that a run deletes; `offers` has the reasons of `retained` by VHD."""
    declared = {one.key for one in plan.versions} | {one.key for one in plan.retained}
    for _, before in sorted(recorded.versions.items()):
        if before.key not in declared:
            found = plan.facts.version(*before.key.split("/"))
            gone = "the gallery does not have it any more"
            why = why_version_not_wanted(plan, found, offers) if found else gone
            yield Deletion("", before.key, why, found is not None)


def _most(told: Iterable[str], rest: str) -> str:
    """Return the texts that apply to most images, each with its count; `rest` stands for the other images."""
    counted = sorted(Counter(told).items(), key=lambda each: (-each[1], each[0]))
    shown = [f"{text} ({count})" for text, count in counted[:_SHOWN]]
    if others := sum(count for _, count in counted[_SHOWN:]):
        shown.append(f"{rest} ({others})")
    return ", ".join(shown)
