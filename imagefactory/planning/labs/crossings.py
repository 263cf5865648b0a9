"""Cross-region copies: what is copied from the factory's region to others, and to which storage accounts.

Chooses the relays: each VHD is copied once per region, into the account that sorts first among those that need it; the
other accounts of that region copy from there, or from each other if they are many. Does not copy: the provider does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from imagefactory.images.ranges import SHARED_READERS
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.plain_text import printable
from imagefactory.planning.labs.planned_images import LabPlan, PlannedImage, Relay

GIB = 1024**3


@dataclass(frozen=True)
class Crossing:
    """What is copied to one region, in `copies` copies with a total of `size` bytes."""

    origin: str
    region: str
    images: int
    labs: int
    copies: int
    size: int
    at_most: bool
    """Whether a manifest is missing, so that `size` includes the complete length of a VHD."""
    relayed: bool
    """Whether accounts of the region copy from each other."""

    def text(self) -> str:
        """One line for the reader of a preview."""
        bound = "up to " if self.at_most else ""
        way = "once per image" if self.copies == self.images else "once per image and storage account"
        way += "; labs there copy from each other" if self.relayed else ""
        return printable(
            f"{self.region}: {_count(self.images, 'image')} for {_count(self.labs, 'lab')}:"
            f" {bound}{self.size / GIB:,.1f} GiB copied from {self.origin} ({way})"
        )


def with_relays(plans: Sequence[LabPlan], factory: LabFacts) -> tuple[LabPlan, ...]:
    """Return the plans with a relay for each image that several accounts of another region need.

    In the factory's region, where many accounts need an image, the factory's VHD is its relay.
    """
    chains: defaultdict[tuple[str, str], list[tuple[str, str, str, str]]] = defaultdict(list)
    for plan, image in _to_copy(plans):
        account = plan.facts.storage_account_id or ""
        reader = (account.lower(), account, image.image_id, plan.facts.blob_endpoint)
        chains[plan.facts.region_key, image.image.vhd_name].append(reader)

    def relayed(plan: LabPlan, image: PlannedImage) -> PlannedImage:
        readers = chains.get((plan.facts.region_key, image.image.vhd_name), [])
        accounts = len({account for account, *_ in readers})
        if image.standing or image.done or accounts < 2:
            return image
        if plan.facts.region_key == factory.region_key:
            if accounts <= SHARED_READERS:
                return image
            source = (factory.storage_account_id or "", accounts, image.image_id, factory.blob_endpoint)
            return replace(image, relay=Relay(*source, is_source=True))
        first, relay, image_id, endpoint = min(readers)
        uses = sum(account != first for account, *_ in readers)
        return replace(image, relay=Relay(relay, uses, image_id, endpoint))

    return tuple(replace(plan, images=tuple(relayed(plan, image) for image in plan.images)) for plan in plans)


def crossings(plans: Sequence[LabPlan], factory: LabFacts) -> tuple[Crossing, ...]:
    """Return what is copied to each region, by its name, through the relays of the plans. An account counts once."""
    by_region: defaultdict[str, list[tuple[LabPlan, PlannedImage]]] = defaultdict(list)
    for plan, image in _to_copy(plans):
        if plan.facts.region_key != factory.region_key:
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
        found.append(
            Crossing(
                origin=factory.region,
                region=min(plan.facts.region for plan, _ in chains),
                images=len({image.image.vhd_name for _, image in chains}),
                labs=len({plan.label for plan, _ in chains}),
                copies=len(copies),
                size=sum(image.copied_bytes for image in copies.values()),
                at_most=any(image.allocated is None for image in copies.values()),
                relayed=any(image.relay for _, image in chains),
            )
        )
    return tuple(found)


def _to_copy(plans: Iterable[LabPlan]) -> Iterator[tuple[LabPlan, PlannedImage]]:
    """Yield the images to copy."""
    for plan in plans:
        yield from ((plan, image) for image in plan.images if not image.standing and not image.done)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
