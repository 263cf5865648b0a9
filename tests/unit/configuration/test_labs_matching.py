"""The setting `labsMatching`: which labs a stack serves, what is wrong with it, and with the split of a labs file."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.labs_matching import LabsMatching, matching_findings, served_labs
from imagefactory.configuration.loading import labs_of_stack, load_of_stack, load_stacks
from imagefactory.configuration.split import split_findings
from imagefactory.configuration.stack_settings import Settings, StackBasics, parse_settings
from imagefactory.errors import ConfigurationError
from tests.unit.builders import SUBSCRIPTION, entry, lab, write_configuration

ROOT = Path(__file__).parents[3]
OTHER = "33333333-3333-3333-3333-33333333333b"
FACTORY = {"subscriptionId": SUBSCRIPTION, "labName": "factory"}


def tagged(name: str, *tags: str, subscription: str = SUBSCRIPTION) -> TargetLab:
    """A lab with these tags."""
    found = lab(name, subscription_id=subscription)
    return TargetLab(found.subscription_id, name, None, found.selectors, found.location, tags=tags)


LABS = [tagged("team-1", "europe"), tagged("team-2", "Asia", "gpu"), tagged("web", "europe", subscription=OTHER)]


def served(**lists: list[str]) -> list[str]:
    """The names of the labs that a stack with this setting serves."""
    return [one.name for one in served_labs(LabsMatching(**lists), LABS)]


def facts(**lists: list[str]) -> list[str]:
    """What is wrong with the setting: subject, fact and remedy."""
    return [f"{one.subject}: {one.fact}. {one.remedy}" for one in matching_findings(LabsMatching(**lists), LABS)]


def settings(**values: object) -> Settings:
    """The settings of a stack."""
    return parse_settings({"imagefactory:factory": FACTORY, **{f"imagefactory:{n}": v for n, v in values.items()}}, {})


def test_a_lab_is_selected_by_name_subscription_and_tag() -> None:
    """Names as in rings, all in any letter case."""
    assert served(names=["TEAM-*"]) == ["team-1", "team-2"]
    assert served(names=["web", LABS[0].label]) == ["team-1", "web"]
    assert served(names=[f"{OTHER}/*"]) == served(subscriptions=[OTHER.upper()]) == ["web"]
    assert served(tags=["EUROPE"]) == ["team-1", "web"] and served(tags=["asia", "europe"]) == [
        one.name for one in LABS
    ]


def test_each_list_that_is_given_must_match() -> None:
    """One of its entries is enough."""
    assert served(names=["team-*"], tags=["europe", "gpu"], subscriptions=[SUBSCRIPTION]) == ["team-1", "team-2"]
    assert served(subscriptions=[OTHER], tags=["europe"]) == ["web"]


def test_an_entry_without_a_lab_is_an_error_with_the_nearest_name() -> None:
    """Otherwise a misspelled entry would let the stack delete the images of a lab."""
    subject = "setting imagefactory:labsMatching"
    assert facts(names=["web", "taem-1"]) == [
        f'{subject}.names.1 "taem-1": matches no lab of the labs file. Write "team-1"'
    ]
    assert facts(tags=["europa"]) == [f'{subject}.tags.0 "europa": matches no lab of the labs file. Write "europe"']
    (told,) = facts(subscriptions=[OTHER.replace("b", "c")])
    assert told.startswith(f"{subject}.subscriptions.0") and told.endswith(f'Write "{OTHER}"')
    (told,) = facts(names=["web"], tags=["gpu"])
    assert told.startswith(f"{subject}: no lab of the labs file is matched by names and tags. Write entries")
    assert facts(names=["*"]) == facts(tags=["gpu"]) == []


@pytest.mark.parametrize("wrong", [{}, {"names": []}, {"names": "web"}, {"subscriptions": ["a"]}, {"labs": ["web"]}])
def test_a_wrong_setting_is_an_error(wrong: dict[str, Any]) -> None:
    """With its key, also as JSON text, in which pulumi passes an object."""
    for value in (wrong, json.dumps(wrong)):
        with pytest.raises(ConfigurationError) as refused:
            settings(labsMatching=value)
        assert "setting imagefactory:labsMatching" in str(refused.value)


def test_a_stack_reads_only_its_labs(tmp_path: Path) -> None:
    """The others of the file are known; a ring that names one of them is an error that says why."""
    entries = [entry(LabName="web", Tags=["europe"]), entry(LabName="data")]
    write_configuration(tmp_path, {"Labs": entries}, "Win2016/Datacenter.json")
    by = settings(configuration=str(tmp_path), labsMatching={"tags": ["Europe"]})
    found = load_of_stack(by)
    assert [one.name for one in found.labs] == ["web"] and [one.name for one in found.others] == ["data"]
    assert found.warnings == () and labs_of_stack(by) == found.labs
    rings = [{"name": "a", "labs": ["web"]}, {"name": "b", "labs": ["data"]}]
    with pytest.raises(ConfigurationError) as refused:
        load_of_stack(by.model_copy(update={"rings": settings(rings=rings).rings}), "dev")
    assert str(refused.value).startswith(
        'Pulumi.dev.yaml: error: setting imagefactory:rings.1.labs.0 "data": matches only labs that the stack does not '
        "serve (setting labsMatching)"
    )
    with pytest.raises(ConfigurationError) as refused:
        load_of_stack(settings(configuration=str(tmp_path), labsMatching={"names": ["wbe"]}))
    assert 'labsMatching.names.0 "wbe": matches no lab of the labs file' in str(refused.value)


@pytest.mark.parametrize("tags", ["europe", [7], [""], {"a": "b"}])
def test_tags_of_a_lab_are_a_list_of_texts(tmp_path: Path, tags: object) -> None:
    """Anything else is an error at its place."""
    write_configuration(tmp_path, {"Labs": [entry(Tags=tags)]}, "Win2016/Datacenter.json")
    with pytest.raises(ConfigurationError) as refused:
        load_of_stack(settings(configuration=str(tmp_path)))
    assert "Labs[0].Tags" in str(refused.value)


def test_no_part_of_the_product_reads_the_labs_of_a_stack_by_itself() -> None:
    """Those that load all labs of a file compare stacks; all others select by the setting, in one place."""
    loading = {
        path.relative_to(ROOT).as_posix()
        for folder in ("imagefactory", "components", "providers")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Name) and node.id == "load_configuration"
    }
    assert loading == {
        "imagefactory/configuration/loading.py",
        "imagefactory/cli/stacks.py",
        "imagefactory/cli/validate.py",
    }
    assert "load_configuration" not in (ROOT / "__main__.py").read_text("utf-8")


# Several stacks


names = st.sampled_from(["a", "ab", "b", "B1", "c"])
tags = st.lists(st.sampled_from(["x", "Y", "z"]), max_size=2)
subscriptions = st.sampled_from([SUBSCRIPTION, OTHER])
some_labs = st.lists(
    st.builds(
        lambda name, tags, subscription: tagged(name, *tags, subscription=subscription), names, tags, subscriptions
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda one: one.key,
)
lists = st.fixed_dictionaries(
    {},
    optional={
        "names": st.lists(st.sampled_from(["a", "A*", "b*", "c", "?", "*"]), min_size=1, max_size=2),
        "subscriptions": st.lists(subscriptions, min_size=1, max_size=2),
        "tags": st.lists(st.sampled_from(["X", "y", "z"]), min_size=1, max_size=2),
    },
).filter(bool)


def is_served(by: dict[str, list[str]] | None, one: TargetLab) -> bool:
    """The rule, said again."""
    return by is None or (
        any(fnmatchcase(one.name.lower(), entry.lower()) for entry in by.get("names", ["*"]))
        and one.subscription_id in by.get("subscriptions", [one.subscription_id])
        and ("tags" not in by or bool({tag.lower() for tag in by["tags"]} & {tag.lower() for tag in one.tags}))
    )


def basics(by: dict[str, list[str]] | None, factory: str = "factory", group: str | None = None) -> StackBasics:
    """What concerns a stack with this setting."""
    place = {"subscriptionId": SUBSCRIPTION, "labName": factory, "resourceGroup": group}
    return StackBasics.model_validate({"factory": place, "labsMatching": by}, by_alias=True, by_name=False)


def wrongly_split(stacks: dict[str, StackBasics], labs: Sequence[TargetLab]) -> set[tuple[str, str]]:
    """The labs that no stack or several stacks serve, with what is said of each."""
    return {(one.subject, one.fact) for one in split_findings(stacks, labs) if one.subject.startswith("lab ")}


@given(labs=some_labs, by=st.lists(st.none() | lists, min_size=1, max_size=3), data=st.data())
def test_exactly_the_labs_without_one_stack_of_their_own_are_errors(
    labs: list[TargetLab], by: list[dict[str, list[str]] | None], data: st.DataObject
) -> None:
    """Whatever the order of labs, stacks and entries; and none if no stack has the setting."""
    stacks = {f"s{number}": basics(one) for number, one in enumerate(by)}
    expected = {}
    for one in labs:
        for name, each in zip(stacks, by, strict=True):
            assert (one in served_labs(stacks[name].labs_matching, labs)) == is_served(each, one)
        expected[f"lab {one.label}"] = [name for name, each in zip(stacks, by, strict=True) if is_served(each, one)]
    found = wrongly_split(stacks, labs)
    if any(by):
        assert {subject for subject, _ in found} == {subject for subject, by in expected.items() if len(by) != 1}
    else:
        assert not list(split_findings(stacks, labs))
    for subject, fact in found:
        assert all(name in fact for name in expected[subject]) and ("no stack" in fact) == (not expected[subject])
    turned = {name: stacks[name] for name in data.draw(st.permutations(list(stacks)))}
    assert wrongly_split(turned, data.draw(st.permutations(labs))) == found


def test_stacks_of_another_factory_are_counted_by_themselves() -> None:
    """Each factory serves a lab; one without a resource group may be any of its name."""
    of_web, of_teams = {"names": ["web"]}, {"names": ["team-*"]}
    both = {"a": basics(of_web), "b": basics(of_teams)}
    assert wrongly_split({**both, "c": basics(None, "another")}, LABS) == set()
    assert wrongly_split({**both, "c": basics(None, "FACTORY", "rg")}, LABS)
    apart = {"a": basics(of_web, group="one"), "b": basics(of_teams, group="two")}
    assert len(wrongly_split(apart, LABS)) == 3
    assert wrongly_split({**apart, "c": basics(None)}, LABS) == {
        (f"lab {one.label}", f"stacks {name} and c serve it (setting labsMatching)")
        for one, name in zip(LABS, "bba", strict=True)
    }


def test_what_needs_all_stacks_of_a_factory_stops_if_a_lab_is_of_none(tmp_path: Path) -> None:
    """So `prune` does not delete what the lab needs."""
    labs = [entry(LabName="web"), entry(LabName="data")]
    folder = str(write_configuration(tmp_path, {"Labs": labs}, "Win2016/Datacenter.json"))
    stacks = {name: settings(configuration=folder, labsMatching={"names": [name]}) for name in ("web", "data")}
    assert [[lab.name for lab in found.labs] for _, found in load_stacks(stacks)] == [["web"], ["data"]]
    with pytest.raises(
        ConfigurationError, match=r"lab data@.*no stack serves it: labsMatching of web does not match it"
    ):
        load_stacks({"web": stacks["web"]})
    everything = settings(configuration=folder)
    assert len(load_stacks({"a": everything, "b": everything})) == 2
