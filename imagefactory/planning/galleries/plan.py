"""What the Compute Gallery of a stack must contain, and what each lab offers of it.

Applies the same policy as custom images: a version is made for each wanted factory image, and deleted only after its
successors exist. Does not decide which images a lab gets by the gallery: `imagefactory.planning.labs` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, error, warning
from imagefactory.images import tags as image_tags
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_gallery import GalleryFacts, StandingDefinition, StandingVersion
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.galleries.lab_offers import LabOffers, reason_to_offer
from imagefactory.planning.galleries.planned import (
    GalleryLab,
    GalleryPlan,
    PlannedDefinition,
    PlannedVersion,
    RecordedGallery,
    Traits,
    UnadoptedPart,
    attached_of,
    definition_name,
    identifier,
    version_name,
)
from imagefactory.planning.galleries.retirement import (
    kept_definitions,
    retained_versions,
    revoked_versions,
    standing_revoked,
    used_revoked,
)
from imagefactory.planning.revocations import Revocations
from imagefactory.planning.used_images import Uses


@dataclass
class GalleryFindings:
    """What the rules collect besides the plan."""

    omissions: list[tuple[FactoryImage, str]] = field(default_factory=list)
    """Images that no lab gets by the gallery, and why."""
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def leave_out(self, image: FactoryImage, subject: str, fact: str, consequence: str, remedy: str) -> None:
        """Report an image that cannot be delivered by the gallery."""
        self.omissions.append((image, f"{subject} {fact}"))
        self.diagnostics.append(error(subject, fact, consequence, remedy))


def plan_gallery(
    facts: GalleryFacts,
    labs: Sequence[GalleryLab],
    policy: Policy,
    recorded: RecordedGallery,
    stack: str,
    catalog: Catalog,
    now: datetime | None = None,
    awaited: Mapping[str, str] = MappingProxyType({}),
) -> tuple[GalleryPlan, GalleryFindings]:
    """Return the plan of the gallery. The result does not depend on the order of the inputs.

    No version of a VHD whose companion cannot be read is deleted; none of `awaited`, either, which has the reason.
    """
    settings = policy.gallery or GallerySettings(id=facts.id)
    rules = _Rules(facts, settings, recorded, stack, labs)
    wanted = {image.vhd_name: image for lab in labs for image in lab.images}
    versions: dict[str, PlannedVersion] = {}
    definitions: dict[str, PlannedDefinition] = {}
    unadopted: list[UnadoptedPart] = []
    for image in sorted(wanted.values(), key=lambda each: (each.image_path, each.saved_at, each.vhd_name)):
        if placed := rules.place(image, versions, definitions):
            definition, version = placed
            definitions.setdefault(fold(definition.name), definition)
            versions[fold(version.key)] = version
    for key, version in list(versions.items()):
        if (standing := facts.by_key.get(key)) and key not in recorded.versions:
            unadopted.append(UnadoptedPart(version.key, standing, version))
    skipped = set()
    for name, definition in definitions.items():
        if (standing_one := rules.standing.get(name)) and name not in recorded.definitions:
            skipped.add(name)
            if not stack or standing_one.stack in {None, stack}:  # another stack's takes versions of this one, too
                unadopted.append(UnadoptedPart(definition.name, standing_one, definition))
    is_managed = settings.id is None
    if is_managed and facts.exists and not recorded.gallery:
        unadopted.append(UnadoptedPart("", facts))
    offers = LabOffers(facts, labs, versions.values(), definitions, recorded)
    lab_plans = offers.plans()
    rules.found.diagnostics += offers.diagnostics
    retained = retained_versions(facts, labs, lab_plans, versions, recorded, policy, catalog, now, awaited)
    revocations = Revocations(catalog, policy)
    revoked = revoked_versions(facts, retained, recorded, revocations)
    rules.found.diagnostics += standing_revoked(facts, revoked, recorded, revocations)
    rules.found.diagnostics += used_revoked(facts, labs, revoked, Uses(policy, now))
    skipped |= {fold(part.key) for part in unadopted}
    plan = GalleryPlan(
        facts,
        is_managed,
        tuple(each for key, each in sorted(definitions.items()) if key not in skipped),
        tuple(each for key, each in sorted(versions.items()) if key not in skipped),
        retained,
        kept_definitions(facts, labs, lab_plans, definitions, retained, recorded),
        lab_plans,
        tuple(sorted(offers.kept)),
        tuple(sorted(unadopted, key=lambda part: fold(part.key))),
        settings.replicas,
        settings.replica_price,
        revoked,
    )
    if outside := _not_in_the_state(plan, stack):
        rules.found.diagnostics.append(outside)
    return plan, rules.found


class _Rules:
    """Where the version of an image belongs: its definition, its name, its regions."""

    def __init__(
        self,
        facts: GalleryFacts,
        settings: GallerySettings,
        recorded: RecordedGallery,
        stack: str,
        labs: Sequence[GalleryLab],
    ) -> None:
        self.facts, self.settings, self.recorded, self.stack, self.labs = facts, settings, recorded, stack, labs
        self.standing = {fold(each.name): each for each in facts.definitions}
        self.found = GalleryFindings()
        self._triples = {_folded(each.identifier): each.name for each in facts.definitions}

    def place(
        self, image: FactoryImage, versions: Mapping[str, PlannedVersion], definitions: Mapping[str, PlannedDefinition]
    ) -> tuple[PlannedDefinition, PlannedVersion] | None:
        """Return definition and version of an image; None: it is reported as left out."""
        made = self._made_from(image)
        traits = Traits.of_standing(made[0]) if made else Traits.of(image)
        name = self._own_name(made[0].name if made else definition_name(image.image_path, traits))
        definition = self._definition(image, name, traits, definitions)
        if definition is None:
            return None
        version = made[1].name if made else version_name(image)
        key = fold(f"{name}/{version}")
        subject = f"gallery version {name}/{version} of image {image.name}"
        if other := versions.get(key):
            fact = f"is that of image {other.image.name}, which was saved in the same second"
            self.found.leave_out(image, subject, fact, "labs get only that one", "Save the image again")
            return None
        taken = self.facts.by_key.get(key)
        if taken and not made:
            fact = f"exists, and was created from {taken.source_vhd or 'an unknown VHD'}"
            self.found.leave_out(image, subject, fact, "labs do not get the image", "Delete it from the gallery")
            return None
        before = self.recorded.versions.get(key)
        if made and not before and self.stack and made[1].stack not in {None, self.stack}:
            fact = f"belongs to stack {made[1].stack} (its tag Stack)"
            self.found.omissions.append((image, f"{subject} {fact}"))
            consequence = "it is neither changed nor deleted by this stack"
            command = "imagefactory adopt --from"
            self.found.diagnostics.append(
                warning(subject, fact, consequence, f"Run {command} with that stack if this stack is to manage it")
            )
            return None
        attempt = None if not made or made[1].usable else max(made[1].attempt, before.attempt if before else 0) + 1
        kept = before is not None and attempt is None
        own = before.stack if before and kept else self.stack
        tags = image_tags.write(image, attempt, own or "")
        digest = {image_tags.DIGEST_TAG: image.digest} if image.digest else {}
        regions = self._regions(image, made[1] if made else None)
        standing = bool(made and made[1].usable)
        return definition, PlannedVersion(image, name, version, regions, {**tags, **digest}, standing)

    def _definition(
        self, image: FactoryImage, name: str, traits: Traits, planned: Mapping[str, PlannedDefinition]
    ) -> PlannedDefinition | None:
        """Return the definition of an image, as it exists or is to be created; None: the name is taken."""
        standing, earlier = self.standing.get(fold(name)), planned.get(fold(name))
        subject = f"gallery definition {name}"
        there = Traits.of_standing(standing) if standing else earlier.traits if earlier else traits
        if there != traits:
            fact = f"is for {there.os_type} {there.os_state} {there.generation}, and image {image.name} is not"
            self.found.leave_out(image, subject, fact, "labs do not get the image", "Use another image path for it")
            return None
        if earlier:
            return earlier
        if standing:
            if standing.image_path is None and fold(name) not in self.recorded.definitions:
                fact = "has no ImagePath tag, so the factory did not create it"
                remedy = "Rename or delete it in the gallery"
                self.found.leave_out(image, subject, fact, f"image {image.name} is not delivered by it", remedy)
                return None
            path = ImagePath.read(standing.image_path) or image.image_path
            tags = image_tags.of_definition(path, standing.stack or self.stack)
            return PlannedDefinition(name, path, traits, standing.identifier, tags, standing=True)
        triple = identifier(self.settings.publisher, name, traits)
        if holder := self._triples.get(_folded(triple)):
            fact = f"would have the identifier {'/'.join(triple)} of definition {holder}"
            remedy = "Set another publisher (imagefactory:gallery), or delete that definition"
            self.found.leave_out(image, subject, fact, f"image {image.name} is not delivered by the gallery", remedy)
            return None
        return PlannedDefinition(
            name, image.image_path, traits, triple, image_tags.of_definition(image.image_path, self.stack)
        )

    def _own_name(self, name: str) -> str:
        """Return a name as the state, else the gallery, writes it."""
        standing = self.standing.get(fold(name))
        return self.recorded.definitions.get(fold(name), standing.name if standing else name)

    def _made_from(self, image: FactoryImage) -> tuple[StandingDefinition, StandingVersion] | None:
        """Return the version that was created from the VHD of an image; of several, preferably a usable one."""
        return min(
            self.facts.by_source.get(image.vhd_name, ()),
            key=lambda each: (
                fold(f"{each[0].name}/{each[1].name}") not in self.recorded.versions,
                not each[1].usable,
                each[1].id,
            ),
            default=None,
        )

    def _regions(self, image: FactoryImage, made: StandingVersion | None) -> tuple[str, ...]:
        """Return the regions of the labs that get or must still offer images of the path, and the one in which the
        version is created, which Azure requires; also those of all versions of the path, as long as a lab could not be
        read that may need them. A lab whose ring does not take the image needs no region."""
        path = image.image_path
        of_path = [each for each in self.facts.definitions if ImagePath.read(each.image_path) == path]
        takers = [lab for lab in self.labs if lab.lab.takes(path) and image.vhd_name not in lab.closed]
        needed = {lab.facts.region_key for lab in takers if lab.facts and self._needs(lab, lab.facts, path, of_path)}
        is_known = all(lab.facts for lab in takers)
        held = () if is_known else (region for one in of_path for each in one.versions for region in each.regions)
        own = (made.location if made else "") or self.facts.version_region
        return tuple(sorted({own, *needed, *held}))

    def _needs(
        self, lab: GalleryLab, facts: LabFacts, path: ImagePath, definitions: Iterable[StandingDefinition]
    ) -> bool:
        attached = attached_of(facts, self.facts.id)
        offers = attached is not None and any(fold(each.name) in attached.enabled for each in definitions)
        return bool(lab.images) or (offers and bool(reason_to_offer(self.facts, lab, facts, path)))


def _folded(triple: Iterable[str]) -> tuple[str, ...]:
    return tuple(fold(each) for each in triple)


def _not_in_the_state(plan: GalleryPlan, stack: str) -> Diagnostic | None:
    if not plan.unadopted:
        return None
    parts = "1 existing part" if len(plan.unadopted) == 1 else f"{len(plan.unadopted)} existing parts"
    name = stack.rpartition("/")[2]
    return error(
        f"state of stack {name}",
        f"does not contain {parts} of gallery {plan.facts.name}",
        "what the state does not contain is neither changed nor managed, and everything else is updated",
        f"Run imagefactory adopt --stack {name}, then pulumi up again",
    )
