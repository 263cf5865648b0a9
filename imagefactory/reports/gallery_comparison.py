"""Compares the plan of a Compute Gallery with the state of the stack: its parts, and what each lab offers of them.

Like `plan_comparison` for custom images. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.stack_settings import Settings
from imagefactory.images import tags as image_tags
from imagefactory.planning.galleries.planned import (
    GalleryPlan,
    PlannedVersion,
    RecordedGallery,
    attached_of,
)
from imagefactory.planning.labs.plan import Plan
from imagefactory.planning.stacks.deletions import version_deletions
from imagefactory.reports.plan_reasons import some, which_rule, why_listed
from imagefactory.reports.plan_report import Action, Change, Kind, in_order, put_again

_KEPT = "the gallery could not be read, so all of it is kept"


class GalleryComparison:
    """The gallery of a stack. `offers` has the reasons of `retained` by VHD; `again` and `changed` are `unfinished`
    and `changed` of the state."""

    def __init__(
        self,
        plan: Plan,
        recorded: RecordedGallery,
        settings: Settings,
        offers: Mapping[str, str],
        *,
        again: Collection[str],
        changed: Collection[str],
    ) -> None:
        self._plan, self._recorded, self._settings, self._offers = plan.gallery, recorded, settings, offers
        self._why_absent = plan.why_absent
        self._rules = plan.rules
        self._again, self._changed = again, changed
        self._takers: dict[str, list[str]] = {}
        for lab in plan.labs:
            for way in lab.routes:
                if way.by_gallery:
                    self._takers.setdefault(way.image.vhd_name, []).append(lab.label)

    def parts(self) -> tuple[Change, ...]:
        """Return what a run does to the gallery itself, its definitions and its versions."""
        plan, recorded = self._plan, self._recorded
        if plan:
            parts = [*self._gallery(plan), *self._definitions(plan), *self._versions(plan)]
            return in_order(put_again(parts, self._again))
        names = [("definition", name) for name in recorded.definitions.values()]
        names += [("version", one.key) for one in recorded.versions.values()]
        kept = [Change(_kind(kind), "keep for now", name, "", _KEPT, held=True) for kind, name in names]
        if recorded.gallery:
            is_kept = recorded.holds_images or self._settings.gallery is not None
            why = _KEPT if is_kept else "the setting gallery was removed"
            action: Action = "keep for now" if is_kept else "delete"
            kept.append(Change("gallery", action, "gallery", "", why, held=True))
        return in_order(put_again(kept, self._again))

    def offers(self, label: str, target: TargetLab | None) -> tuple[Change, ...]:
        """Return the definitions that users of a lab can use, and what a run does to them."""
        plan, before = self._plan, self._recorded.labs.get(label)
        enabled = before.definitions if before else frozenset()
        rows: list[Change] = []
        lab = next((each for each in plan.labs if each.label == label), None) if plan else None
        if plan is None or label in plan.kept_labs:
            why = _KEPT if plan is None else "the lab could not be read, or has another gallery attached"
            rows = [Change("definition", "keep for now", name, "", why, held=True) for name in sorted(enabled)]
        else:
            there = attached_of(lab.facts, plan.facts.id) if lab else None
            usable = there.enabled if there else frozenset()
            paths = {fold(each.name): each.image_path for each in plan.definitions}
            for one in lab.definitions if lab else ():
                is_new = fold(one.name) not in enabled
                action: Action = "create" if is_new else "keep for now" if one.reason else "unchanged"
                path, held = paths.get(fold(one.name)), fold(one.name) in usable
                listed = why_listed(target, path, self._settings) if target and path else "labs.json"
                why = one.reason or listed
                rows.append(Change("definition", action, one.name, str(path or ""), why, not one.reason, held))
            wanted = {fold(one.name) for one in lab.definitions} if lab else set()
            gone = "labs.json does not give it to the lab by the gallery any more"
            gone = gone if target else self._why_absent(label)
            rows += [Change("definition", "delete", name, "", gone, held=True) for name in sorted(enabled - wanted)]
        return in_order(rows)

    def _gallery(self, plan: GalleryPlan) -> Iterator[Change]:
        facts, has = plan.facts, self._recorded.gallery
        state = "Succeeded" if facts.exists else None
        if any(part.key == "" for part in plan.unadopted):
            why = "the state does not have it; run imagefactory adopt"
            yield Change("gallery", "not adopted", facts.name, "", why, True, True, state)
        elif plan.is_managed:
            action: Action = "unchanged" if has else "create"
            yield Change("gallery", action, facts.name, "", "setting gallery", True, facts.exists, state)
        elif has:
            why = "the setting gallery names it by its id, so the stack does not manage it"
            yield Change("gallery", "delete", facts.name, "", why, False, facts.exists, state)

    def _definitions(self, plan: GalleryPlan) -> Iterator[Change]:
        recorded = self._recorded.definitions
        for one in plan.definitions:
            known = fold(one.name) in recorded
            action: Action = "create" if not known else "unchanged" if one.standing else "missing"
            yield Change("definition", action, one.name, str(one.image_path), "a version needs it", True, one.standing)
        for part in plan.unadopted:
            if part.key and "/" not in part.key:
                yield _unadopted("definition", part.key)
        for name in plan.kept:
            yield Change("definition", "keep for now", name, "", "a version or a lab still needs it", held=True)
        declared = {fold(name) for name in (*(one.name for one in plan.definitions), *plan.kept)}
        standing = {fold(one.name) for one in plan.facts.definitions}
        for key, name in recorded.items():
            if key not in declared:
                yield Change("definition", "delete", name, "", "no version needs it any more", held=key in standing)

    def _versions(self, plan: GalleryPlan) -> Iterator[Change]:
        recorded = self._recorded.versions
        for one in plan.versions:
            found = plan.facts.version(one.definition, one.name)
            labs = some(self._takers.get(one.image.vhd_name, []))
            why = f"image {one.image.name} for {labs}, in {', '.join(one.regions)}"
            if rule := which_rule(one.image.image_path, self._settings, self._rules.get(one.image.vhd_name, "")):
                why += f", {rule}"
            if found and found.state != "Succeeded":
                why += f"; in state {found.state}"
            action = self._action(one)
            state = found.state if found else None
            yield Change("version", action, one.key, str(one.image.image_path), why, True, found is not None, state)
        for part in plan.unadopted:
            if "/" in part.key:
                yield _unadopted("version", part.key)
        for kept in plan.retained:
            why = kept.reason
            if is_reduced := kept.key in self._changed:
                why += f"; only in {', '.join(sorted(kept.regions or ()))}, because it failed elsewhere"
            action = "update" if is_reduced else "keep for now"
            yield Change("version", action, kept.key, kept.image_path, why, held=True)
        for leaving in version_deletions(plan, self._recorded, self._offers):
            found = plan.facts.version(*leaving.name.split("/"))
            path, state = str(recorded[fold(leaving.name)].image_path or ""), found.state if found else None
            yield Change("version", "delete", leaving.name, path, leaving.why, False, leaving.is_standing, state)

    def _action(self, planned: PlannedVersion) -> Action:
        before = self._recorded.versions.get(fold(planned.key))
        if before is None:
            return "create"
        if not planned.standing and image_tags.read(planned.tags).attempt != before.attempt:
            return "replace"
        if planned.key in self._changed:
            return "update"
        return "unchanged" if planned.standing else "missing"


def _unadopted(kind: Kind, name: str) -> Change:
    return Change(kind, "not adopted", name, "", "the state does not have it; run imagefactory adopt", True, True)


def _kind(name: str) -> Kind:
    return "definition" if name == "definition" else "version"
