"""Which staged VHDs are still needed, by the plans of all stacks and the existing images in their labs.

Does not list or delete staged VHDs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime

from imagefactory.configuration.labs_file import LabKey
from imagefactory.configuration.loading import Configuration
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic
from imagefactory.images.catalog import Catalog
from imagefactory.observed.factory_blobs import StoredBlob
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.labs.plan import build_plan


@dataclass(frozen=True)
class StagedVhd:
    """A staged VHD of this factory in a lab's storage account, and the record of its copy if it exists."""

    blob: StoredBlob
    users: Set[str]
    """Short names of the images to create from it."""
    record: StoredBlob | None = None


@dataclass(frozen=True)
class StackPlan:
    """What one stack requires, and its target labs as they are."""

    configuration: Configuration
    labs: Mapping[LabKey, LabFacts | Diagnostic]
    policy: Policy
    gallery: GalleryFacts | Diagnostic | None = None
    """Its Compute Gallery, or why it could not be read; None: it has none."""


@dataclass(frozen=True)
class StagingNeeds:
    """The images that need staged VHDs. Places are account and file name, in lower case."""

    to_be_made: Set[str]
    """Short names of planned images that are not finished in their lab."""
    sources: Set[tuple[str, str]]
    """The places where the VHDs of these images are staged."""
    being_read: Set[tuple[str, str]]
    """The places from which the service is creating an image."""
    known: Set[str]
    """Short names of all images that the labs that were read contain or must contain."""
    all_read: bool
    """Whether every lab could be read."""

    def reason_to_keep(self, staged: StagedVhd) -> str:
        """Return why the staged VHD must be kept; empty if no image needs it."""
        place = _place(staged.blob.account_id, staged.blob.name)
        if place in self.being_read:
            return "the service is creating an image from it"
        if staged.users & self.to_be_made or place in self.sources:
            return "a planned image is not created from it yet"
        if not self.all_read and not (staged.users and staged.users <= self.known):
            return "a lab that could not be read may need it"
        return ""


def staging_needs(
    stacks: Iterable[StackPlan],
    catalog: Catalog,
    factory: LabFacts,
    user_of: Callable[[str], str],
    now: datetime | None = None,
) -> StagingNeeds:
    """Return the needs of all stacks; `user_of` returns the short name for an image's ARM id."""
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
        plan = build_plan(
            stack.configuration, catalog, factory, stack.labs, stack.policy, gallery=stack.gallery, now=now
        )
        for lab_plan in plan.labs:
            states = {image.id: image.state for image in lab_plan.facts.images}
            # Without their states and names the stacks own nothing here, so all that exists and is wanted is unadopted.
            for planned in (*lab_plan.images, *(each.planned for each in lab_plan.unadopted)):
                known.add(user_of(planned.image_id))
                if not (planned.standing and states.get(planned.image_id) == "Succeeded"):
                    to_be_made.add(user_of(planned.image_id))
                    sources.add(_place(lab_plan.facts.storage_account_id or "", planned.image.vhd_name))
    return StagingNeeds(to_be_made, sources, being_read, known, all_read)


def _read(lab: LabFacts, image: StandingImage) -> tuple[str, str]:
    return _place(lab.storage_account_id or "", image.staged_name)


def _place(account_id: str, name: str) -> tuple[str, str]:
    return account_id.lower(), name.lower()
