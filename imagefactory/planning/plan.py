"""The plan: what each lab must hold, each omission with its reason.

Owns the rules from catalog, labs and policy to images. Refuses to act: programs and reports read the same value.
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
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.plain_text import printable
from imagefactory.planning.crossings import Crossing, crossings, with_relays
from imagefactory.planning.deletion_guard import HeldImage, held_images, unsafe_deletions
from imagefactory.planning.planned_images import LabPlan, PlannedImage
from imagefactory.planning.retention import retained
from imagefactory.planning.retirement import Successors


@dataclass(frozen=True)
class Omission:
    """A factory image that a lab (its label; None: any lab) does not get."""

    lab: str | None
    image: str | None
    image_path: str
    reason: str

    def to_dict(self) -> dict[str, str | None]:
        """The omission as the stack's outputs tell it; null: any lab."""
        return {"lab": self.lab, "image": self.image, "imagePath": self.image_path, "reason": self.reason}


@dataclass(frozen=True)
class Plan:
    """Everything that readers need; `failures` that are not empty mean: carry out the rest, then fail."""

    labs: tuple[LabPlan, ...]
    unread: tuple[TargetLab, ...] = ()
    """Labs that could not be read or cannot take images: they are kept as the state has them."""
    omissions: tuple[Omission, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    failures: tuple[Diagnostic, ...] = ()
    crossings: tuple[Crossing, ...] = ()

    def retained(self) -> list[dict[str, str]]:
        """The images that are kept although the plan does not want them, as the stack's outputs list them."""
        return [
            {"lab": lab.label, "image": one.name, "imagePath": printable(one.image_path), "reason": one.reason}
            for lab in self.labs
            for one in lab.retained
        ]

    def notes(self) -> Iterator[str]:
        """One line each for the reader of a preview: what is copied across regions, what is kept for now."""
        yield from (crossing.text for crossing in self.crossings)
        for lab in self.labs:
            reasons: dict[str, list[str]] = {}
            for one in lab.retained:
                reasons.setdefault(one.reason, []).append(one.name)
            told = (f"{lab.label}: keeps {', '.join(names)}: {reason}" for reason, names in reasons.items())
            yield from map(printable, told)


@dataclass
class _Findings:
    """What the rules collect beside the images."""

    omissions: list[Omission] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)
    failures: list[Diagnostic] = field(default_factory=list)

    def omit(self, image: FactoryImage, reason: str, lab: str | None = None) -> None:
        self.omissions.append(Omission(lab, image.name, str(image.image_path), reason))


def build_plan(
    configuration: Configuration,
    catalog: Catalog,
    factory: LabFacts,
    labs: Mapping[LabKey, LabFacts | Diagnostic],
    policy: Policy,
    owned: Set[str] = frozenset(),
) -> Plan:
    """Decide what each lab must hold. Deterministic whatever the order of its inputs.

    `labs` has a value for every lab of the configuration: its facts, or why they could not be had.
    `owned` names the images that the state holds (`<label>/<name>`): the engine would delete them, tagged or not.
    """
    found = _Findings(warnings=[*configuration.warnings, *sorted(catalog.warnings, key=Diagnostic.text)])
    found.warnings += sorted((left_out.reason for left_out in catalog.left_out), key=Diagnostic.text)
    offered = list(_offered(catalog, policy, found))
    _check_pins(policy, offered, found)
    targets = sorted(configuration.labs, key=lambda lab: lab.label)
    names = {name.lower(): name.rpartition("/")[2] for name in owned}
    plans: list[LabPlan] = []
    unread: list[TargetLab] = []
    for lab in targets:
        wanted = [image for image in offered if lab.takes(image.image_path)]
        facts = labs[lab.key]
        if isinstance(facts, LabFacts) and facts.storage_account_id is None:
            facts = _no_storage(lab)
        if isinstance(facts, Diagnostic):
            kept = facts.consequence or "nothing is distributed to it, and its images are kept"
            place = facts.location or lab.location
            found.failures.append(replace(facts, severity=Severity.ERROR, consequence=kept, location=place))
            for image in wanted:
                found.omit(image, "the lab could not be read or cannot take images", lab.label)
            unread.append(lab)
            continue
        plans.append(_lab_plan(lab, facts, wanted, names, factory, policy, found))
    for image in offered:
        if any(lab.takes(image.image_path) for lab in targets):
            found.warnings += _reservations(image)
        else:
            found.omit(image, "no lab takes its image path")
    held = held_images(((plan.lab, plan.facts) for plan in plans), owned)
    _check_empty(catalog, policy, held, found)
    threatened: set[str] = set()
    for diagnostic, at_risk in unsafe_deletions(catalog, held):
        (found.failures if diagnostic.severity is Severity.ERROR else found.warnings).append(diagnostic)
        threatened |= {one.image.id for one in at_risk}
    if catalog.images or not policy.allow_empty_factory:
        successors = Successors(catalog, policy, offered)
        plans = [replace(plan, retained=successors.retained(plan, held, threatened)) for plan in plans]
    served = with_relays(plans, factory) if policy.cross_region == "relay" else tuple(plans)
    return Plan(
        served,
        tuple(unread),
        tuple(found.omissions),
        tuple(found.warnings),
        tuple(found.failures),
        crossings(served, factory),
    )


def _offered(catalog: Catalog, policy: Policy, found: _Findings) -> Iterator[FactoryImage]:
    """The images that labs can get."""
    for offer in retained(catalog, policy):
        image, twin = offer.image, offer.twin
        if twin:
            subject = f"factory image {image.name} ({image.vhd_name})"
            fact = f"a newer one, {twin.vhd_name}, has the same name"
            remedy = "Delete one of both from the factory, or give it another name"
            found.warnings.append(warning(subject, fact, "the older one is not distributed", remedy))
        if offer.reason:
            found.omit(image, offer.reason)
        else:
            yield image


def _check_pins(policy: Policy, offered: list[FactoryImage], found: _Findings) -> None:
    held = {image.image_path for image in offered}
    for path, name in sorted(policy.pins.items()):
        if path not in held:
            fact = f"{path} is pinned to {name}, which is not in the factory"
            consequence = "labs keep their images of that path and get no other one"
            remedy = "Fix the name (`imagefactory catalog` lists them), or remove the pin"
            found.failures.append(error("setting imagefactory:pins", fact, consequence, remedy))


def _reservations(image: FactoryImage) -> Iterator[Diagnostic]:
    """What DevTest Labs does not take over of an image, whose API knows neither generations nor data disks' VHDs."""
    subject = f"factory image {image.name}"
    if image.generation == "V2":
        fact = "its disk is of Hyper-V generation 2, which DevTest Labs cannot be told of a VHD"
        consequence = "its image is made as generation 1, and VMs of it may not start"
        yield warning(subject, fact, consequence, "Build the golden image on a generation 1 base image")
    if image.data_disks:
        fact = f"it was saved with {len(image.data_disks)} data disks, and DevTest Labs makes an image of one VHD"
        consequence = "labs get its OS disk only"
        yield warning(subject, fact, consequence, "Put what VMs need onto the OS disk, or attach the disks by hand")


def _lab_plan(
    lab: TargetLab,
    facts: LabFacts,
    wanted: Iterable[FactoryImage],
    names: Mapping[str, str],
    factory: LabFacts,
    policy: Policy,
    found: _Findings,
) -> LabPlan:
    """What a lab must hold of the wanted images; `names` are those of the state by `<label>/<name>` in lower case.

    With `crossRegion: refuse` a lab of another region keeps what stands there and gets nothing new.
    """
    refuses = policy.cross_region == "refuse" and facts.region_key != factory.region_key
    images: list[PlannedImage] = []
    refused: list[PlannedImage] = []
    for image in wanted:
        place, diagnostic = _place(lab, facts, image)
        if place is None:
            found.omit(image, "the lab has an image of that name that the factory did not create", lab.label)
        else:
            # Azure and the state may write a name in different case; another name would be another resource.
            name = names.get(f"{lab.label}/{place.name}".lower(), place.name)
            planned = PlannedImage(image, name, place.image_id, place.standing, image_tags.write(image, place.attempt))
            if refuses and not place.standing:
                refused.append(planned)
                continue
            images.append(planned)
        if diagnostic:
            (found.failures if diagnostic.severity is Severity.ERROR else found.warnings).append(diagnostic)
    if refused:
        _refuse(lab, facts, factory, refused, found)
    return LabPlan(lab.label, lab, facts, tuple(images))


@dataclass(frozen=True)
class _Place:
    """Where a factory image belongs in a lab."""

    name: str
    image_id: str
    standing: bool = False
    attempt: int | None = None


def _place(lab: TargetLab, facts: LabFacts, image: FactoryImage) -> tuple[_Place | None, Diagnostic | None]:
    """The place of the image, in view of the images that exist there, or None; and what is to be told of it."""
    if there := _made_from(facts, image):
        if there.usable:
            return _Place(there.name, there.id, standing=True), None
        # Another tag makes the engine create it again; after a refresh it would otherwise see nothing to do.
        remedy = "Delete it in the lab if the run stops with 'already existing'"
        subject, fact = f"custom image {there.name} of lab {lab.label}", f"its state is {there.state}"
        told = warning(subject, fact, "it is created again", remedy)
        return _Place(there.name, _image_id(facts, there.name), attempt=there.attempt + 1), told
    standing = {fold(each.name): each for each in facts.images}
    beside = name_beside(image.name, image.vhd_name)
    there = standing.get(fold(image.name))
    if there is None:
        return _Place(image.name, _image_id(facts, image.name)), None
    subject = f"custom image {there.name} of lab {lab.label}"
    if there.image_path is not None and fold(beside) not in standing:
        fact = f"was created from {there.source_vhd}, but the factory image of that name is {image.vhd_name}"
        consequence = f"the factory image is created as {beside}, and {there.name} is deleted by a run after that"
        told = warning(subject, fact, consequence, "No action needed if intended")
        return _Place(beside, _image_id(facts, beside)), told
    fact = "has no ImagePath tag, so the factory did not create it"
    consequence = "it is not changed, and the factory image of that name is not distributed to this lab"
    return None, error(subject, fact, consequence, "Rename or delete it in the lab")


def _image_id(facts: LabFacts, name: str) -> str:
    return f"{facts.id}/customimages/{name}"


def _made_from(facts: LabFacts, image: FactoryImage) -> StandingImage | None:
    """The lab's image made from that VHD; of several a usable one, the one of that name first."""
    made = (each for each in facts.images if each.holds(image.vhd_name, image.name))
    order = sorted(made, key=lambda each: (not each.usable, fold(each.name) != fold(image.name), each.id))
    return order[0] if order else None


def _check_empty(catalog: Catalog, policy: Policy, held: tuple[HeldImage, ...], found: _Findings) -> None:
    if catalog.images:
        return
    fact = "it holds no image that can be distributed"
    if held and not policy.allow_empty_factory:
        consequence = f"every lab would lose its images, such as {held[0].subject}, so nothing is deleted"
        remedy = "Check the factory's container, or set imagefactory:allowEmptyFactory to true if this is meant"
        found.failures.append(error("factory", fact, consequence, remedy))
    else:
        consequence = "the labs' images are deleted, as allowEmptyFactory says" if held else "nothing is distributed"
        remedy = "Save a factory image" if not held else "Unset imagefactory:allowEmptyFactory if this is not meant"
        found.warnings.append(warning("factory", fact, consequence, remedy))


def _no_storage(lab: TargetLab) -> Diagnostic:
    consequence = "no VHD can be staged, so the lab is skipped and keeps its images"
    remedy = "Repair the lab in the portal, or remove its entry"
    return error(f"lab {lab.label}", "has no storage account", consequence, remedy, lab.location)


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
        found.omit(image.image, "it would cross a region (setting crossRegion)", lab.label)
