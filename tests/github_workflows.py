"""The workflows of GitHub Actions: their jobs and the steps that run, as far as this project's files need it.

Knows `uses:` of workflows and actions in the repository, `inputs`, and the values of the contexts that a test gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.command_lines import ROOT

FOLDER = ROOT / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))
ACTIONS = sorted((FOLDER / "actions").glob("*/action.yml"))
CALLED = FOLDER / "workflows" / "imagefactory-job.yml"


def document(file: Path) -> dict[Any, Any]:
    """Return a workflow or an action; the key `on` is what YAML 1.1 reads as true."""
    found = yaml.safe_load(file.read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def jobs(name: str) -> dict[str, dict[str, Any]]:
    """Return the jobs of the workflow `<name>.yml`."""
    found = document(FOLDER / "workflows" / f"{name}.yml")["jobs"]
    assert isinstance(found, dict)
    return found


def every_step() -> Iterator[dict[str, Any]]:
    """Yield each step of all workflows and actions."""
    for file in WORKFLOWS:
        for job in document(file)["jobs"].values():
            yield from job.get("steps", [])
    for file in ACTIONS:
        yield from document(file)["runs"]["steps"]


def steps_of(run: str) -> list[dict[str, Any]]:
    """Return the steps of the called workflow that belong to `inputs.run`, of whatever outcome of the ones before."""
    found = document(CALLED)["jobs"]["job"]["steps"]
    wanted = re.compile(rf"inputs\.run == '{run}'")
    return [step for step in found if "inputs.run ==" not in step.get("if", "") or wanted.search(step["if"])]


def variables(step: Mapping[str, Any], contexts: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a step and its job; `contexts` maps names such as `vars.AZURE_CLIENT_ID` to values."""
    named = {**document(CALLED)["jobs"]["job"]["env"], **step.get("env", {})}
    return {name: re.sub(r"\$\{\{ (\S+) \}\}", lambda one: contexts[one[1]], value) for name, value in named.items()}
