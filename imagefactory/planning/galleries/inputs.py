"""The inputs of a gallery, its definitions and its versions, as the state names them (camelCase).

The program declares them, and adoption writes them into the state: one source, so that a run after an adoption finds no
difference. Does not decide what the gallery contains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.images.companions import FactoryImage
from imagefactory.images.timestamps import only_reading
from imagefactory.observed.standing_gallery import GalleryFacts, StandingDefinition, StandingVersion, region_key
from imagefactory.planning.galleries.planned import PlannedDefinition, PlannedVersion, Traits
from imagefactory.planning.galleries.properties import STORAGE_INPUTS, known

Inputs = dict[str, Any]


@dataclass(frozen=True)
class GalleryInputs:
    """What the inputs follow from, besides the plan. The factory's container is a URL without a trailing slash, and the
    ARM id of its storage account."""

    facts: GalleryFacts
    options: GallerySettings
    container_url: str
    account_id: str
    recorded_name: str = ""
    """The gallery's name in the state: in another letter case it would be another gallery to the engine."""
    now: datetime | None = None
    """None: every end of life is taken for one in the future."""

    @property
    def name(self) -> str:
        """The name of the gallery: as the state has it, else as Azure returned it."""
        return self.recorded_name or self.facts.name

    def gallery(self) -> Inputs:
        """Return the inputs of the gallery itself."""
        return self._at()

    def definition(self, planned: PlannedDefinition) -> Inputs:
        """Return the inputs of a definition."""
        return self._of_definition(planned.name, planned.traits, planned.identifier, planned.tags)

    def standing_definition(self, name: str, standing: StandingDefinition) -> Inputs:
        """Return the inputs of an existing definition, with its tags; the state has it under `name`."""
        traits, tags = Traits.of_standing(standing), known(None, standing.answer.get("tags") or {})
        return self._of_definition(name, traits, standing.identifier, tags)

    def version(self, planned: PlannedVersion) -> Inputs:
        """Return the inputs of a version. Regions that it has keep their storage type, which Azure cannot change."""
        image, standing = planned.image, self.facts.version(planned.definition, planned.name)
        types = {key: each.get("storageAccountType") for key, each in _regions(standing).items()} if standing else {}
        storage: Inputs = {"osDiskImage": {"source": self._vhd(image.vhd_name)}}
        if image.data_disks:
            disks = [{"lun": disk.lun, "source": self._vhd(disk.vhd_name)} for disk in image.data_disks]
            storage["dataDiskImages"] = disks
        published: Inputs = {
            "targetRegions": [
                {
                    "name": region,
                    "regionalReplicaCount": self.options.replicas,
                    "storageAccountType": types.get(region) or self.options.storage_type,
                }
                for region in planned.regions
            ]
        }
        if end := self._end_of_life(image, standing):
            published["endOfLifeDate"] = end
        return {
            **self._version_at(planned.definition, planned.name),
            "storageProfile": storage,
            "publishingProfile": published,
            "tags": dict(planned.tags),
        }

    def standing_version(self, definition: str, standing: StandingVersion, planned: PlannedVersion | None) -> Inputs:
        """Return the inputs of an existing version, with what Azure has of it.

        As the program declares it if it is as `planned` (None: the plan lacks it), so that the engine has nothing to
        write; what differs is as it is, so that the engine corrects it. What the program does not compare is as Azure
        has it, because an update repeats it.
        """
        declared = self.version(planned) if planned else {}
        answer = standing.answer
        told = answer.get("properties") or {}
        has, wants = told.get("publishingProfile") or {}, declared.get("publishingProfile", {})
        published: Inputs = {"targetRegions": _in_words_of(wants.get("targetRegions", ()), _regions(standing))}
        if (end := _end_of(has)) and (planned is None or "endOfLifeDate" in wants):
            published["endOfLifeDate"] = end
        storage = known(STORAGE_INPUTS, told.get("storageProfile") or {})
        return {
            **self._version_at(definition, standing.name),
            "location": answer.get("location") or self.facts.version_region,
            "storageProfile": storage or declared.get("storageProfile", {}),
            "publishingProfile": published if published["targetRegions"] else wants,
            "tags": known(None, answer.get("tags") or {}),
        }

    def _end_of_life(self, image: FactoryImage, standing: StandingVersion | None) -> str:
        """Return the date that the setting demands; if it is past, what the version has (empty: none), because Azure
        accepts no new date in the past."""
        if self.options.end_of_life_days is None:
            return ""
        end = image.saved_at + timedelta(days=self.options.end_of_life_days)
        if self.now is None or end > self.now:
            return _written(end)
        return _end_of(_published(standing)) if standing else ""

    def _version_at(self, definition: str, name: str) -> Inputs:
        return {
            **self._at(galleryImageName=definition, galleryImageVersionName=name),
            "location": self.facts.version_region,
            # Otherwise Azure refuses an update that drops a region.
            "safetyProfile": {"allowDeletionOfReplicatedLocations": True},
        }

    def _of_definition(
        self, name: str, traits: Traits, identifier: tuple[str, str, str], tags: Mapping[str, str]
    ) -> Inputs:
        inputs = {
            **self._at(galleryImageName=name),
            "identifier": dict(zip(("publisher", "offer", "sku"), identifier, strict=True)),
            "osType": traits.os_type,
            "osState": traits.os_state,
            "hyperVGeneration": traits.generation,
            "tags": dict(tags),
        }
        if traits.trusted_launch:
            inputs["features"] = [{"name": "SecurityType", "value": "TrustedLaunchSupported"}]
        return inputs

    def _at(self, **names: str) -> Inputs:
        return {
            "galleryName": self.name,
            "resourceGroupName": self.facts.resource_group,
            "location": self.facts.region,
            **names,
        }

    def _vhd(self, name: str) -> dict[str, str]:
        return {"storageAccountId": self.account_id, "uri": f"{self.container_url}/{name}"}


def _regions(version: StandingVersion) -> dict[str, Mapping[str, Any]]:
    """Return the target regions of a version as Azure has them, by `region_key`."""
    return {region_key(each["name"]): each for each in _published(version).get("targetRegions") or ()}


def _published(version: StandingVersion) -> Mapping[str, Any]:
    return (version.answer.get("properties") or {}).get("publishingProfile") or {}


def _end_of(published: Mapping[str, Any]) -> str:
    """Return the end of life in a publishing profile as the program writes it; empty: it has none."""
    end = str(published.get("endOfLifeDate") or "")
    moment = only_reading(end)
    return _written(moment) if moment else end


def _in_words_of(wanted: Iterable[Inputs], has: Mapping[str, Mapping[str, Any]]) -> list[Inputs]:
    """Return the regions that a version has, sorted; one that is as wanted as the program declares it."""
    by_key = {region_key(each["name"]): each for each in wanted}
    regions = []
    for key, told in sorted(has.items()):
        own = {
            each: told[each] for each in ("regionalReplicaCount", "storageAccountType") if told.get(each) is not None
        }
        want = by_key.get(key)
        regions.append(want if want and own.items() <= want.items() else {"name": key, **own})
    return regions


def _written(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
