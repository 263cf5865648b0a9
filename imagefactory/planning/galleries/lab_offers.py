"""Which definitions of the gallery the users of each lab can use.

Enables what labs.json gives the lab, and keeps what is enabled until its successors exist in the lab, so that no lab is
without images while its delivery, or the generation of a golden image, changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_gallery import GalleryFacts, StandingVersion
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.galleries.planned import (
    EnabledDefinition,
    GalleryLab,
    LabGalleryPlan,
    PlannedDefinition,
    PlannedVersion,
    RecordedGallery,
    Traits,
    attached_of,
)


class LabOffers:
    """What each lab offers. Planned versions and definitions are by their keys in comparable form."""

    def __init__(
        self,
        facts: GalleryFacts,
        labs: Sequence[GalleryLab],
        versions: Iterable[PlannedVersion],
        definitions: Mapping[str, PlannedDefinition],
        recorded: RecordedGallery,
    ) -> None:
        self._facts, self._labs, self._definitions, self._recorded = facts, labs, definitions, recorded
        self._by_vhd = {version.image.vhd_name: version for version in versions}
        self.diagnostics: list[Diagnostic] = []
        self.kept: list[str] = []
        """The labels of labs whose part of the state is kept as it is."""

    def plans(self) -> tuple[LabGalleryPlan, ...]:
        """Return what each lab that could be read must offer, by label; labs that offer nothing are omitted."""
        plans = (self._plan(lab) for lab in sorted(self._labs, key=lambda each: each.lab.label))
        return tuple(plan for plan in plans if plan)

    def _plan(self, lab: GalleryLab) -> LabGalleryPlan | None:
        label, facts = lab.lab.label, lab.facts
        if facts is None:
            self._keep(label)
            return None
        wanted = {fold(each.definition) for image in lab.images if (each := self._by_vhd.get(image.vhd_name))}
        offered = [self._definitions[name] for name in sorted(wanted)]
        enabled = [EnabledDefinition(each.name, each.traits) for each in offered]
        enabled += self._still_enabled(lab, facts, wanted)
        if not enabled:
            return None
        if foreign := foreign_gallery(lab.lab, facts, self._facts.id):
            self._keep(label)
            self.diagnostics.append(foreign)
            return None
        attached = attached_of(facts, self._facts.id)
        return LabGalleryPlan(
            label,
            facts,
            attached.name if attached else self._facts.name,
            tuple(sorted(enabled, key=lambda each: fold(each.name))),
        )

    def _keep(self, label: str) -> None:
        self.kept += [label] if label in self._recorded.labs else []

    def _still_enabled(self, lab: GalleryLab, facts: LabFacts, wanted: set[str]) -> Iterable[EnabledDefinition]:
        """Yield what the lab offers now and must keep until its successors exist there."""
        attached = attached_of(facts, self._facts.id)
        for definition in self._facts.definitions:
            path = ImagePath.read(definition.image_path)
            is_enabled = attached is not None and fold(definition.name) in attached.enabled
            if fold(definition.name) in wanted or not is_enabled or path is None or not lab.lab.takes(path):
                continue
            if reason := reason_to_offer(self._facts, lab, facts, path):
                yield EnabledDefinition(definition.name, Traits.of_standing(definition), reason)


def reason_to_offer(gallery: GalleryFacts, lab: GalleryLab, facts: LabFacts, path: ImagePath) -> str:
    """Return why a lab must keep what it offers of an image path; empty: its successors exist there."""
    images = [image for image in lab.images if image.image_path == path]
    if not images and lab.is_served:
        return "the factory has no image of its path to replace it"
    if not images:
        return "" if path in lab.replaced else "the lab must first have its custom images in state Succeeded"
    missing = [image.name for image in images if not available(gallery, facts, image)]
    return f"the lab must first be able to use {', '.join(sorted(missing))}" if missing else ""


def foreign_gallery(lab: TargetLab, facts: LabFacts, gallery_id: str) -> Diagnostic | None:
    """Return the failure about a lab that has another gallery attached than that of the stack."""
    other = next((each for each in facts.galleries if not each.is_of(gallery_id)), None)
    if other is None:
        return None
    fact = f"has gallery {other.gallery_id.rpartition('/')[2]} attached, and a lab can have one gallery"
    consequence = "it is not changed, and the lab gets no images by a gallery"
    remedy = f"Detach it: az resource delete --ids {other.id} --api-version 2018-10-15-preview"
    return error(f"lab {lab.label}", fact, consequence, remedy, lab.location)


def is_finished(gallery: GalleryFacts, lab: LabFacts, image: FactoryImage) -> bool:
    """Return whether the gallery has a version of an image in the region of a lab."""
    return any(_is_usable(version, lab) for _, version in gallery.by_source.get(image.vhd_name, ()))


def available(gallery: GalleryFacts, lab: LabFacts, image: FactoryImage) -> bool:
    """Return whether users of a lab can use the version of an image now."""
    attached = attached_of(lab, gallery.id)
    return attached is not None and any(
        fold(definition.name) in attached.enabled and _is_usable(version, lab)
        for definition, version in gallery.by_source.get(image.vhd_name, ())
    )


def _is_usable(version: StandingVersion, lab: LabFacts) -> bool:
    return version.state == "Succeeded" and lab.region_key in version.regions
