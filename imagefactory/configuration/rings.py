"""Rings (`imagefactory:rings`): waves of labs; a later wave gets an image after the earlier one holds it.

Defines the setting and which ring a lab is in. Does not decide which images a ring takes: `imagefactory.planning.rings`
does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field

from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.pydantic_findings import Section, nearest
from imagefactory.diagnostics import Diagnostic, error

_CONSEQUENCE = "nothing is planned"
_GLOB = frozenset("*?[")


class Ring(Section):
    """A wave of labs."""

    name: Annotated[str, Field(pattern=r"\S", description="the name of a ring", examples=["pilot"])]
    labs: Annotated[
        list[Annotated[str, Field(min_length=1)]],
        Field(
            min_length=1,
            description="a list of lab names, subscriptionId/name or labels, in which * stands for any characters",
            examples=[["pilot-*", "web-team"]],
        ),
    ]
    soak_days: Annotated[
        int | None,
        Field(
            ge=0,
            le=3650,
            description="how many days after the earlier ring holds an image this ring gets it, 0 to 3650",
            examples=[7],
        ),
    ] = None
    """Whole days since the last lab of the earlier ring got the image; None: 0."""


Rings = Annotated[
    list[Ring],
    Field(
        description="a list of at least two objects with name, labs and soakDays, in their order",
        examples=[[{"name": "pilot", "labs": ["pilot-*"]}, {"name": "broad", "labs": ["*"], "soakDays": 7}]],
    ),
]
"""The type of the setting."""


def ring_of(rings: Sequence[Ring], lab: TargetLab) -> int:
    """Return the number of the ring of a lab: that of the entry without wildcards that names it, else of the first
    entry with wildcards; the last ring if no entry names it."""
    named = _naming(rings, lab)
    return named[0] if named else len(rings) - 1


def ring_findings(
    rings: Sequence[Ring], labs: Iterable[TargetLab], others: Collection[TargetLab] = ()
) -> Iterator[Diagnostic]:
    """Yield an error for each ring and entry from which the waves of labs do not follow.

    `others` are labs of the labs file that the stack does not serve.
    """
    labs = sorted(labs, key=lambda lab: lab.label)
    naming = [_naming(rings, lab) for lab in labs]
    if len(rings) == 1:
        yield error("setting imagefactory:rings", "has only one ring", _CONSEQUENCE, "Add another one, or remove it")
    names: dict[str, int] = {}
    for number, ring in enumerate(rings):
        subject = f"setting imagefactory:rings.{number}"
        first = names.setdefault(fold(ring.name), number)
        if first != number:
            fact = f'"{ring.name}" is also the name of rings.{first}'
            yield error(f"{subject}.name", fact, _CONSEQUENCE, "Write another name")
        unknown = [(at, entry) for at, entry in enumerate(ring.labs) if not any(names_lab(entry, lab) for lab in labs)]
        for at, entry in unknown:
            meant = nearest(entry, (name for lab in labs for name in names_of(lab)))
            remedy = f'Write "{meant}"' if meant else "Write the name of a lab in the labs file"
            fact = "matches no lab of the labs file"
            if any(names_lab(entry, lab) for lab in others):
                fact = "matches only labs that the stack does not serve (setting labsMatching)"
                remedy = "Remove it here, or add the labs to labsMatching"
            yield error(f'{subject}.labs.{at} "{entry}"', fact, _CONSEQUENCE, remedy)
        if not unknown and not any(number in named for named in naming):
            fact = "has no lab, because other rings name all of its labs"
            yield error(f"{subject}.labs", fact, _CONSEQUENCE, f"Remove ring {ring.name}, or name its labs there only")
    for lab, named in zip(labs, naming, strict=True):
        if len(named) > 1:
            fact = f"lab {lab.label} is in the rings {' and '.join(rings[number].name for number in named)}"
            yield error("setting imagefactory:rings", fact, _CONSEQUENCE, "Name it in one of them only")


def _naming(rings: Sequence[Ring], lab: TargetLab) -> list[int]:
    """Return the numbers of the rings that name a lab without wildcards, else the first one that does with them."""
    exact, by_glob = [], []
    for number, ring in enumerate(rings):
        found = [entry for entry in ring.labs if names_lab(entry, lab)]
        if any(not _GLOB & set(entry) for entry in found):
            exact.append(number)
        elif found:
            by_glob.append(number)
    return exact or by_glob[:1]


def names_lab(entry: str, lab: TargetLab) -> bool:
    """Return whether an entry, with or without wildcards, names a lab, in any letter case."""
    return any(fnmatchcase(fold(name), fold(entry)) for name in names_of(lab))


def names_of(lab: TargetLab) -> tuple[str, str, str]:
    """Return how entries can name a lab: by its name, with its subscription, or by its label."""
    return lab.name, f"{lab.subscription_id}/{lab.name}", lab.label
