"""The option `--stack`, and the settings of the stack that it names.

Owns where stack files are. Their content is read by `imagefactory.settings`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from imagefactory.errors import ConfigurationError
from imagefactory.faults import error
from imagefactory.settings import Settings, settings_from_stack_file

Stack = Annotated[
    str,
    typer.Option(
        "--stack",
        "-s",
        envvar="PULUMI_STACK",
        help="The stack whose factory it is, as its file Pulumi.NAME.yaml is called",
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


def stack_files() -> list[Path]:
    """The files of all stacks of the working directory, by name."""
    return sorted(Path().glob("Pulumi.*.yaml"))


def stack_name(file: Path) -> str:
    """The stack of a file."""
    return file.name.removeprefix("Pulumi.").removesuffix(".yaml")
