"""Which versions and definitions that are no longer in the plan are kept in the gallery for now, and why.

Applies the rule of custom images: a version is deleted only after its successors exist, and never because a companion
cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, warning
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_gallery import GalleryFacts, StandingVersion
from imagefactory.planning.galleries.planned import (
    GalleryLab,
    LabGalleryPlan,
    PlannedDefinition,
    PlannedVersion,
    RecordedGallery,
    RetainedVersion,
)
from imagefactory.planning.retention import gaps, retained, soaking
from imagefactory.planning.revocations import Revocations
from imagefactory.planning.used_images import Uses, numbers


def retained_versions(
    facts: GalleryFacts,
    labs: Sequence[GalleryLab],
    offers: Iterable[LabGalleryPlan],
    versions: Mapping[str, PlannedVersion],
    recorded: RecordedGallery,
    policy: Policy,
    catalog: Catalog,
    now: datetime | None,
    awaited: Mapping[str, str],
) -> tuple[RetainedVersion, ...]:
    """Return the versions of the state that are kept although the plan does not contain them, by key.

    `versions` are the planned ones by key in comparable form; `awaited` has why VHDs' versions are awaited.
    """
    standing = facts.by_key
    rule = _Rule(labs, offers, versions.values(), standing, recorded, policy, catalog, now, awaited)
    found = []
    for key, before in sorted(recorded.versions.items()):
        if key not in versions and (version := standing.get(key)) and (reason := rule.reason(key, version)):
            regions = version.regions if version.state == "Failed" and version.regions else None
            found.append(RetainedVersion(before.key, version.image_path or "", reason, regions))
    return tuple(found)


def revoked_versions(
    facts: GalleryFacts, retained: Iterable[RetainedVersion], recorded: RecordedGallery, revocations: Revocations
) -> tuple[RetainedVersion, ...]:
    """Return the revoked versions of the state that leave the gallery, by key, with the reason."""
    stay = {fold(one.key) for one in retained}
    return tuple(
        RetainedVersion(recorded.versions[key].key, version.image_path or "", reason)
        for definition in sorted(facts.definitions, key=lambda each: fold(each.name))
        for version in sorted(definition.versions, key=lambda each: each.name)
        if (key := fold(f"{definition.name}/{version.name}")) in recorded.versions and key not in stay
        if (reason := revocations.of_version(version))
    )


def standing_revoked(
    facts: GalleryFacts, leaving: Iterable[RetainedVersion], recorded: RecordedGallery, revocations: Revocations
) -> Iterator[Diagnostic]:
    """Yield a warning about each revoked version that stays in the gallery."""
    gone = {fold(one.key) for one in leaving}
    for definition in sorted(facts.definitions, key=lambda each: fold(each.name)):
        for version in sorted(definition.versions, key=lambda each: each.name):
            key = fold(f"{definition.name}/{version.name}")
            if key in gone or not (reason := revocations.of_version(version)):
                continue
            why, remedy = "setting revokedAction is report", "Set imagefactory:revokedAction to remove to delete it"
            if key not in recorded.versions:
                why, remedy = "the state does not contain it", "Delete it in the gallery"
            elif version.in_progress:
                why, remedy = "Azure is still creating or replicating it", "Run pulumi up again when Azure has finished"
            subject = f"gallery version {definition.name}/{version.name}"
            yield warning(subject, f"is {reason}", f"it stays in the gallery, because {why}", remedy)


def used_revoked(
    facts: GalleryFacts, labs: Iterable[GalleryLab], revoked: Iterable[RetainedVersion], uses: Uses
) -> Iterator[Diagnostic]:
    """Yield a warning about each revoked version that leaves although `keepUsedDays` would keep it."""
    labs = tuple(labs)
    for one in revoked:
        if used := _used(uses, labs, facts.by_key, fold(one.key)):
            consequence = f"it leaves the gallery all the same, because it is {one.reason}"
            yield warning(f"gallery version {one.key}", used, consequence, "No action needed if this is intended")


def _used(uses: Uses, labs: Iterable[GalleryLab], standing: Mapping[str, StandingVersion], key: str) -> str:
    """Return why VMs of the labs that still take its image path keep a version; empty if they do not."""
    definition, path = key.rpartition("/")[0], standing[key].path
    takers = sorted((lab for lab in labs if path and lab.lab.takes(path)), key=lambda each: each.lab.label)
    others = (each for other, each in standing.items() if other.rpartition("/")[0] == definition)
    return uses.of_version(((lab.lab.label, lab.facts) for lab in takers), definition, standing[key], others)


class _Rule:
    def __init__(
        self,
        labs: Sequence[GalleryLab],
        offers: Iterable[LabGalleryPlan],
        versions: Iterable[PlannedVersion],
        standing: Mapping[str, StandingVersion],
        recorded: RecordedGallery,
        policy: Policy,
        catalog: Catalog,
        now: datetime | None,
        awaited: Mapping[str, str],
    ) -> None:
        self._awaited = awaited
        self._labs, self._standing, self._policy, self._versions = labs, standing, policy, tuple(versions)
        self._unsafe = {one.name.lower() for one in (*catalog.broken, *catalog.left_out)}
        self._revocations, self._gaps = Revocations(catalog, policy), gaps(retained(catalog, policy, now), policy)
        self._uses = Uses(policy, now)
        self._soaking = soaking(catalog, policy, now)
        self._offering = {
            fold(one.name): (plan.label, one.reason) for plan in offers for one in plan.definitions if one.reason
        }
        self._enabled = [
            frozenset(name for each in lab.facts.galleries for name in each.enabled) for lab in labs if lab.facts
        ] + [lab.definitions for label, lab in recorded.labs.items() if label in unread_labs(labs)]
        self._unread = {
            name: label
            for label, lab in recorded.labs.items()
            if label in unread_labs(labs)
            for name in lab.definitions
        }

    def reason(self, key: str, version: StandingVersion) -> str:
        """Return why an existing version is kept; empty if it can be deleted."""
        if version.in_progress:
            return "Azure is still creating or replicating it"
        if revoked := self._revocations.of_version(version):
            return f"{revoked} (setting revokedAction is report)" if self._policy.revoked_action == "report" else ""
        used = _used(self._uses, self._labs, self._standing, key)
        return "; ".join(filter(None, (self._waits(key, version), used)))

    def _waits(self, key: str, version: StandingVersion) -> str:
        """Return what must happen before a version can be deleted, but for its use; empty: nothing.

        One that failed in a region that was added to it serves the labs of its others.
        """
        if version.source_vhd.lower() in self._unsafe or (self._unsafe and not version.source_vhd):
            return "it may be from a VHD whose companion cannot be read"
        if version.state != "Succeeded" and not (version.state == "Failed" and version.regions):
            return ""
        if soaks := self._soaking.get(version.source_vhd):
            return f"{soaks}, and the gallery already has it"
        if version.source_vhd in self._awaited:
            return self._awaited[version.source_vhd]
        path = version.path
        if path is None:
            return "its tag ImagePath is missing or invalid, so its successors are unknown"
        definition = key.rpartition("/")[0]
        if offer := self._offering.get(definition):
            return f"lab {offer[0]} still offers it: {offer[1]}"
        wanted = [each for each in self._versions if each.image.image_path == path]
        successors = [each for each in wanted if fold(each.definition) == definition]
        closed = {vhd for each in self._labs if each.facts is None for vhd in each.closed}
        replacing = (each for each in successors if each.image.vhd_name not in closed and self._is_finished(each))
        if (lab := self._unread.get(definition)) and not any(replacing):
            return f"lab {lab} could not be read, and may still offer it"
        if not any(lab.is_served and lab.lab.takes(path) for lab in self._labs):
            return ""
        missing = [each.key for each in wanted if not self._is_finished(each)]
        served = {region for each in wanted for region in each.regions} & version.regions
        newer = sum(
            _is_newer(each, version) and served <= each.regions and not self._is_no_successor(each)
            for other, each in self._standing.items()
            if each.path == path and self._reaches(other.rpartition("/")[0], definition)
        )
        gap = self._gaps.get(path)
        keep = None if path in self._policy.pins else self._policy.keep
        if (wanted and not missing and not gap) or (keep is not None and newer >= keep):
            return ""
        if missing:
            return f"the gallery must first have {', '.join(missing)} in state Succeeded"
        return (
            f"{gap}, which would replace it, is revoked"
            if gap
            else "the factory has no image of its path to replace it"
        )

    def _reaches(self, other: str, definition: str) -> bool:
        """Return whether every lab that offers one definition offers the other one, too."""
        return other == definition or all(other in names for names in self._enabled if definition in names)

    def _is_no_successor(self, version: StandingVersion) -> bool:
        return bool(self._revocations.of_version(version)) or version.source_vhd in self._soaking

    def _is_finished(self, planned: PlannedVersion) -> bool:
        """Return whether a version exists in all regions that need it."""
        found = self._standing.get(fold(planned.key))
        return found is not None and found.state == "Succeeded" and set(planned.regions) <= found.regions


def unread_labs(labs: Iterable[GalleryLab]) -> set[str]:
    """Return the labels of the labs that could not be read."""
    return {lab.lab.label for lab in labs if lab.facts is None}


def _is_newer(one: StandingVersion, other: StandingVersion) -> bool:
    return one.state == "Succeeded" and numbers(one.name) > numbers(other.name)


def kept_definitions(
    facts: GalleryFacts,
    labs: Iterable[GalleryLab],
    offers: Iterable[LabGalleryPlan],
    planned: Mapping[str, PlannedDefinition],
    retained: Iterable[RetainedVersion],
    recorded: RecordedGallery,
) -> tuple[str, ...]:
    """Return the names of definitions of the state that are kept although the plan does not contain them.

    Azure deletes no definition that has versions, so one with versions of others stays, too.
    """
    unread = unread_labs(labs)
    needed = {fold(one.key.rpartition("/")[0]) for one in retained}
    needed |= {fold(one.name) for plan in offers for one in plan.definitions}
    needed |= {fold(name) for label, lab in recorded.labs.items() if label in unread for name in lab.definitions}
    needed |= {key.rpartition("/")[0] for key in facts.by_key if key not in recorded.versions}
    names = sorted(recorded.definitions.items())
    return tuple(name for key, name in names if key in needed and key not in planned)
