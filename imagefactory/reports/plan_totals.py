"""What a plan moves, and roughly how long that takes and what it costs, from the rates of the settings.

Counts like the copier: a VHD once per storage account, and once per region if relays are used. Data disks count where
they travel: a gallery version has them, a custom image only the OS disk. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from imagefactory.configuration.plan_rates import Rates
from imagefactory.configuration.stack_settings import Settings
from imagefactory.images.companions import DataDisk, FactoryImage
from imagefactory.planning.labs.plan import Plan

GIB = 1024**3
MIB = 1024**2


@dataclass(frozen=True)
class PlanTotals:
    """Sizes in bytes; what is created, not what is deleted."""

    copies: int
    """VHDs to copy into storage accounts."""
    copied: int
    crossing: int
    """What is copied or replicated to another region than the factory's."""
    stored: int
    """What new custom images and replicas occupy."""
    at_most: bool
    """Whether a ranges manifest is missing, so that the complete length of a VHD is counted."""
    seconds: int
    egress: float
    per_month: float
    rates: Rates

    def lines(self) -> list[str]:
        """Return the totals for people."""
        rates, bound = self.rates, "up to " if self.at_most else ""
        prices = "setting rates" if rates.model_fields_set >= {"egress", "storage"} else "assumed prices: set rates"
        crossing = f"; {bound}{_gib(self.crossing)} to other regions" if self.crossing else ""
        copies = f"{self.copies} {'VHD' if self.copies == 1 else 'VHDs'}"
        return [
            f"To copy: {copies}, {bound}{_gib(self.copied)}{crossing}.",
            f"Estimate: {_duration(self.seconds)} at {rates.copy_rate:g} MiB/s; {self.egress:,.2f} for traffic between"
            f" regions, {self.per_month:,.2f} a month for what is created ({prices}).",
        ]

    def to_dict(self) -> dict[str, object]:
        """Return the totals for JSON."""
        return {
            "copies": self.copies,
            "copyBytes": self.copied,
            "crossRegionBytes": self.crossing,
            "storedBytes": self.stored,
            "atMost": self.at_most,
            "copySeconds": self.seconds,
            "egressCost": round(self.egress, 2),
            "storageCostPerMonth": round(self.per_month, 2),
            "rates": self.rates.model_dump(by_alias=True),
        }


def totals_of(plan: Plan, settings: Settings, new_versions: Collection[str]) -> PlanTotals:
    """Return the totals of a plan; `new_versions` are the keys of the gallery versions that a run creates."""
    to_copy = [(lab, one.image) for lab in plan.labs for one in lab.images if not one.standing and not one.done]
    copies = {((lab.facts.storage_account_id or "").lower(), image.vhd_name): image for lab, image in to_copy}
    gallery = plan.gallery
    made = [one for one in gallery.versions if one.key in new_versions] if gallery else []
    away = [one for one in made for region in one.regions if gallery and region != gallery.facts.version_region]
    crossing = sum(each.size for each in plan.crossings) + _sum(disk for one in away for disk in _disks(one.image))
    images = _sum(image for _, image in to_copy)
    replicas = sum(_sum(_disks(one.image)) * len(one.regions) for one in made) * (gallery.replicas if gallery else 1)
    rates = settings.rates
    price = rates.storage if gallery is None or gallery.price is None else gallery.price
    limit = (settings.copying.max_mbps or 0) * 1_000_000 / 8
    copied = _sum(copies.values())
    return PlanTotals(
        len(copies),
        copied,
        crossing,
        images + replicas,
        any(
            disk.allocated is None for disk in (*copies.values(), *(disk for one in made for disk in _disks(one.image)))
        ),
        round(copied / min(rates.copy_rate * MIB, limit or rates.copy_rate * MIB)),
        crossing / GIB * rates.egress,
        images / GIB * rates.storage + replicas / GIB * price,
        rates,
    )


def _disks(image: FactoryImage) -> tuple[FactoryImage | DataDisk, ...]:
    return image, *image.data_disks


def _sum(disks: Iterable[FactoryImage | DataDisk]) -> int:
    return sum(disk.length if disk.allocated is None else disk.allocated for disk in disks)


def _gib(size: int) -> str:
    return f"{size / GIB:,.1f} GiB"


def _duration(seconds: int) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min" if minutes else "under 1 min"
