"""Labs that moved to another resource group or subscription: their names stay, the ids of their images change.

The state has the images under the ids of the old place. Until `imagefactory adopt` has carried them over, nothing of
such a lab can be declared: the engine would create images that exist and delete others that do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace

from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.labs.lab_labels import grouped
from imagefactory.planning.labs.planned_images import Recorded


@dataclass(frozen=True)
class MovedLab:
    """A lab whose images are in the state under another place."""

    lab: TargetLab
    facts: LabFacts
    old_label: str
    """Its label in the state: another one if its subscription changed."""
    old_subscription_id: str
    old_resource_group: str
    names: tuple[str, ...]
    """The images that the state has under the old place, without the label."""

    @property
    def label(self) -> str:
        """The label that it has now."""
        return self.lab.label

    @property
    def account_id(self) -> str:
        """The id of its storage account now; empty: it has none."""
        return self.facts.storage_account_id or ""

    @property
    def origin(self) -> str:
        """The old place, for people."""
        return f"resource group {self.old_resource_group} of subscription {self.old_subscription_id}"

    @property
    def kept(self) -> TargetLab:
        """The lab as the state has it."""
        return replace(self.lab, subscription_id=self.old_subscription_id, label=self.old_label)

    def standing(self, name: str) -> StandingImage | None:
        """Return the image of that name in the lab."""
        return next((each for each in self.facts.images if fold(each.name) == fold(name)), None)

    def diagnostic(self, command: str) -> Diagnostic:
        """Return the error of a run; `command` is what carries the state over."""
        fact = f"was moved here from {self.origin}, and the state has {len(self.names)} of its images under the old ids"
        consequence = "nothing is distributed to it, and its images are kept"
        remedy = f"Run {command}, then pulumi up again"
        return error(f"lab {self.label}", fact, consequence, remedy, self.lab.location)


def moved_labs(
    labs: Iterable[tuple[TargetLab, LabFacts]], recorded: Mapping[str, Recorded], named: Set[str]
) -> Iterator[MovedLab]:
    """Yield the labs that moved since the state was written; `named` are the labels of all labs in labs.json.

    The name of a storage account exists only once, so the same lab has the same account. A lab moved to another group
    if the state has images of its label there. It moved to another subscription if no lab of labs.json has the label of
    the images any more, and lab and account have the same names.
    """
    by_label = grouped((name.rpartition("/")[0], name) for name in recorded)
    unnamed = grouped((_lab_name(label), label) for label in by_label.keys() - named)
    for lab, facts in labs:
        for label in sorted(by_label.keys() & {lab.label, *unnamed.get(lab.key.lab_name, ())}):
            names = by_label[label]
            accounts = {recorded[name].account_id for name in names} - {""}
            same = {account.rpartition("/")[2].lower() for account in accounts} == {facts.storage_account.lower()}
            if label == lab.label and (same or not accounts):
                here = {"", facts.resource_group.lower()}
                left = [name for name in names if recorded[name].resource_group.lower() not in here]
                subscription = lab.subscription_id
            elif label not in named and same:
                left, subscription = names, min(accounts).split("/")[2]
            else:
                continue
            if left:
                images = tuple(sorted(name.rpartition("/")[2] for name in left))
                yield MovedLab(lab, facts, label, subscription, recorded[left[0]].resource_group, images)


def _lab_name(label: str) -> str:
    return label.rpartition("@")[0].partition(".")[0]
