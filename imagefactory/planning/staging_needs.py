"""Which staged VHDs an image still needs, by the plans of all stacks and by what stands in their labs.

Owns that rule. Refuses to list them, and to delete them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass

from imagefactory.configuration.labs_file import LabKey
from imagefactory.configuration.loading import Configuration
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic
from imagefactory.images.catalog import Catalog
from imagefactory.observed.factory_blobs import StoredBlob
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.plan import build_plan


@dataclass(frozen=True)
class StagedVhd:
    """A staged VHD of this factory in a lab's storage account, and the record of its copy where there is one."""

    blob: StoredBlob
    users: Set[str]
    """Short names of the images that are to be made from it."""
    record: StoredBlob | None = None


@dataclass(frozen=True)
class StackPlan:
    """What one stack wants, and its target labs as they stand."""

    configuration: Configuration
    labs: Mapping[LabKey, LabFacts | Diagnostic]
    policy: Policy


@dataclass(frozen=True)
class StagingNeeds:
    """Who needs staged VHDs. Places are account and file name, in lower case."""

    to_be_made: Set[str]
    """Short names of images of the plans that do not stand finished."""
    sources: Set[tuple[str, str]]
    """Where the VHDs of those are staged."""
    being_read: Set[tuple[str, str]]
    """What the service makes an image from right now."""
    known: Set[str]
    """Short names of all images that the labs that were read hold, or shall hold."""
    all_read: bool
    """Whether every lab could be read."""

    def reason_to_keep(self, staged: StagedVhd) -> str:
        """Why the staged VHD must stay; empty: no image needs it."""
        place = _place(staged.blob.account_id, staged.blob.name)
        if place in self.being_read:
            return "the service makes an image from it now"
        if staged.users & self.to_be_made or place in self.sources:
            return "an image of the plan is yet to be made from it"
        if not self.all_read and not (staged.users and staged.users <= self.known):
            return "a lab that could not be read may need it"
        return ""


def staging_needs(
    stacks: Iterable[StackPlan], catalog: Catalog, factory: LabFacts, user_of: Callable[[str], str]
) -> StagingNeeds:
    """The needs of all stacks together; `user_of` gives the short name for an image's ARM id."""
    to_be_made: set[str] = set()
    sources: set[tuple[str, str]] = set()
    being_read: set[tuple[str, str]] = set()
    known: set[str] = set()
    all_read = True
    for stack in stacks:
        facts = [each for each in stack.labs.values() if isinstance(each, LabFacts)]
        all_read = all_read and len(facts) == len(stack.labs)
        for lab in facts:
            known |= {user_of(image.id) for image in lab.images}
            being_read |= {_read(lab, image) for image in lab.images if image.in_progress and image.vhd_url}
        for lab_plan in build_plan(stack.configuration, catalog, factory, stack.labs, stack.policy).labs:
            states = {image.id: image.state for image in lab_plan.facts.images}
            for planned in lab_plan.images:
                known.add(user_of(planned.image_id))
                if not (planned.standing and states.get(planned.image_id) == "Succeeded"):
                    to_be_made.add(user_of(planned.image_id))
                    sources.add(_place(lab_plan.facts.storage_account_id or "", planned.image.vhd_name))
    return StagingNeeds(to_be_made, sources, being_read, known, all_read)


def _read(lab: LabFacts, image: StandingImage) -> tuple[str, str]:
    return _place(lab.storage_account_id or "", image.staged_name)


def _place(account_id: str, name: str) -> tuple[str, str]:
    return account_id.lower(), name.lower()
