"""Pipelines of Azure DevOps with their templates and template expressions expanded, as the service does before a run.

Knows the syntax that this project's files use (learn.microsoft.com, "Templates" and "Expressions").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.command_lines import ROOT

OCCASIONS = {
    "pull request": {"Build.Reason": "PullRequest", "Build.SourceBranch": "refs/pull/7/merge"},
    "main": {"Build.Reason": "IndividualCI", "Build.SourceBranch": "refs/heads/main"},
    "another branch": {"Build.Reason": "Manual", "Build.SourceBranch": "refs/heads/topic"},
}
Names = Mapping[str, Any]


def expanded(file: str, occasion: str = "main", **parameters: Any) -> dict[str, Any]:
    """Return a pipeline for such a run; `parameters` replace defaults in its templates."""
    path = ROOT / file
    document = yaml.safe_load(path.read_text("utf-8"))
    names = {"variables": OCCASIONS[occasion], "parameters": {}, "given": parameters}
    result = _expand(document, names, path.parent)
    assert isinstance(result, dict)
    return result


def defaults(file: str) -> dict[str, Any]:
    """Return the defaults of the parameters of a template."""
    declared = yaml.safe_load((ROOT / file).read_text("utf-8"))["parameters"]
    return {parameter["name"]: parameter["default"] for parameter in declared if "default" in parameter}


def steps(pipeline: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each step, in order, with the name of its stage."""
    for stage in pipeline["stages"]:
        for job in stage["jobs"]:
            inner = job["strategy"]["runOnce"]["deploy"] if "deployment" in job else job
            yield from ((stage["stage"], step) for step in inner["steps"])


def script(step: Mapping[str, Any]) -> str:
    """Return the shell script of a step, empty if it has none."""
    return str(step.get("bash") or step.get("inputs", {}).get("inlineScript", ""))


def _expand(node: Any, names: Names, folder: Path) -> Any:
    if isinstance(node, dict):
        return {key: _expand(value, names, folder) for key, value in node.items()}
    if isinstance(node, list):
        return [item for part in node for item in _expand_item(part, names, folder)]
    if isinstance(node, str):
        if whole := re.fullmatch(r"\$\{\{ *([\w.]+) *\}\}", node):
            value = _value(whole[1], names)
            return str(value) if isinstance(value, int) else value
        return re.sub(r"\$\{\{ *([\w.]+) *\}\}", lambda match: str(_value(match[1], names)), node)
    return node


def _expand_item(item: Any, names: Names, folder: Path) -> Iterator[Any]:
    key, value = next(iter(item.items())) if isinstance(item, dict) else ("", "")
    if condition := re.fullmatch(r"\$\{\{ if (.*) \}\}", key):
        yield from _expand(value, names, folder) if _value(condition[1], names) else ()
    elif loop := re.fullmatch(r"\$\{\{ each (\w+) in ([\w.]+) \}\}", key):
        for one in _value(loop[2], names):
            yield from _expand(value, {**names, loop[1]: one}, folder)
    elif key == "template":
        yield from _template(folder / value, _expand(item.get("parameters", {}), names, folder), names)
    else:
        yield _expand(item, names, folder)


def _template(path: Path, given: Mapping[str, Any], names: Names) -> Iterator[Any]:
    document = yaml.safe_load(path.read_text("utf-8"))
    parameters = {}
    for declared in document.get("parameters", []):
        name = declared["name"]
        parameters[name] = given[name] if name in given else names["given"].get(name, declared.get("default"))
        assert parameters[name] is not None, f"{path.name}: {name} is required"
        assert parameters[name] in declared.get("values", [parameters[name]])
    assert set(given) <= set(parameters), path.name
    (kind,) = {"stages", "steps"} & set(document)
    yield from _expand(document[kind], {**names, "parameters": parameters}, path.parent)


def _value(expression: str, names: Names) -> Any:
    if call := re.fullmatch(r"(eq|ne|and|or)\((.*)\)", expression):
        values = [_value(one, names) for one in _arguments(call[2])]
        if call[1] in {"and", "or"}:
            return all(values) if call[1] == "and" else any(values)
        return (values[0] == values[1]) is (call[1] == "eq")
    if literal := re.fullmatch(r"'([^']*)'", expression):
        return literal[1]
    if variable := re.fullmatch(r"variables\['([\w.]+)'\]", expression):
        return names["variables"][variable[1]]
    value: Any = names
    for part in expression.split("."):
        value = value[part]
    return value


def _arguments(text: str) -> list[str]:
    depth, parts = 0, [""]
    for char in text:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]
