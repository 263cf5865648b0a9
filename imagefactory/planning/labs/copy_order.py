"""In which order the copies of a plan begin: the engine starts what is declared first, as far as it has places.

Does not decide what is copied, or from where.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from imagefactory.images.ranges import fans_out
from imagefactory.planning.labs.planned_images import LabPlan, PlannedImage


def copy_order(plans: Iterable[LabPlan]) -> list[tuple[LabPlan, PlannedImage]]:
    """Return the images of all labs, each with the plan of its lab, in the order in which their copies are to begin.

    Lab by lab, so that copies that run together read different VHDs. Where finished copies are sources for the next
    ones, copies of a small VHD double sooner than those of a large one. They come first, by their size times the number
    of copies before them: while large ones double, small ones use the places (docs/performance.md, "Copies at scale").
    """
    order = [(lab, planned) for lab in plans for planned in lab.images]
    if not any(planned.relay and fans_out(planned.relay.uses) for _, planned in order):
        return order
    before: Counter[str] = Counter()
    turns = []
    for _, planned in order:
        turns.append(before[planned.image.vhd_name] * planned.image.copied_bytes)
        before[planned.image.vhd_name] += not planned.standing
    return [each for _, each in sorted(zip(turns, order, strict=True), key=lambda turn: turn[0])]
