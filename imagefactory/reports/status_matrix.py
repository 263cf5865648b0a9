"""The status of labs, derived from the plan, the catalog and what was read of the labs. Pure.

Does not decide what labs must contain: the plan does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.configuration.labs_file import LabKey
from imagefactory.configuration.stack_settings import Policy
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.delivery import Route
from imagefactory.planning.galleries.planned import GalleryPlan
from imagefactory.planning.labs.places import of_another_stack
from imagefactory.planning.labs.plan import Plan
from imagefactory.planning.labs.planned_images import LabPlan, PlannedImage
from imagefactory.planning.retention import Offer
from imagefactory.planning.revocations import Revocations
from imagefactory.reports.status import Cell, CellState, Dated, LabStatus, StackStatus


def status(
    plan: Plan,
    catalog: Catalog,
    policy: Policy,
    paths: Iterable[ImagePath],
    owned: Collection[str],
    now: datetime,
    stack: str,
    factory: str,
    unlisted: Iterable[LabFacts] = (),
    *,
    by_tags: bool = False,
) -> StackStatus:
    """Return the status at `now` (UTC) of a stack (`project/stack`). `paths` are those of the golden images; `owned`
    (`<label>/<image>`) is what the state has, or, with `by_tags`, what it would have if the tags in the labs are right:
    as the plan was made with. `unlisted` are labs that labs.json does not list."""
    matrix = _Matrix(plan, catalog, policy, paths, owned, stack, by_tags=by_tags)
    labs = sorted((*matrix.labs(), *matrix.unlisted(unlisted)), key=lambda lab: lab.label)
    return StackStatus(stack.rpartition("/")[2], factory, now, tuple(labs), plan.warnings, plan.failures)


_UNLISTED = "labs.json does not list the lab"
_RESTORE = (
    "to delete what stays, add the lab's entry again, run imagefactory adopt, remove the entry and run pulumi up, or "
    "delete it in the lab"
)
_PERHAPS_LEFT = "created by this stack, and perhaps not in the state, so that it stays (--state tells)"
_NO_TAGS = (
    "its tags were removed, but it has the name and the VHD of a factory image; perhaps the state has it, and pulumi "
    "up writes its tags again (--state tells)"
)

Part = Literal["failed", "lacking", "creating", "foreign", "ready"]
"""How far an image has come in a lab, the worst first."""


@dataclass(frozen=True)
class _Need:
    """An image that the plan gives a lab, as it is there."""

    image: FactoryImage
    part: Part
    why: str


class _Matrix:
    def __init__(
        self,
        plan: Plan,
        catalog: Catalog,
        policy: Policy,
        paths: Iterable[ImagePath],
        owned: Collection[str],
        stack: str,
        *,
        by_tags: bool,
    ) -> None:
        self._plan, self._owned = plan, {name.lower() for name in owned}
        self._stack, self._by_tags = stack, by_tags
        self._revocations = Revocations(catalog, policy)
        self._paths = sorted({*paths, *(image.image_path for image in catalog.images)})
        self._by_vhd = {image.vhd_name: image for image in catalog.images}
        self._by_name = {fold(image.name): image for image in reversed(catalog.images)}
        self._reasons = {(one.lab, one.image): one.reason for one in plan.omissions}

    def labs(self) -> Iterator[LabStatus]:
        """Yield all labs, by label."""
        unread = {lab.label: lab for lab in self._plan.unread}
        read = {lab.label: lab for lab in self._plan.labs}
        for label in sorted({*unread, *read}):
            if label in read:
                lab = read[label]
                facts = lab.facts
                cells = tuple(self._cells(lab))
                yield LabStatus(label, facts.name, facts.subscription_id, facts.resource_group, facts.region, cells)
            else:
                target = unread[label]
                found = (each for each in self._plan.failures if each.location == target.location)
                why = next((each.message() for each in found), "the lab could not be read")
                cells = tuple(Cell(str(path), "unread", why=why) for path in self._paths if target.takes(path))
                yield LabStatus(label, target.name, target.subscription_id, target.resource_group or "", "", cells)

    def unlisted(self, labs: Iterable[LabFacts]) -> Iterator[LabStatus]:
        """Yield the labs that labs.json does not list and that have images of the stack."""
        taken = {lab.label for lab in self._plan.labs} | {lab.label for lab in self._plan.unread}
        for lab in labs:
            key = LabKey.of(lab.subscription_id, lab.name, lab.resource_group)
            labels = [label for label in (key.label(), key.label(lab.resource_group)) if label not in taken]
            there: dict[ImagePath, list[StandingImage]] = {}
            for image in lab.images:
                if image.path and (image.stack == self._stack or self._has(labels, image)):
                    there.setdefault(image.path, []).append(image)
            cells = [self._left(labels, path, found, _UNLISTED, _RESTORE) for path, found in sorted(there.items())]
            if cells:
                label = (*labels, key.label(lab.resource_group))[0]
                yield LabStatus(label, lab.name, lab.subscription_id, lab.resource_group, "", tuple(cells))

    def _cells(self, lab: LabPlan) -> Iterator[Cell]:
        needs: dict[ImagePath, list[_Need]] = {}
        planned = {one.image.vhd_name: one for one in (*(each.planned for each in lab.unadopted), *lab.images)}
        standing = {image.id.lower(): image for image in lab.facts.images}
        for route in lab.routes:
            if route.as_custom_image or route.by_gallery:
                one = planned.get(route.image.vhd_name)
                image = standing.get(one.image_id.lower()) if one else None
                needs.setdefault(route.image.image_path, []).append(self._need(lab, route, one, image))
        there: dict[ImagePath, list[StandingImage]] = {}
        for each in lab.facts.images:
            if each.path:
                there.setdefault(each.path, []).append(each)
        taken = [path for path in self._paths if lab.lab.takes(path)]
        for path in sorted({*taken, *needs, *there}):
            found = there.get(path, [])
            yield (
                self._cell(lab, path, needs.get(path, []), found)
                if lab.lab.takes(path)
                else self._left([lab.label], path, found, f"labs.json does not give the lab {path}")
            )

    def _need(self, lab: LabPlan, route: Route, planned: PlannedImage | None, found: StandingImage | None) -> _Need:
        image = route.image
        parts = [self._custom_image(lab, image, planned, found)] if route.as_custom_image else []
        parts += [_version(lab, self._plan.gallery, image)] if route.by_gallery else []
        return _Need(image, *_worst(parts))

    def _custom_image(
        self, lab: LabPlan, image: FactoryImage, planned: PlannedImage | None, found: StandingImage | None
    ) -> tuple[Part, str]:
        if planned is None:
            reason = self._reasons.get((lab.label, image.name), "the lab does not get it")
            is_taken = any(fold(each.name) == fold(image.name) for each in lab.facts.images)
            is_foreign = is_taken or any(each.holds(image.vhd_name, image.name) for each in lab.foreign)
            return ("foreign" if is_foreign else "lacking"), reason
        if found is None or found.state == "Deleting":
            return "lacking", "not in the lab"
        if found.in_progress:
            return "creating", f"in state {found.state}"
        if found.state != "Succeeded":
            return "failed", f"in state {found.state}"
        if any(planned is each.planned for each in lab.unadopted):
            return "foreign", "the state does not have it; run imagefactory adopt"
        if self._by_tags and not self._has([lab.label], found):
            return "foreign", _NO_TAGS
        return "ready", ""

    def _cell(self, lab: LabPlan, path: ImagePath, needs: list[_Need], there: list[StandingImage]) -> Cell:
        usable = [self._dated(image) for image in there if image.state == "Succeeded"]
        usable += [
            Dated(need.image.name, need.image.saved_at) for need in needs if need.image.vhd_name in lab.by_gallery
        ]
        holds = max(usable, key=_age, default=None)
        newest = needs[0].image if needs else None  # the plan has them newest first
        undone = [need for need in needs if need.part not in {"ready", "foreign"}]
        newer = [need for need in undone if not holds or _age(Dated("", need.image.saved_at)) > _age(holds)]
        state, why = self._judged(lab, path, needs, there, holds, newer)
        given = Dated(newest.name, newest.saved_at) if newest else None
        return Cell(str(path), state, len(newer), holds, given, why)

    def _judged(
        self,
        lab: LabPlan,
        path: ImagePath,
        needs: list[_Need],
        there: list[StandingImage],
        holds: Dated | None,
        newer: list[_Need],
    ) -> tuple[CellState, str]:
        """Return the state of a cell, and why."""
        revoked = [f"{each.name} is {why}" for each in there if (why := self._revocations.of_standing(each))]
        if revoked:
            return "revoked", "; ".join(revoked)
        if failed := _told(needs, "failed"):
            return "failed", "; ".join(failed)
        if lacking := _told(needs, "lacking"):
            state: CellState = "missing" if not holds else "behind" if newer else "incomplete"
            return state, "; ".join(lacking)
        if strange := [*_told(needs, "foreign"), *self._strays(lab, needs, there)]:
            return "foreign", "; ".join(strange)
        if creating := _told(needs, "creating"):
            return "creating", "; ".join(creating)
        if held := self._held_back(lab, path, needs):
            return "held back", held
        if not needs:
            return "no image", self._why_none(lab, path)
        return "current", ""

    @staticmethod
    def _held_back(lab: LabPlan, path: ImagePath, needs: list[_Need]) -> str:
        """Return which newer images the lab gets later, and when: they soak, or wait for an earlier ring."""
        since = needs[0].image.saved_at if needs else None
        return "; ".join(
            f"{offer.image.name}: {later}"
            for offer in _offers(lab, path)
            if (later := offer.soaks or offer.waits) and (since is None or offer.image.saved_at > since)
        )

    @staticmethod
    def _why_none(lab: LabPlan, path: ImagePath) -> str:
        """Return why the plan gives a lab no image of a path."""
        way = next((each.reason for each in lab.routes if each.image.image_path == path), "")
        offer = next(iter(_offers(lab, path)), None)
        return way or (f"{offer.image.name}: {offer.reason}" if offer else "the factory has no image of it")

    def _strays(self, lab: LabPlan, needs: list[_Need], there: list[StandingImage]) -> Iterator[str]:
        """Yield the images of a factory that the state does not have and the plan does not contain."""
        for image in there:
            is_wanted = any(image.holds(need.image.vhd_name, need.image.name) for need in needs)
            if not is_wanted and not self._has([lab.label], image):
                yield f"{image.name}: {self._whose(image)}"

    def _left(
        self, labels: Iterable[str], path: ImagePath, there: list[StandingImage], why: str, remedy: str = ""
    ) -> Cell:
        """Return the cell of a path that labs.json does not give the lab."""
        strange = [f"{image.name}: {self._whose(image)}" for image in there if not self._has(labels, image)]
        holds = max((self._dated(image) for image in there if image.state == "Succeeded"), key=_age, default=None)
        if not strange:
            return Cell(str(path), "leaving", holds=holds, why=f"{why}; pulumi up deletes what the state has of it")
        return Cell(str(path), "foreign", holds=holds, why="; ".join(filter(None, (why, *strange, remedy))))

    def _has(self, labels: Iterable[str], image: StandingImage) -> bool:
        """Return whether the state has an image of a lab with these labels, as far as is known."""
        return any(f"{label}/{image.name}".lower() in self._owned for label in labels)

    def _whose(self, image: StandingImage) -> str:
        if image.stack and image.stack != self._stack:
            return of_another_stack(image)
        perhaps = _PERHAPS_LEFT if image.stack else _NO_TAGS
        return perhaps if self._by_tags else "the state does not have it, so it stays"

    def _dated(self, image: StandingImage) -> Dated:
        """Return when the VHD of a custom image was saved: by the factory, else by its tag, else when Azure made it."""
        source = self._by_vhd.get(image.source_vhd) if image.source_vhd else self._by_name.get(fold(image.name))
        return Dated(image.name, source.saved_at if source else image.saved_at or image.created)


def _offers(lab: LabPlan, path: ImagePath) -> list[Offer]:
    """Return the images of a path, newest first, each with the reason if the lab does not get it."""
    return [offer for offer in lab.offering.offers if offer.image.image_path == path]


def _told(needs: Iterable[_Need], part: Part) -> list[str]:
    """Return why images have come so far only: `a, b: not in the lab`."""
    names: dict[str, list[str]] = {}
    for need in needs:
        if need.part == part:
            names.setdefault(need.why, []).append(need.image.name)
    return [f"{', '.join(each)}: {why}" for why, each in names.items()]


def _version(lab: LabPlan, gallery: GalleryPlan | None, image: FactoryImage) -> tuple[Part, str]:
    """Return how far the gallery's version of an image has come for a lab."""
    if image.vhd_name in lab.by_gallery:
        return "ready", ""
    versions = gallery.facts.by_source.get(image.vhd_name, ()) if gallery else ()
    found: list[tuple[Part, str]] = [
        ("creating" if each.in_progress else "failed", f"its version in the gallery is in state {each.state}")
        for _, each in versions
        if each.in_progress or each.state == "Failed"
    ]
    return _worst(found) if found else ("lacking", "its users cannot use it by the gallery")


def _worst(parts: Iterable[tuple[Part, str]]) -> tuple[Part, str]:
    return min(parts, key=lambda one: get_args(Part).index(one[0]))


def _age(one: Dated) -> tuple[bool, float, str]:
    return one.saved_at is not None, one.saved_at.timestamp() if one.saved_at else 0.0, fold(one.name)
