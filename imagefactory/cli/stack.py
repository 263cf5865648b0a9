"""The options `--stack` and `--json`, and the settings of the stack that `--stack` names.

Finds the stack files in the working directory. Does not read them: `imagefactory.configuration.stack_settings` does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
import yaml

from imagefactory.configuration.stack_settings import (
    Settings,
    StackBasics,
    basics_from_stack_file,
    factory_from_stack_file,
    settings_from_stack_file,
)
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.errors import ConfigurationError


def stack_files() -> list[Path]:
    """Return the files of all stacks in the working directory, by name."""
    return sorted(Path().glob("Pulumi.*.yaml"))


def stack_name(file: Path) -> str:
    """Return the stack that a file configures."""
    return file.name.removeprefix("Pulumi.").removesuffix(".yaml")


def complete_stack(incomplete: str) -> list[str]:
    """Return the stacks whose names begin so, for the completion of shells."""
    return [name for name in map(stack_name, stack_files()) if name.startswith(incomplete)]


Stack = Annotated[
    str,
    typer.Option(
        "--stack",
        "-s",
        metavar="NAME",
        envvar="PULUMI_STACK",
        help="Stack that configures the factory: NAME in Pulumi.NAME.yaml",
        autocompletion=complete_stack,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only one JSON document to stdout")]


def stack_settings(stack: str) -> Settings:
    """Return the settings of a stack whose file is in the working directory. Raises `ConfigurationError`."""
    path = Path(f"Pulumi.{stack}.yaml")
    if Path(stack).name != stack or not path.is_file():
        found = ", ".join(map(stack_name, stack_files()))
        remedy = f"Pass one of {found}" if found else "Run the command in the folder that contains the stack files"
        fact = f"this folder does not contain {path}"
        raise ConfigurationError([error(f"stack '{stack}'", fact, "nothing is read or changed", remedy)])
    return settings_from_stack_file(path, os.environ)


def stack_basics() -> dict[str, StackBasics]:
    """Return what concerns each stack of this folder as a whole, by name, without files of other projects.

    Raises `ConfigurationError` with all that is wrong.
    """
    found: dict[str, StackBasics] = {}
    problems: list[Diagnostic] = []
    for file in stack_files():
        try:
            if basics := basics_from_stack_file(file):
                found[stack_name(file)] = basics
        except ConfigurationError as problem:
            problems += problem.diagnostics
    if problems:
        raise ConfigurationError(problems)
    return found


def split_stacks() -> dict[str, StackBasics]:
    """Return the same if one of the files has the setting `labsMatching`; else nothing, so nothing is wrong with it."""
    return stack_basics() if any(map(_may_split, stack_files())) else {}


def _may_split(file: Path) -> bool:
    try:
        return b"labsMatching" in file.read_bytes().replace(b"\0", b"")  # UTF-16 too
    except OSError:
        return False


def factory_stacks() -> list[str]:
    """Return the stacks in the working directory that have a factory, by name. Raises `ConfigurationError`."""
    found = [stack_name(file) for file in stack_files() if factory_from_stack_file(file)]
    if not found:
        fact, remedy = "contains no stack file with a factory", "Run the command in the folder that contains them"
        raise ConfigurationError([error("folder", fact, "nothing is read", remedy)])
    return found


def project_name() -> str:
    """Return the name of the Pulumi project in the working directory. Raises `ConfigurationError`."""
    path = Path("Pulumi.yaml")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = document.get("name") if isinstance(document, dict) else None
    except (OSError, ValueError, yaml.YAMLError):
        name = None
    if isinstance(name, str) and name:
        return name
    fact, remedy = "cannot be read, or has no name", "Run the command in the folder of the Pulumi project"
    raise ConfigurationError([error(path.name, fact, "nothing is read or changed", remedy)])


def stacks_with_factory_of(stack: str) -> dict[str, Settings]:
    """Return the stacks of this folder with the factory of `stack`, that one first. Raises `ConfigurationError`."""
    found = {stack: stack_settings(stack)}
    for file in stack_files():
        name, factory = stack_name(file), factory_from_stack_file(file)
        if name != stack and factory and factory.key.may_be(found[stack].factory.key):
            found[name] = settings_from_stack_file(file, os.environ)
    return found
