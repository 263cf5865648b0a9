"""`imagefactory stacks`: the stacks of this folder, as a table or as the matrix of a pipeline.

Reads the stack files and their labs files. Does not read states or use the network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer

from imagefactory.cli.stack import complete_stack, stack_basics
from imagefactory.cli.terminal.output import command_agent, show_document, show_table
from imagefactory.configuration.labs_matching import served_labs
from imagefactory.configuration.loading import check_split, load_configuration
from imagefactory.configuration.pydantic_findings import nearest
from imagefactory.configuration.stack_settings import StackBasics
from imagefactory.diagnostics import Diagnostic, Severity, error
from imagefactory.errors import ConfigurationError

VARIABLE = "matrix"
"""The output variable of the formats github and azure."""

_LEG = re.compile(r"[^A-Za-z0-9_]")
_LONGEST_LEG = 100


class Format(str, Enum):
    """Formats of the list."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    AZURE = "azure"


def stacks(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Only these stacks, with wildcards", autocompletion=complete_stack),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="Format of the list")] = Format.TEXT,
) -> None:
    """List the stacks of this folder with their labs, or as the matrix of a pipeline.

    Stops if the labs of a labs file are not divided among the stacks as `imagefactory validate` requires it. The format
    json is an object as strategy.matrix of GitHub Actions takes it, with one object per stack in the list include.
    The format github prints it as the output variable matrix, to be appended to the file of GITHUB_OUTPUT; the format
    azure sets the output variable matrix of an Azure Pipelines job, with one leg per stack.

    Needs no network access and no credentials.

    Exit codes: 0 success, 1 failure, 2 wrong usage or configuration.
    """
    found = stack_basics()
    chosen = _chosen(found, names or ["*"])
    rows = _rows({name: found[name] for name in chosen}, found)
    if output is Format.JSON:
        show_document({"include": rows})
    elif output is Format.GITHUB:
        command_agent(github_line(rows))
    elif output is Format.AZURE:
        command_agent(azure_line(rows))
    else:
        columns = ("Stack name", "Labs", "Labs file", "Factory", "Storage access")
        keys = ("stack", "labs", "labsFile", "factory", "storageAuth")
        cells = [[str(row[key]) for key in keys] for row in rows]
        show_table(f"{len(rows)} stack{'' if len(rows) == 1 else 's'}", columns, cells, right={"Labs"})


def github_line(rows: Iterable[Mapping[str, str | int]]) -> str:
    """Return an output variable on one line.

    docs.github.com, "Passing information between jobs" and "Running variations of jobs in a workflow": an output is a
    text, which `fromJSON` turns into the matrix; without other keys, each object of `include` is one job.
    """
    return f"{VARIABLE}={json.dumps({'include': list(rows)}, separators=(',', ':'))}"


def azure_line(rows: Iterable[Mapping[str, str | int]]) -> str:
    """Return a logging command that sets an output variable.

    learn.microsoft.com, "jobs.job.strategy": names of legs have up to 100 letters (A to Z), digits and underscores, and
    begin with a letter; values are texts. The agent decodes `%AZP25`.
    """
    legs: dict[str, dict[str, str]] = {}
    for row in rows:
        legs[_leg(str(row["stack"]), legs)] = {key: str(value) for key, value in row.items()}
    value = json.dumps(legs, separators=(",", ":")).replace("%", "%AZP25")
    return f"##vso[task.setvariable variable={VARIABLE};isOutput=true]{value}"


def _leg(stack: str, taken: Iterable[str]) -> str:
    name = _LEG.sub("_", stack)
    name = name if name[:1].isalpha() else f"s_{name}"
    used, number, leg = {each.lower() for each in taken}, 1, name[:_LONGEST_LEG]
    while leg.lower() in used:
        number += 1
        leg = f"{name[: _LONGEST_LEG - len(str(number)) - 1]}_{number}"
    return leg


def _chosen(found: Mapping[str, StackBasics], patterns: Iterable[str]) -> list[str]:
    problems: list[Diagnostic] = []
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in found):
            meant = nearest(pattern, found)
            remedy = f"Write {meant}" if meant else f"Pass one of {', '.join(found)}" if found else "Add a stack file"
            problems.append(
                error(f"stack '{pattern}'", "this folder does not contain it", "no stack is listed", remedy)
            )
    if problems:
        raise ConfigurationError(problems)
    return [name for name in found if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _rows(chosen: Mapping[str, StackBasics], found: Mapping[str, StackBasics]) -> list[dict[str, str | int]]:
    """Return what each chosen stack is. Raises `ConfigurationError` if a labs file is wrong, or wrongly divided."""
    rows: list[dict[str, str | int]] = []
    checked: dict[Path, None] = {}
    for name, stack in chosen.items():
        labs = load_configuration(stack.configuration, stack.labs).labs
        file = stack.configuration / stack.labs
        if file not in checked:
            checked[file] = None
            wrong = check_split(stack.configuration, stack.labs, labs, found)
            if any(one.severity is Severity.ERROR for one in wrong):
                raise ConfigurationError(wrong)
        rows.append(
            {
                "stack": name,
                "labs": len(served_labs(stack.labs_matching, labs)),
                "labsFile": file.as_posix(),
                "factory": stack.factory.lab_name,
                "factorySubscriptionId": stack.factory.subscription_id,
                "storageAuth": stack.storage_auth,
            }
        )
    return rows
