"""`imagefactory stacks`, and what `imagefactory validate` says of the labs that stacks divide among them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.cli.stacks import azure_line, github_line
from tests.agent_commands import agent_commands
from tests.unit.builders import SUBSCRIPTION, entry, write_configuration
from tests.unit.cli.conftest import Printed, Verb

FACTORY = {"subscriptionId": SUBSCRIPTION, "labName": "factory"}
WEB, DATA = {"names": ["web"]}, {"tags": ["slow"]}


def write_stack(name: str, **settings: Any) -> None:
    """A stack file."""
    values = {"factory": FACTORY, **settings}
    config = {f"imagefactory:{key}": value for key, value in values.items() if value is not None}
    Path(f"Pulumi.{name}.yaml").write_text(yaml.safe_dump({"config": config}), "utf-8")


@pytest.fixture
def split(verb: Verb) -> Verb:
    """Runs a subcommand in a folder whose labs file has the labs web, data and more; `dev` serves web only."""
    labs = [entry(LabName="web"), entry(LabName="data", Tags=["Slow"]), entry(LabName="more", Tags=["slow", "big"])]
    write_configuration(Path("Configuration"), {"Labs": labs}, "Win2016/Datacenter.json")
    write_stack("dev", labsMatching=WEB)
    return verb


def found(printed: Printed) -> list[tuple[str, str]]:
    """Place and fact of each diagnostic."""
    return [(f"{one['file']}:{one['line']}", one["fact"]) for one in printed.document]


def validated(verb: Verb, code: int) -> list[tuple[str, str]]:
    """What `validate` finds."""
    done = verb("validate", "--format", "json")
    assert (done.code, done.err) == (code, "")
    return found(done)


def test_each_lab_belongs_to_exactly_one_stack(split: Verb) -> None:
    """A lab of none and a lab of two are errors at their entry in the labs file."""
    none = "no stack serves it: labsMatching of {} does not match it"
    lines = [
        number for number, text in enumerate(Path("Configuration/labs.json").read_text().splitlines(), 1) if "{" in text
    ]
    web, data, more = (f"Configuration/labs.json:{number}" for number in lines[1:])
    assert validated(split, 1) == [(data, none.format("dev")), (more, none.format("dev"))]
    write_stack("second", labsMatching=DATA)
    assert validated(split, 0) == []
    write_stack("third", labsMatching={"tags": ["big"]})
    assert validated(split, 1) == [(more, "stacks second and third serve it (setting labsMatching)")]
    write_stack("third")
    assert [place for place, _ in validated(split, 1)] == [web, data, more]
    assert "without the setting, a stack serves all labs, as third" in split("validate").out


def test_only_stacks_with_the_factory_and_the_labs_file_count(split: Verb) -> None:
    """So do environments of other factories, and stacks with a labs file of their own."""
    write_stack("second", labsMatching=DATA)
    write_stack("elsewhere", factory={**FACTORY, "labName": "another"})
    write_stack("own", labs="own.json")
    Path("Pulumi.foreign.yaml").write_text("config: {other:key: 1}", "utf-8")
    assert validated(split, 0) == []
    write_stack("same", labs="LABS.json", configuration="./Configuration")
    assert len(validated(split, 1)) == 3


def test_without_the_setting_nothing_is_checked(split: Verb) -> None:
    """Several stacks may share labs, and a stack file that cannot be read is no error of the labs file."""
    for name in ("dev", "second"):
        write_stack(name)
    Path("Pulumi.broken.yaml").write_text("config: [", "utf-8")
    assert validated(split, 0) == []
    write_stack("second", labsMatching=DATA)
    ((place, fact),) = validated(split, 1)
    assert place.startswith("Pulumi.broken.yaml") and "is not a stack configuration" in fact


def test_a_misspelled_entry_is_an_error_of_the_stack_file(split: Verb) -> None:
    """With the nearest name; the labs that it leaves out are named too."""
    write_stack("second", labsMatching={"tags": ["slwo"]})
    first, *labs = validated(split, 1)
    assert first == ("Pulumi.second.yaml:None", "matches no lab of the labs file") and len(labs) == 2
    assert 'Write "slow"' in split("validate").out.casefold().replace("write", "Write")


def test_stacks_are_listed_with_their_labs(split: Verb) -> None:
    """All of them, or those that are named; an unknown name is an error with the nearest one."""
    write_stack("second", labsMatching=DATA, storageAuth="key")
    row = {"labsFile": "Configuration/labs.json", "factory": "factory", "factorySubscriptionId": SUBSCRIPTION}
    dev = {"stack": "dev", "labs": 1, **row, "storageAuth": "aad"}
    second = {"stack": "second", "labs": 2, **row, "storageAuth": "key"}
    assert split("stacks", "--format", "json").document == {"include": [dev, second]}
    assert split("stacks", "s*", "--format", "json").document == {"include": [second]}
    assert re.search(r"second\W+2\W+Configuration/labs.json\W+factory\W+key", split("stacks").out)
    wrong = split("stacks", "secnod")
    assert (
        wrong.code == 2
        and "stack 'secnod': this folder does not contain it" in wrong.err
        and "Write second" in wrong.err
    )


def test_no_matrix_is_made_of_wrongly_divided_labs(split: Verb) -> None:
    """So no run starts that would delete the images of a lab, or fight for it."""
    for output in ("json", "github", "azure", "text"):
        done = split("stacks", "--format", output)
        assert done.code == 2 and done.out == "" and done.err.count("no stack serves it") == 2


names = st.text(min_size=1, max_size=130)


@given(st.lists(names, min_size=1, max_size=4, unique=True))
def test_every_list_of_stacks_is_a_matrix_of_both_systems(stacks: list[str]) -> None:
    """One line each, with one job per stack, whatever the names; legs of Azure Pipelines have names that it takes."""
    rows: list[dict[str, str | int]] = [{"stack": name, "labs": number} for number, name in enumerate(stacks)]
    line = github_line(rows)
    name, _, value = line.partition("=")
    assert (name, json.loads(value), len(line.splitlines())) == ("matrix", {"include": rows}, 1)
    command, prefix = azure_line(rows), "##vso[task.setvariable variable=matrix;isOutput=true]"
    assert agent_commands(command) == [command] and command.startswith(prefix)
    legs = json.loads(command.removeprefix(prefix).replace("%AZP25", "%"))
    assert [(leg["stack"], leg["labs"]) for leg in legs.values()] == [(n, str(i)) for i, n in enumerate(stacks)]
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,99}", leg) for leg in legs)
    assert len({leg.lower() for leg in legs}) == len(stacks)
