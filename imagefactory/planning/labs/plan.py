"""The plan: which images each lab must contain, and why others are skipped.

Derives it from catalog, labs and policy. Has no side effects: programs and reports read the same value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime

from imagefactory.configuration.labs_file import LabKey, TargetLab
from imagefactory.configuration.loading import Configuration
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, Severity, error, warning
from imagefactory.images import tags as image_tags
from imagefactory.images.catalog import Catalog, name_warning, newest_first
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.plain_text import printable
from imagefactory.planning.delivery import delivery_of, reservations, routes, without_gallery
from imagefactory.planning.galleries.planned import GalleryPlan, RecordedGallery
from imagefactory.planning.galleries.replicas import replica_note
from imagefactory.planning.labs.account_rules import account_findings
from imagefactory.planning.labs.by_gallery import NO_GALLERY, available_by, deliveries, placed_labs, with_gallery
from imagefactory.planning.labs.crossings import Crossing, crossings, with_relays
from imagefactory.planning.labs.deletion_guard import held_images, unsafe_deletions
from imagefactory.planning.labs.lab_labels import grouped, in_state, with_labels
from imagefactory.planning.labs.moved_labs import MovedLab, moved_labs
from imagefactory.planning.labs.named_images import (
    pin_findings,
    revocation_findings,
    rule_findings,
    standing_revoked,
    used_leaving,
)
from imagefactory.planning.labs.ownership import Ownership, as_recorded, not_in_the_state, tags_changed
from imagefactory.planning.labs.places import NoPlace, Place, place_of
from imagefactory.planning.labs.planned_images import LabPlan, PlannedImage, Recorded, Unadopted
from imagefactory.planning.labs.retirement import Successors, revoked_images
from imagefactory.planning.retention import retained
from imagefactory.planning.revocations import Revocations
from imagefactory.planning.rings import Offering, offerings, ring_warnings, waiting
from imagefactory.planning.used_images import Uses


@dataclass(frozen=True)
class Omission:
    """A factory image that a lab (its label; None: no lab) does not get, and why."""

    lab: str | None
    image: str | None
    image_path: str
    reason: str

    def to_dict(self) -> dict[str, str | None]:
        """Return the omission for the stack's outputs; the lab is null if no lab gets the image."""
        return {"lab": self.lab, "image": self.image, "imagePath": self.image_path, "reason": self.reason}


@dataclass(frozen=True)
class Plan:
    """What to do for each lab. If there are `failures`, the run carries out the rest and then fails."""

    labs: tuple[LabPlan, ...]
    unread: tuple[TargetLab, ...] = ()
    """Labs that could not be read or cannot get images: they are kept as in the state."""
    omissions: tuple[Omission, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    failures: tuple[Diagnostic, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    moved: tuple[MovedLab, ...] = ()
    """Labs that moved since the state was written; they are among the `unread` ones."""
    gallery: GalleryPlan | None = None
    """None: the stack has no gallery, or it could not be read; then what the state has of it is kept."""
    rules: Mapping[str, str] = field(default_factory=dict)
    """Which rule gives labs an image, by the file name of its VHD."""
    now: datetime | None = None
    """The time (UTC) by which it was decided; None: images neither soak nor age."""
    waiting: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of factory images that a ring does not take yet, each with the reasons of these rings."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """The labs of labs.json that the stack does not serve, by the labels that they can have, and why."""

    def why_absent(self, label: str) -> str:
        """Return why the plan does not have a lab of the state."""
        return self.absent.get(label, "labs.json does not have the lab")

    def retained(self) -> list[dict[str, str]]:
        """Return the images that are kept although the plan does not contain them, for the stack's outputs."""
        return [
            {"lab": lab.label, "image": one.name, "imagePath": printable(one.image_path), "reason": one.reason}
            for lab in self.labs
            for one in lab.retained
        ] + [
            {"lab": "", "image": one.key, "imagePath": printable(one.image_path), "reason": one.reason}
            for one in (self.gallery.retained if self.gallery else ())
        ]

    def notes(self) -> Iterator[str]:
        """Yield a line for each cross-region copy, each way to a lab, the replicas of the gallery, each image that a
        ring waits with, each Linux disk found with a GPT, the images kept for now, and the revoked ones that leave."""
        yield from (crossing.text() for crossing in self.crossings)
        if self.gallery:
            yield from deliveries(self.labs)
            yield from filter(None, [replica_note(self.gallery)])
        yield from (printable(f"factory image {name}: {why}") for name, all in self.waiting.items() for why in all)
        planned = {one.image.vhd_name: one.image for lab in self.labs for one in lab.images}
        for name, image in sorted(planned.items()):
            if "keepDays" in (rule := self.rules.get(name, "")):
                yield printable(f"factory image {image.name}: labs have it because it is {rule}")
            if image.partition_table == "GPT" and image.generation != "V2":
                fact = f"its {image.os_type} disk has a GPT, so its VMs start only if it has a boot loader for BIOS too"
                yield printable(f"factory image {image.name}: {fact}")
        for lab in self.labs:
            reasons: dict[str, list[str]] = {}
            for one in lab.retained:
                reasons.setdefault(one.reason, []).append(one.name)
            for reason, names in reasons.items():
                yield printable(f"{lab.label}: keeps {', '.join(names)}: {reason}")
            for one in lab.revoked:
                yield printable(f"{lab.label}: deletes {one.name}: {one.reason}")
        for version in self.gallery.retained if self.gallery else ():
            yield printable(f"gallery: keeps {version.key}: {version.reason}")
        for version in self.gallery.revoked if self.gallery else ():
            yield printable(f"gallery: deletes {version.key}: {version.reason}")


@dataclass
class _Findings:
    """What the rules collect in addition to the images."""

    omissions: list[Omission] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)
    failures: list[Diagnostic] = field(default_factory=list)

    def omit(self, image: FactoryImage, reason: str, lab: str | None = None) -> None:
        self.omissions.append(Omission(lab, image.name, str(image.image_path), reason))

    def add(self, diagnostic: Diagnostic) -> None:
        (self.failures if diagnostic.severity is Severity.ERROR else self.warnings).append(diagnostic)


def build_plan(
    configuration: Configuration,
    catalog: Catalog,
    factory: LabFacts,
    labs: Mapping[LabKey, LabFacts | Diagnostic],
    policy: Policy,
    owned: Set[str] = frozenset(),
    recorded: Mapping[str, Recorded] | None = None,
    stack: str = "",
    gallery: GalleryFacts | Diagnostic | None = None,
    in_gallery: RecordedGallery = NO_GALLERY,
    now: datetime | None = None,
) -> Plan:
    """Decide what each lab must contain. The result does not depend on the order of the inputs.

    `labs` has a value for each lab of the configuration: its facts, or why it could not be read. `owned` names the
    images in the state (`<label>/<name>`), which the engine would delete even if they have no tag;
    `recorded` has what the state tells of each of them. `stack` is `project/stack`, the tag of the images that are
    created; empty: they get no such tag, and no existing image counts as another stack's. `gallery` is the one that
    the settings name (or why it could not be read), `in_gallery` what the state has of it. `now` is the time (UTC) by
    which images soak and are young; None: no image soaks, and all are young.
    """
    found = _Findings(warnings=[*configuration.warnings, *sorted(catalog.warnings, key=Diagnostic.text)])
    found.warnings += sorted((left_out.reason for left_out in catalog.left_out), key=Diagnostic.text)
    for left_out in catalog.left_out:
        if left_out.image:
            found.omit(left_out.image, f"VHD {left_out.name}: {left_out.reason.fact}")
    ownership = Ownership.of(owned, recorded, stack)
    placed = {**ownership.recorded, **placed_labs(in_gallery)}
    targets = sorted(with_labels(configuration.labs, labs, placed), key=lambda lab: lab.label)
    labs = {lab.key: as_recorded(lab, labs[lab.key], ownership, catalog) for lab in targets}
    by_lab = offerings(configuration.labs, catalog, policy, labs, gallery, now)
    rules = {image.vhd_name: rule for image, rule in _offered(catalog, policy, targets, by_lab, found, now)}
    offered = [image for image in newest_first(catalog.images) if image.vhd_name in rules]
    known = [(lab, facts) for lab in targets if isinstance(facts := labs[lab.key], LabFacts)]
    absent = _absent(configuration.others, ownership.name)
    moved = tuple(moved_labs(known, recorded or {}, absent.keys() | {lab.label for lab in targets}))
    plans: list[LabPlan] = []
    uses = Uses(policy, now)
    unread: list[TargetLab] = []
    ways = {lab.label: routes(lab, by_lab[lab.key].of_lab(lab), policy) for lab in targets}
    for lab in targets:
        left = [one for one in moved if one.lab is lab]
        facts = left[0].diagnostic(f"imagefactory adopt --stack {ownership.name}") if left else labs[lab.key]
        if isinstance(facts, LabFacts) and delivery_of(lab, policy) != "gallery":
            findings = list(account_findings(lab, facts))
            found.warnings += (each for each in findings if each.severity is not Severity.ERROR)
            facts = next((each for each in findings if each.severity is Severity.ERROR), facts)
        if isinstance(facts, Diagnostic):
            kept = facts.consequence or "nothing is distributed to it, and its images are kept"
            place = facts.location or lab.location
            found.failures.append(replace(facts, severity=Severity.ERROR, consequence=kept, location=place))
            for way in ways[lab.label]:
                found.omit(way.image, "the lab could not be read or cannot get images", lab.label)
            unread += (*in_state(lab, labs[lab.key], ownership.recorded), *(one.kept for one in left))
            continue
        for way in ways[lab.label]:
            if not (way.as_custom_image or way.by_gallery):
                found.omit(way.image, way.reason, lab.label)
        wanted = [way.image for way in ways[lab.label] if way.as_custom_image]
        usable = available_by(gallery, facts, ways[lab.label])
        plan = _lab_plan(lab, facts, wanted, ownership, factory, policy, found)
        found.failures += uses.failures(lab, facts)
        plans.append(replace(plan, routes=tuple(ways[lab.label]), by_gallery=usable, offering=by_lab[lab.key]))
    for image in offered:
        if not any(lab.takes(image.image_path) for lab in targets):
            found.omit(image, "no lab of the stack uses its image path" if absent else "no lab uses its image path")
        elif image.name_problem:
            found.warnings.append(name_warning(image))
    for diagnostic in (
        *pin_findings(policy, offered, catalog, now),
        *revocation_findings(policy, catalog, labs, gallery),
    ):
        found.add(diagnostic)
    found.warnings += rule_findings(policy)
    found.warnings += ring_warnings(targets, catalog, policy, labs)
    found.warnings += reservations(way for label in sorted(ways) for way in ways[label])
    if lacking := without_gallery(targets, policy):
        found.add(lacking)
    held = held_images(((plan.lab, plan.facts) for plan in plans), ownership)
    by_label = grouped((one.lab.label, one) for one in held)
    threatened: set[str] = set()
    for diagnostic, at_risk in unsafe_deletions(catalog, held):
        found.add(diagnostic)
        threatened |= {one.image.id for one in at_risk}
    if catalog.images or not policy.allow_empty_factory:
        successors = Successors(catalog, policy, configuration.image_paths, now)
        plans = [
            replace(plan, retained=successors.retained(plan, by_label.get(plan.label, ()), threatened))
            for plan in plans
        ]
    revocations = Revocations(catalog, policy)
    plans = [replace(plan, revoked=revoked_images(plan, by_label.get(plan.label, ()), revocations)) for plan in plans]
    found.warnings += standing_revoked(plans, revocations, ownership)
    found.warnings += used_leaving(plans, held, uses, revocations)
    if not catalog.images:
        found.add(_empty(policy, plans, is_held=bool(held)))
    found.warnings += tags_changed(plans)
    if outside := not_in_the_state(plans, ownership):
        found.add(outside)
    gallery_plan, gallery_findings = with_gallery(
        gallery, targets, plans, ways, catalog, policy, in_gallery, stack, now, by_lab
    )
    for diagnostic in gallery_findings.diagnostics:
        found.add(diagnostic)
    for image, reason in gallery_findings.omissions:
        found.omit(image, reason)
    lab_plans = with_relays(plans, factory) if policy.cross_region == "relay" else tuple(plans)
    return Plan(
        lab_plans,
        tuple(unread),
        tuple(found.omissions),
        tuple(found.warnings),
        tuple(found.failures),
        crossings(lab_plans, factory),
        moved,
        gallery_plan,
        rules,
        now,
        waiting(by_lab.values()),
        absent,
    )


def _absent(others: Iterable[TargetLab], stack: str) -> dict[str, str]:
    why = f"labsMatching of stack {stack} does not match the lab"
    return {label: why for lab in others for label in (lab.label, lab.key.label())}


def _offered(
    catalog: Catalog,
    policy: Policy,
    targets: Iterable[TargetLab],
    by_lab: Mapping[LabKey, Offering],
    found: _Findings,
    now: datetime | None,
) -> Iterator[tuple[FactoryImage, str]]:
    """Yield the images that labs can get, with the rule that gives them; report the others. Which ones a lab gets can
    depend on its ring."""
    for offer in retained(catalog, policy, now):
        image = offer.image
        takers = [(lab.label, by_lab[lab.key]) for lab in targets if lab.takes(image.image_path)]
        given = [each.rules[image.vhd_name] for _, each in takers if image.vhd_name in each.rules]
        if offer.duplicate and not given:
            subject = f"factory image {image.name} ({image.vhd_name})"
            fact = f"a newer image, {offer.duplicate.vhd_name}, has the same name"
            remedy = "Delete one of them from the factory, or rename it"
            found.warnings.append(warning(subject, fact, "the older image is not distributed", remedy))
        if offer.reason and not given:
            found.omit(image, offer.reason)
            continue
        for label, each in takers:
            if reason := each.reasons.get(image.vhd_name):
                found.omit(image, reason, label)
        yield image, offer.rule or given[0]


def _lab_plan(
    lab: TargetLab,
    facts: LabFacts,
    wanted: Iterable[FactoryImage],
    ownership: Ownership,
    factory: LabFacts,
    policy: Policy,
    found: _Findings,
) -> LabPlan:
    """Return what a lab must contain. An image that exists and is not in the state is never among its images.

    With `crossRegion: refuse`, a lab in another region keeps its images and gets no new ones.
    """
    refuses = policy.cross_region == "refuse" and facts.region_key != factory.region_key
    images: list[PlannedImage] = []
    refused: list[PlannedImage] = []
    unadopted: list[Unadopted] = []
    foreign: list[StandingImage] = []
    for image in wanted:
        place, diagnostic = place_of(lab, facts, image, ownership)
        if isinstance(place, NoPlace):
            found.omit(image, place.reason, lab.label)
            foreign += [place.foreign] if place.foreign else []
        else:
            planned = _planned(lab, image, place, ownership)
            if refuses and not place.standing:
                refused.append(planned)
                continue
            if place.unadopted:
                unadopted.append(Unadopted(place.unadopted, planned))
            else:
                images.append(planned)
        if diagnostic:
            found.add(diagnostic)
    if refused:
        _refuse(lab, facts, factory, refused, found)
    return LabPlan(lab.label, lab, facts, tuple(images), unadopted=tuple(unadopted), foreign=tuple(foreign))


def _planned(lab: TargetLab, image: FactoryImage, place: Place, ownership: Ownership) -> PlannedImage:
    # Azure and the state may have a name in different case; another name would be another resource.
    name = ownership.name_of(lab, place.name) or place.name
    before = ownership.record_of(lab, name)
    attempt = place.attempt and max(place.attempt, before.attempt + 1)
    is_done = before.vhd_name == image.vhd_name
    # Tags that differ from the state's would update an image that needs none, if a user deleted it in the lab.
    is_kept = is_done and not attempt
    stack = before.stack if is_kept else ownership.stack
    stack = stack or (ownership.stack if place.retagged else None)
    tags = image_tags.write(before.as_tagged(image) if is_kept else image, attempt, stack or "")
    return PlannedImage(image, name, place.image_id, place.standing, tags, is_done, retagged=place.retagged)


def _empty(policy: Policy, plans: Iterable[LabPlan], *, is_held: bool) -> Diagnostic:
    """Return the diagnostic about a factory without images; `is_held`: labs have images of the factory."""
    fact = "has no image to distribute"
    if not is_held:
        return warning("factory", fact, "nothing is distributed", "Save a factory image")
    if policy.allow_empty_factory:
        consequence = "the images in the labs are deleted, because allowEmptyFactory is true"
        return warning("factory", fact, consequence, "Unset imagefactory:allowEmptyFactory if this is not intended")
    kept = next((f" (such as {one.name} of lab {plan.label})" for plan in plans for one in plan.retained), "")
    consequence = f"labs keep their newest Succeeded images of each image path in labs.json{kept}"
    remedy = "Check the factory's container, or set imagefactory:allowEmptyFactory to true to delete them too"
    return error("factory", fact, consequence, remedy)


def _refuse(
    lab: TargetLab, facts: LabFacts, factory: LabFacts, refused: Iterable[PlannedImage], found: _Findings
) -> None:
    """Report the images that a lab in another region does not get."""
    names = ", ".join(sorted(image.name for image in refused))
    fact = f"is in {facts.region}, the factory in {factory.region}, and {names} is missing"
    consequence = "crossRegion is refuse, so the lab gets no new images and keeps those that they would replace"
    remedy = "Set imagefactory:crossRegion to relay or direct, or remove the lab from labs.json"
    found.failures.append(error(f"lab {lab.label}", fact, consequence, remedy, lab.location))
    for image in refused:
        found.omit(image.image, "its VHD would be copied to another region (setting crossRegion)", lab.label)
