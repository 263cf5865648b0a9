"""Which VHDs of the factory the Compute Galleries of its stacks still need: Azure creates versions from them in place.

Decides by the versions in progress, and by what the labs of the stacks are to get. Does not list or delete VHDs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from imagefactory.diagnostics import Diagnostic
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.delivery import routes
from imagefactory.planning.factory.staging_needs import StackPlan
from imagefactory.planning.galleries.lab_offers import is_finished
from imagefactory.planning.rings import offerings


@dataclass(frozen=True)
class GalleryNeeds:
    """The VHDs that galleries need, by file name in lower case."""

    being_read: Mapping[str, str] = field(default_factory=dict)
    """Each with the version that Azure creates or replicates from it: `<definition>/<version>`."""
    to_be_made: Mapping[str, str] = field(default_factory=dict)
    """Each with the label of a lab in whose region the gallery has no finished version of it."""
    unread: Sequence[str] = ()
    """The galleries that could not be read."""

    def reason_to_keep(self, names: Iterable[str]) -> str:
        """Return why a save with VHDs of these names must be kept; empty if no gallery needs any of them."""
        folded = [name.lower() for name in names]
        if version := next((self.being_read[name] for name in folded if name in self.being_read), None):
            return f"Azure is creating or replicating gallery version {version} from it"
        if lab := next((self.to_be_made[name] for name in folded if name in self.to_be_made), None):
            return f"the gallery has no finished version of it for lab {lab} yet"
        return f"{self.unread[0]} could not be read, and may need it" if self.unread else ""


def gallery_needs(stacks: Iterable[StackPlan], catalog: Catalog, now: datetime | None = None) -> GalleryNeeds:
    """Return the needs of all stacks, each with its own policy."""
    being_read: dict[str, str] = {}
    to_be_made: dict[str, str] = {}
    unread: list[str] = []
    for stack in stacks:
        if isinstance(stack.gallery, Diagnostic):
            unread.append(stack.gallery.subject)
        elif stack.gallery is not None:
            being_read |= _being_read(stack.gallery)
            to_be_made |= _to_be_made(stack, stack.gallery, catalog, now)
    return GalleryNeeds(being_read, to_be_made, unread)


def _being_read(gallery: GalleryFacts) -> dict[str, str]:
    return {
        name: f"{definition.name}/{version.name}"
        for definition in gallery.definitions
        for version in definition.versions
        if version.in_progress
        for name in (*version.vhds, version.source_vhd.lower())
        if name
    }


def _to_be_made(stack: StackPlan, gallery: GalleryFacts, catalog: Catalog, now: datetime | None) -> dict[str, str]:
    """A run puts a version that failed again, so it counts as missing."""
    by_lab = offerings(stack.configuration.labs, catalog, stack.policy, stack.labs, gallery, now)
    found = {}
    for lab in stack.configuration.labs:
        facts = stack.labs[lab.key]
        for way in routes(lab, by_lab[lab.key].of_lab(lab), stack.policy):
            if way.by_gallery and not (isinstance(facts, LabFacts) and is_finished(gallery, facts, way.image)):
                found[way.image.vhd_name.lower()] = lab.label
    return found
