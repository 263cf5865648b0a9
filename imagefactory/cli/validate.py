"""`imagefactory validate`: everything that is wrong with the configuration folder, without any network.

Owns the formats of the report: text, JSON, and the annotations of GitHub Actions and Azure Pipelines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from imagefactory.cli.output import command_agent, show_document, tell
from imagefactory.configuration.loading import fix_labs_file, load_configuration
from imagefactory.diagnostics import Diagnostic, Severity
from imagefactory.errors import ConfigurationError
from imagefactory.plain_text import printable


class Format(str, Enum):
    """How diagnostics are written."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    AZURE = "azure"


def validate(
    configuration: Annotated[Path, typer.Option(help="The configuration folder.")] = Path("Configuration"),
    labs: Annotated[str, typer.Option(help="The labs file in it.")] = "labs.json",
    fix: Annotated[
        bool, typer.Option("--fix", help="First rewrite the labs file as strict JSON, without its comments.")
    ] = False,
    output: Annotated[Format, typer.Option("--format", help="How diagnostics are written.")] = Format.TEXT,
) -> None:
    """Check labs.json and the golden images. Exit code 0: no error, 1: errors.

    The format json is a list of objects with severity, file, line, column, subject, fact, consequence, remedy, message.
    """
    counts: list[str] = []
    diagnostics: tuple[Diagnostic, ...]
    try:
        if fix and (fixed := fix_labs_file(configuration, labs)):
            tell(f"{(configuration / labs).as_posix()}: {_count(fixed, 'place')} corrected", err=output is Format.JSON)
        found = load_configuration(configuration, labs, names=Severity.ERROR)
        diagnostics = found.warnings
        counts = [_count(len(found.labs), "lab"), _count(len(found.golden_images), "golden image")]
    except ConfigurationError as problem:
        diagnostics = problem.diagnostics
    errors = sum(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
    counts += [_count(errors, "error"), _count(len(diagnostics) - errors, "warning")]
    if output is Format.JSON:
        show_document([diagnostic.to_dict() for diagnostic in diagnostics])
    else:
        for diagnostic in diagnostics:
            if output is Format.TEXT:
                tell(diagnostic.text())
            else:
                command_agent({Format.GITHUB: github_line, Format.AZURE: azure_line}[output](diagnostic))
        tell(f"{configuration.as_posix()}: {', '.join(counts)}")
    raise typer.Exit(1 if errors else 0)


def github_line(diagnostic: Diagnostic) -> str:
    """A workflow command; escaped as `@actions/core` does, and without another agent's command in it."""
    escapes = {"%": "%25", "\r": "%0D", "\n": "%0A"}
    told = _properties(diagnostic, ("file", "line", "col"), _escaper({**escapes, ":": "%3A", ",": "%2C"}))
    return f"::{diagnostic.severity.value} {','.join(told)}".rstrip() + f"::{_escaper(escapes)(diagnostic.message())}"


def azure_line(diagnostic: Diagnostic) -> str:
    """A logging command; escaped as the agent's task library does, and without another agent's command in it."""
    escapes = {"%": "%AZP25", "\r": "%0D", "\n": "%0A"}
    names = ("sourcepath", "linenumber", "columnnumber")
    told = _properties(diagnostic, names, _escaper({**escapes, ";": "%3B", "]": "%5D"}))
    properties = ";".join([f"type={diagnostic.severity.value}", *told])
    return f"##vso[task.logissue {properties}]{_escaper(escapes)(diagnostic.message())}"


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _escaper(escapes: Mapping[str, str]) -> Callable[[str], str]:
    table = str.maketrans(dict(escapes))
    return lambda text: text.translate(table)


def _properties(diagnostic: Diagnostic, names: Iterable[str], escape: Callable[[str], str]) -> list[str]:
    place = diagnostic.location
    values = (printable(place.file), place.line, place.column) if place else ()
    return [f"{name}={escape(str(value))}" for name, value in zip(names, values, strict=False) if value is not None]
