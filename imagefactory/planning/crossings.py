"""What crosses from the factory's region to others, and by way of which lab's storage account.

Owns the rule of the relay: of each VHD one copy goes to a region, into the account that sorts first among those that
need it; the other accounts of that region copy from there. It plans; copies are made and shared by the provider.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from imagefactory.observed.standing_labs import LabFacts
from imagefactory.plain_text import printable
from imagefactory.planning.planned_images import LabPlan, PlannedImage, Relay

GIB = 1024**3


@dataclass(frozen=True)
class Crossing:
    """What one region gets from the factory's, in `copies` copies of `size` bytes together."""

    origin: str
    region: str
    images: int
    labs: int
    copies: int
    size: int
    at_most: bool
    """Whether a manifest is missing, so that a VHD's whole length was counted."""
    relayed: bool
    """Whether accounts of the region copy from others there."""

    @property
    def text(self) -> str:
        """One line for the reader of a preview."""
        bound = "at most " if self.at_most else ""
        way = "once per image" if self.copies == self.images else "once per image and storage account"
        way += "; labs there copy from each other" if self.relayed else ""
        return printable(
            f"{self.region}: {_count(self.images, 'image')} for {_count(self.labs, 'lab')}:"
            f" {bound}{self.size / GIB:,.1f} GiB cross from {self.origin} ({way})"
        )


def with_relays(plans: Sequence[LabPlan], factory: LabFacts) -> tuple[LabPlan, ...]:
    """The plans with the relay of each image that several accounts of another region need."""
    chains: defaultdict[tuple[str, str], list[tuple[str, str, str]]] = defaultdict(list)
    for plan, image in _to_copy(plans, factory):
        account = plan.facts.storage_account_id or ""
        chains[plan.facts.region_key, image.image.vhd_name].append((account.lower(), account, image.image_id))

    def related(plan: LabPlan, image: PlannedImage) -> PlannedImage:
        takers = chains.get((plan.facts.region_key, image.image.vhd_name), [])
        if image.standing or image.done or len({account for account, _, _ in takers}) < 2:
            return image
        first, relay, image_id = min(takers)
        return replace(image, relay=Relay(relay, sum(account != first for account, _, _ in takers), image_id))

    return tuple(replace(plan, images=tuple(related(plan, image) for image in plan.images)) for plan in plans)


def crossings(plans: Sequence[LabPlan], factory: LabFacts) -> tuple[Crossing, ...]:
    """What crosses to each region, by its name, with the relays that the plans have. An account counts once."""
    by_region: defaultdict[str, list[tuple[LabPlan, PlannedImage]]] = defaultdict(list)
    for plan, image in _to_copy(plans, factory):
        by_region[plan.facts.region_key].append((plan, image))
    found = []
    for _, chains in sorted(by_region.items()):
        copies = {
            (
                image.image.vhd_name,
                (image.relay.account_id if image.relay else plan.facts.storage_account_id or "").lower(),
            ): image.image
            for plan, image in chains
        }
        sizes = [image.length if image.allocated is None else image.allocated for image in copies.values()]
        found.append(
            Crossing(
                origin=factory.region,
                region=min(plan.facts.region for plan, _ in chains),
                images=len({image.image.vhd_name for _, image in chains}),
                labs=len({plan.label for plan, _ in chains}),
                copies=len(copies),
                size=sum(sizes),
                at_most=any(image.allocated is None for image in copies.values()),
                relayed=any(image.relay for _, image in chains),
            )
        )
    return tuple(found)


def _to_copy(plans: Iterable[LabPlan], factory: LabFacts) -> Iterator[tuple[LabPlan, PlannedImage]]:
    """What is to be copied into labs of other regions than the factory's."""
    for plan in plans:
        if plan.facts.region_key != factory.region_key:
            yield from ((plan, image) for image in plan.images if not image.standing and not image.done)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
