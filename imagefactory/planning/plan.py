"""The plan: which images each lab must contain, and why others are skipped.

Derives it from catalog, labs and policy. Has no side effects: programs and reports read the same value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace

from imagefactory.configuration.image_names import name_beside
from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.labs_file import LabKey, TargetLab
from imagefactory.configuration.loading import Configuration
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, Severity, error, warning
from imagefactory.images import tags as image_tags
from imagefactory.images.catalog import Catalog, name_warning
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.plain_text import printable
from imagefactory.planning.account_rules import account_findings
from imagefactory.planning.crossings import Crossing, crossings, with_relays
from imagefactory.planning.deletion_guard import held_images, unsafe_deletions
from imagefactory.planning.lab_labels import in_state, with_labels
from imagefactory.planning.planned_images import LabPlan, PlannedImage, Recorded
from imagefactory.planning.retention import retained
from imagefactory.planning.retirement import Successors


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

    def retained(self) -> list[dict[str, str]]:
        """Return the images that are kept although the plan does not contain them, for the stack's outputs."""
        return [
            {"lab": lab.label, "image": one.name, "imagePath": printable(one.image_path), "reason": one.reason}
            for lab in self.labs
            for one in lab.retained
        ]

    def notes(self) -> Iterator[str]:
        """Yield one line for each cross-region copy, each Linux disk found with a GPT, and the images kept for now."""
        yield from (crossing.text() for crossing in self.crossings)
        planned = {one.image.vhd_name: one.image for lab in self.labs for one in lab.images}
        for _, image in sorted(planned.items()):
            if image.partition_table == "GPT" and image.generation != "V2":
                fact = f"its {image.os_type} disk has a GPT, so its VMs start only if it has a boot loader for BIOS too"
                yield printable(f"factory image {image.name}: {fact}")
        for lab in self.labs:
            reasons: dict[str, list[str]] = {}
            for one in lab.retained:
                reasons.setdefault(one.reason, []).append(one.name)
            for reason, names in reasons.items():
                yield printable(f"{lab.label}: keeps {', '.join(names)}: {reason}")


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
) -> Plan:
    """Decide what each lab must contain. The result does not depend on the order of the inputs.

    `labs` has a value for each lab of the configuration: its facts, or why it could not be read. `owned` names the
    images in the state (`<label>/<name>`), which the engine would delete even if they have no tag;
    `recorded` has what the state tells of each of them.
    """
    found = _Findings(warnings=[*configuration.warnings, *sorted(catalog.warnings, key=Diagnostic.text)])
    found.warnings += sorted((left_out.reason for left_out in catalog.left_out), key=Diagnostic.text)
    for left_out in catalog.left_out:
        if left_out.image:
            found.omit(left_out.image, f"VHD {left_out.name}: {left_out.reason.fact}")
    offered = list(_offered(catalog, policy, found))
    _check_pins(policy, offered, catalog, found)
    recorded = {name.lower(): each for name, each in (recorded or {}).items()}
    targets = sorted(with_labels(configuration.labs, labs, recorded), key=lambda lab: lab.label)
    names = {name.lower(): name.rpartition("/")[2] for name in owned}
    plans: list[LabPlan] = []
    unread: list[TargetLab] = []
    for lab in targets:
        wanted = [image for image in offered if lab.takes(image.image_path)]
        facts = labs[lab.key]
        if isinstance(facts, LabFacts):
            findings = list(account_findings(lab, facts))
            found.warnings += (each for each in findings if each.severity is not Severity.ERROR)
            facts = next((each for each in findings if each.severity is Severity.ERROR), facts)
        if isinstance(facts, Diagnostic):
            kept = facts.consequence or "nothing is distributed to it, and its images are kept"
            place = facts.location or lab.location
            found.failures.append(replace(facts, severity=Severity.ERROR, consequence=kept, location=place))
            for image in wanted:
                found.omit(image, "the lab could not be read or cannot get images", lab.label)
            unread += in_state(lab, labs[lab.key], recorded)
            continue
        plans.append(_lab_plan(lab, facts, wanted, names, recorded, factory, policy, found))
    for image in offered:
        if any(lab.takes(image.image_path) for lab in targets):
            found.warnings += _reservations(image)
        else:
            found.omit(image, "no lab uses its image path")
    held = held_images(((plan.lab, plan.facts) for plan in plans), owned)
    threatened: set[str] = set()
    for diagnostic, at_risk in unsafe_deletions(catalog, held):
        found.add(diagnostic)
        threatened |= {one.image.id for one in at_risk}
    if catalog.images or not policy.allow_empty_factory:
        successors = Successors(catalog, policy, offered, configuration.image_paths)
        plans = [replace(plan, retained=successors.retained(plan, held, threatened)) for plan in plans]
    if not catalog.images:
        found.add(_empty(policy, plans, is_held=bool(held)))
    lab_plans = with_relays(plans, factory) if policy.cross_region == "relay" else tuple(plans)
    return Plan(
        lab_plans,
        tuple(unread),
        tuple(found.omissions),
        tuple(found.warnings),
        tuple(found.failures),
        crossings(lab_plans, factory),
    )


def _offered(catalog: Catalog, policy: Policy, found: _Findings) -> Iterator[FactoryImage]:
    """Yield the images that labs can get; report the others."""
    for offer in retained(catalog, policy):
        image = offer.image
        if offer.duplicate:
            subject = f"factory image {image.name} ({image.vhd_name})"
            fact = f"a newer image, {offer.duplicate.vhd_name}, has the same name"
            remedy = "Delete one of them from the factory, or rename it"
            found.warnings.append(warning(subject, fact, "the older image is not distributed", remedy))
        if offer.reason:
            found.omit(image, offer.reason)
        else:
            yield image


def _check_pins(policy: Policy, offered: list[FactoryImage], catalog: Catalog, found: _Findings) -> None:
    held = {image.image_path for image in offered}
    invalid = {fold(left_out.image.name) for left_out in catalog.left_out if left_out.image}
    for path, name in sorted(policy.pins.items()):
        if path not in held:
            fact = f"{path} is pinned to {name}, which is not in the factory"
            if fold(name) in invalid:
                fact = f"{path} is pinned to {name}, whose VHD is invalid"
            consequence = "labs keep their images of that path and get no other one"
            remedy = "Fix the name (see `imagefactory catalog`), or remove the pin"
            found.failures.append(error("setting imagefactory:pins", fact, consequence, remedy))


def _reservations(image: FactoryImage) -> Iterator[Diagnostic]:
    """Yield warnings about what DevTest Labs rejects, or ignores: its API supports no generations and data disks."""
    subject = f"factory image {image.name}"
    if image.name_problem:
        yield name_warning(image)
    if image.generation == "V2":
        table = f" and has a partition table of type {image.partition_table}" if image.partition_table else ""
        fact = f"its disk is Hyper-V generation 2{table}, which DevTest Labs cannot set for a VHD"
        consequence = "its image is created as generation 1, and its VMs may not start"
        yield warning(subject, fact, consequence, "Build the golden image on a generation 1 base image")
    if image.data_disks:
        fact = f"was saved with {len(image.data_disks)} data disks, but DevTest Labs creates images from one VHD"
        consequence = "labs get only its OS disk"
        yield warning(subject, fact, consequence, "Put what VMs need on the OS disk, or attach the disks manually")


def _lab_plan(
    lab: TargetLab,
    facts: LabFacts,
    wanted: Iterable[FactoryImage],
    names: Mapping[str, str],
    recorded: Mapping[str, Recorded],
    factory: LabFacts,
    policy: Policy,
    found: _Findings,
) -> LabPlan:
    """Return what a lab must contain; `names` and `recorded` are of the state, by `<label>/<name>` in lower case.

    With `crossRegion: refuse`, a lab in another region keeps its images and gets no new ones.
    """
    refuses = policy.cross_region == "refuse" and facts.region_key != factory.region_key
    images: list[PlannedImage] = []
    refused: list[PlannedImage] = []
    for image in wanted:
        place, diagnostic = _place(lab, facts, image)
        if place is None:
            reason = "the lab has an image of that name that the factory did not create"
            found.omit(image, name_warning(image).fact if image.name_problem else reason, lab.label)
        else:
            # Azure and the state may have a name in different case; another name would be another resource.
            key = f"{lab.label}/{place.name}".lower()
            before = recorded.get(key, Recorded(attempt=1))
            attempt = place.attempt and max(place.attempt, before.attempt + 1)
            # In the case of the state: an update of an image that was deleted by hand would fail.
            tags = image_tags.write(image if attempt else before.as_tagged(image), attempt)
            is_done = before.vhd_name == image.vhd_name
            planned = PlannedImage(image, names.get(key, place.name), place.image_id, place.standing, tags, is_done)
            if refuses and not place.standing:
                refused.append(planned)
                continue
            images.append(planned)
        if diagnostic:
            found.add(diagnostic)
    if refused:
        _refuse(lab, facts, factory, refused, found)
    return LabPlan(lab.label, lab, facts, tuple(images))


@dataclass(frozen=True)
class _Place:
    """The name and id of a factory image in a lab."""

    name: str
    image_id: str
    standing: bool = False
    attempt: int | None = None


def _place(lab: TargetLab, facts: LabFacts, image: FactoryImage) -> tuple[_Place | None, Diagnostic | None]:
    """Return the place of the image, considering the existing images, or None; and a diagnostic about it, or None."""
    if existing := _made_from(facts, image):
        if existing.usable:
            return _Place(existing.name, existing.id, standing=True), None
        # The engine creates it again because a tag differs, from the state's as well: Azure may have an older one.
        remedy = "Delete it in the lab if the run fails with 'already existing'"
        subject, fact = f"custom image {existing.name} of lab {lab.label}", f"is in state {existing.state}"
        again = warning(subject, fact, "it is created again", remedy)
        return _Place(existing.name, _image_id(facts, existing.name), attempt=existing.attempt + 1), again
    if image.name_problem:
        return None, None
    by_name = {fold(each.name): each for each in facts.images}
    beside = name_beside(image.name, image.vhd_name)
    existing = by_name.get(fold(image.name))
    if existing is None:
        return _Place(image.name, _image_id(facts, image.name)), None
    subject = f"custom image {existing.name} of lab {lab.label}"
    if existing.image_path is not None and fold(beside) not in by_name:
        fact = f"was created from {existing.source_vhd}, but the factory image of that name is {image.vhd_name}"
        consequence = f"the factory image is created as {beside}, and {existing.name} is deleted by a run after that"
        return _Place(beside, _image_id(facts, beside)), warning(
            subject, fact, consequence, "No action needed if intended"
        )
    fact = "has no ImagePath tag, so the factory did not create it"
    consequence = "it is not changed, and the factory image of that name is not distributed to this lab"
    return None, error(subject, fact, consequence, "Rename or delete it in the lab")


def _image_id(facts: LabFacts, name: str) -> str:
    return f"{facts.id}/customimages/{name}"


def _made_from(facts: LabFacts, image: FactoryImage) -> StandingImage | None:
    """Return the lab's image of that VHD; of several a usable one, preferably of the same name; None if missing."""
    images = (each for each in facts.images if each.holds(image.vhd_name, image.name))
    order = sorted(images, key=lambda each: (not each.usable, fold(each.name) != fold(image.name), each.id))
    return order[0] if order else None


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
