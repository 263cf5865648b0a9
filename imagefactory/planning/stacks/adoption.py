"""Which custom images that stand in the labs the state takes over, and what becomes of the others.

Reads two plans: that of the present state, and that of the state with all images of the factory in it. Takes over what
the plan contains and what the stack itself created. Does not edit the state: `imagefactory.state.edits` does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime

from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic
from imagefactory.images.catalog import Catalog, newest_first
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.labs.lab_labels import grouped
from imagefactory.planning.labs.moved_labs import MovedLab
from imagefactory.planning.labs.plan import Plan
from imagefactory.planning.labs.planned_images import LabPlan
from imagefactory.planning.retention import retained
from imagefactory.planning.stacks.adoption_rules import Action, AdoptionRules
from imagefactory.planning.stacks.gallery_adoption import GalleryAdoption


@dataclass(frozen=True)
class Finding:
    """A custom image and what adoption does with it; only those with `take over` and `move` are changed in the state.

    `gone`: the state has it, the lab does not.
    """

    action: Action
    name: str
    image: StandingImage | None
    """None: it does not exist."""
    reason: str


@dataclass(frozen=True)
class LabAdoption:
    """The findings of one lab that could be read; without those images that the state has already."""

    label: str
    facts: LabFacts
    findings: tuple[Finding, ...]
    moved: MovedLab | None = None

    def taken(self) -> Iterator[tuple[str, StandingImage]]:
        """Yield the images to add to the state, each with its name there."""
        for finding in self.findings:
            if finding.action == "take over" and finding.image:
                yield finding.name, finding.image


@dataclass(frozen=True)
class Adoption:
    """What `imagefactory adopt` shows and does."""

    labs: tuple[LabAdoption, ...]
    failures: tuple[Diagnostic, ...] = ()
    """Those of the plan, such as labs that could not be read: the next run reports them, too."""
    gallery: GalleryAdoption | None = None
    """None: the stack has none, or it does not exist or could not be read."""
    unread: tuple[TargetLab, ...] = ()
    """Labs that could not be read or cannot get images, so no image there is taken over."""
    is_gallery_unread: bool = False

    @property
    def moved(self) -> tuple[MovedLab, ...]:
        """The labs whose ids change in the state."""
        return tuple(lab.moved for lab in self.labs if lab.moved)

    @property
    def left_out(self) -> list[str]:
        """The labels of the unread labs, and `gallery` if the gallery could not be read."""
        labels = sorted({lab.key: lab.label for lab in self.unread}.values())
        return [*labels, *(["gallery"] if self.is_gallery_unread else [])]

    def count(self, action: Action) -> int:
        """Return the number of findings in labs."""
        return sum(finding.action == action for lab in self.labs for finding in lab.findings)


def candidates(labs: Iterable[LabPlan], rules: AdoptionRules) -> Set[str]:
    """Return the names (`<label>/<image>`) of all images in the labs that could be taken over."""
    return {f"{lab.label}/{image.name}" for lab in labs for image in lab.facts.images if not rules.foreign(image)}


def adoption(
    plan: Plan,
    owned: Collection[str],
    unfinished: Set[str],
    leaving: Set[str],
    moved: Iterable[MovedLab],
    catalog: Catalog,
    policy: Policy,
    rules: AdoptionRules,
    now: datetime | None = None,
) -> Adoption:
    """Return what becomes of each image. `plan` is that of a state with `owned` and all `candidates`.

    `unfinished` are those of `owned` whose creation the engine did not see finish: it would put them again, so they are
    taken over once Azure has them. `leaving` are the ids, in lower case, of images that the state is about to delete:
    they are not taken over.
    """
    offers = {offer.image.vhd_name: offer.reason for offer in retained(catalog, policy, now)}
    begun = {name.lower(): name.rpartition("/")[2] for name in unfinished}
    known = {name.lower() for name in owned} - begun.keys()
    by_label = {lab.label: lab for lab in moved}
    names = grouped((name.rpartition("/")[0].lower(), name.rpartition("/")[2]) for name in sorted(owned))
    labs = (
        _lab_adoption(
            lab,
            known,
            begun,
            names.get(lab.label.lower(), ()),
            leaving,
            by_label.get(lab.label),
            offers,
            catalog,
            rules,
        )
        for lab in plan.labs
    )
    return Adoption(tuple(labs), tuple(plan.failures), unread=plan.unread)


def _lab_adoption(
    lab: LabPlan,
    known: Set[str],
    begun: Mapping[str, str],
    names: Iterable[str],
    leaving: Set[str],
    moved: MovedLab | None,
    offers: Mapping[str, str],
    catalog: Catalog,
    rules: AdoptionRules,
) -> LabAdoption:
    wanted = {image.image_id.lower() for image in lab.images}
    kept = {fold(one.name): one.reason for one in lab.retained}
    carried = {fold(name) for name in moved.names} if moved else set()
    findings = []
    for image in sorted(lab.facts.images, key=lambda image: (fold(image.name), image.id)):
        if fold(image.name) in carried:
            findings.append(Finding("move", image.name, image, "its id changed with its lab's"))
        elif (key := f"{lab.label}/{image.name}".lower()) in known:
            continue
        elif key in begun:
            if image.usable:
                findings.append(Finding("take over", begun[key], image, "an earlier run did not see Azure finish it"))
        elif reason := rules.foreign(image):
            findings.append(Finding("foreign", image.name, image, reason))
        elif image.state == "Deleting" or image.id.lower() in leaving:
            why = "Azure is deleting it" if image.state == "Deleting" else "the next pulumi up deletes it"
            findings.append(Finding("not wanted", image.name, image, why))
        elif image.id.lower() in wanted:
            findings.append(Finding("take over", image.name, image, _state(image)))
        else:
            rule = why_not_wanted(lab, image, offers, catalog)
            when = kept.get(fold(image.name))
            fate = f"{rule}; " + (f"pulumi up keeps it for now: {when}" if when else "the next pulumi up deletes it")
            if rules.retire or rules.own(image):
                findings.append(Finding("take over", image.name, image, fate))
            else:
                findings.append(Finding("not wanted", image.name, image, f"{rule}; it stays as it is"))
    standing = {fold(image.name) for image in lab.facts.images}
    gone = [name for name in (*names, *(moved.names if moved else ())) if fold(name) not in standing]
    again = "the state has it, the lab does not; `pulumi up --refresh` creates it again if the plan contains it"
    findings += [Finding("gone", name, None, again) for name in dict.fromkeys(gone)]
    return LabAdoption(lab.label, lab.facts, tuple(findings), moved)


def _state(image: StandingImage) -> str:
    if image.state == "Succeeded":
        return "the plan contains it"
    return f"in state {image.state}{'' if image.in_progress else ': pulumi up creates it again'}"


def why_not_wanted(lab: LabPlan, image: StandingImage, offers: Mapping[str, str], catalog: Catalog) -> str:
    """Return why the plan does not contain an image of a lab; `offers` has the reasons of `retained` by VHD."""
    if image.path is None:
        return "its tag ImagePath is invalid"
    if not lab.lab.takes(image.path):
        return f"labs.json does not give the lab {image.path}"
    if revoked := next((one.reason for one in lab.revoked if fold(one.name) == fold(image.name)), ""):
        return revoked
    sources = newest_first(one for one in catalog.images if image.holds(one.vhd_name, one.name))
    made_from = next(iter(sources), None)
    if made_from is None:
        return "its VHD is not in the factory"
    if reason := offers.get(made_from.vhd_name) or lab.offering.reasons.get(made_from.vhd_name):
        return reason
    way = next((each for each in lab.routes if each.image.vhd_name == made_from.vhd_name), None)
    return way.reason if way and not way.as_custom_image else "another image in the lab is from the same VHD"
