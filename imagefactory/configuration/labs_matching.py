"""Which labs of the labs file a stack serves (`imagefactory:labsMatching`).

Defines the setting and the one selection of labs. Does not compare stacks: `imagefactory.configuration.split` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated

from pydantic import Field, model_validator

from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.pydantic_findings import Section, SubscriptionId, nearest
from imagefactory.configuration.rings import names_lab, names_of
from imagefactory.diagnostics import Diagnostic, error

_SETTING = "setting imagefactory:labsMatching"
_CONSEQUENCE = "nothing is planned"

_Kind = tuple[str, "list[str] | None", Callable[[str, TargetLab], bool], Callable[[TargetLab], Sequence[str]]]
"""The name of a list, its entries, whether one matches a lab, and what would match it."""


class LabsMatching(Section):
    """A lab is served if an entry of each list matches it."""

    names: Annotated[
        list[Annotated[str, Field(min_length=1)]] | None,
        Field(
            min_length=1,
            description="a list of lab names, subscriptionId/name or labels, in which * stands for any characters",
            examples=[["team-*", "web"]],
        ),
    ] = None
    subscriptions: Annotated[
        list[SubscriptionId] | None, Field(min_length=1, description="a list of subscription ids")
    ] = None
    tags: Annotated[
        list[Annotated[str, Field(min_length=1)]] | None,
        Field(min_length=1, description="a list of tags of labs in the labs file", examples=[["europe"]]),
    ] = None

    @model_validator(mode="after")
    def _names_something(self) -> LabsMatching:
        """Require one of the lists."""
        if not any(entries for _, entries, *_ in _kinds(self)):
            raise ValueError("has none of the lists")
        return self


def served_labs(matching: LabsMatching | None, labs: Iterable[TargetLab]) -> tuple[TargetLab, ...]:
    """Return the labs of the labs file that a stack serves, in their order; without the setting all."""
    kinds = [each for each in _kinds(matching) if each[1]] if matching else []
    return tuple(
        lab
        for lab in labs
        if all(any(matches(entry, lab) for entry in entries or ()) for _, entries, matches, _ in kinds)
    )


def matching_findings(matching: LabsMatching | None, labs: Sequence[TargetLab]) -> Iterator[Diagnostic]:
    """Yield an error for each entry that matches no lab of the labs file, else one if the lists have none in common.

    A misspelled entry would take labs from the stack, which deletes their images.
    """
    if matching is None:
        return
    unknown = False
    for kind, entries, matches, names in _kinds(matching):
        for number, entry in enumerate(entries or ()):
            if not any(matches(entry, lab) for lab in labs):
                unknown = True
                meant = nearest(entry, (name for lab in labs for name in names(lab)))
                remedy = f'Write "{meant}"' if meant else "Remove it, or write what an entry of the labs file has"
                subject = f'{_SETTING}.{kind}.{number} "{entry}"'
                yield error(subject, "matches no lab of the labs file", _CONSEQUENCE, remedy)
    if not unknown and not served_labs(matching, labs):
        given = " and ".join(kind for kind, entries, *_ in _kinds(matching) if entries)
        fact = f"no lab of the labs file is matched by {given}"
        yield error(_SETTING, fact, _CONSEQUENCE, "Write entries that match the same labs, or remove one of the lists")


def _kinds(matching: LabsMatching) -> tuple[_Kind, ...]:
    return (
        ("names", matching.names, names_lab, names_of),
        ("subscriptions", matching.subscriptions, _is_in, lambda lab: (lab.subscription_id,)),
        ("tags", matching.tags, _is_tagged, lambda lab: lab.tags),
    )


def _is_in(subscription: str, lab: TargetLab) -> bool:
    return subscription.lower() == lab.key.subscription_id


def _is_tagged(tag: str, lab: TargetLab) -> bool:
    return fold(tag) in map(fold, lab.tags)
