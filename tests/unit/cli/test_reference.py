"""docs/reference.md and the program agree: settings, options, JSON, exit codes, variables, labs.json, companions."""

from __future__ import annotations

import ast
import json
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from imagefactory.azure.storage.accounts import REST_VERSION
from imagefactory.cli.main import app
from imagefactory.configuration.labs_file import LabKey, LabsFile
from imagefactory.configuration.plan_rates import Rates
from imagefactory.configuration.stack_settings import Settings
from imagefactory.copying.pacing import REQUESTS_IN_FLIGHT
from imagefactory.diagnostics import Diagnostic, warning
from imagefactory.doctor.checks import ORDER, Check
from imagefactory.factory_lab.promote import PromoteReport, PromoteRequest
from imagefactory.factory_lab.prune import PruneReport
from imagefactory.factory_lab.save import SaveOutcome
from imagefactory.factory_lab.save_run import SaveReport
from imagefactory.images.catalog import build_catalog
from imagefactory.images.companions import DataDisk, companion_bytes
from imagefactory.images.lineage import Lineage
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.factory.prune_plan import PruneRules
from imagefactory.planning.labs.moved_labs import MovedLab
from imagefactory.planning.stacks.adoption import Adoption, Finding, LabAdoption
from imagefactory.planning.stacks.adoption_rules import Action
from imagefactory.planning.stacks.gallery_adoption import GalleryAdoption, Kind, PartFinding
from imagefactory.planning.stacks.promotion import Action as PinAction
from imagefactory.planning.stacks.promotion import Promoted, Promotion
from imagefactory.reports.catalog_report import CatalogReport, report_catalog
from imagefactory.reports.plan_report import ORDER as ACTIONS
from imagefactory.reports.plan_report import Change, LabReport, LeftOut, PlanReport
from imagefactory.reports.plan_totals import PlanTotals
from imagefactory.reports.run_summary import ORDER as OUTCOMES
from imagefactory.reports.run_summary import Result
from imagefactory.reports.status import STATES
from imagefactory.state.adopt import AdoptRequest, Planned
from imagefactory.state.stack_state import COPY, VERSION
from imagefactory.telemetry.copy_events import CopyEvent, Outcome, Place
from tests.unit.builders import (
    NOON,
    SUBSCRIPTION,
    catalog,
    entry,
    facts,
    image,
    lab,
    standing,
    vhd,
    write_configuration,
)
from tests.unit.cli.conftest import Verb
from tests.unit.cli.test_status import status_of
from tests.unit.cli.test_verbs import cleaned
from tests.unit.planning.factory.galleries import gallery, offering, version
from tests.unit.planning.factory.prunes import files, keeping, plan
from tests.unit.planning.factory.test_save_plan import planned
from tests.unit.planning.factory.vms import vm
from tests.unit.planning.galleries import builders as galleries
from tests.unit.reports.status_worlds import many_labs
from tests.unit.state import run_events

ROOT = Path(__file__).parents[3]
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
DIAGNOSTIC = warning("subject", "fact", "consequence", "Remedy")


def rows(*headings: str) -> list[list[str]]:
    """The rows of the first table below the last of these headings, each as its cells."""
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    for heading in headings:
        text = text.partition(f"\n## {heading}\n" if heading == headings[0] else f"\n### {heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table, headings
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table[0].splitlines()[2:]]


def names(cell: str) -> list[str]:
    """The code spans of a cell."""
    return re.findall(r"`([^`]+)`", cell)


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, object]]:
    """The settings of a model, and of the models in it, with their defaults."""
    for field in model.model_fields.values():
        assert field.alias
        kinds = (field.annotation, *get_args(field.annotation))
        section = next((each for each in kinds if isinstance(each, type) and issubclass(each, BaseModel)), None)
        if isinstance(field.default, list):
            yield field.alias, field.default
        if section:
            yield from settings_of(section, f"{prefix}{field.alias}.")
        else:
            yield prefix + field.alias, field.default


def test_every_setting_is_documented_with_its_default() -> None:
    """A default in code style is the program's own; words stand for one that the program finds elsewhere."""
    documented = {name: default for cell, default, _ in rows("Settings") for name in names(cell)}
    expected = dict(settings_of(Settings))
    assert documented.keys() == expected.keys()
    for name, default in expected.items():
        if default is PydanticUndefined:
            assert documented[name] == "required", name
        elif default is None or default in ({}, []):
            assert not names(documented[name]), name
        else:
            text = json.dumps(default) if isinstance(default, bool) else str(default)
            assert names(documented[name]) == [text], name
    assert documented["copy.maxInFlight"] == str(REQUESTS_IN_FLIGHT)
    assert documented["storageApiVersion"] == REST_VERSION


COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented_with_its_default(name: str) -> None:
    """Each command has its heading and a table of its options."""
    documented = {tuple(names(options)): default for options, default, _ in rows("Commands", f"imagefactory {name}")}
    expected = {}
    for option in COMMANDS[name].params:
        default = "required" if option.required else option.default
        if not (default is None or isinstance(default, bool) or default == "required"):
            default = f"`{getattr(default, 'value', default)}`"
        expected[tuple(option.opts)] = default
    assert documented.keys() == expected.keys()
    for options, default in expected.items():
        if isinstance(default, str):
            assert documented[options] == default, options
        elif isinstance(default, bool):
            assert documented[options] == "off", options
        else:
            assert "off" not in documented[options], options


def keys(document: object, path: str = "") -> set[str]:
    """The paths of all values in a JSON document, `a[].b` for the key `b` of each object in the list `a`."""
    if isinstance(document, dict):
        return set().union(*(keys(value, f"{path}.{key}" if path else key) for key, value in document.items()))
    if isinstance(document, list) and document and isinstance(document[0], dict | list):
        return set().union(*(keys(each, f"{path}[]") for each in document))
    return {f"{path}[]" if isinstance(document, list) else path}


def test_every_json_key_of_validate_is_documented(verb: Verb, tmp_path: Path) -> None:
    """All keys of a list of diagnostics."""
    write_configuration(tmp_path, {"Labs": [entry(ImagePaths=["Win2106"])]}, "Win2016/Datacenter.json")
    told = verb("validate", "--configuration", ".", "--format", "json")
    assert told.code == 1
    check_keys("validate", told.document)


def test_every_json_key_of_catalog_is_documented(verb: Verb) -> None:
    """With labs, one of them unread."""
    one = replace(image("held"), data_disks=(DataDisk(1, "held.lun1.vhd"),))
    found = replace(build_catalog([vhd("unfinished.vhd")], {}), images=(one,))
    labs = [lab("team"), lab("lost")]
    states: dict[LabKey, LabFacts | Diagnostic]
    team = replace(offering("d0"), images=(standing("held", source_vhd="held.vhd"),))
    states = {labs[0].key: team, labs[1].key: DIAGNOSTIC}

    async def read(settings: Settings, now: datetime, *, with_labs: bool) -> CatalogReport:
        return report_catalog(found, "factory", NOON, labs, states, gallery(version("held.vhd")))

    shown = verb("catalog", "--json", "--labs", instead={"imagefactory.factory_lab.catalog.read": read})
    check_keys("catalog", shown.document, "images[]")


def test_every_json_key_of_save_is_documented(verb: Verb) -> None:
    """VMs that are saved and VMs that are not; every result is a documented one."""
    saving = planned(vm("a"), vm("b"), vm("c"), vm("d", power="running"), vm("e", tags={}), vm("f", os_disk=None))

    async def run(*_: Any) -> SaveReport:
        return SaveReport(
            saving, False, (SaveOutcome("a", image("a")), SaveOutcome("b", error="b")), (), (), (), (), ""
        )

    told = verb("save", "--json", instead={"imagefactory.factory_lab.save_run.run": run})
    check_keys("save", told.document)
    check_results("save", "vms[].result", {one["result"] for one in told.document["vms"]})


def test_every_json_key_of_adopt_is_documented(verb: Verb) -> None:
    """With a lab that moved and a gallery; every action and every kind is a documented one."""
    found = facts("team", standing("old"))
    moved = MovedLab(lab("team"), found, "team@1", SUBSCRIPTION, "before", ("old",))
    findings = tuple(Finding(action, "old", found.images[0], "why") for action in get_args(Action))
    part = galleries.definition("Win2016", {}, galleries.version("Win2016", "1.0.0", {}))
    parts = GalleryAdoption(galleries.gallery(part), (PartFinding("take over", "definition", "Win2016", part, "why"),))
    adoption = Adoption((LabAdoption("team@1", found, findings, moved),), (DIAGNOSTIC,), parts, (lab("lost"),))

    async def planning(request: AdoptRequest) -> Planned:
        return Planned(request, adoption, b"", warnings=(DIAGNOSTIC,), backups=(Path("before.json"),))

    Path("Pulumi.yaml").write_text("name: imagefactory\nruntime: python\n", "utf-8")
    told = verb("adopt", "--dry-run", "--json", instead={"imagefactory.state.adopt.plan": planning})
    check_keys("adopt", told.document)
    actions = {one["action"] for each in told.document["labs"] for one in each["images"]}
    check_results("adopt", "labs[].images[].action", actions)
    check_results("adopt", "gallery.parts[].kind", set(get_args(Kind)))


def test_every_json_key_of_promote_is_documented(verb: Verb) -> None:
    """Every action is a documented one; a lab that cannot be read makes the exit code 1."""
    paths = tuple(
        Promoted(image().image_path, "old", "new", action, "why", ("team@1",)) for action in get_args(PinAction)
    )

    async def run(request: PromoteRequest) -> PromoteReport:
        return PromoteReport(request, Promotion(paths, (DIAGNOSTIC,)), changed=False)

    Path("Pulumi.prod.yaml").write_bytes(Path("Pulumi.dev.yaml").read_bytes())
    instead = {"imagefactory.factory_lab.promote.run": run}
    told = verb("promote", "--from", "dev", "--to", "prod", "--dry-run", "--json", instead=instead)
    assert told.code == 1
    check_keys("promote", told.document)
    check_results("promote", "paths[].action", {one["action"] for one in told.document["paths"]})


def test_every_json_key_of_doctor_is_documented(verb: Verb) -> None:
    """Every result is a documented one, and in the table."""
    checks = [Check("stack", f"check {result}", result, "fact", "Remedy") for result in ORDER]

    async def examining(*_: Any) -> list[Check]:
        return checks

    Path("Pulumi.yaml").write_text("name: imagefactory\nruntime: python\n", "utf-8")
    told = verb("doctor", "--json", instead={"imagefactory.doctor.examination.examine": examining})
    assert told.code == 1
    check_keys("doctor", told.document)
    check_results("doctor", "checks[].result", {one["result"] for one in told.document["checks"]})
    shown = verb("doctor", instead={"imagefactory.doctor.examination.examine": examining})
    assert shown.code == 1 and all(check.name in shown.out for check in checks if check.result != "ok")


def test_every_json_key_of_plan_is_documented(verb: Verb) -> None:
    """Every action is a documented one."""
    changes = tuple(Change("custom image", action, "name", "path", "why") for action in ACTIONS)
    totals = PlanTotals(0, 0, 0, 0, False, 0, 0, 0, Rates())
    labs = (LabReport("team@1", lab().location, changes, changes),)
    report = PlanReport("p/s", labs, changes, (LeftOut("name", "path", "why"),), totals=totals)

    async def review(*_: Any) -> PlanReport:
        return report

    Path("Pulumi.yaml").write_text("name: imagefactory\nruntime: python\n", "utf-8")
    told = verb("plan", "--format", "json", instead={"imagefactory.state.review.review": review})
    check_keys("plan", told.document)
    (values,) = (row[1] for row in rows("JSON output", "JSON of plan") if "labs[].images[].action" in row[0])
    assert set(names(values)) == set(ACTIONS)


def test_every_json_key_of_status_is_documented(verb: Verb) -> None:
    """Every state is a documented one."""
    told = verb("status", "--json", instead=status_of(many_labs()))
    assert told.code == 1
    check_keys("status", told.document)
    states = {path["state"] for lab in told.document["stacks"][0]["labs"] for path in lab["paths"]}
    check_results("status", "stacks[].labs[].paths[].state", states)
    assert states == set(STATES)


def test_every_json_key_of_summary_is_documented(verb: Verb) -> None:
    """Every outcome and every result is a documented one; a failed run makes the exit code 1."""
    kinds = (
        run_events.failed(VERSION, "def/1.0.0", "create", "no"),
        run_events.failed(COPY, "web@05d17100/a", "create", ""),
    )
    lines = [line for kind in kinds for line in kind] + [run_events.diagnostic("lab web@05d17100: no. Fix that.")]
    lines.append(run_events.diagnostic("phases: plan 0.1 s", severity="info"))
    Path("up.jsonl").write_text("\n".join([*lines, run_events.summary("failed")]), "utf-8")
    told = verb("summary", "up.jsonl", "--format", "json")
    assert told.code == 1 and "web@05d17100" in verb("summary", "up.jsonl").out
    check_keys("summary", told.document)
    for key, values in (("labs[].images[].outcome", OUTCOMES), ("result", get_args(Result))):
        (cell,) = (row[1] for row in rows("JSON output", "JSON of summary") if key in names(row[0]))
        assert set(names(cell)) == set(values)


def test_every_json_key_of_prune_is_documented(verb: Verb) -> None:
    """Deletions, what is kept, what is reported."""
    images = [image("new"), image("old", age=1), replace(image("undated", age=2), saved_at_source="last-modified")]
    found = plan(catalog(*images), files(*images), PruneRules(keeping(1)))
    assert found.deletions and found.kept and found.reported

    async def planning(*_: Any, **options: Any) -> PruneReport:
        return PruneReport(1, found, (), (), frozenset(), options["dry_run"])

    told = verb(
        "prune", "--keep", "1", "--dry-run", "--json", instead={"imagefactory.factory_lab.prune.plan": planning}
    )
    check_keys("prune", told.document)
    check_results("prune", "deletions[].result", {one["result"] for one in told.document["deletions"]})
    check_results("prune", "deletions[].kind", {one["kind"] for one in told.document["deletions"]})


def test_every_json_key_of_stacks_is_documented(verb: Verb) -> None:
    """With a stack."""
    write_configuration(Path("Configuration"), {"Labs": [entry()]}, "Win2016/Datacenter.json")
    check_keys("stacks", verb("stacks", "--format", "json").document)


def test_every_json_key_of_clean_vms_is_documented(verb: Verb) -> None:
    """VMs that are deleted and VMs that are not; every result is a documented one."""
    told = verb("clean-vms", "--json", instead={"imagefactory.factory_lab.clean.run": cleaned()})
    check_keys("clean-vms", told.document)
    check_results("clean-vms", "vms[].result", {one["result"] for one in told.document["vms"]})


def test_every_key_of_an_event_of_a_copy_is_documented() -> None:
    """In this order, with every outcome."""
    end = CopyEvent("copy.end", NOON, Place("a", "b", "c", "d", 1), outcome="copied").to_dict()
    table = rows("JSON output", "Events of copies")
    assert [name for row in table for name in names(row[0])] == list(end)
    (outcomes,) = (row[1] for row in table if names(row[0]) == ["outcome"])
    assert names(outcomes) == list(get_args(Outcome))


def check_keys(command: str, document: object, *lists: str) -> None:
    """All keys of the document are documented, and no others; `lists` are documented though they hold objects."""
    documented = [name for row in rows("JSON output", f"JSON of {command}") for name in names(row[0])]
    assert sorted(documented) == sorted({*keys(document), *lists})


def check_results(command: str, key: str, results: set[str]) -> None:
    """The values of a key are documented."""
    (values,) = (row[1] for row in rows("JSON output", f"JSON of {command}") if names(row[0]) == [key])
    assert results and results <= set(names(values))


def test_every_exit_code_is_documented(verb: Verb) -> None:
    """Success, failure, wrong usage, a lab that is behind, Ctrl-C and termination, and no others."""
    clean = {"imagefactory.factory_lab.clean.run": cleaned()}
    codes = [
        verb("clean-vms", "--dry-run", instead=clean).code,
        verb("clean-vms", instead=clean).code,
        verb("clean-vms", "--stack", "missing").code,
        verb("status", instead=status_of(replace(many_labs(2), failures=()))).code,
        128 + signal.SIGINT,
        128 + signal.SIGTERM,
    ]
    assert [row[0] for row in rows("Exit codes")] == list(map(str, codes))


def test_every_variable_that_the_product_reads_is_documented() -> None:
    """And each that is documented is read by the product, or marked as read by Pulumi."""
    section = (ROOT / "docs" / "reference.md").read_text("utf-8").partition("\n## Environment variables\n")[2]
    section = section.partition("\n## ")[0]
    by_pulumi = {name for line in section.splitlines() if "by Pulumi" in line for name in VARIABLE.findall(line)}
    documented = set(VARIABLE.findall(section))
    sources = [path for folder in ("imagefactory", "providers", "components") for path in (ROOT / folder).rglob("*.py")]
    constants = (node for path in sources for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    texts = {node.value for node in constants if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    read = {text for text in texts if VARIABLE.fullmatch(text)}
    assert sorted(read - documented) == []
    assert sorted(documented - read - by_pulumi - {"AZURE_TOKEN_CREDENTIALS"}) == []


def test_every_key_of_labs_json_is_documented() -> None:
    """With what is required."""
    (entries,) = (field.annotation.__args__[0] for field in LabsFile.model_fields.values() if field.alias == "Labs")  # type: ignore[union-attr]
    expected = {str(field.alias): field.is_required() for field in LabsFile.model_fields.values()}
    expected |= {f"Labs[].{field.alias}": field.is_required() for field in entries.model_fields.values()}
    documented = {names(name)[0]: {"yes": True, "no": False}[required] for name, required, _ in rows("labs.json")}
    assert documented == expected


def test_every_key_of_a_companion_is_documented() -> None:
    """As `save` writes it; without those that are required it is no image."""
    full = replace(
        image(),
        description="d",
        author="a",
        generation="V2",
        security_type="TrustedLaunch",
        lineage=Lineage("vm", "disk", "id", "commit", "run", "released"),
        data_disks=(DataDisk(0, "b.vhd", "r"),),
    )
    documented = {name: row[1] for row in rows("Factory images", "Companions") for name in names(row[0])}
    assert documented.keys() == json.loads(companion_bytes(full)).keys()
