"""The labels of target labs: a lab keeps the label under which the state already has its images.

Otherwise an entry of labs.json that is added or removed would rename the resources of another lab. Without images in
the state, a label follows from labs.json alone (`imagefactory.configuration.labs_file`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from imagefactory.configuration.labs_file import LabKey, TargetLab
from imagefactory.diagnostics import Diagnostic
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.labs.planned_images import Recorded

T = TypeVar("T")


def with_labels(
    labs: Sequence[TargetLab], found: Mapping[LabKey, LabFacts | Diagnostic], recorded: Mapping[str, Recorded]
) -> tuple[TargetLab, ...]:
    """Return the labs of labs.json with their labels, all different. `recorded` is of the state, by `<label>/<image>`.

    A lab keeps its label without resource group, else the one with it, if the state has images of its resource group
    there. If several labs have images under the same label, the one with the most of them keeps it.
    """
    held = Counter((name.partition("/")[0], each.resource_group.lower()) for name, each in recorded.items())
    claims: dict[str, tuple[int, str]] = {}
    for lab in labs:
        label, group = lab.key.label(), _group(lab, found[lab.key])
        claims[label] = max(claims.get(label, (0, "")), (held[label, group], group))

    def labelled(lab: TargetLab) -> TargetLab:
        plain, group = lab.key.label(), _group(lab, found[lab.key])
        if claims[plain] == (held[plain, group] or -1, group):
            return replace(lab, label=plain)
        longer = lab.key.label(group)
        return replace(lab, label=longer) if held[longer, group] else lab

    return tuple(labelled(lab) for lab in labs)


def in_state(lab: TargetLab, found: LabFacts | Diagnostic, recorded: Iterable[str]) -> tuple[TargetLab, ...]:
    """Return the lab, once for each label under which its images may be in the state (names `<label>/<image>`).

    There are several only if nothing tells its resource group, because it could not be read and its entry has none: the
    state may have the images of labs that were told apart before.
    """
    if _group(lab, found):
        return (lab,)
    name, _, subscription = lab.key.label().partition("@")
    labels = {one.partition("/")[0] for one in recorded}
    longer = {label for label in labels if label.startswith(f"{name}.") and label.endswith(f"@{subscription}")}
    return tuple(replace(lab, label=label) for label in sorted({lab.label, *longer}))


def _group(lab: TargetLab, found: LabFacts | Diagnostic) -> str:
    """Return the lab's resource group in lower case; empty: unknown."""
    return found.resource_group.lower() if isinstance(found, LabFacts) else lab.key.resource_group


def grouped(labeled: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    """Return what each label has, in its order; to search all images for each lab is slow if there are thousands."""
    found: dict[str, list[T]] = {}
    for label, one in labeled:
        found.setdefault(label, []).append(one)
    return found
