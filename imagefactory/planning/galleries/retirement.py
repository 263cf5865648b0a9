"""Which versions and definitions that are no longer in the plan are kept in the gallery for now, and why.

Applies the rule of custom images: a version is deleted only after its successors exist, and never because a companion
cannot be read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.stack_settings import Policy
from imagefactory.observed.standing_gallery import GalleryFacts, StandingVersion
from imagefactory.planning.galleries.planned import (
    GalleryLab,
    LabGalleryPlan,
    PlannedDefinition,
    PlannedVersion,
    RecordedGallery,
    RetainedVersion,
)


def retained_versions(
    facts: GalleryFacts,
    labs: Sequence[GalleryLab],
    offers: Iterable[LabGalleryPlan],
    versions: Mapping[str, PlannedVersion],
    recorded: RecordedGallery,
    policy: Policy,
    unsafe: Collection[str],
) -> tuple[RetainedVersion, ...]:
    """Return the versions of the state that are kept although the plan does not contain them, by key.

    `versions` are the planned ones by key in comparable form. `unsafe` are the file names, in lower case, of VHDs
    whose companion cannot be read.
    """
    standing = {
        fold(f"{definition.name}/{version.name}"): version
        for definition in facts.definitions
        for version in definition.versions
    }
    rule = _Rule(labs, offers, versions.values(), standing, recorded, policy, unsafe)
    found = []
    for key, before in sorted(recorded.versions.items()):
        if key not in versions and (version := standing.get(key)) and (reason := rule.reason(key, version)):
            regions = version.regions if version.state == "Failed" and version.regions else None
            found.append(RetainedVersion(before.key, version.image_path or "", reason, regions))
    return tuple(found)


class _Rule:
    def __init__(
        self,
        labs: Sequence[GalleryLab],
        offers: Iterable[LabGalleryPlan],
        versions: Iterable[PlannedVersion],
        standing: Mapping[str, StandingVersion],
        recorded: RecordedGallery,
        policy: Policy,
        unsafe: Collection[str],
    ) -> None:
        self._labs, self._standing, self._policy, self._unsafe = labs, standing, policy, unsafe
        self._versions = tuple(versions)
        self._offering = {
            fold(one.name): (plan.label, one.reason) for plan in offers for one in plan.definitions if one.reason
        }
        self._unread = {
            name: label
            for label, lab in recorded.labs.items()
            if label in unread_labs(labs)
            for name in lab.definitions
        }

    def reason(self, key: str, version: StandingVersion) -> str:
        """Return why an existing version is kept; empty if it can be deleted.

        One that failed in a region that was added to it serves the labs of its others.
        """
        if version.source_vhd.lower() in self._unsafe or (self._unsafe and not version.source_vhd):
            return "it may be from a VHD whose companion cannot be read"
        if version.in_progress:
            return "Azure is still creating or replicating it"
        if version.state != "Succeeded" and not (version.state == "Failed" and version.regions):
            return ""
        path = version.path
        if path is None:
            return "its tag ImagePath is missing or invalid, so its successors are unknown"
        definition = key.rpartition("/")[0]
        if offer := self._offering.get(definition):
            return f"lab {offer[0]} still offers it: {offer[1]}"
        wanted = [each for each in self._versions if each.image.image_path == path]
        successors = [each for each in wanted if fold(each.definition) == definition]
        if (lab := self._unread.get(definition)) and not any(map(self._is_finished, successors)):
            return f"lab {lab} could not be read, and may still offer it"
        if not any(lab.is_served and lab.lab.takes(path) for lab in self._labs):
            return ""
        missing = [each.key for each in wanted if not self._is_finished(each)]
        served = {region for each in wanted for region in each.regions} & version.regions
        newer = sum(
            _is_newer(each, version) and served <= each.regions for each in self._standing.values() if each.path == path
        )
        keep = None if path in self._policy.pins else self._policy.keep
        if (wanted and not missing) or (keep is not None and newer >= keep):
            return ""
        if missing:
            return f"the gallery must first have {', '.join(missing)} in state Succeeded"
        return "the factory has no image of its path to replace it"

    def _is_finished(self, planned: PlannedVersion) -> bool:
        """Return whether a version exists in all regions that need it."""
        found = self._standing.get(fold(planned.key))
        return found is not None and found.state == "Succeeded" and set(planned.regions) <= found.regions


def unread_labs(labs: Iterable[GalleryLab]) -> set[str]:
    """Return the labels of the labs that could not be read."""
    return {lab.lab.label for lab in labs if lab.facts is None}


def _is_newer(one: StandingVersion, other: StandingVersion) -> bool:
    return one.state == "Succeeded" and _numbers(one.name) > _numbers(other.name)


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.split(".") if part.isdecimal())


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
    needed |= {
        fold(definition.name)
        for definition in facts.definitions
        for version in definition.versions
        if fold(f"{definition.name}/{version.name}") not in recorded.versions
    }
    names = sorted(recorded.definitions.items())
    return tuple(name for key, name in names if key in needed and key not in planned)
