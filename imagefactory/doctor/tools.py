"""Checks of this machine's tools: Python, the pulumi command, its language host and its plugins.

Runs `pulumi version` and `pulumi plugin ls`, which change nothing.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import yaml

from imagefactory.doctor.checks import STACK, Check
from imagefactory.state.pulumi_command import run

AZURE_SDK = "pulumi-azure-native"
SDK = "pulumi"
"""The Python package: released together with the pulumi command, with one version."""
_NUMBER = re.compile(r"(\d+)\.(\d+)\.(\d+)")


async def check_tools() -> list[Check]:
    """Return the checks. Raises nothing."""
    version = ".".join(platform.python_version_tuple())
    checks = [Check(STACK, "python", "ok", f"Python {version}")]
    if not shutil.which("pulumi"):
        return [*checks, Check(STACK, "pulumi", "failure", "the pulumi command is not on the PATH", "Add it")]
    (told, problem), (plugins, unlisted) = await asyncio.gather(run("version"), run("plugin", "ls", "--json"))
    checks.append(_cli(told.decode(errors="replace").strip(), problem))
    checks.append(_azure_native(plugins, unlisted))
    return [*checks, *_of_the_project()]


def compared(found: str, wanted: str) -> int | None:
    """Return how a version compares to another: negative if it is older; None if one is not of the form 1.2.3."""
    left, right = _NUMBER.search(found), _NUMBER.search(wanted)
    if not left or not right:
        return None
    ours, theirs = (tuple(map(int, each.groups())) for each in (left, right))
    return (ours > theirs) - (ours < theirs)


def _cli(found: str, problem: str | None) -> Check:
    least = importlib.metadata.version(SDK)
    order = None if problem else compared(found, least)
    if order is None:
        return Check(STACK, "pulumi", "unknown", f"pulumi version failed: {problem or 'no version'}", "Reinstall it")
    if order < 0:
        fact = f"{found} is older than {least}, the version of the SDK"
        return Check(STACK, "pulumi", "warning", fact, f"Install {least} or newer (see docs/setup.md)")
    return Check(STACK, "pulumi", "ok", found)


def _azure_native(listed: bytes, problem: str | None) -> Check:
    name, wanted = "plugin azure-native", importlib.metadata.version(AZURE_SDK)
    remedy = f"pulumi plugin install resource azure-native {wanted}"
    try:
        plugins = [] if problem else json.loads(listed)
        found = [each["version"] for each in plugins if (each["kind"], each["name"]) == ("resource", "azure-native")]
    except (ValueError, TypeError, KeyError):
        problem = "its output is not as documented"
    if problem:
        return Check(STACK, name, "unknown", f"pulumi plugin ls failed: {problem}", remedy)
    if wanted in found:
        return Check(STACK, name, "ok", f"{wanted}, as the SDK")
    fact = f"{wanted}, the version of the SDK, is not installed (installed: {', '.join(map(str, found)) or 'none'})"
    if os.environ.get("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "").lower() in {"1", "true"}:
        return Check(STACK, name, "failure", f"{fact}, and its download is disabled", remedy)
    return Check(STACK, name, "warning", f"{fact}; the next run downloads it", remedy)


def _of_the_project() -> Iterator[Check]:
    """Yield what Pulumi.yaml names: the language host, and the plugins that are read from a folder."""
    try:
        project = yaml.safe_load(Path("Pulumi.yaml").read_text(encoding="utf-8"))
        places = {str(each["name"]): str(each["path"]) for each in project["plugins"]["providers"]}
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        places = {}
    for name, place in places.items():
        if Path(place, "PulumiPlugin.yaml").is_file():
            yield Check(STACK, f"plugin {name}", "ok", f"in {place}")
        else:
            fact = f"{place}, which Pulumi.yaml names, is not a plugin"
            yield Check(STACK, f"plugin {name}", "failure", fact, "Check out the project completely")
    if not places:
        fact = "Pulumi.yaml names no plugin vhdcopy, or cannot be read"
        yield Check(STACK, "plugin vhdcopy", "failure", fact, "Run the command in the folder of the Pulumi project")
    host = "pulumi-language-python"
    if shutil.which(host):
        yield Check(STACK, "language host", "ok", host)
    else:
        yield Check(STACK, "language host", "failure", f"{host} is not on the PATH", "Reinstall the pulumi CLI")
