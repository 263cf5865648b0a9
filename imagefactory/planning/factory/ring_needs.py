"""Which factory images the rings of labs still need, although `keep` does not: what later rings have and wait for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from imagefactory.configuration.rings import ring_of
from imagefactory.images.catalog import Catalog
from imagefactory.planning.factory.staging_needs import StackPlan
from imagefactory.planning.rings import offerings


def ring_needs(stacks: Iterable[StackPlan], catalog: Catalog, now: datetime | None = None) -> dict[str, str]:
    """Return the file names of the VHDs, each with the reason to keep it."""
    found: dict[str, str] = {}
    for stack in stacks:
        if not stack.policy.rings:
            continue
        by_lab = offerings(stack.configuration.labs, catalog, stack.policy, stack.labs, stack.gallery, now)
        for lab in sorted(stack.configuration.labs, key=lambda one: one.label):
            ring, offering = stack.policy.rings[ring_of(stack.policy.rings, lab)].name, by_lab[lab.key]
            for image in offering.of_lab(lab):
                found.setdefault(image.vhd_name, f"lab {lab.label} of ring {ring} is to have it (setting rings)")
            for vhd in offering.waiting:
                found.setdefault(vhd, f"ring {ring} waits for it (setting rings)")
    return found
