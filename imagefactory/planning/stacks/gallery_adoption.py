"""Which parts of a Compute Gallery that stand the state takes over, and what becomes of the others.

Applies the rules of custom images. Does not edit the state: `imagefactory.state.gallery_edits` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.stack_settings import Policy
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_gallery import GalleryFacts, StandingDefinition, StandingVersion
from imagefactory.planning.galleries.planned import GalleryPlan, PlannedVersion, RecordedGallery, RecordedVersion
from imagefactory.planning.retention import retained
from imagefactory.planning.stacks.adoption_rules import Action, AdoptionRules

Kind = Literal["gallery", "definition", "version"]
Part = GalleryFacts | StandingDefinition | StandingVersion
Begun = Mapping[tuple[Kind, str], str]
"""What the state has of the gallery and the engine did not see finish: kind and folded name -> name."""


@dataclass(frozen=True)
class PartFinding:
    """A part of the gallery and what adoption does with it; only those with `take over` are changed in the state."""

    action: Action
    kind: Kind
    name: str
    """In the state: that of the gallery, `<definition>` or `<definition>/<version>`."""
    part: Part | None
    """None: it does not exist."""
    reason: str
    planned: PlannedVersion | None = None
    """What the plan has for a version."""


@dataclass(frozen=True)
class GalleryAdoption:
    """The findings of the gallery, in the order in which the state has them; without what the state has already."""

    facts: GalleryFacts
    findings: tuple[PartFinding, ...]
    labs: tuple[str, ...] = ()
    """The ids of the labs that offer images of it."""

    def taken(self) -> tuple[PartFinding, ...]:
        """Return the parts to add to the state."""
        return tuple(one for one in self.findings if one.action == "take over")


def gallery_candidates(facts: GalleryFacts, recorded: RecordedGallery, rules: AdoptionRules) -> RecordedGallery:
    """Return the gallery's part of the state as if it had all parts that could be taken over."""
    definitions = {fold(one.name): one.name for one in facts.definitions if not rules.foreign(one)}
    definitions |= recorded.definitions
    versions = {
        fold(key): RecordedVersion(key, each.attempt, each.stack, each.path)
        for one in facts.definitions
        for each in one.versions
        if not rules.foreign(each) and (key := _key(one, each, recorded))
    }
    has_gallery = recorded.gallery or (facts.exists and not rules.elsewhere(facts.id))
    return replace(recorded, gallery=has_gallery, definitions=definitions, versions={**versions, **recorded.versions})


def gallery_adoption(
    plan: GalleryPlan | None,
    owned: RecordedGallery,
    begun: Begun,
    leaving: Set[str],
    catalog: Catalog,
    policy: Policy,
    rules: AdoptionRules,
    now: datetime | None = None,
) -> GalleryAdoption | None:
    """Return what becomes of each part. `plan` is that of a state with `owned` and all `gallery_candidates`.

    `leaving` are the ids, in lower case, of what the state is about to delete.
    """
    if plan is None or not plan.facts.exists:
        return None
    found = _Findings(plan, owned, begun, leaving, catalog, policy, rules, now)
    findings = (*found.gallery(), *found.definitions(), *found.versions(), *found.gone())
    return GalleryAdoption(plan.facts, findings, tuple(lab.facts.id for lab in plan.labs))


class _Findings:
    def __init__(
        self,
        plan: GalleryPlan,
        owned: RecordedGallery,
        begun: Begun,
        leaving: Set[str],
        catalog: Catalog,
        policy: Policy,
        rules: AdoptionRules,
        now: datetime | None,
    ) -> None:
        self._plan, self._owned, self._begun, self._leaving = plan, owned, begun, leaving
        self._catalog, self._rules = catalog, rules
        self._offers = {offer.image.vhd_name: offer.reason for offer in retained(catalog, policy, now)}
        self._versions = {fold(one.key): one for one in plan.versions}
        self._kept = {fold(one.key): one.reason for one in plan.retained}

    def gallery(self) -> Iterator[PartFinding]:
        facts = self._plan.facts
        name = next((name for (kind, _), name in self._begun.items() if kind == "gallery"), facts.name)
        if self._owned.gallery:
            yield from self._finished("gallery", name, facts)
        elif self._plan.is_managed and (reason := self._rules.elsewhere(facts.id)):
            yield PartFinding("foreign", "gallery", name, facts, reason)
        elif self._plan.is_managed and facts.id.lower() not in self._leaving:
            yield PartFinding("take over", "gallery", name, facts, "the settings name it")

    def definitions(self) -> Iterator[PartFinding]:
        wanted = {fold(one.name) for one in self._plan.definitions}
        for one in sorted(self._plan.facts.definitions, key=lambda each: fold(each.name)):
            if fold(one.name) in self._owned.definitions:
                yield from self._finished("definition", one.name, one)
            elif reason := self._not_ours(one):
                yield PartFinding(reason[0], "definition", one.name, one, reason[1])
            elif fold(one.name) in wanted:
                yield PartFinding("take over", "definition", one.name, one, "the plan contains it")
            else:
                rule = "no lab gets an image of it by the gallery"
                fate = "pulumi up deletes it once it has no versions"
                yield PartFinding(*self._unwanted(one, rule, fate, "definition", one.name))

    def versions(self) -> Iterator[PartFinding]:
        for definition in sorted(self._plan.facts.definitions, key=lambda each: fold(each.name)):
            is_foreign = bool(self._rules.foreign(definition))
            for one in sorted(definition.versions, key=lambda each: each.name):
                key = _key(definition, one, self._owned)
                planned = self._versions.get(fold(key))
                if fold(key) in self._owned.versions:
                    yield from self._finished("version", key, one, planned)
                elif reason := self._not_ours(one):
                    if not is_foreign or one.image_path is not None:
                        yield PartFinding(reason[0], "version", key, one, reason[1])
                elif planned:
                    yield PartFinding("take over", "version", key, one, _state(one), planned)
                else:
                    when = self._kept.get(fold(key))
                    fate = f"pulumi up keeps it for now: {when}" if when else "the next pulumi up deletes it"
                    why = why_version_not_wanted(self._plan, one, self._offers)
                    yield PartFinding(*self._unwanted(one, why, fate, "version", key))

    def gone(self) -> Iterator[PartFinding]:
        """Yield what the state has and the gallery does not."""
        again = "the state has it, the gallery does not; `pulumi up --refresh` creates it again if the plan contains it"
        facts = self._plan.facts
        there = {fold(one.name) for one in facts.definitions}
        for key, name in sorted(self._owned.definitions.items()):
            if key not in there:
                yield PartFinding("gone", "definition", name, None, again)
        for key, version in sorted(self._owned.versions.items()):
            if key not in facts.by_key:
                yield PartFinding("gone", "version", version.key, None, again)

    def _finished(
        self, kind: Kind, name: str, part: Part, planned: PlannedVersion | None = None
    ) -> Iterator[PartFinding]:
        """Yield what the state has, if the engine did not see it finish and would put it again although it exists."""
        begun = self._begun.get((kind, fold(name)))
        state = (part.answer.get("properties") or {}).get("provisioningState")
        if begun is not None and state in {None, "Succeeded", "Creating", "Updating"}:
            yield PartFinding("take over", kind, begun, part, "an earlier run did not see Azure finish it", planned)

    def _not_ours(self, part: StandingDefinition | StandingVersion) -> tuple[Action, str] | None:
        if reason := self._rules.foreign(part):
            return "foreign", reason
        if (part.answer.get("properties") or {}).get("provisioningState") == "Deleting":
            return "not wanted", "Azure is deleting it"
        if part.id.lower() in self._leaving:
            return "not wanted", "the next pulumi up deletes it"
        return None

    def _unwanted(
        self, part: StandingDefinition | StandingVersion, rule: str, fate: str, kind: Kind, name: str
    ) -> tuple[Action, Kind, str, Part, str]:
        # Not those of another stack: it may need them for its own labs.
        if self._rules.retire or part.stack == self._rules.stack:
            return "take over", kind, name, part, f"{rule}; {fate}"
        return "not wanted", kind, name, part, f"{rule}; it stays as it is"


def why_version_not_wanted(plan: GalleryPlan, version: StandingVersion, offers: Mapping[str, str]) -> str:
    """Return why the plan does not contain a version; `offers` has the reasons of `retained` by VHD."""
    if version.path is None:
        return "its tag ImagePath is invalid"
    if revoked := next((one.reason for one in plan.revoked if plan.facts.version(*one.key.split("/")) == version), ""):
        return revoked
    if version.source_vhd not in offers:
        return "its VHD is not in the factory"
    if reason := offers.get(version.source_vhd):
        return reason
    if any(one.image.vhd_name == version.source_vhd for one in plan.versions):
        return "another version is from the same VHD"
    return "no lab gets its image by the gallery"


def _key(definition: StandingDefinition, version: StandingVersion, recorded: RecordedGallery) -> str:
    """Return the name of a version's resource: the state may have its definition in another letter case."""
    return f"{recorded.definitions.get(fold(definition.name), definition.name)}/{version.name}"


def _state(version: StandingVersion) -> str:
    if version.state == "Succeeded":
        return "the plan contains it"
    return f"in state {version.state}{'' if version.in_progress else ': pulumi up creates it again'}"
