"""The setting `rings`: which ring a lab is in, and what is wrong with rings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.loading import load_of_stack
from imagefactory.configuration.rings import Ring, ring_findings, ring_of
from imagefactory.configuration.stack_settings import Settings, parse_settings
from imagefactory.errors import ConfigurationError
from tests.unit.builders import SUBSCRIPTION, lab, write_configuration

FACTORY = {"subscriptionId": SUBSCRIPTION, "labName": "factory"}
PILOT = {"name": "pilot", "labs": ["web"]}
LABS = [lab("pilot-1"), lab("pilot-2"), lab("web"), lab("data")]


def rings(*entries: list[str]) -> list[Ring]:
    """Rings of these labs, named by their numbers."""
    return [Ring(name=f"r{number}", labs=labs) for number, labs in enumerate(entries)]


def facts(*entries: list[str]) -> list[str]:
    """What is wrong with rings of these labs: subject and fact."""
    return [f"{one.subject}: {one.fact}" for one in ring_findings(rings(*entries), LABS)]


def read(value: object) -> Settings:
    """The settings of a stack with these rings."""
    return parse_settings({"imagefactory:factory": FACTORY, "imagefactory:rings": value}, {})


@pytest.mark.parametrize("written", ["web", "WEB", f"{SUBSCRIPTION.upper()}/web", LABS[2].label, "w*", "*/web", "?eb"])
def test_a_lab_is_named_by_its_name_its_subscription_or_its_label(written: str) -> None:
    """In any letter case, also with wildcards."""
    found = rings([written], ["pilot-1"])
    assert [ring_of(found, one) for one in LABS] == [1, 1, 0, 1]
    assert not list(ring_findings(found, LABS))


def test_an_entry_without_wildcards_has_precedence_and_then_the_first_ring() -> None:
    """So a ring can have all other labs, whichever place it has."""
    assert [ring_of(rings(["pilot-*"], ["*"]), one) for one in LABS] == [0, 0, 1, 1]
    for found in (rings(["pilot-1"], ["*"]), rings(["*"], ["pilot-1"])):
        exact = 0 if found[0].labs == ["pilot-1"] else 1
        assert [ring_of(found, one) == exact for one in LABS] == [True, False, False, False]
        assert not list(ring_findings(found, LABS))


def test_each_wrong_entry_is_an_error_with_its_place() -> None:
    """With the nearest name."""
    (told,) = ring_findings(rings(["pilot-*", "wbe"], ["*"]), LABS)
    assert told.subject == 'setting imagefactory:rings.0.labs.1 "wbe"' and told.remedy == 'Write "web"'
    assert told.fact == "matches no lab of the labs file" and told.consequence == "nothing is planned"
    assert facts(["web"], ["web", "data"])[0].endswith(f"lab {LABS[2].label} is in the rings r0 and r1")
    empty = "setting imagefactory:rings.1.labs: has no lab, because other rings name all of its labs"
    assert facts(["web"], ["we*"]) == facts(["*"], ["we*"]) == [empty]
    assert facts(["*"]) == ["setting imagefactory:rings: has only one ring"] and facts() == []
    named_twice = [*rings(["web"]), *rings(["data"])]
    (told,) = ring_findings(named_twice, LABS)
    assert (told.subject, told.fact) == ("setting imagefactory:rings.1.name", '"r0" is also the name of rings.0')


@given(
    st.lists(st.lists(st.sampled_from(["pilot-1", "pilot-*", "web", "d*", "*"]), min_size=1), min_size=2, max_size=4)
)
def test_rings_without_findings_have_each_lab_once_and_none_is_empty(entries: list[list[str]]) -> None:
    """Whatever they name."""
    found = rings(*entries)
    if not list(ring_findings(found, LABS)):
        assert {ring_of(found, one) for one in LABS} == set(range(len(found)))


@pytest.mark.parametrize(
    ("value", "subject"),
    [
        ([{"name": "pilot", "labs": []}, PILOT], "setting imagefactory:rings.0.labs"),
        ([PILOT, {"name": "b", "labs": ["b"], "soakDays": -1}], "setting imagefactory:rings.1.soakDays"),
        ([PILOT, {"name": "b", "lab": ["b"]}], "setting imagefactory:rings.1"),
        ({"pilot": ["web"]}, "setting imagefactory:rings"),
    ],
)  # fmt: skip
def test_rings_of_a_wrong_form_are_errors_with_their_place(value: object, subject: str) -> None:
    """As for other settings; also as JSON, in which pulumi passes objects."""
    for written in (value, json.dumps(value)):
        with pytest.raises(ConfigurationError) as raised:
            read(written)
        assert subject in {one.subject for one in raised.value.diagnostics}


def test_a_ring_of_an_unknown_lab_stops_each_command(tmp_path: Path) -> None:
    """Before a request to Azure: a wrong wave could reach a lab too early."""
    entry: dict[str, Any] = {"SubscriptionId": SUBSCRIPTION, "LabName": "web", "ImagePaths": ["Win2016"]}
    write_configuration(tmp_path, {"Labs": [entry]}, "Win2016/Datacenter.json")
    settings = read([{"name": "pilot", "labs": ["wbe"]}, {"name": "broad", "labs": ["*"]}])
    with pytest.raises(ConfigurationError, match='Write "web"'):
        load_of_stack(settings.model_copy(update={"configuration": tmp_path}))
