"""The jobs that docs/tasks/split.md generates for each stack: valid, with commands, jobs and variables that exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagefactory.cli.stacks import VARIABLE, azure_line, github_line
from tests.command_lines import ROOT, commands, unknown_words
from tests.github_workflows import CALLED, document, jobs

SECTION = (ROOT / "docs" / "tasks" / "split.md").read_text("utf-8").partition("\n## A job for each stack\n")[2]
GITHUB, AZURE = re.findall(r"^```yaml\n(.*?)^```", SECTION.partition("\n## ")[0], re.MULTILINE | re.DOTALL)


def is_valid(file: Path, text: str, schema: str) -> bool:
    """Whether a text is valid by a published schema."""
    file.write_text(text, "utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "schema"), [(f"on: push\n{GITHUB}", "vendor.github-workflows"), (AZURE, "vendor.azure-pipelines")]
)
def test_the_jobs_are_valid_by_the_published_schemas(text: str, schema: str, tmp_path: Path) -> None:
    """Also on Azure Pipelines, whose matrix is an expression here."""
    assert is_valid(tmp_path / "jobs.yml", text, schema)
    assert not is_valid(tmp_path / "jobs.yml", text.replace("strategy:", "strateggy:"), schema)


def test_on_github_the_matrix_becomes_a_call_for_each_stack() -> None:
    """Of the workflow that the other jobs call, with its inputs; the jobs that it waits for exist."""
    found: dict[str, Any] = yaml.safe_load(GITHUB)["jobs"]
    listing, up = found["stacks"], found["up"]
    (step,) = (each for each in listing["steps"] if each.get("id") == "stacks")
    assert listing["outputs"] == {VARIABLE: f"${{{{ steps.stacks.outputs.{VARIABLE} }}}}"}
    assert up["strategy"]["matrix"] == f"${{{{ fromJSON(needs.stacks.outputs.{VARIABLE}) }}}}"
    assert set(up["needs"]) <= found.keys() | jobs("imagefactory").keys()
    assert up["uses"] == f"./{CALLED.relative_to(ROOT)}" == jobs("imagefactory")["up-dev"]["uses"]
    assert up["permissions"] == jobs("imagefactory")["up-dev"]["permissions"]
    inputs = document(CALLED)[True]["workflow_call"]["inputs"]
    assert up["with"].keys() <= inputs.keys() and {name for name in inputs if inputs[name].get("required")} <= set(
        up["with"]
    )
    (name,) = {one for value in up["with"].values() for one in re.findall(r"matrix\.(\w+)", value)}
    assert name in json.loads(github_line([{"stack": "dev", "labs": 1}]).partition("=")[2])["include"][0]
    assert not [unknown_words(command) for command in commands(step["run"]) if unknown_words(command)]


def test_on_azure_pipelines_the_matrix_becomes_a_leg_for_each_stack() -> None:
    """Which has the keys as variables, in upper case in its environment."""
    listing, plan = yaml.safe_load(AZURE)["jobs"]
    (listed,), (planned,) = listing["steps"], plan["steps"]
    output = f"dependencies.{listing['job']}.outputs['{listed['name']}.{VARIABLE}']"
    assert plan["strategy"]["matrix"] == f"$[ {output} ]" and plan["dependsOn"] == listing["job"]
    legs = json.loads(azure_line([{"stack": "dev"}]).partition("]")[2])
    assert {name.upper() for leg in legs.values() for name in leg} == set(re.findall(r"\$(\w+)", planned["bash"]))
    for step in (listed, planned):
        assert not [unknown_words(command) for command in commands(step["bash"]) if unknown_words(command)]
