"""The option `--stack`, and the settings of the stack that it names.

Owns where stack files are. Their content is read by `imagefactory.configuration.stack_settings`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from imagefactory.configuration.stack_settings import (
    FactoryLab,
    Settings,
    factory_from_stack_file,
    settings_from_stack_file,
)
from imagefactory.diagnostics import error
from imagefactory.errors import ConfigurationError


def stack_files() -> list[Path]:
    """The files of all stacks of the working directory, by name."""
    return sorted(Path().glob("Pulumi.*.yaml"))


def stack_name(file: Path) -> str:
    """The stack of a file."""
    return file.name.removeprefix("Pulumi.").removesuffix(".yaml")


def _complete(incomplete: str) -> list[str]:
    return [name for name in map(stack_name, stack_files()) if name.startswith(incomplete)]


Stack = Annotated[
    str,
    typer.Option(
        "--stack",
        "-s",
        envvar="PULUMI_STACK",
        help="The stack whose factory it is, as its file Pulumi.NAME.yaml is called",
        autocompletion=_complete,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout, and nothing else")]


def stack_settings(stack: str) -> Settings:
    """The settings of a stack whose file is in the working directory. Raises `ConfigurationError`."""
    path = Path(f"Pulumi.{stack}.yaml")
    if Path(stack).name != stack or not path.is_file():
        known = ", ".join(map(stack_name, stack_files())) or "none"
        fact, consequence = f"there is no {path} here", "nothing is read and nothing is done"
        raise ConfigurationError([error(f"stack '{stack}'", fact, consequence, f"Stacks here: {known}")])
    return settings_from_stack_file(path, os.environ)


def stacks_with_factory_of(stack: str) -> dict[str, Settings]:
    """The stacks of this folder that have the factory of `stack`, itself first. Raises `ConfigurationError`."""
    found = {stack: stack_settings(stack)}
    for file in stack_files():
        name, factory = stack_name(file), factory_from_stack_file(file)
        if name != stack and factory and _is_same(factory, found[stack].factory):
            found[name] = settings_from_stack_file(file, os.environ)
    return found


def _is_same(one: FactoryLab, other: FactoryLab) -> bool:
    """Whether two stacks may mean one lab; without its resource group a stack means any lab of that name."""
    groups = {lab.resource_group.lower() for lab in (one, other) if lab.resource_group}
    ids = {(lab.subscription_id.lower(), lab.lab_name.lower()) for lab in (one, other)}
    return len(ids) == 1 and len(groups) <= 1
