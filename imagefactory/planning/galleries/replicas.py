"""What the replicas of a gallery occupy in each region, and what that costs."""

from __future__ import annotations

from collections import Counter

from imagefactory.plain_text import printable
from imagefactory.planning.galleries.planned import GalleryPlan

GIB = 1024**3


def replica_note(plan: GalleryPlan) -> str:
    """Return one line for the reader of a preview; empty if the gallery contains nothing.

    Azure bills no gallery, but each replica as a snapshot of its occupied size, and the first copy to a region as
    traffic between regions (learn.microsoft.com, "Store and share images in an Azure Compute Gallery", billing).
    """
    sizes: Counter[str] = Counter()
    for version in plan.versions:
        size = version.image.allocated or version.image.length
        sizes.update(dict.fromkeys(version.regions, size * plan.replicas))
    if not sizes:
        return ""
    bound = "up to " if any(version.image.allocated is None for version in plan.versions) else ""
    parts = ", ".join(f"{region} {bound}{size / GIB:,.1f} GiB" for region, size in sorted(sizes.items()))
    versions = "1 version" if len(plan.versions) == 1 else f"{len(plan.versions)} versions"
    labs = "1 lab" if len(plan.labs) == 1 else f"{len(plan.labs)} labs"
    cost = ""
    if plan.price is not None:
        total = sum(sizes.values()) / GIB * plan.price
        cost = f"; about {total:,.2f} a month at {plan.price:g} per GiB (setting gallery.replicaPrice)"
    return printable(
        f"gallery {plan.facts.name}: {versions} for {labs}, no VHD is copied; replicas ({plan.replicas} per region):"
        f" {parts}{cost}"
    )
