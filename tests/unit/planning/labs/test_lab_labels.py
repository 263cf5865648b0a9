"""The labels of labs: all different, without a resource group where none is needed, and never another one later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.json_documents import parse_json
from imagefactory.configuration.labs_file import KEYS, LabKey, TargetLab, read_labs
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, Severity, error
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.labs.lab_labels import in_state, with_labels
from imagefactory.planning.labs.plan import build_plan
from imagefactory.planning.labs.planned_images import Recorded
from tests.unit.builders import SUBSCRIPTION, catalog, configuration, entry, facts, image

OTHER = "33333333-3333-3333-3333-333333333333"
UNREAD = error("lab 'web'", "403", "", "Grant")
GROUPS = ("Rg-A", "rg-b", "Übung.(2)", "rg")


@dataclass(frozen=True)
class Standing:
    """A lab in Azure."""

    subscription: str
    name: str
    group: str

    def entry(self, group: str | None) -> dict[str, object]:
        """Its entry in labs.json."""
        given = {"ResourceGroup": group} if group else {}
        return entry(SubscriptionId=self.subscription, LabName=self.name, **given)

    def facts(self) -> LabFacts:
        """The lab as Azure lists it."""
        return replace(facts(self.name), subscription_id=self.subscription, resource_group=self.group)


def read(*entries: dict[str, object]) -> tuple[TargetLab, ...]:
    """The labs of a labs.json."""
    document = parse_json(json.dumps({"Labs": entries}).encode(), "labs.json", "", KEYS)
    labs, diagnostics = read_labs(document, [ImagePath.parse("Win2016/Datacenter.json")])
    assert not any(each.severity is Severity.ERROR for each in diagnostics), diagnostics
    return labs


UNIVERSE = [Standing(SUBSCRIPTION, "web", group) for group in GROUPS]
UNIVERSE += [Standing(SUBSCRIPTION, "web-rg", "rg-b"), Standing(OTHER, "WEB", "Rg-A"), Standing(OTHER, "web", "rg-b")]


@dataclass(frozen=True)
class Step:
    """The labs in labs.json at one run, how many images each gets, and which entries have a group or are read."""

    images: Mapping[Standing, int]
    grouped: frozenset[Standing]
    unread: frozenset[Standing]

    def is_alone(self, lab: Standing) -> bool:
        """Whether no other entry has its subscription and name."""
        mine = (lab.subscription, lab.name.lower())
        return sum((each.subscription, each.name.lower()) == mine for each in self.images) == 1

    def told_group(self, lab: Standing) -> str | None:
        """The resource group in its entry."""
        return lab.group.upper() if lab in self.grouped or not self.is_alone(lab) else None


some = st.frozensets(st.sampled_from(UNIVERSE))
steps = st.builds(Step, st.dictionaries(st.sampled_from(UNIVERSE), st.integers(0, 3), min_size=1), some, some)


@given(st.lists(steps, min_size=1, max_size=5))
def test_a_lab_keeps_its_label_as_long_as_the_state_has_its_images(history: Sequence[Step]) -> None:
    """Whatever entries come and go, whether a lab is read or not; no two labs ever have the same label."""
    state: dict[str, Recorded] = {}
    before: dict[Standing, str] = {}
    for step in history:
        labs = read(*(lab.entry(step.told_group(lab)) for lab in step.images))
        by_lab = dict(zip(step.images, labs, strict=True))
        found: dict[LabKey, LabFacts | Diagnostic] = {
            by_lab[lab].key: UNREAD if lab in step.unread else lab.facts() for lab in step.images
        }
        labels = dict(zip(step.images, with_labels(labs, found, state), strict=True))
        assert len({each.label for each in labels.values()}) == len(labels)
        kept = {lab: {one.label for one in in_state(each, found[each.key], state)} for lab, each in labels.items()}
        for lab, labelled in labels.items():
            if lab in before:
                assert before[lab] in kept[lab]
                assert lab in step.unread or labelled.label == before[lab]
            elif step.is_alone(lab) and not any(one.startswith(f"{lab.name.lower()}.") for one in state):
                assert labelled.label == labelled.key.label()
            assert replace(labelled, label=by_lab[lab].label) == by_lab[lab]
        # A lab that was not read keeps what the state has; of the others, the run makes it what they get.
        frozen = {label for lab in step.unread & step.images.keys() for label in kept[lab]}
        state = {name: each for name, each in state.items() if name.partition("/")[0] in frozen}
        before = {lab: label for lab, label in before.items() if lab in step.unread & step.images.keys()}
        for lab, count in step.images.items():
            if lab not in step.unread and count:
                before[lab] = labels[lab].label
                state |= {f"{before[lab]}/{n}": Recorded(1, resource_group=lab.group) for n in range(count)}


def test_the_first_lab_of_a_name_keeps_its_label_when_its_twin_comes() -> None:
    """Its resources would otherwise get new names; the twin has its resource group in the label."""
    first, twin = UNIVERSE[:2]
    (alone,) = read(first.entry(None))
    labs = read(first.entry(first.group), twin.entry(twin.group))
    found: dict[LabKey, LabFacts | Diagnostic] = {
        lab.key: each.facts() for lab, each in zip(labs, (first, twin), strict=True)
    }
    state = {f"{alone.label}/image": Recorded(1, resource_group="RG-A")}
    one, other = with_labels(labs, found, state)
    assert one.label == alone.label == "web@" + alone.label.partition("@")[2]
    assert other.label == alone.label.replace("@", ".rg-b@")
    assert [lab.label for lab in with_labels(labs, found, {})] == [lab.label for lab in labs]
    (left,) = read(twin.entry(None))
    kept = {f"{other.label}/image": Recorded(1, resource_group="rg-b")}
    assert with_labels([left], {left.key: twin.facts()}, kept)[0].label == other.label


@pytest.mark.parametrize("group", [None, "rg-b"])
def test_a_lab_that_cannot_be_read_keeps_the_images_of_every_label_that_may_be_its_own(group: str | None) -> None:
    """If its entry has no resource group, these are all of its name and subscription; else the one of its group."""
    twin = UNIVERSE[1]
    (lab,) = read(twin.entry(group))
    plain = lab.label
    longer = [lab.key.label(each) for each in ("rg-a", "rg-b")]
    state = {f"{longer[0]}/image": Recorded(1, resource_group="rg-a")}
    state |= {f"{longer[1]}/image": Recorded(1, resource_group="rg-b")}
    state |= {f"{UNIVERSE[4].name}.rg@{plain.partition('@')[2]}/image": Recorded(1, resource_group="rg")}
    plan = build_plan(configuration(lab), catalog(), facts("factory"), {lab.key: UNREAD}, Policy(), state.keys(), state)
    assert [one.label for one in plan.unread] == ([longer[1]] if group else [*longer, plain])
    assert len(plan.failures) == 1


def test_two_labs_of_one_name_get_the_same_images_each_under_its_own_label() -> None:
    """The omission of an image names the lab that lacks it."""
    twins = UNIVERSE[:2]
    labs = read(*(each.entry(each.group) for each in twins))
    found: dict[LabKey, LabFacts | Diagnostic] = {labs[0].key: twins[0].facts(), labs[1].key: UNREAD}
    plan = build_plan(configuration(*labs), catalog(image()), facts("factory"), found, Policy())
    assert [(one.label, [each.name for each in one.images]) for one in plan.labs] == [(labs[0].label, ["image"])]
    assert [(one.lab, one.image) for one in plan.omissions] == [(labs[1].label, "image")]
    assert [one.label for one in plan.unread] == [labs[1].label]
