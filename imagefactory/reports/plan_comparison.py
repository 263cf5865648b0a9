"""Compares a plan with what labs hold and the state of the stack has: what a run does to each image, and why.

Says what the engine would do, without the engine: it deletes what the state has and the program does not declare, and
puts an image again if its inputs differ from the state's. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from imagefactory.configuration.stack_settings import Settings
from imagefactory.images import tags as image_tags
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_labs import StandingImage
from imagefactory.planning.galleries.planned import RecordedGallery
from imagefactory.planning.labs.lab_labels import grouped
from imagefactory.planning.labs.places import of_another_stack
from imagefactory.planning.labs.plan import Omission, Plan
from imagefactory.planning.labs.planned_images import LabPlan, PlannedImage, Recorded
from imagefactory.planning.retention import retained
from imagefactory.planning.stacks.adoption import why_not_wanted
from imagefactory.planning.stacks.deletions import Deletion, deletions, too_many_deletions
from imagefactory.reports.gallery_comparison import GalleryComparison
from imagefactory.reports.plan_reasons import entry_of, why_listed
from imagefactory.reports.plan_report import Action, Change, LabReport, LeftOut, PlanReport, in_order, put_again
from imagefactory.reports.plan_totals import totals_of

_UNREAD = "the lab could not be read or cannot get images, so its images are kept"


@dataclass(frozen=True)
class InState:
    """What the state of a stack has. Images are named `<label>/<image>`, versions `<definition>/<version>`."""

    images: Mapping[str, Recorded] = field(default_factory=dict)
    gallery: RecordedGallery = field(default_factory=RecordedGallery)
    unfinished: frozenset[str] = frozenset()
    """Images, definitions and versions that an earlier run did not see finish: the engine puts them again."""
    changed: frozenset[str] = frozenset()
    """Versions whose regions, replicas or end of life differ from what the program declares, also of kept ones."""

    def of_lab(self, label: str) -> dict[str, Recorded]:
        """Return the images of a lab by name."""
        return {name: self.images[f"{label}/{name}"] for name in self._names.get(label, ())}

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """Labels of labs -> names of their images."""
        return grouped((name.rpartition("/")[0], name.rpartition("/")[2]) for name in self.images)


def compare(plan: Plan, state: InState, catalog: Catalog, settings: Settings, stack: str) -> PlanReport:
    """Return what the next run of a stack (`project/stack`) does; `plan` was made from the same state."""
    omissions: dict[str, list[Omission]] = {}
    for omission in plan.omissions:
        omissions.setdefault(omission.lab or "", []).append(omission)
    offers = {offer.image.vhd_name: offer.reason for offer in retained(catalog, settings, plan.now)}
    gallery = GalleryComparison(plan, state.gallery, settings, offers, again=state.unfinished, changed=state.changed)
    leaving: dict[str, list[Deletion]] = {}
    for one in deletions(plan, state.images.keys(), state.gallery, catalog, settings):
        leaving.setdefault(one.lab, []).append(one)
    labs = {
        lab.label: _Lab(lab, state, leaving.get(lab.label, ()), catalog, settings, offers, stack) for lab in plan.labs
    }
    unread = {lab.label: lab for lab in plan.unread}
    known = {name.rpartition("/")[0] for name in state.images} | state.gallery.labs.keys()
    reports = []
    for label in sorted({*labs, *unread, *known}):
        lab = labs.get(label)
        target = lab.plan.lab if lab else unread.get(label)
        found = [*(lab.changes() if lab else _of_state(state.of_lab(label), leaving.get(label, ())))]
        found += _left_out(omissions.get(label, ()), found)
        rows = in_order(put_again(found, state.unfinished, f"{label}/"))
        offered = gallery.offers(label, target)
        others = sum(image.image_path is None for image in lab.unlisted()) if lab else 0
        report = LabReport(label, target.location if target else None, rows, offered, others)
        reports += [report] if target or rows or offered else []
    parts = gallery.parts()
    new = {one.name for one in parts if one.kind == "version" and one.action == "create"}
    reports.sort(key=lambda lab: not any(one.action == "delete" for one in lab.changes))
    name = stack.rpartition("/")[2]
    stop = too_many_deletions(plan, state.images.keys(), state.gallery, catalog, settings, name)
    return PlanReport(
        stack,
        tuple(reports),
        parts,
        tuple(LeftOut(one.image or "", one.image_path, one.reason) for one in omissions.get("", ())),
        plan.warnings,
        (*((stop,) if stop else ()), *plan.failures),
        totals_of(plan, settings, new),
    )


def _of_state(images: Mapping[str, Recorded], leaving: Iterable[Deletion]) -> Iterator[Change]:
    """Yield the images of a lab that was not read, or is not one of the stack."""
    deleted = {one.name: one.why for one in leaving}
    for name, one in images.items():
        action: Action = "delete" if name in deleted else "keep for now"
        why = deleted.get(name, _UNREAD)
        yield Change("custom image", action, name, str(one.image_path or ""), why, held=True)


def _left_out(omissions: Iterable[Omission], found: Iterable[Change]) -> list[Change]:
    """Return the images that a lab does not get, except those whose name or reason another change already shows."""
    told = {text for one in found for text in (one.name, one.why)}
    return [
        Change("custom image", "left out", one.image or "", one.image_path, one.reason)
        for one in omissions
        if not told & {one.image, one.reason}
    ]


class _Lab:
    """The images of one lab that was read."""

    def __init__(
        self,
        plan: LabPlan,
        state: InState,
        leaving: Iterable[Deletion],
        catalog: Catalog,
        settings: Settings,
        offers: Mapping[str, str],
        stack: str,
    ) -> None:
        self.plan, self._catalog, self._settings, self._offers, self._stack = plan, catalog, settings, offers, stack
        self._recorded, self._leaving = state.of_lab(plan.label), leaving
        self._by_id = {image.id.lower(): image for image in plan.facts.images}
        self._by_name = {image.name.lower(): image for image in plan.facts.images}

    def changes(self) -> Iterator[Change]:
        """Yield what happens to each image, except those that the lab does not get."""
        plan = self.plan
        yield from map(self._planned, plan.images)
        for kept in plan.retained:
            image = self._by_name.get(kept.name.lower())
            why = self._why_not(image) if image else ""
            why = kept.reason if kept.reason.startswith(why) else f"{why}; {kept.reason}"
            yield self._row("keep for now", kept.name, kept.image_path, why, image)
        for one in plan.unadopted:
            path, why = one.planned.image.image_path, "the state does not have it; run imagefactory adopt"
            yield self._row(
                "not adopted", one.image.name, str(path), f"{self._why(one.planned)}; {why}", one.image, wanted=True
            )
        for foreign in {image.id: image for image in plan.foreign}.values():  # may take the place of several
            yield self._row("foreign", foreign.name, foreign.image_path or "", of_another_stack(foreign), foreign)
        for leaving in self._leaving:
            found, before = self._by_name.get(leaving.name.lower()), self._recorded[leaving.name]
            why = self._why_not(found) if found else leaving.why
            yield self._row("delete", leaving.name, str(before.image_path or ""), why, found)
        for image in self.unlisted():
            if image.image_path is not None:
                is_own = image.stack in {None, self._stack}
                why = f"{self._why_not(image)}; the state does not have it" if is_own else of_another_stack(image)
                yield self._row("foreign", image.name, image.image_path, f"{why}; it stays", image)

    def unlisted(self) -> list[StandingImage]:
        """Return the images that neither the plan nor the state has."""
        plan = self.plan
        listed = {image.id.lower() for image in (*(one.image for one in plan.unadopted), *plan.foreign)}
        names = {name.lower() for name in self._recorded}
        return [image for id, image in self._by_id.items() if id not in listed and image.name.lower() not in names]

    def _planned(self, planned: PlannedImage) -> Change:
        found, before = self._by_id.get(planned.image_id.lower()), self._recorded.get(planned.name)
        why, action = self._why(planned), self._action(planned, before)
        if found and found.state != "Succeeded":
            why += f"; in state {found.state}"
        elif found and found.retagged:
            why += "; somebody changed its tags in the lab, and they are written again"
        elif action in {"replace", "missing"}:
            why += "; the lab does not have it any more"
            why += ", which only pulumi up --refresh notices" if action == "missing" else ""
        return self._row(action, planned.name, str(planned.image.image_path), why, found, wanted=True)

    def _action(self, planned: PlannedImage, before: Recorded | None) -> Action:
        if before is None:
            return "create"
        if planned.standing:
            return "update" if planned.retagged else "unchanged"
        again = image_tags.read(planned.tags).attempt != before.attempt
        return "replace" if again or not planned.done else "missing"

    def _why(self, planned: PlannedImage) -> str:
        """Return why the plan contains an image."""
        lab, image = self.plan.lab, planned.image
        ways = (each for each in self.plan.routes if each.image.vhd_name == image.vhd_name)
        unusual = next((each.reason for each in ways if each.by_gallery or lab.delivery), "")
        rule = self.plan.offering.rules.get(image.vhd_name, "")
        return ", ".join(filter(None, (why_listed(lab, image.image_path, self._settings, rule), unusual)))

    def _why_not(self, image: StandingImage) -> str:
        if image.path and not self.plan.lab.takes(image.path):
            return entry_of(self.plan.lab, image.path)
        return why_not_wanted(self.plan, image, self._offers, self._catalog)

    @staticmethod
    def _row(
        action: Action, name: str, path: str, why: str, found: StandingImage | None, *, wanted: bool = False
    ) -> Change:
        return Change(
            "custom image", action, name, path, why, wanted, found is not None, found.state if found else None
        )
